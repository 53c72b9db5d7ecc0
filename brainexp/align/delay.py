"""Finite impulse response: let responses depend on features of earlier TRs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from brainexp.containers import FloatArray


def delayed(features: FloatArray, delays: Sequence[int]) -> FloatArray:
    """Put delayed copies of one run's features side by side.

    Parameters
    ----------
    features : array of shape (n_trs, n_features)
        Features of one run, one row per TR.
    delays : sequence of int, in TRs
        Zero keeps a row in place; two puts the features of TR t - 2 at TR t.

    Returns
    -------
    array of shape (n_trs, n_delays * n_features)
        Rows before the run's start are zero: nothing was heard.

    Examples
    --------
    >>> delayed(np.array([[1.0], [2.0], [3.0]]), delays=[0, 1])
    array([[1., 0.],
           [2., 1.],
           [3., 2.]])
    """
    n_trs = len(features)
    copies = []
    for delay in delays:
        copy = np.zeros_like(features)
        if delay < n_trs:
            copy[delay:] = features[: n_trs - delay]
        copies.append(copy)
    return np.hstack(copies)
