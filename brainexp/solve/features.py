"""Feature spaces as a solver needs them: standardised on training rows, then a matrix of rows or a kernel between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from brainexp.containers import Design, FloatArray, IntArray

if TYPE_CHECKING:
    from torch import Tensor


#: Rows of a kernel that are shifted at once.
ROWS = 64


@dataclass(frozen=True, eq=False)
class Scaling:
    """Mean and scale of the training rows, of the dimensions that vary there; all arrays of shape (n_varying,)."""

    mean: FloatArray
    scale: FloatArray
    varying: IntArray


def scaling(design: Design, train: IntArray) -> Scaling:
    """Learn mean and scale of a feature space on training rows, before delays.

    Parameters
    ----------
    design : Design
        A feature space.
    train : array of int
        Rows to learn from.

    Returns
    -------
    Scaling
        Dimensions that do not vary by more than rounding are left out.
    """
    features = np.concatenate([run[kept] for run, kept in zip(design.runs, design.rows, strict=True)])[train]
    mean, scale = features.mean(axis=0, dtype=float), features.std(axis=0, dtype=float)
    rounding = np.finfo(features.dtype).eps * np.abs(features).max(axis=0, initial=0.0)
    varying = np.flatnonzero(scale > rounding)
    return Scaling(mean[varying], scale[varying], varying)


def standardised(design: Design, train: IntArray, device: str) -> Tensor:
    """Standardise every TR by the training rows; a last row of zeros stands for what is before a run's start.

    Parameters
    ----------
    design : Design
        A feature space.
    train : array of int
        Rows to learn mean and scale from.
    device : str
        Where the result lies.

    Returns
    -------
    Tensor of shape (n_trs + 1, n_varying)
        float64. A row of zeros is the mean of the training rows.
    """
    import torch

    learned = scaling(design, train)
    stacked = torch.from_numpy(np.concatenate(design.runs)[:, learned.varying]).to(device, torch.float64)
    stacked -= torch.from_numpy(learned.mean).to(device)
    stacked /= torch.from_numpy(learned.scale).to(device)
    return torch.cat([stacked, stacked.new_zeros(1, stacked.shape[1])])


def row_matrix(design: Design, train: IntArray, device: str) -> Tensor:
    """Standardised features of every row, delayed copies side by side: float64 of shape (n_rows, n_delays * n_varying)."""
    import torch

    trs = standardised(design, train, device)
    return torch.cat([trs[torch.from_numpy(source).to(device)] for source in design.sources()], dim=1)


def row_kernel(design: Design, train: IntArray, device: str) -> Tensor:
    """Inner products of all rows, float64 of shape (n_rows, n_rows).

    Delayed copies are never made: the kernel of delayed features is the sum over delays of the kernel of the TRs, shifted
    on both axes inside each run.
    """
    import torch

    trs = standardised(design, train, device)
    between = trs @ trs.T
    sources = [torch.from_numpy(source).to(device) for source in design.sources()]
    kernel = between.new_zeros(len(sources[0]), len(sources[0]))
    for first in range(0, len(kernel), ROWS):  # as many rows as a processor's cache holds
        own = kernel[first : first + ROWS]
        for at in sources:
            own += between[at[first : first + ROWS]][:, at]
    return kernel
