"""What was recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import DTypeLike

from brainexp.containers.arrays import FloatArray
from brainexp.containers.stimuli import Clock
from brainexp.errors import DataError


@dataclass(frozen=True, eq=False)
class OnDisk:
    """Responses of one story on disk, read when rows are asked for; like a float32 array of shape (n_trs, n_voxels).

    Parameters
    ----------
    shape : (int, int)
        TRs and voxels.
    read : callable
        Takes rows, a slice from start to stop, and the float32 array of shape (n_rows, n_voxels) into which they go.
    """

    shape: tuple[int, int]
    read: Callable[[slice, FloatArray], None] = field(repr=False)

    @property
    def ndim(self) -> int:
        """Two axes."""
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> FloatArray:
        start, stop, _ = rows.indices(len(self))
        read: FloatArray = np.empty((max(stop - start, 0), self.shape[1]), np.float32)
        self.read(slice(start, stop), read)
        return read

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> FloatArray:
        return self[:].astype(dtype or np.float32, copy=False)


@dataclass(frozen=True, eq=False)
class Responses:
    """Brain responses of one subject to one story.

    Parameters
    ----------
    subject, story : str
        Who was recorded, and hearing or reading what.
    values : array of shape (n_trs, n_voxels), or OnDisk
        NaN is allowed and makes a voxel unscorable; it is never filled in. Large ones are `OnDisk`, and never in memory as
        a whole beside what is made of them.
    clock : Clock
        When the rows were acquired.
    nuisance : mapping of str to array of shape (n_trs, n_regressors)
        Regressors of no interest that were recorded beside.

    Raises
    ------
    DataError
        If shapes disagree or a nuisance regressor is not finite.
    """

    subject: str
    story: str
    values: FloatArray | OnDisk
    clock: Clock
    nuisance: Mapping[str, FloatArray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        where = f"subject {self.subject!r}, story {self.story!r}"
        if self.values.ndim != 2 or self.values.shape[0] != self.clock.n_trs:
            raise DataError(
                f"{where}: responses have shape {self.values.shape}, but the clock has {self.clock.n_trs} TRs. "
                "One row per TR is needed."
            )
        for name, regressor in self.nuisance.items():
            if regressor.ndim != 2 or regressor.shape[0] != self.clock.n_trs:
                raise DataError(
                    f"{where}: nuisance {name!r} has shape {regressor.shape}, but there are "
                    f"{self.clock.n_trs} TRs. One row per TR is needed."
                )
            if not np.isfinite(regressor).all():
                raise DataError(f"{where}: nuisance {name!r} has NaN or infinite values. Repair its file.")
