"""What can a linear reader tell of many properties at once, on units that it was not fitted to?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve

from brainexp.containers import FloatArray, IntArray
from brainexp.erase.labels import Column, Labels

#: Scores of a reader that vary less than this share of what is read are rounding.
ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Read:
    """How well one column was told on held-out units.

    Parameters
    ----------
    hits, totals : arrays of shape (n_classes,)
        Units told rightly and units, by class; empty for a number.
    r : float
        Of a number, with what was told; 0 where the reader told the same of all units, NaN for classes.
    """

    hits: FloatArray
    totals: FloatArray
    r: float = float("nan")


def read(features: FloatArray, labels: Labels, train: IntArray, test: IntArray, penalty: float) -> list[Read]:
    """Fit one ridge regression for all codes, and tell the columns of held-out units by it.

    A class is told as by a linear discriminant analysis of the regression's outputs with equal priors: the centre that is
    nearest, by the spread inside classes. A reader that has found nothing tells the same class of all units.

    Parameters
    ----------
    features : array of shape (n_units, n_dims)
    labels : Labels
    train, test : arrays of int
        Units.
    penalty : float
        On standardised features.

    Returns
    -------
    list of Read
        One per column.
    """
    weights = regression(features[train], labels.codes[train], penalty)
    centred = features - features[train].mean(axis=0)
    fitted, told = centred[train] @ weights, centred[test] @ weights
    return [
        _read(one, labels.numbers[:, at], labels, (fitted, told), (train, test))
        for at, one in enumerate(labels.columns)
    ]


def regression(features: FloatArray, codes: FloatArray, penalty: float) -> FloatArray:
    """Weights of a ridge regression with intercept on standardised features, for features as they are.

    Parameters
    ----------
    features : array of shape (n_units, n_dims)
    codes : array of shape (n_units, n_codes)
    penalty : float

    Returns
    -------
    array of shape (n_dims, n_codes)
    """
    scale = features.std(axis=0)
    scale[scale <= ROUNDING * np.abs(features).max(axis=0, initial=0.0)] = np.inf  # a constant tells nothing
    scaled = (features - features.mean(axis=0)) / scale
    gram = scaled.T @ scaled
    gram[np.diag_indices_from(gram)] += penalty
    weights: FloatArray = solve(gram, scaled.T @ (codes - codes.mean(axis=0)), assume_a="pos") / scale[:, None]
    return weights


def _read(
    column: Column,
    values: FloatArray,
    labels: Labels,
    scores: tuple[FloatArray, FloatArray],
    units: tuple[IntArray, IntArray],
) -> Read:
    fitted, told = scores[0][:, column.at], scores[1][:, column.at]
    train, test = values[units[0]], values[units[1]]
    found_nothing = fitted.var(axis=0).sum() <= ROUNDING**2 * labels.codes[:, column.at].var(axis=0).sum()
    if column.classes is None:
        varies = not found_nothing and np.ptp(test) > 0
        r = float(np.corrcoef(told[:, 0], test)[0, 1]) if varies else 0.0 if np.ptp(test) > 0 else float("nan")
        return Read(np.empty(0), np.empty(0), r)
    present = np.array([one for one in column.classes if (train == one).any()])
    if found_nothing or len(present) < 2:
        guess = np.full(len(test), present[0])
    else:
        centres = np.stack([fitted[train == one].mean(axis=0) for one in present])
        inside = fitted - centres[np.searchsorted(present, train)]
        metric = np.linalg.pinv(inside.T @ inside / len(inside), rcond=1e-8, hermitian=True)
        apart = told[:, None, :] - centres
        guess = present[np.einsum("uci,ij,ucj->uc", apart, metric, apart).argmin(axis=1)]
    right = guess == test
    return Read(
        np.array([float((right & (test == one)).sum()) for one in column.classes]),
        np.array([float((test == one).sum()) for one in column.classes]),
    )


def pooled(folds: list[Read]) -> tuple[float, float]:
    """Score of a column over all folds, and what chance gives: balanced accuracy and 1 / n_classes, or mean r and 0."""
    if not len(folds[0].totals):
        r = np.array([one.r for one in folds])
        return (float(np.nanmean(r)) if np.isfinite(r).any() else float("nan")), 0.0
    hits, totals = (np.sum([getattr(one, what) for one in folds], axis=0) for what in ("hits", "totals"))
    known = totals > 0
    n_classes = int(known.sum())
    return (float((hits[known] / totals[known]).mean()), 1 / n_classes) if n_classes > 1 else (float("nan"),) * 2


def above_chance(score: float, chance: float) -> float:
    """Rescale so that 0 is chance and 1 is perfect, for balanced accuracies and r alike."""
    return (score - chance) / (1 - chance)


def chance_error(one: Read, n_units: int) -> float:
    """Standard error of `above_chance` at chance, were units independent: binomial for each class, 1/√n for r."""
    totals = one.totals[one.totals > 0]
    if not len(totals):
        return float(n_units**-0.5)
    chance = 1 / len(totals)
    return float(np.sqrt((chance * (1 - chance) / totals).sum()) * chance / max(1 - chance, chance))
