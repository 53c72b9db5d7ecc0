"""Linear probes of linguistic competence, as the Holmes and FlashHolmes benchmarks ask them."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from brainexp.cache import default_cache_dir, digest
from brainexp.containers import FloatArray, Passage
from brainexp.errors import ConfigError
from brainexp.interfaces import ProbeInput, ProbeResult
from brainexp.probe.code_length import code_length, compression
from brainexp.probe.holmes_layout import COMPETENCES, config, folders, samples, task
from brainexp.probe.linear import Training, quality, trained
from brainexp.probe.task import Task
from brainexp.progress import counter
from brainexp.registry import PROBES

if TYPE_CHECKING:
    import pandas as pd

Control = Literal["random_labels", "permuted_words", "random_weights"]
#: Raise when scores of the same options change.
PROBE_VERSION = 1
#: Rows of the table that are no control.
ASKED = "none"
#: How many times shorter the code of the labels is than labels sent evenly.
COMPRESSION = "compression"


@PROBES.register("holmes")
@dataclass(frozen=True)
class Holmes:
    """Can a linear probe tell a linguistic property from the model's features?

    Waldis et al. (2024). Holmes: a benchmark to assess the linguistic competence of language models. TACL 12, 1616-1647.

    Parameters
    ----------
    folder : str or None
        A folder with one folder per probing set, in the layout of the benchmark; None for 22 sets of the built-in grammar.
    gold_samples : int
        Samples per set of the grammar.
    competences : tuple of str
        Fields of linguistics: morphology, syntax, semantics, discourse, reasoning.
    tasks : "all" or tuple of str
        Names of probing sets.
    train_share : float
        Share of the training samples that is used; 1/32 in FlashHolmes.
    layers : "all", "last" or tuple of int
        Whose features are probed; 0 is the embedding output. The benchmark probes the last one only.
    seeds : tuple of int
        Each trains a probe of its own.
    controls : tuple of str
        What each score is held against: "random_labels" (labels of the training samples change places, and those of dev
        samples), "permuted_words" (words of every text change places), "random_weights" (the untrained twin). Selectivity
        is the score minus the control's.
    code_length : bool
        Also measure how many bits the labels take (classification only).
    learning_rate : float
        Of Adam. 0.001 as published does not learn sets of a thousand samples to the end.
    legacy : bool
        Train as the published code: softmax twice, features not standardised, small sets not gone through more often; with
        learning_rate=0.001 and layers=last as in the benchmark. Its code lengths are not reproduced.
    device : str
        On which probes are trained: "auto", "cpu", "cuda".
    """

    needs_gradients: ClassVar[bool] = False

    folder: str | None = None
    gold_samples: int = 1000
    competences: tuple[str, ...] = COMPETENCES
    tasks: Literal["all"] | tuple[str, ...] = "all"
    train_share: float = 1.0
    layers: Literal["all", "last"] | tuple[int, ...] = "all"
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    controls: tuple[Control, ...] = ("random_labels",)
    code_length: bool = True
    learning_rate: float = 0.01
    legacy: bool = False
    device: str = "auto"

    def __post_init__(self) -> None:
        if not 0 < self.train_share <= 1:
            raise ConfigError(f"probe 'holmes': train_share must lie in (0, 1], got {self.train_share}")
        unknown = [name for name in self.competences if name not in COMPETENCES]
        if unknown or not self.competences:
            raise ConfigError(
                f"probe 'holmes': competences must be some of {', '.join(COMPETENCES)}, got {list(self.competences)}"
            )
        if self.learning_rate <= 0:
            raise ConfigError(f"probe 'holmes': learning_rate must be positive, got {self.learning_rate}")
        if not self.seeds:
            raise ConfigError("probe 'holmes': seeds must name at least one, such as seeds=[0]")
        if self.legacy and self.code_length:
            raise ConfigError(
                "probe 'holmes': with legacy=true the scores are no probabilities, so they have no code length. "
                "Give code_length=false."
            )

    def measure(self, given: ProbeInput) -> ProbeResult:
        """Train and score the probes of every task, a task at a time; finished ones are not trained again."""
        import pandas as pd

        chosen = self._tasks()
        at = self._at(given.layer_numbers)
        rows: list[dict[str, Any]] = []
        with counter(len(chosen), "probing tasks") as bar:
            for name, load in chosen.items():
                bar.set_description(f"probing task {name}")
                rows += self._rows(load(), given, at)
                bar.update(1)
        table = pd.DataFrame(rows)
        return ProbeResult(metrics=_metrics(table), curves=_curves(table), tables={"scores": table})

    def _tasks(self) -> dict[str, Callable[[], Task]]:
        """Every task that is asked for; read one at a time."""
        found: dict[str, Callable[[], Task]] = {}
        known = []
        for folder in folders(self._folder()):
            name = folder.name.removeprefix("flash-").removeprefix("holmes-")
            known.append(name)
            published = dict(zip(("competence", "phenomenon"), _published().get(name, ("", "")), strict=True))
            about = {**published, **config(folder)}
            if about["competence"] not in COMPETENCES:
                raise ConfigError(
                    f"probe 'holmes': nobody says which competence {name!r} belongs to. Add competence: and phenomenon: to "
                    f"{folder / 'config-none.yaml'}; competence is one of {', '.join(COMPETENCES)}."
                )
            if about["competence"] in self.competences and (self.tasks == "all" or name in self.tasks):
                found[name] = partial(self._read, folder, name, about)
        missing = [] if self.tasks == "all" else [name for name in self.tasks if name not in found]
        if missing or not found:
            raise ConfigError(
                f"probe 'holmes': no such tasks among the competences: {', '.join(missing)}. Known: {', '.join(known)}."
            )
        return found

    def _read(self, folder: Path, name: str, about: dict[str, Any]) -> Task:
        return self._shortened(task(name, about, list(samples(folder, about["probe_task_type"]))))

    def _folder(self) -> Path:
        if self.folder is not None:
            return Path(self.folder).expanduser()
        from brainexp.grammar import write_holmes

        root = default_cache_dir() / "gold" / f"grammar-{self.gold_samples}"
        if not root.is_dir():
            with suppress(FileExistsError):  # another job was faster
                write_holmes(root, seed=0, n_samples=self.gold_samples)
        return root

    def _shortened(self, whole: Task) -> Task:
        """Keep a share of the training samples, and the texts of kept samples only."""
        train = whole.rows("train")
        n_kept = max(round(self.train_share * len(train)), 2 * whole.n_labels)
        if n_kept >= len(train):
            return whole
        drawn = np.random.default_rng(0).permutation(train)[:n_kept]
        return whole.subset(np.sort(np.concatenate([drawn, whole.rows("dev"), whole.rows("test")])))

    def _at(self, numbers: tuple[int, ...]) -> list[tuple[int, int]]:
        """Positions and numbers of the layers to probe."""
        if self.layers == "all":
            return list(enumerate(numbers))
        wanted = (numbers[-1],) if self.layers == "last" else self.layers
        absent = [layer for layer in wanted if layer not in numbers]
        if absent:
            raise ConfigError(f"probe 'holmes': the model has no layers {absent}; it has {list(numbers)}.")
        return [(numbers.index(layer), layer) for layer in wanted]

    def _rows(self, one: Task, given: ProbeInput, at: list[tuple[int, int]]) -> list[dict[str, Any]]:
        apart = ("folder", "competences", "tasks", "device")  # what is read is in the key, where it comes from is not
        options = {key: value for key, value in asdict(self).items() if key not in apart}
        about = {"task": one.name, "competence": one.competence, "phenomenon": one.phenomenon}
        key = {"probe": PROBE_VERSION, **about, "options": options, "data": _digest(one)}
        found: list[dict[str, Any]] = given.kept(key, lambda: self._scored(one, given, at))
        return [{**about, **row} for row in found]

    def _scored(self, one: Task, given: ProbeInput, at: list[tuple[int, int]]) -> list[dict[str, Any]]:
        sources = {ASKED: (given.read, one)}
        if "permuted_words" in self.controls:
            sources["permuted_words"] = (given.read, permuted(one))
        if "random_weights" in self.controls:
            sources["random_weights"] = (given.read_untrained, one)
        rows = []
        for control, (read, asked) in sources.items():
            layers = read(f"task {one.name}" + (f", {control}" if control != ASKED else ""), asked.passages)
            for position, number in at:
                features = asked.features(np.asarray(layers[position]))
                found = self._one_layer(asked, features, control)
                if control == ASKED and self.code_length and not one.is_regression:
                    found += self._compression(asked, features)
                rows += [{"layer": number, **row} for row in found]
        return rows

    def _one_layer(self, one: Task, features: FloatArray, control: str) -> list[dict[str, Any]]:
        """Scores on dev and test samples, of the true labels and, beside them, of random ones."""
        labels = {control: one.labels}
        if control == ASKED and "random_labels" in self.controls:
            labels["random_labels"] = shuffled(one)
        at = {split: one.rows(split) for split in ("train", "dev", "test")}
        together = np.stack(list(labels.values()))
        probes = trained(
            (features[at["train"]], together[:, at["train"]]),
            (features[at["dev"]], together[:, at["dev"]]),
            one.n_labels,
            self._training,
            self.seeds,
            self._device,
        )
        measure = "pearson" if one.is_regression else "macro_f1"
        found = []
        for split in ("dev", "test"):
            scores = probes.scores(features[at[split]]).reshape(len(labels), len(self.seeds), len(at[split]), -1)
            for (name, told), of_set in zip(labels.items(), scores, strict=True):
                for seed, own in zip(self.seeds, of_set, strict=True):
                    score = quality(own, told[at[split]], one.n_labels)
                    found.append({"seed": seed, "control": name, "split": split, "measure": measure, "score": score})
        return found

    def _compression(self, one: Task, features: FloatArray) -> list[dict[str, Any]]:
        order = np.random.default_rng(0).permutation(one.rows("train"))  # sets may be sorted by label
        dev = one.rows("dev")
        sent, stop = (features[order], one.labels[order]), (features[dev], one.labels[dev])
        bits = code_length(sent, stop, one.n_labels, self._training, self.seeds, self._device)
        values = compression(bits, len(order), one.n_labels)
        about = {"control": ASKED, "split": "train", "measure": COMPRESSION}
        return [{"seed": seed, **about, "score": float(value)} for seed, value in zip(self.seeds, values, strict=True)]

    @property
    def _training(self) -> Training:
        how = Training(learning_rate=self.learning_rate)
        return replace(how, legacy=True, standardise=False, least_steps=0) if self.legacy else how

    @property
    def _device(self) -> str:
        import torch

        if self.device == "auto":
            return "cuda" if torch.cuda.is_available() else "cpu"
        return self.device


@cache
def _published() -> Mapping[str, tuple[str, str]]:
    """Competence and phenomenon of every published probing set, as the benchmark's leaderboard has them."""
    with Path(__file__).with_name("holmes_tasks.csv").open(encoding="utf-8", newline="") as file:
        return {row["task"]: (row["competence"], row["phenomenon"]) for row in csv.DictReader(file)}


