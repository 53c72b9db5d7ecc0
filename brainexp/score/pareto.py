"""Which models nothing beats: none is at most as large and better, or smaller and as good."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from brainexp.containers import FloatArray


def pareto_front(cost: FloatArray, worth: FloatArray) -> NDArray[np.bool_]:
    """Say of every point whether no other costs at most as much and is worth at least as much, one of them strictly.

    Parameters
    ----------
    cost, worth : arrays of shape (n_points,)
        Points of which one is NaN are not on the front, and beat none.

    Returns
    -------
    array of bool of shape (n_points,)
        Points that are alike in both are on the front together.
    """
    known = np.isfinite(cost) & np.isfinite(worth)
    front = known.copy()
    at = np.flatnonzero(known)
    order = at[np.lexsort((-worth[at], cost[at]))]
    best = -np.inf
    last: tuple[float, float] | None = None
    for one in order:
        point = (float(cost[one]), float(worth[one]))
        front[one] = point[1] > best or point == last
        if front[one]:
            best, last = point[1], point
    return front
