"""Ridge regression of one fold for any number of voxels: decompose once, choose penalties, predict held-out rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from brainexp.containers import FloatArray, Fold, IntArray
from brainexp.solve.penalties import Spectral, cachefuls, correlation, validation_r

if TYPE_CHECKING:
    from torch import Tensor

#: Components below this share of the largest eigenvalue are rounding.
RANK = 1e-13
#: Largest error of a prediction, relative to its response, that single precision may bring.
MAX_ERROR = 1e-4


@dataclass(frozen=True)
class Work:
    """How a solver computes; nothing here changes a number beyond rounding.

    Parameters
    ----------
    device : str
        "cpu" or a CUDA device.
    dtype : {"float32", "float64"}
        Of everything that has a column per voxel. Kernels and their spectra are always float64.
    voxels_per_batch : int
        Voxels solved at once.
    nodes : bool or None
        As for `brainexp.solve.penalties.Spectral`.
    """

    device: str = "cpu"
    dtype: Literal["float32", "float64"] = "float32"
    voxels_per_batch: int = 8192
    nodes: bool | None = None


class Solver(Protocol):
    """Ridge regression of one fold, decomposed and ready for responses."""

    def search(self, responses: FloatArray) -> FloatArray:
        """r on inner validation rows, averaged over inner folds, array of shape (n_penalties, n_voxels).

        ``responses`` has shape (n_train, n_voxels), here and below: training rows only.
        """

    def predict(self, responses: FloatArray, penalty: FloatArray) -> FloatArray:
        """Predictions of held-out rows, array of shape (n_test, n_voxels); ``penalty`` has shape (n_voxels,)."""

    def cross_predict(self, responses: FloatArray, penalty: FloatArray) -> FloatArray:
        """Predictions of each inner fold's validation rows, one below the other, array of shape (n_rows, n_voxels)."""

    def weights(self, responses: FloatArray, penalty: FloatArray) -> FloatArray:
        """Weights of training rows (dual) or of features (primal), array of shape (n_weights, n_voxels)."""


def chosen(scores: FloatArray, alphas: Sequence[float]) -> tuple[FloatArray, FloatArray]:
    """Best score of each voxel and its penalty, the largest one where nothing is known; arrays of shape (n_voxels,)."""
    known = np.isfinite(scores)
    at = np.where(known, scores, -np.inf).argmax(axis=0)
    best = np.where(known.any(axis=0), scores[at, np.arange(scores.shape[1])], np.nan)
    return best, np.where(known.any(axis=0), np.asarray(alphas)[at], max(alphas))


