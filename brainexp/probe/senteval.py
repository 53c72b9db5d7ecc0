"""The ten probing tasks of SentEval: what a sentence's features tell of its surface, syntax and meaning."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from brainexp.containers import Passage
from brainexp.errors import ConfigError, DataError
from brainexp.probe.probing import APART, LinearProbing
from brainexp.probe.task import Task
from brainexp.registry import PROBES

SPLITS = {"tr": "train", "va": "dev", "te": "test"}
#: Field of linguistics of each task, by the name of its file (Conneau et al. 2018, section 2).
COMPETENCE = {
    "sentence_length": "surface",
    "word_content": "surface",
    "tree_depth": "syntax",
    "top_constituents": "syntax",
    "bigram_shift": "syntax",
    "past_present": "semantics",
    "subj_number": "semantics",
    "obj_number": "semantics",
    "odd_man_out": "semantics",
    "coordination_inversion": "semantics",
}


@PROBES.register("senteval")
@dataclass(frozen=True)
class SentEval(LinearProbing):
    """Sentence probes, a file each: split (tr, va or te), label and sentence, between tabs.

    Conneau, Kruszewski, Lample, Barrault & Baroni (2018). What you can cram into a single vector. ACL, 2126-2136. Features
    are the mean over the sentence's tokens.

    Parameters
    ----------
    folder : str
        Holds the task files, such as ``past_present.txt``.
    most_samples : int or None
        Of each split, drawn at random; the files have 100,000 for training. None for all.
    """

    folder: str = field(default="", metadata=APART)
    most_samples: int | None = 10_000

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.most_samples is not None and self.most_samples < 10:
            raise ConfigError(f"probe 'senteval': most_samples must be at least 10 or null, got {self.most_samples}")

    def offered(self) -> dict[str, Callable[[], Task]]:
        """Every task of which there is a file."""
        folder = Path(self.folder).expanduser()
        found = {name: folder / f"{name}.txt" for name in COMPETENCE if (folder / f"{name}.txt").is_file()}
        if not found:
            raise DataError(
                f"{folder} has none of {', '.join(COMPETENCE)} (.txt). Give probe.senteval.folder= data/probing of SentEval."
            )
        return {name: partial(self._read, name, file) for name, file in found.items()}

    def _read(self, name: str, file: Path) -> Task:
        rows = [row for row in file.read_text(encoding="utf-8").split("\n") if row.strip()]
        told = [row.rstrip("\r").split("\t") for row in rows]
        for number, row in enumerate(told, 1):
            if len(row) != 3 or row[0] not in SPLITS:
                raise DataError(
                    f"{file}, line {number} is not tr, va or te, a label and a sentence by tabs: {rows[number - 1][:80]!r}"
                )
        split = np.array([SPLITS[row[0]] for row in told])
        kept = drawn(split, self.most_samples)
        sentences = {sentence: at for at, sentence in enumerate(dict.fromkeys(told[row][2] for row in kept))}
        classes = {label: at for at, label in enumerate(sorted({row[1] for row in told}))}
        return Task(
            name=name,
            competence=COMPETENCE[name],
            phenomenon=name.replace("_", " "),
            passages=tuple(Passage(sentence) for sentence in sentences),
            slots=tuple(((sentences[told[row][2]],),) for row in kept),
            labels=np.array([classes[told[row][1]] for row in kept]),
            n_labels=len(classes),
            split=split[kept],
        )


def drawn(split: np.ndarray, most: int | None) -> np.ndarray:
    """Rows of at most so many samples of each split, in order.

    Parameters
    ----------
    split : array of str of shape (n_samples,)
    most : int or None
        None keeps all.

    Returns
    -------
    array of int of shape (n_kept,)
    """
    rng = np.random.default_rng(0)
    rows = [np.flatnonzero(split == one) for one in dict.fromkeys(split.tolist())]
    return np.sort(np.concatenate([own if most is None else rng.permutation(own)[:most] for own in rows]))
