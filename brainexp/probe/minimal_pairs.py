"""Does the model find the grammatical one of two sentences likelier?"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from brainexp.cache import digest
from brainexp.containers import Likelihoods
from brainexp.errors import ConfigError, DataError
from brainexp.interfaces import LanguageModel, ProbeInput, ProbeResult
from brainexp.progress import counter
from brainexp.registry import PROBES

#: Raise when scores of the same options change.
PROBE_VERSION = 1
GOOD, BAD = "sentence_good", "sentence_bad"


@PROBES.register("minimal_pairs")
@dataclass(frozen=True)
class MinimalPairs:
    """Accuracy on pairs of sentences that differ in one thing, which makes one of them wrong.

    Warstadt et al. (2020). BLiMP: the benchmark of linguistic minimal pairs. TACL 8, 377-392. Masked models are asked for
    pseudo log-likelihoods (Salazar et al. 2020).

    Parameters
    ----------
    folder : str
        Holds ``*.jsonl`` files, a paradigm each, with a pair per line: ``sentence_good``, ``sentence_bad`` and, where they
        are known, ``linguistics_term`` (the phenomenon), ``field`` and ``UID``.
    most_pairs : int or None
        Of each paradigm, from its beginning; None for all.
    normalise : {"none", "tokens", "characters"}
        Divide a sentence's log-likelihood by its length, for pairs of unlike length.
    within_words : {"all", "left"}
        For masked models, what a token is told from; see `brainexp.model.likelihood.LoadedLanguageModel`.
    """

    needs_gradients: ClassVar[bool] = False

    folder: str = ""
    most_pairs: int | None = None
    normalise: Literal["none", "tokens", "characters"] = "none"
    within_words: Literal["all", "left"] = "all"

    def __post_init__(self) -> None:
        if self.most_pairs is not None and self.most_pairs < 1:
            raise ConfigError(f"probe 'minimal_pairs': most_pairs must be at least 1 or null, got {self.most_pairs}")

    def require_ready(self) -> None:
        """Raise DataError if there are no files."""
        self._files()

    def measure(self, given: ProbeInput) -> ProbeResult:
        """Score every paradigm; finished ones are not scored again."""
        import pandas as pd

        files = self._files()
        rows = []
        with counter(len(files), "paradigms") as bar:
            for file in files:
                bar.set_description(f"minimal pairs {file.stem}")
                pairs = read_pairs(file)[: self.most_pairs]
                key = {"probe": ["minimal_pairs", PROBE_VERSION], "pairs": digest(pairs)}
                options = {"normalise": self.normalise, "within_words": self.within_words}
                rows.append(given.kept({**key, **options}, partial(self._row, file.stem, pairs, given)))
                bar.update(1)
        table = pd.DataFrame(rows)
        by_phenomenon = table.groupby("phenomenon").accuracy.mean()
        metrics = {"accuracy": float(table.accuracy.mean())}
        metrics |= {f"{name}_accuracy": float(value) for name, value in by_phenomenon.items()}
        return ProbeResult(metrics=metrics, tables={"accuracy": table})

    def _files(self) -> list[Path]:
        folder = Path(self.folder).expanduser()
        files = sorted(folder.glob("*.jsonl"))
        if not files:
            raise DataError(
                f"{folder} has no .jsonl files with minimal pairs. Give probe.minimal_pairs.folder= the folder with one file "
                "per paradigm, such as data/ of BLiMP."
            )
        return files

    def _row(self, name: str, pairs: list[dict[str, str]], given: ProbeInput) -> dict[str, Any]:
        margins = self.margins(given.language_model(), pairs)
        n_pairs = len(margins)
        # A pair that is equally likely both ways is half a hit, as by tossing a coin.
        accuracy = float(np.mean((margins > 0) + (margins == 0) / 2))
        return {
            "paradigm": name,
            "phenomenon": pairs[0].get("linguistics_term", name),
            "field": pairs[0].get("field", ""),
            "accuracy": accuracy,
            "standard_error": float(np.sqrt(accuracy * (1 - accuracy) / n_pairs)),
            "n_pairs": n_pairs,
        }

    def margins(self, model: LanguageModel, pairs: list[dict[str, str]]) -> Any:
        """By how much the good sentence is likelier, array of shape (n_pairs,), in nats (or nats per token or character)."""
        texts = [pair[which] for which in (GOOD, BAD) for pair in pairs]
        found = model.likelihoods(texts, within_words=self.within_words)
        scores = np.array([self._score(one, text) for one, text in zip(found, texts, strict=True)])
        return scores[: len(pairs)] - scores[len(pairs) :]

    def _score(self, one: Likelihoods, text: str) -> float:
        if self.normalise == "tokens":
            return one.total / max(one.n_scored, 1)
        return one.total / len(text) if self.normalise == "characters" else one.total


def read_pairs(file: Path) -> list[dict[str, str]]:
    """Return the pairs of one paradigm.

    Raises
    ------
    DataError
        With the line that is no pair.
    """
    pairs = []
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                told = json.loads(line)
                pair = {name: str(told[name]) for name in (GOOD, BAD)}
            except (ValueError, KeyError, TypeError) as error:
                raise DataError(
                    f"{file}, line {number} is no pair ({error!r}). A line is a JSON object with {GOOD} and {BAD}."
                ) from error
            pairs.append(pair | {name: str(told[name]) for name in ("linguistics_term", "field") if name in told})
    if not pairs:
        raise DataError(f"{file} has no pairs. Download it anew, or remove it.")
    return pairs
