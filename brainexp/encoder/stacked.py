"""A ridge regression per layer, and their predictions weighted per voxel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from brainexp.containers import Design, Fitted, FloatArray, Fold, IntArray
from brainexp.encoder.options import RidgeOptions, mean_only
from brainexp.progress import progress
from brainexp.registry import ENCODERS
from brainexp.score.correlation import pearson_r
from brainexp.solve.bands import Bands


@ENCODERS.register("stacked")
@dataclass(frozen=True)
class Stacked(RidgeOptions):
    """Fit every layer by ridge, then weigh their predictions: weights are positive and sum to 1, per voxel.

    Stacked regression (Breiman 1996; for encoding models Lin, Naselaris, Kay & Wehbe 2024). Weights minimise the squared
    error of predictions for inner validation rows, by fits that have not seen them; then every layer is fitted to all
    training rows.

    Parameters
    ----------
    beside : tuple of str
        Feature spaces that are stacked beside the layers, by names of baselines, annotations or nuisance regressors.

    The other options are those of `brainexp.encoder.options.RidgeOptions`.
    """

    beside: tuple[str, ...] = ()

    together: ClassVar[bool] = True

    def fit(self, bands: Sequence[Design], responses: FloatArray, subject: IntArray, fold: Fold) -> Fitted:
        """Fit every space, then weigh their predictions.

        Parameters
        ----------
        bands : sequence of Design
            Layers, and what stands beside them.
        responses : array of shape (n_train, n_voxels)
            Training rows; no NaN.
        subject : array of int of shape (n_voxels,)
            Not used: voxels do not know of each other.
        fold : Fold
            Rows.

        Returns
        -------
        Fitted
            ``validation_r`` is that of the stack on the rows on which its weights were learned; ``parts`` are the
            weighted predictions of each space.
        """
        n_voxels = responses.shape[1]
        rows = np.concatenate([validation for _, validation in fold.inner])
        observed = responses[rows]
        guesses = np.empty((len(bands), len(rows), n_voxels), np.float32)
        predictions = np.empty((len(bands), len(fold.test), n_voxels), np.float32)
        penalty = np.empty((len(bands), n_voxels))
        for at, band in enumerate(progress(bands, len(bands), "spaces")):
            given = Bands([band], fold, self.alphas, n_voxels, self.work(), self.form)
            if not given.n_features:
                means = [np.tile(responses[fit].mean(axis=0), (len(held), 1)) for fit, held in fold.inner]
                guesses[at] = np.concatenate(means)
                predictions[at], penalty[at] = mean_only(responses, fold, 1).predicted, np.nan
                continue
            solver = given.solver([1.0])
            _, penalty[at], predictions[at] = solver.solve(responses, self.choose_by)
            guesses[at] = solver.cross_predict(responses, penalty[at])
        weights = stacking_weights(observed, guesses)
        parts = weights[:, None, :].astype(np.float32) * predictions
        stacked = np.einsum("bv,brv->rv", weights, guesses)
        return Fitted(pearson_r(observed, stacked), penalty, parts.sum(axis=0), parts)


def stacking_weights(observed: FloatArray, guesses: FloatArray) -> FloatArray:
    """Weights of predictions, positive and with sum 1, that minimise the squared error of their sum, per voxel.

    Parameters
    ----------
    observed : array of shape (n_rows, n_voxels)
        Responses.
    guesses : array of shape (n_spaces, n_rows, n_voxels)
        Predictions of these rows by fits that have not seen them.

    Returns
    -------
    array of shape (n_spaces, n_voxels)

    Notes
    -----
    With errors E the problem is ``min |E w|²`` for ``w >= 0`` and ``sum(w) = 1``. It scales with w, so the sum may be asked
    for by one more row of a non-negative least-squares problem, whatever its weight, and w divided by its sum.
    """
    from scipy.optimize import nnls

    errors = observed[None] - guesses
    n_spaces, _, n_voxels = guesses.shape
    between = np.einsum("arv,brv->vab", errors, errors, optimize=True).astype(float)
    weights = np.empty((n_spaces, n_voxels))
    for voxel, own in enumerate(between):
        value, vectors = np.linalg.eigh(own)
        root = np.sqrt(np.clip(value, 0, None))[:, None] * vectors.T
        size = np.sqrt(np.trace(own) / n_spaces) or 1.0
        found, _ = nnls(np.vstack([root / size, np.ones(n_spaces)]), np.append(np.zeros(n_spaces), 1.0))
        weights[:, voxel] = found / found.sum()
    return weights
