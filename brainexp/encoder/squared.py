"""Ridge with squared penalties that are chosen on draws of the training rows: what the recipes of the field share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from brainexp.containers import Design, Fitted, FloatArray, Fold, IntArray
from brainexp.encoder.options import device_objection, device_of, edge_remarks, mean_only
from brainexp.errors import ConfigError
from brainexp.interfaces import NOT_IN_CACHE_KEY
from brainexp.registry import ENCODERS

if TYPE_CHECKING:
    from torch import Tensor

#: Fewer rows have no correlation worth the name.
MIN_ROWS = 3
#: Part of its mean square below which the variance of a column is rounding error.
NO_VARIANCE = 1e-20
#: Multiple of the largest singular value from which a larger alpha shrinks the weights and does not turn them. Held-out
#: rows are predicted with alpha up to it: what is fainter would drown in the mean, and a constant has no r.
FAINTEST = 1e3

#: Rows to fit and rows to validate on, positions within the training rows.
Draw = tuple[IntArray, IntArray]


@dataclass(frozen=True)
class SquaredRidge(ABC):
    """Weights ``V diag(S / (S² + alpha²)) Uᵀ Y``, alpha chosen on held-out parts of the training rows; see the members."""

    alphas: tuple[float, ...]
    normalpha: bool = False
    singcutoff: float = 1e-10
    single_alpha: bool = False
    score: Literal["correlation", "signed_r2", "halfway_signed_r2", "clipped_r2"] = "correlation"
    standardise: Literal["train", "run"] = "train"
    respect_runs: bool = True
    seed: int = 0
    nuisance: tuple[str, ...] = ()
    device: str = field(default="auto", metadata=NOT_IN_CACHE_KEY)
    voxels_per_batch: int = field(default=10_000, metadata=NOT_IN_CACHE_KEY)

    together: ClassVar[bool] = False
    beside: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        if not self.alphas or min(self.alphas) <= 0:
            raise ConfigError(f"{self.title}: alphas must be positive, got {self.alphas}")
        if self.singcutoff < 0:
            raise ConfigError(f"{self.title}: singcutoff must not be negative, got {self.singcutoff}")
        if self.voxels_per_batch < 1:
            raise ConfigError(f"{self.title}: voxels_per_batch must be at least 1, got {self.voxels_per_batch}")

    @property
    def title(self) -> str:
        """How messages call the encoder."""
        return f"encoder {ENCODERS.name_of(self)!r}"

    @abstractmethod
    def draws(self, rows: IntArray, run: IntArray) -> list[Draw]:
        """Return what is held out to choose alpha; raise ConfigError where there are too few rows.

        Parameters
        ----------
        rows : array of int of shape (n_train,)
            Training rows, among the stacked rows of all runs.
        run : array of int of shape (n_train,)
            The run of each.
        """

    def objection(self) -> str | None:
        """Return why the device cannot be used here, or None."""
        return device_objection(self.device)

    def fit(self, bands: Sequence[Design], responses: FloatArray, subject: IntArray, fold: Fold) -> Fitted:
        """Choose alpha on draws of the training rows, fit all of them and predict the held-out rows.

        Parameters
        ----------
        bands : sequence of Design
            Feature spaces; put side by side, with one penalty for all.
        responses : array of shape (n_train, n_voxels)
            Training rows.
        subject : array of int of shape (n_voxels,)
            Whose voxel each column is.
        fold : Fold
            Rows. Its inner folds are not used: the recipe draws its own.

        Returns
        -------
        Fitted
            Penalties are alphas of the grid, before they are squared and before ``normalpha``. Predictions are in double
            precision.

        Raises
        ------
        ConfigError
            If the training rows are too few for the draws.
        """
        run = runs_of_rows(bands[0])
        draws = self.draws(fold.train, run[fold.train])
        features = np.hstack([band.matrix() for band in bands])
        train, test = self._standardised(features, fold, run)
        if not train.any():
            return mean_only(responses, fold, len(bands))
        rows = _Rows(train, test, self.singcutoff, device_of(self.device))
        target = _Target(responses, self._parts(run[fold.train]), self.voxels_per_batch)
        merit, validation_r = self._compared(rows, target, draws)
        best = self._best(merit, subject)
        return Fitted(
            validation_r=validation_r[best, np.arange(len(best))],
            penalty=np.tile(np.array(self.alphas)[best], (len(bands), 1)),
            predicted=self._predicted(rows, target, best),
        )

    def remarks(self, penalty: FloatArray) -> tuple[str, ...]:
        """Return what the user should know about the chosen penalties, array of any shape."""
        return edge_remarks(self.title, self.alphas, penalty, FAINTEST if self.normalpha else np.inf)

    def _parts(self, run: IntArray) -> list[IntArray]:
        """Positions that share mean and scale, given the run of each position."""
        return (
            [np.flatnonzero(run == one) for one in np.unique(run)]
            if self.standardise == "run"
            else [np.arange(len(run))]
        )

    def _standardised(self, features: FloatArray, fold: Fold, run: IntArray) -> tuple[FloatArray, FloatArray]:
        """Training and held-out rows, standardised; features that do not vary become zero."""
        train, test = features[fold.train].astype(float), features[fold.test].astype(float)
        if self.standardise == "run":
            return zscored(train, self._parts(run[fold.train])), zscored(test, self._parts(run[fold.test]))
        mean, scale = _mean_and_scale(train)
        return (train - mean) / scale, (test - mean) / scale

    def _compared(self, rows: _Rows, target: _Target, draws: Sequence[Draw]) -> tuple[FloatArray, FloatArray]:
        """Score and r of every alpha, means over draws, arrays of shape (n_alphas, n_voxels)."""
        score = SCORES[self.score]
        merit, validation_r = (np.zeros((len(self.alphas), target.n_voxels)) for _ in range(2))
        for fit, held in draws:
            spectrum = rows.spectrum(fit, held)
            for columns in target.batches():
                responses = rows.tensor(target.zscored(columns))
                projected = spectrum.left.T @ responses[fit]
                observed = responses[held]
                for at, alpha in enumerate(self.alphas):
                    guess = spectrum.predicted(alpha, self.normalpha, projected)
                    r = correlation(observed, guess)
                    validation_r[at, columns] += r.cpu().numpy()
                    merit[at, columns] += (r if score is correlation else score(observed, guess)).cpu().numpy()
        return merit / len(draws), validation_r / len(draws)

    def _best(self, merit: FloatArray, subject: IntArray) -> IntArray:
        """Index of the chosen alpha, array of shape (n_voxels,)."""
        if not self.single_alpha:
            return np.asarray(merit.argmax(axis=0))
        best = np.zeros(len(subject), np.intp)
        for one in np.unique(subject):
            best[subject == one] = merit[:, subject == one].mean(axis=1).argmax()
        return best

    def _predicted(self, rows: _Rows, target: _Target, best: IntArray) -> FloatArray:
        """Predictions of the held-out rows in units of the responses, array of shape (n_test, n_voxels)."""
        spectrum = rows.spectrum(np.arange(rows.n_train), rows.n_train + np.arange(rows.n_test))
        predicted = np.empty((rows.n_test, target.n_voxels))
        for columns in target.batches():
            projected = spectrum.left.T @ rows.tensor(target.zscored(columns))
            mean, scale = target.mean_and_scale(columns)
            chosen = best[columns]
            for at in np.unique(chosen):
                same = np.flatnonzero(chosen == at)
                guess = spectrum.predicted(self.alphas[at], self.normalpha, projected[:, same], FAINTEST).cpu().numpy()
                predicted[:, columns.start + same] = mean[same] + np.nan_to_num(scale[same], posinf=0.0) * guess
        return predicted


@dataclass(frozen=True, eq=False)
class _Spectrum:
    """Ridge of some rows for every alpha: new rows are predicted by ``right / (S² + alpha²) @ leftᵀ Y``.

    Parameters
    ----------
    squares : tensor of shape (n_components,)
        Squared singular values, falling.
    left : tensor of shape (n_fit, n_components)
    right : tensor of shape (n_new, n_components)
    """

    squares: Tensor
    left: Tensor
    right: Tensor

    def predicted(self, alpha: float, normalpha: bool, projected: Tensor, up_to: float = np.inf) -> Tensor:
        """Predict the new rows from ``leftᵀ Y``, tensor of shape (n_new, n_voxels); alpha is at most ``up_to`` times S₀."""
        largest = float(self.squares.max()) if len(self.squares) else 1.0
        square = min(alpha**2 * (largest if normalpha else 1.0), up_to**2 * largest)
        return (self.right / (self.squares + square)) @ projected


class _Rows:
    """Training and held-out rows of the features, numbered through, from which any rows can be fitted.

    The smaller Gram matrix is decomposed, which is about four times as fast as a singular value decomposition. Where there
    are more features than training rows, only inner products of rows are kept.
    """

    def __init__(self, train: FloatArray, test: FloatArray, singcutoff: float, device: str) -> None:
        self.n_train, self.n_test = len(train), len(test)
        self._device = device
        self._singcutoff = singcutoff
        rows = self.tensor(np.concatenate([train, test]))
        self._dual = train.shape[1] > len(train)
        self._values = rows @ rows[: len(train)].T if self._dual else rows

    def tensor(self, values: FloatArray) -> Tensor:
        """Bring an array to the device, in double precision."""
        import torch

        return torch.as_tensor(values, dtype=torch.float64, device=self._device)

    def spectrum(self, fit: IntArray, new: IntArray) -> _Spectrum:
        """Decompose the rows ``fit``, to predict the rows ``new``."""
        import torch

        fitted, asked = self._values[fit], self._values[new]
        if self._dual:
            fitted, asked = fitted[:, fit], asked[:, fit]
        squares, vectors = torch.linalg.eigh(fitted if self._dual else fitted.T @ fitted)
        # Eigenvalues are exact to a rounding error of the largest one, so what is smaller is noise.
        noise = squares.max().clamp(min=0) * len(squares) * torch.finfo(squares.dtype).eps
        kept = squares > torch.clamp(noise, min=self._singcutoff**2)
        squares, vectors = squares[kept], vectors[:, kept]
        return _Spectrum(squares, vectors if self._dual else fitted @ vectors, asked @ vectors)


@dataclass(frozen=True, eq=False)
class _Target:
    """Responses of the training rows, standardised a batch of voxels at a time.

    Parameters
    ----------
    responses : array of shape (n_train, n_voxels)
    parts : list of arrays of int
        Rows that share mean and scale.
    voxels_per_batch : int
    """

    responses: FloatArray
    parts: list[IntArray]
    voxels_per_batch: int

    @property
    def n_voxels(self) -> int:
        return int(self.responses.shape[1])

    def batches(self) -> Iterator[slice]:
        """Yield columns that are solved at once."""
        for start in range(0, self.n_voxels, self.voxels_per_batch):
            yield slice(start, min(start + self.voxels_per_batch, self.n_voxels))

    def zscored(self, columns: slice) -> FloatArray:
        """Standardised training rows, array of shape (n_train, n_columns)."""
        return zscored(self.responses[:, columns].astype(float), self.parts)

    def mean_and_scale(self, columns: slice) -> tuple[FloatArray, FloatArray]:
        """Of the training rows, arrays of shape (n_columns,)."""
        return _mean_and_scale(self.responses[:, columns].astype(float))


def runs_of_rows(design: Design) -> IntArray:
    """Return the run of each stacked row, array of shape (n_rows,)."""
    lengths = [len(range(*kept.indices(len(run)))) for run, kept in zip(design.runs, design.rows, strict=True)]
    return np.repeat(np.arange(len(lengths)), lengths)


def chunks(rows: IntArray, run: IntArray, length: int, respect_runs: bool) -> list[IntArray]:
    """Cut training rows into chunks of neighbours.

    Parameters
    ----------
    rows, run : arrays of int of shape (n_train,)
        Training rows among the stacked rows of all runs, and the run of each.
    length : int
        Rows per chunk.
    respect_runs : bool
        Whether a chunk must lie in one run, without a gap; else runs are cut as if they were one, as published.

    Returns
    -------
    list of arrays of int of shape (length,)
        Positions among the training rows. Rows that are left at the end of a run are in no chunk.

    Examples
    --------
    >>> rows, run = np.array([0, 1, 2, 5, 6, 7, 8]), np.array([0, 0, 0, 0, 0, 1, 1])
    >>> [chunk.tolist() for chunk in chunks(rows, run, 2, respect_runs=True)]
    [[0, 1], [3, 4], [5, 6]]
    >>> [chunk.tolist() for chunk in chunks(rows, run, 2, respect_runs=False)]
    [[0, 1], [2, 3], [4, 5]]
    """
    positions = np.arange(len(rows))
    breaks = np.flatnonzero(respect_runs & ((np.diff(rows) != 1) | (np.diff(run) != 0))) + 1
    return [
        stretch[start : start + length]
        for stretch in np.split(positions, breaks)
        for start in range(0, len(stretch) - length + 1, length)
    ]


def zscored(values: FloatArray, parts: Sequence[IntArray]) -> FloatArray:
    """Subtract mean and divide by standard deviation per column, within each part of the rows; zero where constant."""
    result = np.empty_like(values)
    for part in parts:
        mean, scale = _mean_and_scale(values[part])
        result[part] = (values[part] - mean) / scale
    return result


def correlation(observed: Tensor, predicted: Tensor) -> Tensor:
    """Pearson r per column, zero where one side is constant."""
    import torch

    observed, predicted = _centred(observed), _centred(predicted)
    norm = (observed.square().sum(0) * predicted.square().sum(0)).sqrt()
    return torch.where(norm > 0, (observed * predicted).sum(0) / norm, 0.0)


def signed_r2(observed: Tensor, predicted: Tensor) -> Tensor:
    """Root of |R²| with the sign of R² per column, zero where responses are constant."""
    return _signed_root(observed, predicted, observed.var(0, correction=0))


def halfway_signed_r2(observed: Tensor, predicted: Tensor) -> Tensor:
    """As `signed_r2`, with the mean of the variance and 1 in its place, for standardised responses."""
    return _signed_root(observed, predicted, (1 + observed.var(0, correction=0)) / 2)


def clipped_r2(observed: Tensor, predicted: Tensor) -> Tensor:
    """R² between 0 and 1 per column, zero where responses are constant."""
    return signed_r2(observed, predicted).clamp(min=0).square()


#: Scores by which alpha is chosen, arrays of shape (n_rows, n_voxels) to one of shape (n_voxels,).
SCORES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    score.__name__: score for score in (correlation, signed_r2, halfway_signed_r2, clipped_r2)
}


def _signed_root(observed: Tensor, predicted: Tensor, variance: Tensor) -> Tensor:
    import torch

    r2 = 1 - (observed - predicted).var(0, correction=0) / variance
    return torch.where(variance > NO_VARIANCE, r2.abs().sqrt() * r2.sign(), 0.0)


def _centred(values: Tensor) -> Tensor:
    """Subtract the mean of each column; exactly zero where only rounding error is left."""
    import torch

    centred = values - values.mean(0)
    return torch.where(centred.square().sum(0) > NO_VARIANCE * values.square().sum(0), centred, 0.0)


def _mean_and_scale(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation per column; infinite where a column does not vary, so that it becomes zero."""
    scale = values.std(axis=0)
    varies = scale > np.sqrt(NO_VARIANCE) * np.abs(values).max(axis=0, initial=0.0)
    return values.mean(axis=0), np.where(varies, scale, np.inf)
