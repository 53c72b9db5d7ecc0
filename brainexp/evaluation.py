"""Nested cross-validation over layers: penalties and layers on training rows, scores on held-out rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from brainexp.containers import FloatArray, Fold, IntArray
from brainexp.interfaces import Encoder
from brainexp.progress import progress
from brainexp.score.correlation import pearson_r, r_squared


@dataclass(frozen=True, eq=False)
class Target:
    """What is predicted: the responses of all subjects side by side.

    Parameters
    ----------
    per_fold : sequence of arrays of shape (n_rows, n_voxels)
        One array per fold, for what is removed from responses is learned on the fold's training rows; the same array
        repeated where nothing is removed.
    subject : array of int of shape (n_voxels,)
        Whose voxel each column is.
    scorable : array of bool of shape (n_voxels,)
        False where a voxel has NaN or is constant; such voxels are not fitted and score NaN.
    """

    per_fold: Sequence[FloatArray]
    subject: IntArray
    scorable: NDArray[np.bool_]

    def of_subject(self, subject: int) -> Target:
        """Return the columns of one subject."""
        own = self.subject == subject
        return Target([values[:, own] for values in self.per_fold], self.subject[own], self.scorable[own])


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Scores of one feature space.

    Parameters
    ----------
    validation_r : array of shape (n_layers, n_voxels)
        r on inner validation rows of the training rows, averaged over folds.
    test_r, test_r2 : arrays of shape (n_layers, n_voxels)
        On held-out rows, averaged over folds: the whole curve, from which nothing is chosen.
    layer : array of int of shape (n_folds, n_voxels)
        Chosen on the training rows of each fold.
    penalty : array of shape (n_folds, n_voxels)
        Chosen likewise, at the chosen layer.
    r, r2 : arrays of shape (n_voxels,)
        On held-out rows at the chosen layer, averaged over folds.
    observed, predicted : lists of arrays of shape (n_test_rows, n_voxels)
        Held-out rows at the chosen layer, one array per fold.
    """

    validation_r: FloatArray
    test_r: FloatArray
    test_r2: FloatArray
    layer: IntArray
    penalty: FloatArray
    r: FloatArray
    r2: FloatArray
    observed: list[FloatArray]
    predicted: list[FloatArray]


def evaluated(
    encoder: Encoder,
    designs: Sequence[Callable[[], FloatArray]],
    target: Target,
    folds: Sequence[Fold],
    layer_choice: Literal["model", "subject", "voxel"],
    what: str,
) -> Evaluation:
    """Fit and score every layer on every fold, and choose a layer per fold.

    Parameters
    ----------
    encoder : Encoder
        Chooses penalties on the inner folds.
    designs : sequence of callables
        One per layer, each returns an array of shape (n_rows, n_features).
    target : Target
        Responses.
    folds : sequence of Fold
        Rows.
    layer_choice : {"model", "subject", "voxel"}
        Over which voxels the validation r is averaged before layers are compared.
    what : str
        Name on the progress bar.

    Returns
    -------
    Evaluation
    """
    n_layers, n_folds, n_voxels = len(designs), len(folds), len(target.subject)
    known = np.flatnonzero(target.scorable)
    group = _groups(layer_choice, target.subject[known])
    validation_r, test_r, test_r2 = (np.full((n_layers, n_folds, n_voxels), np.nan, np.float32) for _ in range(3))
    best = np.full((n_folds, len(known)), -np.inf)
    layer_of = np.zeros((n_folds, n_voxels), np.intp)
    penalty = np.full((n_folds, n_voxels), np.nan)
    observed = [target.per_fold[at][fold.test] for at, fold in enumerate(folds)]
    predicted = [np.full_like(values, np.nan, dtype=float) for values in observed]
    for layer, design in enumerate(progress(designs, n_layers, what)):
        features = design()
        for at, fold in enumerate(folds):
            responses = target.per_fold[at][:, known]
            fitted = encoder.fit(features[fold.train], responses[fold.train], fold.inner)
            guess = fitted.predict(features[fold.test])
            validation_r[layer, at, known] = fitted.validation_r
            test_r[layer, at, known] = pearson_r(responses[fold.test], guess)
            test_r2[layer, at, known] = r_squared(responses[fold.test], guess)
            merit = _group_mean(fitted.validation_r, group)
            better = (merit > best[at]) | (layer == 0)
            best[at, better] = merit[better]
            columns = known[better]
            layer_of[at, columns] = layer
            penalty[at, columns] = fitted.penalty[better]
            predicted[at][:, columns] = guess[:, better]
    fold_at = np.arange(n_folds)[:, None]
    voxel_at = np.arange(n_voxels)[None, :]
    return Evaluation(
        validation_r=validation_r.mean(axis=1),
        test_r=test_r.mean(axis=1),
        test_r2=test_r2.mean(axis=1),
        layer=layer_of,
        penalty=penalty,
        r=test_r[layer_of, fold_at, voxel_at].mean(axis=0),
        r2=test_r2[layer_of, fold_at, voxel_at].mean(axis=0),
        observed=observed,
        predicted=predicted,
    )


def side_by_side(evaluations: Sequence[Evaluation]) -> Evaluation:
    """Join evaluations of disjoint voxels, in order."""

    def joined(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
        return np.concatenate(arrays, axis=-1)

    return Evaluation(
        validation_r=joined([one.validation_r for one in evaluations]),
        test_r=joined([one.test_r for one in evaluations]),
        test_r2=joined([one.test_r2 for one in evaluations]),
        layer=joined([one.layer for one in evaluations]),
        penalty=joined([one.penalty for one in evaluations]),
        r=joined([one.r for one in evaluations]),
        r2=joined([one.r2 for one in evaluations]),
        observed=[joined(parts) for parts in zip(*(one.observed for one in evaluations), strict=True)],
        predicted=[joined(parts) for parts in zip(*(one.predicted for one in evaluations), strict=True)],
    )


def scorable_voxels(values: FloatArray, folds: Sequence[Fold]) -> NDArray[np.bool_]:
    """Which voxels can be scored: no NaN, and not constant in any held-out block.

    Parameters
    ----------
    values : array of shape (n_rows, n_voxels)
    folds : sequence of Fold

    Returns
    -------
    array of bool of shape (n_voxels,)
    """
    finite = np.isfinite(values).all(axis=0)
    varies = np.all([np.ptp(values[fold.test], axis=0) > 0 for fold in folds], axis=0)
    return np.asarray(finite & varies)


def _groups(layer_choice: str, subject: IntArray) -> IntArray:
    if layer_choice == "voxel":
        return np.arange(len(subject))
    return subject if layer_choice == "subject" else np.zeros_like(subject)


def _group_mean(values: FloatArray, group: IntArray) -> FloatArray:
    """Mean of each voxel's group, array of shape (n_voxels,); -inf where no voxel of the group is known."""
    known = np.isfinite(values)
    sums = np.bincount(group, weights=np.where(known, values, 0.0))
    counts = np.bincount(group, weights=known.astype(float))
    # A layer of which nothing is known must not win over one that predicts badly.
    mean: FloatArray = np.where(counts > 0, sums / np.maximum(counts, 1), -np.inf)[group]
    return mean
