"""Ridge regression of one fold for any number of voxels: decompose once, choose penalties, predict held-out rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from brainexp.containers import FloatArray, Fold, IntArray
from brainexp.solve.penalties import FINE_STEP, Spectral, cachefuls, correlation, explained, validation_r, validation_r2

if TYPE_CHECKING:
    from torch import Tensor

#: Components below this share of the largest eigenvalue are rounding.
RANK = 1e-13
#: Rounding of single precision, amplified by the spectrum, from which double precision is taken. Over random problems at
#: this limit single precision changed predictions by 3e-5 of a response's standard deviation, 8e-4 at most, and r by 2e-4
#: at most; away from the limit by a hundredth of that.
MAX_ERROR = 1e-4
#: The same of a prediction of validation rows, by which penalties are compared.
MAX_SEARCH_ERROR = 1e-3


@dataclass(frozen=True)
class Work:
    """How a solver computes; only nodes change more than rounding, and only r by which penalties are chosen.

    Parameters
    ----------
    device : str
        "cpu" or a CUDA device.
    dtype : {"float32", "float64"}
        Of everything that has a column per voxel, but for the sum of a prediction and its mean. Kernels and their spectra
        are always float64.
    voxels_per_batch : int
        Voxels solved at once.
    nodes : bool or None
        As for `brainexp.solve.penalties.Spectral`.
    """

    device: str = "cpu"
    dtype: Literal["float32", "float64"] = "float32"
    voxels_per_batch: int = 8192
    nodes: bool | None = None


Measure = Literal["r", "r2"]


class Solver(Protocol):
    """Ridge regression of one fold, decomposed and ready for responses."""

    def search(self, responses: FloatArray, measure: Measure = "r") -> FloatArray:
        """r or R² on inner validation rows, averaged over inner folds, array of shape (n_penalties, n_voxels).

        ``responses`` has shape (n_train, n_voxels), here and below: training rows only.
        """

    def predict(self, responses: FloatArray, penalty: FloatArray) -> FloatArray:
        """Predictions of held-out rows, float64 array of shape (n_test, n_voxels); ``penalty`` has shape (n_voxels,).

        The mean is added in double precision: beside it a prediction that is shrunk to nearly nothing would lose its digits.
        """

    def cross_predict(self, responses: FloatArray, penalty: FloatArray) -> FloatArray:
        """Predictions of each inner fold's validation rows, one below the other, array of shape (n_rows, n_voxels)."""

    def weights(self, responses: FloatArray, penalty: FloatArray) -> FloatArray:
        """Weights of training rows (dual) or of features (primal), array of shape (n_weights, n_voxels)."""


#: How predictions of validation rows are scored, by measure.
SCORES: dict[Measure, Callable[[Spectral, Tensor, Tensor], Tensor]] = {"r": validation_r, "r2": validation_r2}


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
        self._dtype = _dtype(work, (every.largest / min(alphas)) ** 0.5)
        self._outer = every.trimmed(every.largest).cast(self._dtype)
        self._prepare_search(kernel, every)

    def _prepare_search(self, kernel: Tensor, every: _Spectrum) -> None:
        train = self._fold.train
        # Penalties are chosen by these spectra, predictions made by none of them: digits that no penalty feels may go.
        dtype = _dtype(self._work, every.largest / float(self._alphas.min()), MAX_SEARCH_ERROR)
        self._inner = [
            _Spectrum.of(kernel, train[fit], train[validation], dtype, every.largest).cast(self._dtype)
            for fit, validation in self._fold.inner
        ]

    def search(self, responses: FloatArray, measure: Measure = "r") -> FloatArray:
        """As `Solver.search`."""
        scores = partial(self._scores, score=SCORES[measure])
        return _by_chunk(scores, responses, self._dtype, self._alphas, self._work)

    def _scores(self, own: Tensor, _: slice, score: Callable[[Spectral, Tensor, Tensor], Tensor]) -> Tensor:
        total = own.new_zeros(len(self._alphas), own.shape[1])
        for spectrum, (fit, validation) in zip(self._inner, self._fold.inner, strict=True):
            spectral = Spectral(spectrum.basis, spectrum.eigenvalues, self._alphas, nodes=self._work.nodes)
            mean = own[fit].mean(dim=0)
            total += score(spectral, spectrum.vectors.T @ (own[fit] - mean), own[validation] - mean)
        return total / len(self._inner)

    def predict(self, responses: FloatArray, penalty: FloatArray) -> FloatArray:
        """As `Solver.predict`."""

        def predictions(own: Tensor, chunk: slice) -> Tensor:
            return (self._outer.basis @ self._shrunk(own, penalty[chunk])).double() + own.mean(dim=0)

        return _by_chunk(predictions, responses, self._dtype, self._alphas, self._work)

    def cross_predict(self, responses: FloatArray, penalty: FloatArray) -> FloatArray:
        """As `Solver.cross_predict`."""

        def predictions(own: Tensor, chunk: slice) -> Tensor:
            import torch

            found = []
            for spectrum, (fit, _) in zip(self._inner, self._fold.inner, strict=True):
                shrinkage = _shrinkage(spectrum.eigenvalues, penalty[chunk], own.dtype)
                guess = spectrum.basis @ (shrinkage * (spectrum.vectors.T @ _centred(own[fit])))
                found.append(guess + own[fit].mean(dim=0))
            return torch.cat(found)

        return _by_chunk(predictions, responses, self._dtype, self._alphas, self._work)

    def weights(self, responses: FloatArray, penalty: FloatArray) -> FloatArray:
        """Weights of the training rows, array of shape (n_train, n_voxels), each column with sum zero."""

        def dual(own: Tensor, chunk: slice) -> Tensor:
            value = self._outer.eigenvalues[:, None].to(own.dtype)
            return self._outer.vectors @ (self._shrunk(own, penalty[chunk]) / value)

        return _by_chunk(dual, responses, self._dtype, self._alphas, self._work)

    def _shrunk(self, own: Tensor, penalty: FloatArray) -> Tensor:
        return _shrinkage(self._outer.eigenvalues, penalty, own.dtype) * (self._outer.vectors.T @ _centred(own))


