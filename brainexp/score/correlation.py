"""Pearson's r and R² of each voxel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from brainexp.containers import FloatArray


def standardised(values: FloatArray) -> FloatArray:
    """Scale columns to mean 0 and sum of squares 1; constant columns become NaN.

    Parameters
    ----------
    values : array of shape (n_trs, n_voxels)
    """
    centred = values - values.mean(axis=0, dtype=float)
    norm = np.sqrt((centred**2).sum(axis=0))
    scaled: FloatArray = centred / np.where(_constant(values), np.nan, norm)
    return scaled


def _constant(values: FloatArray) -> NDArray[np.bool_]:
    """Columns that do not vary by more than rounding."""
    rounding = np.finfo(values.dtype).eps * np.abs(values).max(axis=0, initial=0.0)
    return np.asarray(np.ptp(values, axis=0) <= 4 * rounding)


def pearson_r(observed: FloatArray, predicted: FloatArray) -> FloatArray:
    """Correlation of each column with its prediction.

    Parameters
    ----------
    observed, predicted : arrays of shape (n_trs, n_voxels)

    Returns
    -------
    array of shape (n_voxels,)
        NaN where either is constant: a constant has no correlation.
    """
    r: FloatArray = (standardised(observed) * standardised(predicted)).sum(axis=0)
    return r


def r_squared(observed: FloatArray, predicted: FloatArray) -> FloatArray:
    """Share of a column's variance that the prediction explains, 1 - SSE / SST.

    Parameters
    ----------
    observed, predicted : arrays of shape (n_trs, n_voxels)

    Returns
    -------
    array of shape (n_voxels,)
        Negative where the column's mean is the better prediction; NaN where the column is constant.
    """
    error = ((observed - predicted) ** 2).sum(axis=0)
    spread = ((observed - observed.mean(axis=0)) ** 2).sum(axis=0)
    r2: FloatArray = 1 - error / np.where(_constant(observed), np.nan, spread)
    return r2