class Dual:
    """Ridge by the kernel between rows: for more features than rows.

    Parameters
    ----------
    kernel : Tensor of shape (n_rows, n_rows)
        Inner products of standardised features, float64; rows need not be centred.
    fold : Fold
        Rows.
    alphas : sequence of float
        Penalties.
    work : Work
        How to compute.
    """

    def __init__(self, kernel: Tensor, fold: Fold, alphas: Sequence[float], work: Work) -> None:
        self._fold, self._work, self._alphas = fold, work, _like(np.asarray(alphas, float), kernel)
        every = _Spectrum.of(kernel, fold.train, fold.test)
        self._dtype = _dtype(work, float(every.eigenvalues[0] / self._alphas.min()) ** 0.5)
        self._outer = every.trimmed().cast(self._dtype)
        self._prepare_search(kernel, every)

    def _prepare_search(self, kernel: Tensor, every: _Spectrum) -> None:
        train = self._fold.train
        self._inner = [
            _Spectrum.of(kernel, train[fit], train[validation]).trimmed().cast(self._dtype)
            for fit, validation in self._fold.inner
        ]

    def search(self, responses: FloatArray) -> FloatArray:
        """As `Solver.search`."""
        return _by_chunk(self._scores, responses, self._dtype, self._alphas, self._work)

    def _scores(self, own: Tensor, _: slice) -> Tensor:
        total = own.new_zeros(len(self._alphas), own.shape[1])
        for spectrum, (fit, validation) in zip(self._inner, self._fold.inner, strict=True):
            spectral = Spectral(spectrum.basis, spectrum.eigenvalues, self._alphas, nodes=self._work.nodes)
            total += validation_r(spectral, spectrum.vectors.T @ _centred(own[fit]), own[validation])
        return total / len(self._inner)

    def predict(self, responses: FloatArray, penalty: FloatArray) -> FloatArray:
        """As `Solver.predict`."""

        def predictions(own: Tensor, chunk: slice) -> Tensor:
            return self._outer.basis @ self._shrunk(own, penalty[chunk]) + own.mean(dim=0)

        return _by_chunk(predictions, responses, self._dtype, self._alphas, self._work)

    def cross_predict(self, responses: FloatArray, penalty: FloatArray) -> FloatArray:
        """As `Solver.cross_predict`."""

        def predictions(own: Tensor, chunk: slice) -> Tensor:
            import torch

            found = []
            for spectrum, (fit, _) in zip(self._inner, self._fold.inner, strict=True):
                shrunk = spectrum.shrinkage(penalty[chunk], own.dtype) * (spectrum.vectors.T @ _centred(own[fit]))
                found.append(spectrum.basis @ shrunk + own[fit].mean(dim=0))
            return torch.cat(found)

        return _by_chunk(predictions, responses, self._dtype, self._alphas, self._work)

    def weights(self, responses: FloatArray, penalty: FloatArray) -> FloatArray:
        """Weights of the training rows, array of shape (n_train, n_voxels), each column with sum zero."""

        def dual(own: Tensor, chunk: slice) -> Tensor:
            value = self._outer.eigenvalues[:, None].to(own.dtype)
            return self._outer.vectors @ (self._shrunk(own, penalty[chunk]) / value)

        return _by_chunk(dual, responses, self._dtype, self._alphas, self._work)

    def _shrunk(self, own: Tensor, penalty: FloatArray) -> Tensor:
        return self._outer.shrinkage(penalty, own.dtype) * (self._outer.vectors.T @ _centred(own))