def shuffled(one: Task) -> Any:
    """Labels that have changed places inside each split, so that no split borrows another's frequencies."""
    rng = np.random.default_rng(0)
    labels = one.labels.copy()
    for split in ("train", "dev", "test"):
        at = one.rows(split)
        labels[at] = rng.permutation(labels[at])
    return labels


def permuted(one: Task) -> Task:
    """Return the task with the words of every text in random order; stretches go with their words.

    A stretch of several words is kept together, so that there still is one to read. Words of overlapping stretches move
    together.
    """
    rng = np.random.default_rng(0)
    return replace(one, passages=tuple(_with_words_permuted(passage, rng) for passage in one.passages))


def _with_words_permuted(passage: Passage, rng: np.random.Generator) -> Passage:
    whole = (0, len(passage.text))
    kept = [part for part in passage.parts if part != whole]
    edges = _chunks(passage.text, kept)
    order = rng.permutation(len(edges))
    moved: dict[int, int] = {}
    words, length = [], 0
    for at in order:
        begin, end = edges[at]
        moved[int(at)] = length - begin
        words.append(passage.text[begin:end])
        length += end - begin + 1
    text = " ".join(words)

    def new(part: tuple[int, int]) -> tuple[int, int]:
        if part == whole:
            return 0, len(text)
        at = next(number for number, (begin, end) in enumerate(edges) if begin <= part[0] and part[1] <= end)
        return part[0] + moved[at], part[1] + moved[at]

    return Passage(text, tuple(new(part) for part in passage.parts))


