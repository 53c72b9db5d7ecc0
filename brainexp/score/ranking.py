"""Who wins over many tasks whose scores cannot be averaged, and whether tasks agree on it."""

from __future__ import annotations

import numpy as np
from scipy.stats import kendalltau, rankdata

from brainexp.containers import FloatArray


def winning_rates(scores: FloatArray) -> FloatArray:
    """Rank the runs in each task, bring ranks to 0 (the last) to 1 (the first), and average over tasks.

    As the leaderboard of Waldis et al. (2024), Holmes; TACL 12, 1616-1647. The rate depends on who else takes part.

    Parameters
    ----------
    scores : array of shape (n_tasks, n_runs)
        Higher is better. Runs that are alike share a rank; a task in which all are alike counts one half for each. NaN where
        a run was not asked: it is not ranked there.

    Returns
    -------
    array of shape (n_runs,)
        NaN for runs that were ranked in no task.
    """
    ranks = np.array([rankdata(task, nan_policy="omit") for task in scores]).reshape(scores.shape)
    known = np.isfinite(ranks)
    low = np.where(known, ranks, np.inf).min(axis=1, keepdims=True, initial=np.inf)
    high = np.where(known, ranks, -np.inf).max(axis=1, keepdims=True, initial=-np.inf)
    spread = np.where(np.isfinite(high - low), high - low, 0.0)
    rates = np.where(spread > 0, (ranks - low) / np.where(spread > 0, spread, 1.0), np.where(known, 0.5, np.nan))
    counts = known.sum(axis=0)
    sums = np.where(known, rates, 0.0).sum(axis=0)
    found: FloatArray = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return found


def discriminability(scores: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Kendall's τ (b) of how each task ranks the runs with the winning rates in all other tasks.

    A task with τ near 0 does not tell apart what the others tell apart.

    Parameters
    ----------
    scores : array of shape (n_tasks, n_runs)
        As for `winning_rates`.

    Returns
    -------
    tau, p : arrays of shape (n_tasks,)
        NaN where fewer than three runs are ranked in both, or all are alike. p is two-sided; exact for few runs without ties.
    """
    found = np.full((2, len(scores)), np.nan)
    for at, task in enumerate(scores):
        others = winning_rates(np.delete(scores, at, axis=0))
        both = np.isfinite(task) & np.isfinite(others)
        if both.sum() > 2 and np.ptp(task[both]) > 0 and np.ptp(others[both]) > 0:
            found[:, at] = kendalltau(task[both], others[both])
    return found[0], found[1]