class Downdated(Dual):
    """The dual form with one decomposition for all inner folds, which pays when they are many.

    With ``K = V Λ Vᵀ`` on centred rows and ``H`` its shrinkage ``V Λ (Λ + a)⁻¹ Vᵀ``, a fit without the rows L predicts of
    them ``(V a (Λ + a)⁻¹ Vᵀ)_LL⁻¹ H_LF z`` and the mean of the rows F that are left, which is taken out of their responses
    z. This is the leave-one-out formula of Allen (1974) for blocks, with an intercept that is not penalised, and without
    its difference of responses and misses, which loses all digits where the penalty is large.
    """

    def _prepare_search(self, kernel: Tensor, every: _Spectrum) -> None:
        self._every = every
        self._varies = [self._features_vary(kernel, every, fit) for fit, _ in self._fold.inner]
        shrinkage = self._spectral(every.vectors).shrinkage()
        inverses = self._inverses(shrinkage)
        least = int(self._alphas.argmin())
        # Rounding of what an inverse multiplies grows by its largest eigenvalue at most, at the least penalty.
        growth = max(float(np.linalg.norm(inverse[least].cpu().numpy(), 2)) for inverse in inverses)
        self._search_dtype = _dtype(self._work, growth)
        self._vectors = every.vectors.to(self._search_dtype)
        self._searched = [inverse.to(self._search_dtype) for inverse in inverses]

    def _spectral(self, vectors: Tensor) -> Spectral:
        return Spectral(vectors, self._every.eigenvalues, self._alphas, nodes=self._work.nodes, step=FINE_STEP)

    def _features_vary(self, kernel: Tensor, every: _Spectrum, fit: IntArray) -> bool:
        """Whether features vary where an inner fold is fitted; else its guess is the mean."""
        at = _places(self._fold.train[fit], kernel)
        left = kernel[at[:, None], at]
        return bool(left.trace() - left.mean() * len(fit) > RANK * every.largest)

    def _inverses(self, shrinkage: Tensor) -> list[Tensor]:
        """What turns shrunk sums into guesses, of every inner fold: float64 of shape (n_penalties, n_validation, n_out)."""
        import torch

        found = []
        for varies, (fit, validation) in zip(self._varies, self._fold.inner, strict=True):
            out = self._out(fit)
            vectors = self._every.vectors[out]
            own = _places(np.searchsorted(out, validation), vectors)
            inverse = [torch.linalg.inv((vectors * (1 - row)) @ vectors.T)[own] for row in shrinkage]
            found.append(torch.stack(inverse) * varies)
        return found

    def _out(self, fit: IntArray) -> IntArray:
        return np.setdiff1d(np.arange(len(self._fold.train)), fit)

    def _folds(self, own: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Of each inner fold: vectors of the rows left out, components and mean of the rows that are left."""
        centre = own.mean(dim=0)
        own = own - centre
        weights = self._vectors.T @ own
        for fit, _ in self._fold.inner:
            out = self._out(fit)
            mean = own[fit].mean(dim=0)
            vectors = self._vectors[out]
            yield vectors, weights - vectors.T @ (own[out] - mean), mean + centre

    def search(self, responses: FloatArray, measure: Measure = "r") -> FloatArray:
        """As `Solver.search`."""
        scores = partial(self._missed_scores, measure=measure)
        return _by_chunk(scores, responses, self._search_dtype, self._alphas, self._work)

    def _missed_scores(self, own: Tensor, _: slice, measure: Measure) -> Tensor:
        import torch

        total = own.new_zeros(len(self._alphas), own.shape[1])
        given = zip(self._folds(own), self._searched, self._fold.inner, strict=True)
        for (vectors, weights, mean), inverse, (_fit, validation) in given:
            spectral = self._spectral(vectors)
            observed, found = own[validation] - mean, []
            for piece in cachefuls(spectral, own.shape[1]):
                guess = torch.bmm(inverse, spectral.sums(weights[:, piece]))
                if measure == "r2":
                    found.append(explained(observed[:, piece] - guess, observed[:, piece]))
                else:
                    found.append(correlation(guess - guess.mean(dim=1, keepdim=True), observed[:, piece]))
            total += torch.cat(found, dim=1)
        return total / len(self._searched)

    def cross_predict(self, responses: FloatArray, penalty: FloatArray) -> FloatArray:
        """As `Solver.cross_predict`; every penalty must be one of those that were searched."""
        number = np.abs(penalty - self._alphas.cpu().numpy()[:, None]).argmin(axis=0)
        value = self._every.eigenvalues
        exact = [one.to(self._search_dtype) for one in self._inverses(value / (value + self._alphas[:, None]))]

        def predictions(own: Tensor, chunk: slice) -> Tensor:
            import torch

            found = []
            for (vectors, weights, mean), inverse in zip(self._folds(own), exact, strict=True):
                shrunk = vectors @ (_shrinkage(value, penalty[chunk], own.dtype) * weights)
                guess = shrunk.new_empty(inverse.shape[1], own.shape[1])
                for at in np.unique(number[chunk]):
                    alike = _places(np.flatnonzero(number[chunk] == at), own)
                    guess[:, alike] = inverse[at] @ shrunk[:, alike]
                found.append(guess + mean)
            return torch.cat(found)

        return _by_chunk(predictions, responses, self._search_dtype, self._alphas, self._work)


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
        every = _Spectrum.of_covariance(covariance, test)
        self._dtype = _dtype(work, (every.largest / min(alphas)) ** 0.5)
        self._outer = every.trimmed(every.largest).cast(self._dtype)
        self._train = train.to(self._dtype)
        self._inner = []
        for fit, validation in fold.inner:
            # All sums are zero over the training rows: those over the fit are the negative of those over what it leaves out.
            out = np.setdiff1d(np.arange(len(fold.train)), fit)
            left = train[out]
            mean = -left.sum(dim=0) / len(fit)
            fitted = covariance - left.T @ left - len(fit) * torch.outer(mean, mean)
            spectrum = _Spectrum.of_covariance(fitted, train[validation] - mean).trimmed(every.largest)
            self._inner.append((spectrum.cast(self._dtype), mean.to(self._dtype), (fit, validation), out))

    def search(self, responses: FloatArray, measure: Measure = "r") -> FloatArray:
        """As `Solver.search`."""

        def scores(own: Tensor, _: slice) -> Tensor:
            total = own.new_zeros(len(self._alphas), own.shape[1])
            for (spectrum, components), rows in zip(self._inner_components(own), self._fold.inner, strict=True):
                spectral = Spectral(spectrum.basis, spectrum.eigenvalues, self._alphas, nodes=self._work.nodes)
                total += SCORES[measure](spectral, components, own[rows[1]] - own[rows[0]].mean(dim=0))
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
                shrunk = _shrinkage(spectrum.eigenvalues, penalty[chunk], own.dtype) * components
                found.append(spectrum.basis @ shrunk + own[fit].mean(dim=0))
            return torch.cat(found)

        return _by_chunk(predictions, responses, self._dtype, self._alphas, self._work)

    def predict(self, responses: FloatArray, penalty: FloatArray) -> FloatArray:
        """As `Solver.predict`."""

        def predictions(own: Tensor, chunk: slice) -> Tensor:
            return (self._outer.basis @ self._shrunk(own, penalty[chunk])).double() + own.mean(dim=0)

        return _by_chunk(predictions, responses, self._dtype, self._alphas, self._work)

    def weights(self, responses: FloatArray, penalty: FloatArray) -> FloatArray:
        """Weights of the standardised features, array of shape (n_features, n_voxels)."""

        def coefficients(own: Tensor, chunk: slice) -> Tensor:
            return self._outer.vectors @ self._shrunk(own, penalty[chunk])

        return _by_chunk(coefficients, responses, self._dtype, self._alphas, self._work)

    def _shrunk(self, own: Tensor, penalty: FloatArray) -> Tensor:
        components = self._outer.components(self._train.T @ _centred(own))
        return _shrinkage(self._outer.eigenvalues, penalty, own.dtype) * components


@dataclass(frozen=True, eq=False)
class _Spectrum:
    """Eigenvectors of centred training rows (or of their covariance), and what they add to held-out rows."""

    vectors: Tensor  # (n_train, n_components), or (n_features, n_components)
    eigenvalues: Tensor  # (n_components,), float64, descending
    basis: Tensor  # (n_held_out, n_components)

    @classmethod
    def of(
        cls, kernel: Tensor, train: IntArray, held_out: IntArray, dtype: Any = None, largest: float | None = None
    ) -> _Spectrum:
        """Decompose the centred kernel of the training rows.

        All components but the constant are kept; with the ``largest`` eigenvalue of a kernel that holds this one, those
        that are more than rounding beside it. ``dtype`` is that of the decomposition; None for float64.
        """
        import torch

        at, held = _places(train, kernel), _places(held_out, kernel)
        own = kernel[at[:, None], at]
        mean = own.mean(dim=0)
        # The constant, which centring takes out, is moved to the top, where no other component mixes with it.
        top = 2 * torch.trace(own) if largest is None else 2 * largest
        centred = own - mean - mean[:, None] + mean.mean() + top / len(own)
        value, vectors = (found.to(own.dtype) for found in torch.linalg.eigh(centred.to(dtype or own.dtype)))
        value, vectors = value.flip(0)[1:].clamp(min=0.0), vectors.flip(1)[:, 1:]
        if largest is not None and float(own.trace() - mean.mean() * len(own)) <= RANK * largest:
            value, vectors = value[:0], vectors[:, :0]  # features do not vary here: all that is left is rounding
        elif largest is not None:
            rank = RANK if dtype in {None, own.dtype} else torch.finfo(dtype).eps
            kept = int((value > rank * largest).sum())
            value, vectors = value[:kept], vectors[:, :kept]
        between = kernel[held[:, None], at]
        between = between - between.mean(dim=1, keepdim=True) - mean + mean.mean()
        return cls(vectors, value, (between @ vectors) / value.clamp(min=torch.finfo(value.dtype).tiny))

    @classmethod
    def of_covariance(cls, covariance: Tensor, held_out: Tensor) -> _Spectrum:
        """Decompose the covariance of centred training rows."""
        import torch

        value, vectors = torch.linalg.eigh(covariance)
        return cls(vectors.flip(1), value.flip(0), held_out @ vectors.flip(1))

    @property
    def largest(self) -> float:
        """The largest eigenvalue."""
        return float(self.eigenvalues[0])

    def trimmed(self, largest: float) -> _Spectrum:
        """Without components that are rounding beside this eigenvalue; none is left where no feature varies."""
        kept = int((self.eigenvalues > RANK * largest).sum())
        return _Spectrum(self.vectors[:, :kept], self.eigenvalues[:kept], self.basis[:, :kept])

    def components(self, covariance: Tensor) -> Tensor:
        """``Λ⁻¹ Qᵀ Xᵀ Y`` of the covariance of features and responses."""
        return (self.vectors.T @ covariance) / self.eigenvalues[:, None].to(covariance.dtype)

    def cast(self, dtype: Any) -> _Spectrum:
        """The same with vectors and basis of another type; eigenvalues stay float64."""
        return _Spectrum(self.vectors.to(dtype), self.eigenvalues, self.basis.to(dtype))


def _shrinkage(eigenvalues: Tensor, penalty: FloatArray, dtype: Any) -> Tensor:
    """``Λ / (Λ + a)`` of penalties of shape (n_voxels,), shape (n_components, n_voxels)."""
    value = eigenvalues[:, None]
    return (value / (value + _like(penalty, value))).to(dtype)


def _by_chunk(
    compute: Callable[[Tensor, slice], Tensor],
    responses: FloatArray,
    dtype: Any,
    like: Tensor,
    work: Work,
) -> FloatArray:
    """Join what is computed from the training rows of some voxels at a time, along the voxels."""
    found = []
    for first in range(0, max(1, responses.shape[1]), work.voxels_per_batch):
        chunk = slice(first, first + work.voxels_per_batch)
        own = _like(responses[:, chunk], like).to(dtype)
        found.append(compute(own, chunk).cpu().numpy())
    return np.concatenate(found, axis=1)


def _dtype(work: Work, amplification: float, most: float = MAX_ERROR) -> Any:
    """Single precision where it is wanted and its rounding, so much amplified, stays small."""
    import torch

    enough = np.finfo(np.float32).eps * amplification <= most
    return torch.float32 if work.dtype == "float32" and enough else torch.float64


def _centred(values: Tensor) -> Tensor:
    return values - values.mean(dim=0)


def _like(values: FloatArray, like: Tensor) -> Tensor:
    import torch

    return torch.from_numpy(np.ascontiguousarray(values)).to(like.device)


def _places(rows: IntArray, like: Tensor) -> Tensor:
    import torch

    return torch.from_numpy(rows).to(like.device)
