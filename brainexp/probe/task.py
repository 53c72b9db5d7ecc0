"""A probing task: what is read, which features stand for a sample, and what is to be told from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from brainexp.containers import FloatArray, IntArray, Passage
from brainexp.errors import DataError

SPLITS = ("train", "dev", "test")


@dataclass(frozen=True, eq=False)
class Task:
    """Samples of one linguistic property.

    Parameters
    ----------
    name, competence, phenomenon : str
        What is asked for, the field of linguistics that it belongs to and the phenomenon.
    passages : tuple of Passage
        Every text once, with all stretches that samples ask for.
    slots : tuple of tuple of tuple of int
        For each sample its inputs, whose features are put side by side; for each input its stretches, whose features are
        averaged. Stretches are counted through all passages.
    labels : array of shape (n_samples,)
        Classes 0, 1, … as int, or numbers for a regression as float.
    n_labels : int
        Number of classes; 1 for a regression.
    split : array of str of shape (n_samples,)
        "train", "dev" or "test".

    Raises
    ------
    DataError
        If shapes disagree, a split is empty, classes are missing in training or samples differ in their number of inputs.
    """

    name: str
    competence: str
    phenomenon: str
    passages: tuple[Passage, ...]
    slots: tuple[tuple[tuple[int, ...], ...], ...]
    labels: NDArray[np.generic]
    n_labels: int
    split: NDArray[np.str_]

    def __post_init__(self) -> None:
        if not len(self.slots) == len(self.labels) == len(self.split):
            raise DataError(
                f"task {self.name!r}: {len(self.slots)} samples, {len(self.labels)} labels and {len(self.split)} splits."
            )
        for split in SPLITS:
            if not (self.split == split).any():
                raise DataError(f"task {self.name!r} has no {split} samples. It needs some of train, dev and test.")
        n_inputs = {len(inputs) for inputs in self.slots}
        if len(n_inputs) > 1:
            raise DataError(
                f"task {self.name!r}: samples have {min(n_inputs)} to {max(n_inputs)} inputs. All need the same number."
            )
        known = np.unique(self.labels[self.split == "train"])
        if len(known) < 2:
            raise DataError(
                f"task {self.name!r} has one label in training, {known[0]!r}. There is nothing to tell apart."
            )

    @property
    def is_regression(self) -> bool:
        """Whether numbers are predicted, not classes."""
        return self.n_labels == 1

    def rows(self, split: str) -> IntArray:
        """Which samples are of a split."""
        return np.flatnonzero(self.split == split)

    def subset(self, rows: IntArray) -> Task:
        """Return some of the samples, with only the texts that they ask for."""
        wanted = sorted({stretch for row in rows for inputs in self.slots[row] for stretch in inputs})
        new = {stretch: at for at, stretch in enumerate(wanted)}
        passages, first = [], 0
        for passage in self.passages:
            parts = tuple(part for at, part in enumerate(passage.parts, first) if at in new)
            first += len(passage.parts)
            if parts:
                passages.append(Passage(passage.text, parts))
        slots = tuple(tuple(tuple(new[one] for one in inputs) for inputs in self.slots[row]) for row in rows)
        return replace(self, passages=tuple(passages), slots=slots, labels=self.labels[rows], split=self.split[rows])

    def features(self, layer: FloatArray) -> FloatArray:
        """Features of every sample.

        Parameters
        ----------
        layer : array of shape (n_stretches, n_dims)
            Features of the stretches in one layer.

        Returns
        -------
        array of float32 of shape (n_samples, n_inputs * n_dims)
        """
        columns = []
        for at in range(len(self.slots[0])):
            groups = [inputs[at] for inputs in self.slots]
            first = np.cumsum([0, *(len(group) for group in groups[:-1])])
            stretches = np.concatenate([np.asarray(group, np.intp) for group in groups])
            n_each = np.array([len(group) for group in groups])[:, None]
            columns.append(np.add.reduceat(np.asarray(layer[stretches], np.float32), first, axis=0) / n_each)
        return np.hstack(columns).astype(np.float32)


def collected(texts: Sequence[tuple[str, tuple[int, int]]]) -> tuple[tuple[Passage, ...], IntArray]:
    """Put stretches of the same text together, so that each text is read once.

    Parameters
    ----------
    texts : sequence of (str, (int, int))
        A text and a stretch of it.

    Returns
    -------
    passages : tuple of Passage
    at : array of int of shape (n,)
        Where each stretch is, counted through all passages; equal ones are one.
    """
    known: dict[str, dict[tuple[int, int], int]] = {}
    for text, stretch in texts:
        own = known.setdefault(text, {})
        own.setdefault(stretch, len(own))
    first = dict(zip(known, np.cumsum([0, *(len(own) for own in known.values())]).tolist(), strict=False))
    passages = tuple(Passage(text, tuple(own)) for text, own in known.items())
    return passages, np.array([first[text] + known[text][stretch] for text, stretch in texts], np.intp)
