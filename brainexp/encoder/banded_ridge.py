"""Ridge regression with a penalty of its own for each feature space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from brainexp.containers import Design, Fitted, FloatArray, Fold, IntArray
from brainexp.encoder.options import RidgeOptions, mean_only, validation_r
from brainexp.errors import ConfigError
from brainexp.progress import progress
from brainexp.registry import ENCODERS
from brainexp.solve.bands import Bands
from brainexp.solve.solver import chosen


@ENCODERS.register("banded_ridge")
@dataclass(frozen=True)
class BandedRidge(RidgeOptions):
    """Minimise ``|y - Σ X_b w_b|² + Σ (alpha / share_b) |w_b|²`` per voxel, alpha and shares chosen on inner blocks.

    Shares are positive, sum to 1 and are searched at random (Dupré la Tour et al. 2022, "Feature-space selection with
    banded ridge regression"): for given shares the problem is a ridge regression whose kernel is the weighted sum of the
    kernels of the spaces. Scores, penalties and predictions are those of himalaya's ``MultipleKernelRidgeCV`` with the
    same shares; here one decomposition serves all subjects.

    Parameters
    ----------
    beside : tuple of str
        Feature spaces beside the model's layer, each a band: names of baselines, annotations, nuisance regressors, or of
        other prompts (``also_prompts``), whose band is the same layer of the model with that prompt.
    layers : {"each", "together"}
        A fit per layer, or one fit with a band per layer.
    n_shares : int
        How many shares are tried: equal ones, each space nearly alone, then random ones (Dirichlet, concentration 1 and
        0.1 in turn).
    seed : int
        Of the random shares.

    The other options are those of `brainexp.encoder.options.RidgeOptions`.
    """

    beside: tuple[str, ...] = ("word_rate",)
    layers: Literal["each", "together"] = "each"
    n_shares: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_shares < 1:
            raise ConfigError(f"encoder 'banded_ridge': n_shares must be at least 1, got {self.n_shares}")
        if len(set(self.beside)) < len(self.beside):
            raise ConfigError(f"encoder 'banded_ridge': name each space once in beside, got {self.beside}")

    @property
    def together(self) -> bool:
        """Whether all layers are given at once, each a band."""
        return self.layers == "together"

    def fit(
        self, bands: Sequence[Design], responses: FloatArray, subject: IntArray, fold: Fold, parts: bool = False
    ) -> Fitted:
        """Choose penalties per voxel on inner folds, fit all training rows, predict held-out rows.

        Parameters
        ----------
        bands : sequence of Design
            Feature spaces.
        responses : array of shape (n_train, n_voxels)
            Training rows; no NaN.
        subject : array of int of shape (n_voxels,)
            Not used: voxels do not know of each other.
        fold : Fold
            Rows.
        parts : bool
            Whether to say what each space adds to the predictions.

        Returns
        -------
        Fitted
            The penalty of a space is alpha over its share, infinite where the share is zero.
        """
        n_voxels = responses.shape[1]
        given = Bands(bands, fold, self.alphas, n_voxels, self.work(), self.form)
        if not given.n_features:
            return mean_only(responses, fold, len(bands))
        best, r = np.full(n_voxels, -np.inf), np.full(n_voxels, np.nan)
        penalty = np.full((len(bands), n_voxels), np.nan)
        predicted = np.zeros((len(fold.test), n_voxels))
        added = np.zeros((len(bands), *predicted.shape), np.float32) if parts else None
        tried = shares(len(bands), self.n_shares, self.seed)
        for number, share in enumerate(progress(tried, len(tried), "shares")):
            solver = given.solver(share)
            merit, alpha = chosen(solver.search(responses, self.choose_by), self.alphas)
            better = np.flatnonzero((np.nan_to_num(merit, nan=-np.inf) > best) | (number == 0))
            if not len(better):
                continue
            best[better], r[better] = np.nan_to_num(merit[better], nan=-np.inf), merit[better]
            if self.choose_by == "r2":
                r[better] = validation_r(solver, responses[:, better], alpha[better], self.alphas)
            with np.errstate(divide="ignore"):
                penalty[:, better] = alpha[better] / share[:, None]
            predicted[:, better] = solver.predict(responses[:, better], alpha[better])
            if added is not None:
                added[:, :, better] = given.parts(share, solver.weights(responses[:, better], alpha[better]))
        return Fitted(r, penalty, predicted, added)

    def remarks(self, penalty: FloatArray) -> tuple[str, ...]:
        """Return what the user should know about the chosen penalties, array of shape (n_folds, n_bands, n_voxels)."""
        alpha = 1 / (1 / penalty).sum(axis=-2)  # shares sum to 1
        return super().remarks(alpha)


def shares(n_bands: int, n_shares: int, seed: int) -> FloatArray:
    """Shares of feature spaces to try.

    Parameters
    ----------
    n_bands, n_shares : int
    seed : int

    Returns
    -------
    array of shape (n_tried, n_bands)
        At most ``n_shares`` rows, each with sum 1: equal shares, each space with 0.98 of the whole, then random ones.
    """
    if n_bands == 1:
        return np.ones((1, 1))
    rest = 0.02 / (n_bands - 1)
    fixed = np.vstack(
        [np.full((1, n_bands), 1 / n_bands), np.full((n_bands, n_bands), rest) + np.eye(n_bands) * (0.98 - rest)]
    )
    rng = np.random.default_rng(seed)
    drawn = [rng.dirichlet(np.full(n_bands, (1.0, 0.1)[at % 2])) for at in range(max(0, n_shares - len(fixed)))]
    return np.vstack([fixed, *drawn])[:n_shares]
