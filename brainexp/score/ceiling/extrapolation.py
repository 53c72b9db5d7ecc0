"""Where would a score end if there were ever more subjects to predict from?"""

from __future__ import annotations

import numpy as np

from brainexp.containers import FloatArray, IntArray
from brainexp.score.ceiling.bootstrap import quantiles

#: Least time constant to try, in subjects: a curve that is flat from the first subject on.
LEAST_TAU = 0.1
#: Greatest one, in multiples of the greatest number of subjects: there 63 % of the plateau has been seen. A plateau of which
#: less was seen is a guess: with 10 instead of 1, voxels of mere noise get plateaus up to 1.
GREATEST_TAU = 1.0
#: Time constants between these, before the best is refined between its neighbours.
N_TAUS = 121
#: Bounds the memory: curves that are fitted at once.
CURVES_AT_ONCE = 20_000


def saturating_fit(sizes: FloatArray, scores: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Fit ``v(k) = v0 (1 - exp(-k / tau0))`` by least squares to many curves at once (Schrimpf et al. 2021).

    For a given tau the best v0 is a projection, which is clipped to [0, 1]; taus are tried on a grid, and the best is refined
    by a parabola through it and its neighbours.

    Parameters
    ----------
    sizes : array of shape (n_sizes,)
        Numbers of subjects k; at least two different ones.
    scores : array of shape (n_sizes, n_curves)
        Score at each size.

    Returns
    -------
    v0, tau0 : arrays of shape (n_curves,)
        NaN where the fit does not converge: a score is NaN, or the curve still rises so that the best v0 is its bound, 1, or
        the best tau0 the greatest that is tried. A flat curve converges: v0 is its mean, and tau0 the least that is tried.
    """
    v0, tau0 = (np.full(scores.shape[1], np.nan) for _ in range(2))
    taus = np.geomspace(LEAST_TAU, GREATEST_TAU * sizes.max(), N_TAUS)
    rise = 1 - np.exp(-sizes / taus[:, None])
    for first in range(0, scores.shape[1], CURVES_AT_ONCE):
        chunk = slice(first, first + CURVES_AT_ONCE)
        values = scores[:, chunk]
        error = _least_squares(values, rise[:, :, None])[1]
        # argmin of NaN would be arbitrary
        best = np.where(np.isfinite(error).all(axis=0), error, np.inf).argmin(axis=0)
        tau = taus[0] * (taus[1] / taus[0]) ** _refined(error, best)
        plateau = _least_squares(values, (1 - np.exp(-sizes[:, None] / tau))[None])[0][0]
        converged = np.isfinite(values).all(axis=0) & (plateau < 1) & (best < N_TAUS - 1)
        v0[chunk] = np.where(converged, plateau, np.nan)
        tau0[chunk] = np.where(converged, tau, np.nan)
    return v0, tau0


def _least_squares(values: FloatArray, rise: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Best v0 in [0, 1] and squared error, from arrays of shape (n_sizes, n_curves) and (n_taus, n_sizes, n_curves or 1)."""
    along = (rise * values).sum(axis=1) if rise.shape[2] > 1 else rise[:, :, 0] @ values
    length = (rise**2).sum(axis=1)
    v0 = np.clip(along / length, 0.0, 1.0)
    error: FloatArray = (values**2).sum(axis=0) - 2 * v0 * along + v0**2 * length
    return v0, error


def _refined(error: FloatArray, best: IntArray) -> FloatArray:
    """Lowest point of the parabola through the least error and its neighbours, as a fraction of a step of the grid."""
    inside = np.clip(best, 1, len(error) - 2)
    before, at, after = (np.take_along_axis(error, (inside + step)[None], axis=0)[0] for step in (-1, 0, 1))
    bend = before - 2 * at + after
    curved = (best == inside) & (bend > 0)
    shift = np.where(curved, (before - after) / (2 * np.where(curved, bend, 1.0)), 0.0)
    refined: FloatArray = best + np.clip(shift, -1.0, 1.0)
    return refined


def extrapolated(
    sizes: IntArray, scores: FloatArray, n_draws: int, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Extrapolate the scores of subsets of subjects to infinitely many subjects.

    Subsets are drawn with replacement within each size, as in Brain-Score, their mean per size is fitted with
    `saturating_fit`, and the median over draws is the estimate. Subsets overlap, so that draws vary less than new subjects
    would make them.

    Parameters
    ----------
    sizes : array of int of shape (n_subsets,)
        Subjects in each subset; at least two different numbers.
    scores : array of shape (n_subsets, n_voxels)
        Score with each subset.
    n_draws : int
        How many draws; none gives the fit to all subsets alone.
    rng : numpy.random.Generator

    Returns
    -------
    estimate : array of shape (n_voxels,)
        NaN where more than half of the fits do not converge.
    draws : array of shape (n_draws, n_voxels)
        NaN where a fit does not converge.
    """
    known = np.unique(sizes)
    members = [np.flatnonzero(sizes == size) for size in known]
    means = np.stack([scores[own].mean(axis=0) for own in members])
    estimate, _ = saturating_fit(known.astype(float), means)
    draws = np.full((n_draws, scores.shape[1]), np.nan)
    for draw in range(n_draws):
        drawn = [rng.choice(own, size=len(own)) for own in members]
        draws[draw], _ = saturating_fit(known.astype(float), np.stack([scores[own].mean(axis=0) for own in drawn]))
    return (quantiles(draws, (0.5,))[0] if n_draws else estimate), draws
