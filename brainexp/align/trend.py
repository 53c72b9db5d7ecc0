"""Remove slow drift from one run, as a step of preprocessing."""

from __future__ import annotations

import numpy as np

from brainexp.containers import FloatArray


def without_trend(values: FloatArray, order: int) -> FloatArray:
    """Subtract the least-squares polynomial of time from each column.

    The polynomial is fitted to all rows of the run, held-out ones too, without looking at any feature; that is what
    high-pass filtering before an analysis does. Where a single run is split into blocks, it lets held-out responses
    shift training responses a little, so it is an option that is recorded, not a default.

    Parameters
    ----------
    values : array of shape (n_trs, n_voxels)
        One run.
    order : int
        Highest power of time.

    Returns
    -------
    array of shape (n_trs, n_voxels)
    """
    powers = np.polynomial.legendre.legvander(np.linspace(-1, 1, len(values)), order)
    weights, *_ = np.linalg.lstsq(powers, values, rcond=None)
    rest: FloatArray = values - powers @ weights
    return rest