class Downdated(Dual):
    """The dual form with one decomposition for all inner folds, which pays when they are many.

    With ``H = K (K + a)⁻¹`` and the intercept's share, what a fit without the rows L predicts for them is
    ``(1 - H_LL)⁻¹ ((H Y)_L - H_LL Y_L)``: the leave-one-out formula of Allen (1974) for blocks.
    """

    def _prepare_search(self, kernel: Tensor, every: _Spectrum) -> None:
        left_out = [self._without(every, fit) for fit, _ in self._fold.inner]
        self._search_dtype = _dtype(self._work, max(self._condition(inverse) for _, inverse in left_out))
        self._vectors = every.vectors.to(self._search_dtype)
        self._left_out = [
            self._placed(spectral, inverse, fit, validation)
            for (spectral, inverse), (fit, validation) in zip(left_out, self._fold.inner, strict=True)
        ]

    def _without(self, every: _Spectrum, fit: IntArray) -> tuple[Spectral, Tensor]:
        """``H_L`` of the rows L left out, and ``(1 - H_LL)⁻¹`` of each penalty."""
        import torch

        vectors = every.vectors[self._out(fit)]
        spectral = Spectral(vectors, every.eigenvalues, self._alphas, nodes=self._work.nodes)
        own = torch.stack([(vectors * row) @ vectors.T for row in spectral.function()])
        own += 1 / len(self._fold.train)
        return spectral, torch.linalg.inv(torch.eye(len(vectors), dtype=own.dtype, device=own.device) - own)

    def _out(self, fit: IntArray) -> IntArray:
        return np.setdiff1d(np.arange(len(self._fold.train)), fit)

    def _condition(self, inverse: Tensor) -> float:
        """By how much rounding of ``(H Y)_L`` grows at most: largest at the least penalty."""
        import torch

        return float(torch.linalg.eigvalsh(inverse[int(self._alphas.argmin())])[-1])

    def _placed(self, spectral: Spectral, inverse: Tensor, fit: IntArray, validation: IntArray) -> _LeftOut:
        out = self._out(fit)
        own = _places(np.searchsorted(out, validation), inverse)
        # (1 - H_LL)⁻¹ H_LL is the inverse less one; where validation rows are not all of L, some rows of it.
        inside = inverse.clone()
        inside.diagonal(dim1=1, dim2=2).sub_(1.0)
        return _LeftOut(
            replace(spectral, basis=spectral.basis.to(self._search_dtype)),
            inverse[:, own].to(self._search_dtype),
            inside[:, own].to(self._search_dtype),
            out,
            validation,
        )

    def search(self, responses: FloatArray) -> FloatArray:
        """As `Solver.search`."""
        return _by_chunk(self._scores, responses, self._search_dtype, self._alphas, self._work)

    def _scores(self, own: Tensor, _: slice) -> Tensor:
        import torch

        own = _centred(own)
        weights = self._vectors.T @ own
        total = own.new_zeros(len(self._alphas), own.shape[1])
        for left_out in self._left_out:
            r = []
            for piece in cachefuls(left_out.spectral, own.shape[1]):
                guess = left_out.predictions(weights[:, piece], own[:, piece])
                guess -= guess.mean(dim=1, keepdim=True)
                r.append(correlation(guess, own[left_out.validation][:, piece]))
            total += torch.cat(r, dim=1)
        return total / len(self._left_out)

    def cross_predict(self, responses: FloatArray, penalty: FloatArray) -> FloatArray:
        """As `Solver.cross_predict`; every penalty must be one of those that were searched."""

        def predictions(own: Tensor, chunk: slice) -> Tensor:
            import torch

            mean = own.mean(dim=0)
            own = own - mean
            weights = self._vectors.T @ own
            at = _like(np.abs(penalty[chunk] - self._alphas.cpu().numpy()[:, None]).argmin(axis=0), own)
            every = torch.arange(own.shape[1], device=own.device)
            found = []
            for left_out in self._left_out:
                pieces = [
                    left_out.predictions(weights[:, piece], own[:, piece])
                    for piece in cachefuls(left_out.spectral, own.shape[1])
                ]
                found.append(torch.cat(pieces, dim=2)[at, :, every].T + mean)
            return torch.cat(found)

        return _by_chunk(predictions, responses, self._search_dtype, self._alphas, self._work)


@dataclass(frozen=True, eq=False)
class _LeftOut:
    """What a fit without some rows predicts for its validation rows, from the fit with all rows."""

    spectral: Spectral  # H_L
    inverse: Tensor  # validation rows of (1 - H_LL)⁻¹, (n_penalties, n_validation, n_out)
    inside: Tensor  # and of (1 - H_LL)⁻¹ H_LL
    out: IntArray
    validation: IntArray

    def predictions(self, weights: Tensor, own: Tensor) -> Tensor:
        """Array of shape (n_penalties, n_validation, n_voxels) for centred responses of all training rows."""
        import torch

        # Subtracting last would cancel where the penalty is large and predictions are small.
        return torch.bmm(self.inverse, self.spectral.sums(weights)) - self.inside @ own[self.out]


