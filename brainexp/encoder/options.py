"""What encoders that solve ridge regressions share: their options, where they compute, what they say of their penalties."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from brainexp.containers import Fitted, FloatArray, Fold
from brainexp.errors import ConfigError
from brainexp.interfaces import NOT_IN_CACHE_KEY
from brainexp.registry import ENCODERS
from brainexp.solve.solver import Solver, Work

#: Share of voxels at one end of the grid from which a wider grid is advised.
EDGE_SHARE = 0.2


@dataclass(frozen=True)
class RidgeOptions:
    """Options of every encoder that solves ridge regressions.

    Parameters
    ----------
    alphas : tuple of float
        Penalties to choose from. Not squared: alpha of Huth et al. (2016) is the square root of ours.
    nuisance : tuple of str
        Regressors of the dataset to remove from the responses, with weights learned on training rows.
    choose_by : {"r", "r2"}
        What penalties maximise on validation rows. r does not see the scale of predictions, so its choice may have a poor
        R²; where variance is divided, penalties are always chosen by R².
    form : {"auto", "primal", "dual", "downdated"}
        How it is solved: by the covariance of features, by the kernel between rows, or by one kernel for all inner folds.
        Auto takes the cheapest.
    nodes : bool or None
        Whether penalties are first compared by a few functions of the spectrum, which are shared by components that are
        alike; None where that is cheaper. By how much such scores are off is measured on a sample of voxels, and where that
        leaves more than one penalty, exact scores in double precision decide: choices are exact, r on validation rows
        is within 1e-3 in single precision.
    dtype : {"float32", "float64"}
        Of everything with a column per voxel; float32 gives way to float64 where the spectrum or a near tie of two
        penalties demands it, and to bfloat16 in first comparisons where the processor multiplies it faster. Kernels and
        their decompositions are always float64.
    device : str
        "auto" takes a GPU if there is one; "cpu", "cuda" or "cuda:1" insist.
    voxels_per_batch : int
        Voxels solved at once; fewer need less memory.
    """

    alphas: tuple[float, ...] = (1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7)
    nuisance: tuple[str, ...] = ()
    choose_by: Literal["r", "r2"] = "r"
    form: Literal["auto", "primal", "dual", "downdated"] = "auto"
    nodes: bool | None = None
    dtype: Literal["float32", "float64"] = "float32"
    device: str = field(default="auto", metadata=NOT_IN_CACHE_KEY)
    voxels_per_batch: int = field(default=8192, metadata=NOT_IN_CACHE_KEY)

    def __post_init__(self) -> None:
        if not self.alphas or min(self.alphas) <= 0:
            raise ConfigError(f"encoder {self._name!r}: alphas must be positive, got {self.alphas}")
        if self.voxels_per_batch < 1:
            raise ConfigError(
                f"encoder {self._name!r}: voxels_per_batch must be at least 1, got {self.voxels_per_batch}"
            )

    @property
    def _name(self) -> str:
        return ENCODERS.name_of(self)

    def objection(self) -> str | None:
        """Return why the device cannot be used here, or None."""
        return device_objection(self.device)

    def work(self) -> Work:
        """How the options say to compute."""
        return Work(device_of(self.device), self.dtype, self.voxels_per_batch, self.nodes)

    def remarks(self, penalty: FloatArray) -> tuple[str, ...]:
        """Return what the user should know about the chosen penalties, array of any shape."""
        return edge_remarks(f"encoder {self._name!r}", self.alphas, penalty)


def ridge_options(encoder: Any) -> RidgeOptions:
    """Options of an encoder that solves ridge regressions; the usual ones for another, whose penalties mean other things."""
    return encoder if isinstance(encoder, RidgeOptions) else RidgeOptions()


def device_objection(device: str) -> str | None:
    """Why a device cannot be used here, or None."""
    if device in {"auto", "cpu"}:
        return None
    if not device.startswith("cuda"):
        return f"encoder.device={device} is not known. Give auto, cpu, cuda or cuda:1."
    import torch

    if not torch.cuda.is_available():
        return f"encoder.device={device}, but torch {torch.__version__} finds no GPU. Give encoder.device=cpu."
    return None


def device_of(device: str) -> str:
    """Name of the torch device that an option means."""
    import torch

    if device != "auto":
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"


def edge_remarks(
    title: str, alphas: Sequence[float], penalty: FloatArray, wide_enough: float = float("inf")
) -> tuple[str, ...]:
    """Say where many fits chose a penalty at one end of the grid, unless that end is wider than makes a difference.

    Parameters
    ----------
    title : str
        How messages call the encoder.
    alphas : sequence of float
        The grid.
    penalty : array of any shape
        What was chosen.
    wide_enough : float
        A higher end needs no remark.

    Returns
    -------
    tuple of str
    """
    found = []
    highest = "Unpredictable voxels do so; if these are not, add higher ones to encoder.alphas."
    for edge, side, advice in (
        (min(alphas), "lowest", "Add lower ones to encoder.alphas."),
        (max(alphas), "highest", highest),
    ):
        share = float(np.mean(np.isclose(penalty, edge)))
        if len(alphas) > 1 and share > EDGE_SHARE and edge <= wide_enough:
            found.append(f"{title}: {share:.0%} of the fits chose the {side} penalty, {edge:g}. {advice}")
    return tuple(found)


def validation_r(solver: Solver, responses: FloatArray, penalty: FloatArray, alphas: Sequence[float]) -> FloatArray:
    """r on inner validation rows at given penalties, array of shape (n_voxels,)."""
    at = np.abs(np.asarray(alphas)[:, None] - penalty).argmin(axis=0)
    found: FloatArray = solver.search(responses)[at, np.arange(len(at))]
    return found


def mean_only(responses: FloatArray, fold: Fold, n_bands: int) -> Fitted:
    """Predict the mean of the training rows, for no feature varies; a constant prediction has no r."""
    unknown = np.full((n_bands, responses.shape[1]), np.nan)
    return Fitted(unknown[0], unknown, np.repeat(responses.mean(axis=0)[None], len(fold.test), axis=0))
