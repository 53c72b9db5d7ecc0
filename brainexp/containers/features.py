"""What a model makes of stimuli, and how rows are split."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from brainexp.containers.arrays import FloatArray, IntArray
from brainexp.errors import DataError


@dataclass(frozen=True, eq=False)
class Layers:
    """Features of one story on disk, a file per layer; read it as an array of shape (n_layers, n_units, n_dims).

    ``layers[3]`` maps one file into memory, read-only, and lets go of it with the array: a study has more files than a
    process may hold open. float16 is brought to float32 on the way, so nobody computes in it.

    Parameters
    ----------
    files : tuple of Path
        Arrays of shape (n_units, n_dims). Layer 0 is the embedding output, the last one the output of the last block.
    n_units, n_dims : int
        Shape of each.
    """

    files: tuple[Path, ...] = field(repr=False)
    n_units: int
    n_dims: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Layers, units and dims."""
        return len(self.files), self.n_units, self.n_dims

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, layer: int) -> FloatArray:
        try:
            stored: FloatArray = np.load(self.files[layer], mmap_mode="r")
        except FileNotFoundError as error:
            raise DataError(
                f"{error.filename} was there when the run began and is gone. Run again, and prune the cache when nothing "
                "runs."
            ) from error
        return stored if stored.dtype == np.float32 else stored.astype(np.float32)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> FloatArray:
        return np.stack([self[layer] for layer in range(len(self))]).astype(dtype or np.float32, copy=False)


@dataclass(frozen=True, eq=False)
class Design:
    """One feature space at TR times, before delays.

    Parameters
    ----------
    name : str
        Which feature space, such as "layer 3" or "word_rate".
    runs : tuple of arrays of shape (n_trs, n_dims)
        Features of every TR, run by run.
    rows : tuple of slice
        What trimming leaves of each run.
    delays : tuple of int, in TRs
        A row holds the features of these earlier TRs of its run side by side; (0,) for spaces without delays.
    """

    name: str
    runs: tuple[FloatArray, ...]
    rows: tuple[slice, ...]
    delays: tuple[int, ...]

    @property
    def n_rows(self) -> int:
        """Rows of all runs after trimming."""
        return sum(len(range(*kept.indices(len(run)))) for kept, run in zip(self.rows, self.runs, strict=True))

    @property
    def n_features(self) -> int:
        """Columns, delays included."""
        return int(self.runs[0].shape[1]) * len(self.delays)

    def matrix(self) -> FloatArray:
        """Features of every row, delayed copies side by side: shape (n_rows, n_features), zero before a run's start."""
        stacked = np.concatenate([*self.runs, np.zeros_like(self.runs[0][:1])])
        return np.hstack([stacked[source] for source in self.sources()])

    def sources(self) -> IntArray:
        """Where each row draws from, array of shape (n_delays, n_rows): TRs of the stacked runs, -1 before a run's start."""
        found = []
        first = 0
        for run, kept in zip(self.runs, self.rows, strict=True):
            local = np.arange(len(run))[kept] - np.array(self.delays)[:, None]
            found.append(np.where(local >= 0, local + first, -1))
            first += len(run)
        return np.concatenate(found, axis=1)


@dataclass(frozen=True, eq=False)
class Fitted:
    """What an encoder found on one fold.

    Parameters
    ----------
    validation_r : array of shape (n_voxels,)
        r on validation rows of the training rows, at the chosen penalty.
    penalty : array of shape (n_bands, n_voxels)
        The chosen penalty of each feature space.
    predicted : array of shape (n_test, n_voxels)
        Predictions of the held-out rows.
    parts : array of shape (n_bands, n_test, n_voxels), optional
        What each feature space adds to the predictions, where there are several and it was asked for.
    """

    validation_r: FloatArray
    penalty: FloatArray
    predicted: FloatArray
    parts: FloatArray | None = None


@dataclass(frozen=True, eq=False)
class Fold:
    """Rows of one cross-validation fold.

    Parameters
    ----------
    train, test : arrays of int
        Rows of the stacked runs. Rows in the gap belong to neither.
    inner : tuple of (array of int, array of int)
        Training and validation positions *within* ``train``, for choosing penalties and layers.
    """

    train: IntArray
    test: IntArray
    inner: tuple[tuple[IntArray, IntArray], ...]