def _chunks(text: str, together: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Words of a text by their characters, those that a stretch overlaps joined to one."""
    chunks: list[tuple[int, int]] = []
    begin = 0
    for word in text.split():
        begin = text.index(word, begin)
        end = begin + len(word)
        joined = chunks and any(start < chunks[-1][1] and stop > begin for start, stop in together)
        if joined:
            chunks[-1] = (chunks[-1][0], end)
        else:
            chunks.append((begin, end))
        begin = end
    return chunks


def _digest(one: Task) -> str:
    return digest([[[p.text, p.parts] for p in one.passages], one.slots, one.labels.tolist(), one.split.tolist()])


def _metrics(table: pd.DataFrame) -> dict[str, float]:
    """Mean test score of each competence at the last probed layer, and at the layer that dev samples choose per task."""
    scores = table[(table.measure != COMPRESSION) & (table.control == ASKED)]
    by_layer = scores.groupby(["competence", "task", "layer", "split"]).score.mean().unstack("split")  # noqa: PD010  an index, not columns
    last = by_layer.xs(table.layer.max(), level="layer")
    best = by_layer.loc[by_layer.dev.fillna(-1).groupby(["competence", "task"]).idxmax()]
    found = {"score": float(last.test.mean()), "score_dev_layer": float(best.test.mean())}
    for competence in dict.fromkeys(table.competence):
        found[competence] = float(last.test[competence].mean())
        found[f"{competence}_dev_layer"] = float(best.test[competence].mean())
    at_last = table[(table.layer == table.layer.max()) & (table.split == "test")]
    for control in dict.fromkeys(table.control):
        if control != ASKED:
            found[f"selectivity_{control}"] = found["score"] - float(
                at_last[at_last.control == control].groupby("task").score.mean().mean()
            )
    lengths = table[(table.measure == COMPRESSION) & (table.layer == table.layer.max())]
    if len(lengths):
        found["code_compression"] = float(lengths.groupby("task").score.mean().mean())
    return found


def _curves(table: pd.DataFrame) -> dict[str, list[float]]:
    scores = table[(table.measure != COMPRESSION) & (table.control == ASKED) & (table.split == "test")]
    means = scores.groupby(["competence", "layer", "task"]).score.mean().groupby(["competence", "layer"]).mean()
    curves = {str(name): means[name].sort_index().tolist() for name in dict.fromkeys(table.competence)}
    return curves if len(set(table.layer)) > 1 else {}