class Primal:
    """Ridge by the covariance of features: for fewer features than rows.

    Parameters
    ----------
    rows : Tensor of shape (n_rows, n_features)
        Standardised features, float64.
    fold, alphas, work
        As for `Dual`.
    """

    def __init__(self, rows: Tensor, fold: Fold, alphas: Sequence[float], work: Work) -> None:
        import torch

        self._fold, self._work, self._alphas = fold, work, _like(np.asarray(alphas, float), rows)
        train = rows[fold.train] - rows[fold.train].mean(dim=0)
        test = rows[fold.test] - rows[fold.train].mean(dim=0)
        covariance = train.T @ train
        outer = _Spectrum.of_covariance(covariance, test)
        self._dtype = _dtype(work, float(outer.eigenvalues[0] / self._alphas.min()) ** 0.5)
        self._outer = outer.cast(self._dtype)
        self._train = train.to(self._dtype)
        self._inner = []
        for fit, validation in fold.inner:
            # All sums are zero over the training rows: those over the fit are the negative of those over what it leaves out.
            out = np.setdiff1d(np.arange(len(fold.train)), fit)
            left = train[out]
            mean = -left.sum(dim=0) / len(fit)
            fitted = covariance - left.T @ left - len(fit) * torch.outer(mean, mean)
            spectrum = _Spectrum.of_covariance(fitted, train[validation] - mean)
            self._inner.append((spectrum.cast(self._dtype), mean.to(self._dtype), (fit, validation), out))

    def search(self, responses: FloatArray) -> FloatArray:
        """As `Solver.search`."""

        def scores(own: Tensor, _: slice) -> Tensor:
            total = own.new_zeros(len(self._alphas), own.shape[1])
            for (spectrum, components), rows in zip(self._inner_components(own), self._fold.inner, strict=True):
                spectral = Spectral(spectrum.basis, spectrum.eigenvalues, self._alphas, nodes=self._work.nodes)
                total += validation_r(spectral, components, own[rows[1]])
            return total / len(self._inner)

        return _by_chunk(scores, responses, self._dtype, self._alphas, self._work)

    def _inner_components(self, own: Tensor) -> Iterator[tuple[_Spectrum, Tensor]]:
        """Spectrum and components of each inner fold; what is left out is taken from the whole, which is less work."""
        import torch

        own = _centred(own)
        covariance = self._train.T @ own
        for spectrum, mean, _, out in self._inner:
            left = own[out]
            fitted = covariance - self._train[out].T @ left + torch.outer(mean, left.sum(dim=0))
            yield spectrum, spectrum.components(fitted)

    def cross_predict(self, responses: FloatArray, penalty: FloatArray) -> FloatArray:
        """As `Solver.cross_predict`."""

        def predictions(own: Tensor, chunk: slice) -> Tensor:
            import torch

            found = []
            for (spectrum, components), (fit, _) in zip(self._inner_components(own), self._fold.inner, strict=True):
                shrunk = spectrum.shrinkage(penalty[chunk], own.dtype) * components
                found.append(spectrum.basis @ shrunk + own[fit].mean(dim=0))
            return torch.cat(found)

        return _by_chunk(predictions, responses, self._dtype, self._alphas, self._work)

    def predict(self, responses: FloatArray, penalty: FloatArray) -> FloatArray:
        """As `Solver.predict`."""

        def predictions(own: Tensor, chunk: slice) -> Tensor:
            return self._outer.basis @ self._shrunk(own, penalty[chunk]) + own.mean(dim=0)

        return _by_chunk(predictions, responses, self._dtype, self._alphas, self._work)

    def weights(self, responses: FloatArray, penalty: FloatArray) -> FloatArray:
        """Weights of the standardised features, array of shape (n_features, n_voxels)."""

        def coefficients(own: Tensor, chunk: slice) -> Tensor:
            return self._outer.vectors @ self._shrunk(own, penalty[chunk])

        return _by_chunk(coefficients, responses, self._dtype, self._alphas, self._work)

    def _shrunk(self, own: Tensor, penalty: FloatArray) -> Tensor:
        components = self._outer.components(self._train.T @ _centred(own))
        return self._outer.shrinkage(penalty, own.dtype) * components


