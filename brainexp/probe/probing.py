"""What linear probes have in common: layers, seeds, controls, and the table that they fill."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import product
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from brainexp.cache import digest
from brainexp.containers import FloatArray, Layers
from brainexp.errors import ConfigError
from brainexp.interfaces import ProbeInput, ProbeResult
from brainexp.probe.code_length import code_length, compression
from brainexp.probe.control import permuted, shuffled
from brainexp.probe.linear import Training, quality, trained
from brainexp.probe.task import SPLITS, Task
from brainexp.progress import counter
from brainexp.registry import PROBES, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

Control = Literal["random_labels", "permuted_words", "random_weights"]
#: Raise when scores of the same options change.
PROBE_VERSION = 1
#: Rows of the table that are no control.
ASKED = "none"
#: How many times shorter the code of the labels is than labels sent evenly.
COMPRESSION = "compression"
#: Features of layers that are probed side by side: more save calls for small models, and outgrow the processor's cache for
#: large ones.
TOGETHER_BYTES = 2**26
#: Options that say where tasks are and how they are reckoned, not what comes out.
APART: Mapping[str, bool] = {"in_probe_key": False}


@dataclass(frozen=True)
class LinearProbing:
    """Can linear probes tell linguistic properties from the model's features?

    Parameters
    ----------
    tasks : "all" or tuple of str
        Names of tasks.
    layers : "all", "last" or tuple of int
        Whose features are probed; 0 is the embedding output.
    seeds : tuple of int
        Each trains a probe of its own.
    controls : tuple of str
        What each score is held against: "random_labels" (labels change places inside each split), "permuted_words" (words
        of every text change places), "random_weights" (the untrained twin). Selectivity is the score minus the control's
        (Hewitt & Liang 2019).
    code_length : bool
        Also measure how many bits the labels take (classification only).
    learning_rate : float
        Of Adam.
    device : str
        On which probes are trained: "auto", "cpu", "cuda".
    """

    needs_gradients: ClassVar[bool] = False

    tasks: Literal["all"] | tuple[str, ...] = field(default="all", metadata=APART)
    layers: Literal["all", "last"] | tuple[int, ...] = "all"
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    controls: tuple[Control, ...] = ("random_labels",)
    code_length: bool = True
    learning_rate: float = 0.01
    device: str = field(default="auto", metadata=APART)

    def __post_init__(self) -> None:
        if self.learning_rate <= 0:
            raise ConfigError(f"probe {self._name!r}: learning_rate must be positive, got {self.learning_rate}")
        if not self.seeds:
            raise ConfigError(f"probe {self._name!r}: seeds must name at least one, such as seeds=[0]")

    def require_ready(self) -> None:
        """Raise ConfigError or DataError if a task is not known or its files are not there."""
        self._chosen()

    def measure(self, given: ProbeInput) -> ProbeResult:
        """Train and score the probes of every task, a task at a time; finished ones are not trained again."""
        import pandas as pd

        chosen = self._chosen()
        at = self._at(given.layer_numbers)
        rows: list[dict[str, Any]] = []
        with counter(len(chosen), "probing tasks") as bar:
            for name, load in chosen.items():
                bar.set_description(f"probing task {name}")
                rows += self._rows(load(), given, at)
                bar.update(1)
        table = pd.DataFrame(rows)
        return ProbeResult(metrics=_metrics(table), curves=_curves(table), tables={"scores": table})

    def offered(self) -> dict[str, Callable[[], Task]]:
        """Every task that could be asked for, by name; read when called."""
        raise NotImplementedError  # each member has its own files

    def training(self) -> Training:
        """How probes are trained."""
        return Training(learning_rate=self.learning_rate)

    def _chosen(self) -> dict[str, Callable[[], Task]]:
        offered = self.offered()
        self._require_known(offered)
        return offered if self.tasks == "all" else {name: offered[name] for name in self.tasks}

    def _require_known(self, offered: Iterable[str]) -> None:
        names = tuple(offered)
        for name in self.tasks if self.tasks != "all" else ():
            if name not in names:
                raise ConfigError(f"probe {self._name!r}: unknown task {name!r}.{did_you_mean(name, names)}")

    @property
    def _name(self) -> str:
        return PROBES.name_of(self)

    def _at(self, numbers: tuple[int, ...]) -> list[tuple[int, int]]:
        """Positions and numbers of the layers to probe."""
        if self.layers == "all":
            return list(enumerate(numbers))
        wanted = (numbers[-1],) if self.layers == "last" else self.layers
        absent = [layer for layer in wanted if layer not in numbers]
        if absent:
            raise ConfigError(f"probe {self._name!r}: the model has no layers {absent}; it has {list(numbers)}.")
        return [(numbers.index(layer), layer) for layer in wanted]

    def _rows(self, one: Task, given: ProbeInput, at: list[tuple[int, int]]) -> list[dict[str, Any]]:
        options = {one.name: getattr(self, one.name) for one in fields(self) if one.metadata.get("in_probe_key", True)}
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
            for numbers, features in _stacked(asked, layers, at):
                found = self._of_layers(asked, features, control)
                if control == ASKED and self.code_length and not one.is_regression:
                    found += self._compression(asked, features)
                rows += [{**row, "layer": numbers[row["layer"]]} for row in found]
        return rows

    def _of_layers(self, one: Task, features: FloatArray, control: str) -> list[dict[str, Any]]:
        """Scores on dev and test samples, of the true labels and, beside them, of random ones; layers are counted from 0."""
        labels = {control: one.labels}
        if control == ASKED and "random_labels" in self.controls:
            labels["random_labels"] = shuffled(one)
        at = {split: one.rows(split) for split in SPLITS}
        together = np.stack(list(labels.values()))
        probes = trained(
            (features[:, at["train"]], together[:, at["train"]]),
            (features[:, at["dev"]], together[:, at["dev"]]),
            one.n_labels,
            self.training(),
            self.seeds,
            self._device,
        )
        measure = "pearson" if one.is_regression else "macro_f1"
        found = []
        for split in ("dev", "test"):
            told = together[:, at[split]].repeat(len(self.seeds), axis=0)
            scores = quality(probes.scores(features[:, at[split]]), told, one.n_labels)
            for layer, of_layer in enumerate(scores.tolist()):
                for (name, seed), score in zip(product(labels, self.seeds), of_layer, strict=True):
                    about = {"layer": layer, "seed": seed, "control": name, "split": split, "measure": measure}
                    found.append({**about, "score": score})
        return found

    def _compression(self, one: Task, features: FloatArray) -> list[dict[str, Any]]:
        order = np.random.default_rng(0).permutation(one.rows("train"))  # sets may be sorted by label
        dev = one.rows("dev")
        sent, stop = (features[:, order], one.labels[order]), (features[:, dev], one.labels[dev])
        bits = code_length(sent, stop, one.n_labels, self.training(), self.seeds, self._device)
        about = {"control": ASKED, "split": "train", "measure": COMPRESSION}
        return [
            {"layer": layer, "seed": seed, **about, "score": float(value)}
            for layer, of_layer in enumerate(compression(bits, len(order), one.n_labels))
            for seed, value in zip(self.seeds, of_layer, strict=True)
        ]

    @property
    def _device(self) -> str:
        import torch

        if self.device == "auto":
            return "cuda" if torch.cuda.is_available() else "cpu"
        return self.device


def _stacked(
    one: Task, layers: FloatArray | Layers, at: Sequence[tuple[int, int]]
) -> Iterator[tuple[list[int], FloatArray]]:
    """Numbers and features, of shape (n_layers, n_samples, n_dims), of as many layers as are trained side by side."""
    together: list[FloatArray] = []
    numbers: list[int] = []
    for position, number in at:
        together.append(one.features(np.asarray(layers[position])))
        numbers.append(number)
        if (len(together) + 1) * together[0].nbytes > TOGETHER_BYTES:
            yield numbers, np.stack(together)
            together, numbers = [], []
    if together:
        yield numbers, np.stack(together)


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
