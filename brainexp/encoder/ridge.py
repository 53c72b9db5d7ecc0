"""Ridge regression with one penalty per voxel, by himalaya."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from brainexp.containers import FloatArray, IntArray
from brainexp.errors import ConfigError
from brainexp.registry import ENCODERS

#: Share of voxels at one end of the grid from which a wider grid is advised.
EDGE_SHARE = 0.2


@ENCODERS.register("ridge")
@dataclass(frozen=True)
class Ridge:
    """Minimise ``|y - Xw|² + alpha |w|²`` per voxel, alpha chosen by r on inner validation blocks.

    Features are standardised with mean and scale of the training rows; features that are constant there are left out.
    himalaya's ``RidgeCV`` (primal) is used where there are no more features than training rows, ``KernelRidgeCV`` (dual)
    otherwise.

    Parameters
    ----------
    alphas : tuple of float
        Penalties to choose from. Not squared: alpha of Huth et al. (2016) is the square root of ours.
    nuisance : tuple of str
        Regressors of the dataset to remove from the responses, with weights learned on training rows.
    backend : {"numpy", "torch", "torch_cuda"}
        himalaya's backend.
    voxels_per_batch : int or None
        How many voxels are solved at once; None for all.
    """

    alphas: tuple[float, ...] = (1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7)
    nuisance: tuple[str, ...] = ()
    backend: Literal["numpy", "torch", "torch_cuda"] = "numpy"
    voxels_per_batch: int | None = None

    def __post_init__(self) -> None:
        if not self.alphas or min(self.alphas) <= 0:
            raise ConfigError(f"encoder 'ridge': alphas must be positive, got {self.alphas}")
        if self.voxels_per_batch is not None and self.voxels_per_batch < 1:
            raise ConfigError(f"encoder 'ridge': voxels_per_batch must be at least 1, got {self.voxels_per_batch}")

    def objection(self) -> str | None:
        """Return why the backend cannot be used here, or None."""
        if self.backend == "torch_cuda":
            import torch

            if not torch.cuda.is_available():
                return f"encoder.backend=torch_cuda, but torch {torch.__version__} finds no GPU. Give encoder.backend=numpy."
        return None

    def fit(
        self, features: FloatArray, responses: FloatArray, inner: tuple[tuple[IntArray, IntArray], ...]
    ) -> FittedRidge:
        """Choose a penalty per voxel on inner folds, then fit all training rows.

        Parameters
        ----------
        features : array of shape (n_trs, n_features)
            Training rows, delays included.
        responses : array of shape (n_trs, n_voxels)
            Training rows; no NaN, no constant voxel.
        inner : tuple of (array of int, array of int)
            Rows to fit and rows to validate on, positions within the training rows.

        Returns
        -------
        FittedRidge
        """
        from himalaya.kernel_ridge import KernelRidgeCV
        from himalaya.ridge import RidgeCV
        from himalaya.scoring import correlation_score

        scale = features.std(axis=0)
        varying = scale > 1e-8 * np.abs(features).max(axis=0, initial=0.0)
        scaling = Scaling(mean=features.mean(axis=0)[varying], scale=scale[varying], varying=varying)
        scaled = scaling.apply(features)
        if not varying.any():
            return _mean_only(scaling, responses)
        options: dict[str, Any] = {
            "alphas": np.array(self.alphas),
            "cv": list(inner),
            "fit_intercept": True,
            "solver_params": {"score_func": correlation_score, "n_targets_batch": self.voxels_per_batch},
        }
        primal = scaled.shape[1] <= scaled.shape[0]
        with _backend(self.backend) as to_numpy:
            solver = RidgeCV(**options) if primal else KernelRidgeCV(kernel="linear", **options)
            solver.fit(scaled, responses)
            dual = None if primal else to_numpy(solver.dual_coef_)
            coefficients = to_numpy(solver.coef_) if dual is None else scaled.T @ dual
            return FittedRidge(
                scaling=scaling,
                coefficients=coefficients,
                intercept=to_numpy(solver.intercept_),
                validation_r=to_numpy(solver.cv_scores_).reshape(-1),
                penalty=to_numpy(solver.best_alphas_),
            )

    def remarks(self, penalty: FloatArray) -> tuple[str, ...]:
        """Return what the user should know about the chosen penalties, array of any shape."""
        found = []
        for edge, side, advice in (
            (min(self.alphas), "lowest", "Add lower ones to encoder.alphas."),
            (
                max(self.alphas),
                "highest",
                "Unpredictable voxels do so; if these are not, add higher ones to encoder.alphas.",
            ),
        ):
            share = float(np.mean(np.isclose(penalty, edge)))
            if len(self.alphas) > 1 and share > EDGE_SHARE:
                found.append(f"encoder 'ridge': {share:.0%} of the fits chose the {side} penalty, {edge:g}. {advice}")
        return tuple(found)


@dataclass(frozen=True, eq=False)
class Scaling:
    """Mean and scale of the training rows, of the features that vary there."""

    mean: FloatArray
    scale: FloatArray
    varying: np.ndarray[tuple[int], np.dtype[np.bool_]]

    def apply(self, features: FloatArray) -> FloatArray:
        """Standardise rows, array of shape (n_trs, n_varying)."""
        return (features[:, self.varying] - self.mean) / self.scale


@dataclass(frozen=True, eq=False)
class FittedRidge:
    """Weights of one fit.

    Parameters
    ----------
    scaling : Scaling
        Of the training rows.
    coefficients : array of shape (n_features, n_voxels)
        Of the standardised features.
    intercept, validation_r, penalty : arrays of shape (n_voxels,)
    """

    scaling: Scaling
    coefficients: FloatArray
    intercept: FloatArray
    validation_r: FloatArray
    penalty: FloatArray

    def predict(self, features: FloatArray) -> FloatArray:
        """Return predicted responses, array of shape (n_trs, n_voxels)."""
        return self.scaling.apply(features) @ self.coefficients + self.intercept


def _mean_only(scaling: Scaling, responses: FloatArray) -> FittedRidge:
    """Predict the mean of the training rows, for no feature varies; a constant prediction has no r."""
    unknown = np.full(responses.shape[1], np.nan)
    return FittedRidge(scaling, np.zeros((0, len(unknown))), responses.mean(axis=0), unknown, unknown)


@contextmanager
def _backend(name: str) -> Iterator[Callable[[Any], FloatArray]]:
    """Switch himalaya's global backend and back again, also after an error; yields its conversion to numpy."""
    from himalaya.backend import get_backend, set_backend

    before = get_backend()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # himalaya falls back to the CPU with a mere warning
            backend = set_backend(name)
        yield backend.to_numpy
    finally:
        set_backend(before)