@dataclass(frozen=True, eq=False)
class _Spectrum:
    """Eigenvectors of centred training rows (or of their covariance), and what they add to held-out rows."""

    vectors: Tensor  # (n_train, n_components), or (n_features, n_components)
    eigenvalues: Tensor  # (n_components,), float64, descending
    basis: Tensor  # (n_held_out, n_components)

    @classmethod
    def of(cls, kernel: Tensor, train: IntArray, held_out: IntArray) -> _Spectrum:
        """Decompose the centred kernel of the training rows; all components but the constant."""
        import torch

        at, held = _places(train, kernel), _places(held_out, kernel)
        own = kernel[at[:, None], at]
        mean = own.mean(dim=0)
        # The constant, which centring takes out, is moved to the top, where no other component mixes with it.
        centred = own - mean - mean[:, None] + mean.mean() + torch.trace(own) * 2 / len(own)
        value, vectors = torch.linalg.eigh(centred)
        value, vectors = value.flip(0)[1:].clamp(min=0.0), vectors.flip(1)[:, 1:]
        between = kernel[held[:, None], at]
        between = between - between.mean(dim=1, keepdim=True) - mean + mean.mean()
        return cls(vectors, value, (between @ vectors) / value.clamp(min=torch.finfo(value.dtype).tiny))

    @classmethod
    def of_covariance(cls, covariance: Tensor, held_out: Tensor) -> _Spectrum:
        """Decompose the covariance of centred training rows."""
        import torch

        value, vectors = torch.linalg.eigh(covariance)
        return cls(vectors.flip(1), value.flip(0), held_out @ vectors.flip(1)).trimmed()

    def trimmed(self) -> _Spectrum:
        """Without components whose eigenvalue is rounding."""
        kept = max(1, int((self.eigenvalues > RANK * self.eigenvalues[0]).sum()))
        return _Spectrum(self.vectors[:, :kept], self.eigenvalues[:kept], self.basis[:, :kept])

    def shrinkage(self, penalty: FloatArray, dtype: Any) -> Tensor:
        """``Λ / (Λ + a)`` of penalties of shape (n_voxels,), shape (n_components, n_voxels)."""
        value = self.eigenvalues[:, None]
        return (value / (value + _like(penalty, value))).to(dtype)

    def components(self, covariance: Tensor) -> Tensor:
        """``Λ⁻¹ Qᵀ Xᵀ Y`` of the covariance of features and responses."""
        return (self.vectors.T @ covariance) / self.eigenvalues[:, None].to(covariance.dtype)

    def cast(self, dtype: Any) -> _Spectrum:
        """The same with vectors and basis of another type; eigenvalues stay float64."""
        return _Spectrum(self.vectors.to(dtype), self.eigenvalues, self.basis.to(dtype))


def _by_chunk(
    compute: Callable[[Tensor, slice], Tensor],
    responses: FloatArray,
    dtype: Any,
    like: Tensor,
    work: Work,
) -> FloatArray:
    """Join what is computed from the training rows of some voxels at a time, along the voxels."""
    found = []
    for first in range(0, responses.shape[1], work.voxels_per_batch):
        chunk = slice(first, first + work.voxels_per_batch)
        own = _like(responses[:, chunk], like).to(dtype)
        found.append(compute(own, chunk).cpu().numpy())
    return np.concatenate(found, axis=1)


def _dtype(work: Work, amplification: float) -> Any:
    """Single precision where it is wanted and its rounding, so much amplified, stays small."""
    import torch

    enough = np.finfo(np.float32).eps * amplification <= MAX_ERROR
    return torch.float32 if work.dtype == "float32" and enough else torch.float64


def _centred(values: Tensor) -> Tensor:
    return values - values.mean(dim=0)


def _like(values: FloatArray, like: Tensor) -> Tensor:
    import torch

    return torch.from_numpy(np.ascontiguousarray(values)).to(like.device)


def _places(rows: IntArray, like: Tensor) -> Tensor:
    import torch

    return torch.from_numpy(rows).to(like.device)
