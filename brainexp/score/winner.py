"""Which of several conditions predicts a place best, where the second best is shown to be worse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from brainexp.containers import FloatArray, IntArray
from brainexp.score.inference import MIN_SUBJECTS, ROUNDING
from brainexp.score.permutation import false_discovery_q

#: No condition is shown to be the best.
NO_WINNER = -1


@dataclass(frozen=True, eq=False)
class Winners:
    """The best condition of every place.

    Parameters
    ----------
    winner : array of int of shape (n_places,)
        Index of the condition, or `NO_WINNER`.
    best : array of int of shape (n_places,)
        Index of the highest mean, shown or not; `NO_WINNER` where nothing is known.
    lead : array of shape (n_places,)
        Mean of the best less that of the second best, NaN where unknown.
    q : array of shape (n_places,)
        That the best is no better than some other: false discovery rate over places; NaN where nothing was tested.
    tested : bool
        Whether subjects sufficed for tests; else a lead counts that exceeds the margin.
    """

    winner: IntArray
    best: IntArray
    lead: FloatArray
    q: FloatArray
    tested: bool


def winners(maps: FloatArray, confidence: float, fdr: Literal["bh", "by"], margin: float) -> Winners:
    """Find the best condition of every place, and where it is shown to be better than each other one.

    At each place the highest mean is tested against every other by two-sided paired t tests over subjects, and the largest p
    counts (an intersection–union test: the claim is that it beats all). That the best was chosen by the same data costs the
    two-sidedness and no more (Gutmann & Maymin 1987). Then the false discovery rate is held over places.

    Parameters
    ----------
    maps : array of shape (n_conditions, n_subjects, n_places)
        NaN where unknown; at a place subjects count of whom all conditions are known.
    confidence : float
        A place has a winner where q is below one minus this.
    fdr : {"bh", "by"}
        How q are made of p.
    margin : float
        In the unit of the maps: with fewer than three subjects there is no test, and a place has a winner where its lead in
        the mean exceeds this.
    """
    n_subjects, n_places = maps.shape[1:]
    known: NDArray[np.bool_] = np.asarray(np.isfinite(maps).all(axis=0))
    n_known: IntArray = np.asarray(known.sum(axis=0))
    there = n_known > 0
    means = np.where(known, maps, 0.0).sum(axis=1) / np.maximum(n_known, 1)
    best = np.where(there, means.argmax(axis=0), NO_WINNER)
    ranked = np.sort(means, axis=0)
    lead = np.where(there, ranked[-1] - ranked[-2], np.nan)
    q = np.full(n_places, np.nan)
    tested = n_subjects >= MIN_SUBJECTS
    if tested:
        p = np.full(n_places, np.nan)
        enough = n_known >= MIN_SUBJECTS
        p[enough] = _largest_p(maps[:, :, enough], known[:, enough], best[enough])
        q[enough] = false_discovery_q(p[enough], fdr)
        shown = np.less(q, 1 - confidence)
    else:
        shown = lead > margin
    return Winners(np.where(shown, best, NO_WINNER), best, lead, q, tested)


def _largest_p(maps: FloatArray, known: NDArray[np.bool_], best: IntArray) -> FloatArray:
    """P of the best against the condition from which it is told apart least, array of shape (n_places,)."""
    n = known.sum(axis=0)
    of_best = np.take_along_axis(maps, best[None, None, :], axis=0)[0]
    largest = np.zeros(maps.shape[2])
    for number, other in enumerate(maps):
        difference = np.where(known, of_best - other, 0.0)
        mean = difference.sum(axis=0) / n
        error = np.sqrt(np.where(known, (difference - mean) ** 2, 0.0).sum(axis=0) / (n - 1) / n)
        steady = error <= ROUNDING  # without spread there is no test
        p = np.where(steady, 1.0, 2 * student.sf(np.abs(mean) / np.where(steady, 1.0, error), n - 1))
        largest = np.where(best == number, largest, np.maximum(largest, p))
    return largest
