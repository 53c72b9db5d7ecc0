"""r as a share of its ceiling."""

from __future__ import annotations

import numpy as np

from brainexp.containers import FloatArray


def normalised(r: FloatArray, ceiling: FloatArray, floor: float) -> FloatArray:
    """Divide r by its ceiling.

    Parameters
    ----------
    r, ceiling : arrays of shape (..., n_voxels)
    floor : float
        Voxels whose ceiling is lower are not normalised but NaN: a ratio of two small numbers says nothing.

    Returns
    -------
    array of shape (..., n_voxels)
    """
    ratio: FloatArray = r / np.where((ceiling >= floor) & (ceiling > 0), ceiling, np.nan)
    return ratio


def ratio_of_means(r: FloatArray, ceiling: FloatArray, floor: float) -> FloatArray:
    """Mean r divided by the mean ceiling, over the voxels that `normalised` normalises.

    Unlike the mean of ratios it does not let voxels with a low, and so ill-known, ceiling weigh more than others.

    Parameters
    ----------
    r, ceiling : arrays of shape (..., n_voxels)
    floor : float
        Voxels whose ceiling is lower are left out of both means.

    Returns
    -------
    array of shape (...)
        NaN where no voxel is left.
    """
    known = np.isfinite(normalised(r, ceiling, floor))
    total = np.where(known, ceiling, 0.0).sum(axis=-1)
    ratio: FloatArray = np.where(known, r, 0.0).sum(axis=-1) / np.where(total > 0, total, np.nan)
    return ratio
