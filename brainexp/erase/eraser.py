"""Erasers: maps that take a property out of features, fitted on some units and applied to all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from brainexp.containers import FloatArray, IntArray
from brainexp.erase.labels import Labels
from brainexp.erase.reading import above_chance, chance_error, pooled, read, regression

#: Penalties of the published ridge residual, 1e-6 to 1e9.
PUBLISHED_PENALTIES = tuple(10.0**power for power in range(-6, 10))
PUBLISHED_FOLDS = 10
#: Directions of features with less than this share of the greatest variance are rounding.
LEAST_VARIANCE = 1e-10
#: Features of which less than this share of the spread is left are rounding, which a standardising reader would blow up.
LEAST_LEFT = 1e-6
#: Share of the training units, the last ones, on which INLP sees when to stop.
WATCHED = 0.2


@dataclass(frozen=True, eq=False)
class Eraser:
    """``x - (source - centre) @ inward @ outward``, where the source is x itself or the labels.

    Parameters
    ----------
    from_labels : bool
        Whether what is subtracted is predicted from the labels of a unit (ridge), or from its features.
    centre : array of shape (n_source,)
    inward : array of shape (n_source, rank)
    outward : array of shape (rank, n_dims)
    mean : array of shape (n_dims,)
        Of the features that it was fitted to.
    emptied : array of bool of shape (n_dims,)
        Features of which nothing but rounding is left; they become their mean.
    """

    from_labels: bool
    centre: FloatArray
    inward: FloatArray
    outward: FloatArray
    mean: FloatArray
    emptied: FloatArray

    @property
    def rank(self) -> int:
        """How many directions it takes away."""
        return int(self.inward.shape[1])

    def erased(self, features: FloatArray, labels: FloatArray) -> FloatArray:
        """Return features without the property, float64.

        Parameters
        ----------
        features : array of shape (n_units, n_dims)
        labels : array of shape (n_units, n_source)
            Read by an eraser from labels only.
        """
        source = labels if self.from_labels else features
        left = features - ((source - self.centre) @ self.inward) @ self.outward
        return np.where(self.emptied, self.mean, left)


def ridge_residual(features: FloatArray, codes: FloatArray, penalty: float) -> Eraser:
    """What a ridge regression with intercept on the labels leaves (as in Oota et al. 2023, but see `published_residual`).

    Parameters
    ----------
    features : array of shape (n_units, n_dims)
    codes : array of shape (n_units, n_codes)
        See `brainexp.erase.labels.Labels`.
    penalty : float
        0 subtracts the means of classes altogether; more leaves some of each.
    """
    centred = codes - codes.mean(axis=0)
    left, spectrum, right = np.linalg.svd(centred, full_matrices=False)
    kept = spectrum > LEAST_VARIANCE * spectrum.max(initial=0.0)
    left, spectrum, right = left[:, kept], spectrum[kept], right[kept]
    weights = (spectrum / (spectrum**2 + penalty))[:, None] * (left.T @ (features - features.mean(axis=0)))
    return _eraser(features, codes, codes.mean(axis=0), right.T, weights, from_labels=True)


def published_residual(features: FloatArray, values: FloatArray) -> Eraser:
    """The ridge residual as published by Oota et al. (2023): labels as numbers, no intercept, a penalty per feature.

    Of `PUBLISHED_PENALTIES` the one with the best R² in ten-fold cross-validation of neighbouring units, which share the
    labels of their sentence. Unlike there, the residuals are what goes on, and weights come from training units only.

    Parameters
    ----------
    features : array of shape (n_units, n_dims)
    values : array of shape (n_units, n_columns)
    """
    units = np.arange(len(values))
    total = np.zeros((len(PUBLISHED_PENALTIES), features.shape[1]))
    for held in np.array_split(units, PUBLISHED_FOLDS):
        fit = np.setdiff1d(units, held)
        spread = ((features[held] - features[held].mean(axis=0)) ** 2).sum(axis=0)
        for at, weights in enumerate(_uncentred(features[fit], values[fit])):
            missed = ((features[held] - values[held] @ weights) ** 2).sum(axis=0)
            total[at] += 1 - missed / np.where(spread > 0, spread, 1.0)
    weights = np.take_along_axis(_uncentred(features, values), total.argmax(axis=0)[None, None, :], axis=0)[0]
    return _eraser(features, values, np.zeros(values.shape[1]), np.eye(values.shape[1]), weights, from_labels=True)


def leace(features: FloatArray, codes: FloatArray) -> Eraser:
    """LEACE: the least change after which no linear predictor of the labels beats a constant.

    Belrose et al. (2023), theorem 4.3: ``x - W⁺ P W (x - μ)``, W whitens the features and P projects on what whitened
    features and labels have in common. It holds on the units of the fit, for every convex loss.

    Parameters
    ----------
    features : array of shape (n_units, n_dims)
    codes : array of shape (n_units, n_codes)
    """
    whitening, back = _whitening(features)
    centred = features - features.mean(axis=0)
    common = whitening.T @ (centred.T @ (codes - codes.mean(axis=0))) / len(codes)
    directions, strength, _ = np.linalg.svd(common / np.maximum(codes.std(axis=0), 1e-12), full_matrices=False)
    directions = directions[:, strength > np.sqrt(LEAST_VARIANCE)]
    return _eraser(features, features, features.mean(axis=0), whitening @ directions, directions.T @ back)


def inlp(
    features: FloatArray,
    labels: Labels,
    train: IntArray,
    gap: int,
    penalty: float,
    most_rounds: int,
    tolerance: float,
    most_rank: int | None = None,
) -> Eraser:
    """Iterative nullspace projection (Ravfogel et al. 2020): take away what a linear reader uses until it reads nothing.

    All directions found so far are projected out at once, which is the projection on the intersection of their null spaces.
    A reader's direction is not that in which classes lie apart where features are correlated, so that many rounds may pass.

    Parameters
    ----------
    features : array of shape (n_units, n_dims)
        Of all units.
    labels : Labels
        Of the properties to erase.
    train : array of int
        Units that it may learn from, in their order. The last `WATCHED` of them, after a gap, tell when to stop.
    gap : int
        Units.
    penalty : float
        Of the reader.
    most_rounds : int
    tolerance : float
        It stops when the mean score is no further above chance than this, as a share of what lies between chance and 1, and
        one standard error.
    most_rank : int, optional
        Go on until so many directions are gone, whatever is still read: for controls, which read nothing.
    """
    n_fit = int((1 - WATCHED) * len(train))
    fit, watched = train[:n_fit], train[n_fit + gap :]
    mean = features[train].mean(axis=0)
    centred = features - mean
    directions = np.empty((features.shape[1], 0))
    for _ in range(most_rounds):
        left = centred - (centred @ directions) @ directions.T
        if most_rank is None:
            done = _finished(left, labels, fit, watched, penalty, tolerance)
        else:
            done = directions.shape[1] >= most_rank
        if done:
            break
        found = regression(left[fit], labels.codes[fit], penalty)
        found -= directions @ (directions.T @ found)
        new, strength, _ = np.linalg.svd(found, full_matrices=False)
        new = new[:, strength > LEAST_LEFT * strength.max(initial=0.0)]
        directions, _ = np.linalg.qr(np.hstack([directions, new]))
        directions = directions[:, :most_rank]
        if directions.shape[1] == features.shape[1]:
            break
    return _eraser(features[train], features[train], mean, directions, directions.T)


def random_directions(features: FloatArray, rank: int, rng: np.random.Generator, *, whitened: bool) -> Eraser:
    """Take away as many directions as an eraser does, drawn at random: a control.

    Parameters
    ----------
    features : array of shape (n_units, n_dims)
    rank : int
        As many as there are at most.
    rng : numpy.random.Generator
    whitened : bool
        Draw them where features have unit variance in all directions, as LEACE takes its own away; else as they are, as
        INLP does.
    """
    inward, back = _whitening(features) if whitened else (np.eye(features.shape[1]),) * 2
    drawn, _ = np.linalg.qr(rng.standard_normal((len(back), min(rank, len(back)))))
    return _eraser(features, features, features.mean(axis=0), inward @ drawn, drawn.T @ back)


def _eraser(
    features: FloatArray,
    source: FloatArray,
    centre: FloatArray,
    inward: FloatArray,
    outward: FloatArray,
    *,
    from_labels: bool = False,
) -> Eraser:
    left = features - ((source - centre) @ inward) @ outward
    emptied = left.std(axis=0) <= LEAST_LEFT * features.std(axis=0)
    return Eraser(from_labels, centre, inward, outward, features.mean(axis=0), emptied)


def _whitening(features: FloatArray) -> tuple[FloatArray, FloatArray]:
    """From features to coordinates of unit variance, (n_dims, n_kept), and back, (n_kept, n_dims)."""
    centred = features - features.mean(axis=0)
    variance, axes = np.linalg.eigh(centred.T @ centred / len(centred))
    kept = variance > LEAST_VARIANCE * variance.max(initial=0.0)
    spread = np.sqrt(variance[kept])
    return axes[:, kept] / spread, spread[:, None] * axes[:, kept].T


def _uncentred(features: FloatArray, values: FloatArray) -> FloatArray:
    """Ridge weights without intercept, array of shape (n_penalties, n_columns, n_dims)."""
    left, spectrum, right = np.linalg.svd(values, full_matrices=False)
    shrunk = spectrum / (spectrum**2 + np.array(PUBLISHED_PENALTIES)[:, None])
    found: FloatArray = np.einsum("kc,pk,kd->pcd", right, shrunk, left.T @ features)
    return found


def _finished(
    features: FloatArray, labels: Labels, fit: IntArray, watched: IntArray, penalty: float, tolerance: float
) -> bool:
    """Whether a reader's mean score is no further above chance than the tolerance and one standard error."""
    found = read(features, labels, fit, watched, penalty)
    scores = np.array([above_chance(*pooled([one])) for one in found])
    known = np.isfinite(scores)
    errors = np.array([chance_error(one, len(watched)) for one in found])
    return not known.any() or bool(scores[known].mean() <= tolerance + errors[known].mean())
