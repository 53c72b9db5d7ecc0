"""Ridge regression of one fold for any number of voxels, decomposed once: by rows, by rows without blocks, by features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from brainexp.containers import Fold
from brainexp.solve.penalties import Shrinkage, Validation, Weigh
from brainexp.solve.solver import RidgeSolver, Work, dtype_for
from brainexp.solve.spectrum import Spectrum, features_vary, places

if TYPE_CHECKING:
    from torch import Tensor


class Dual(RidgeSolver):
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
        every = Spectrum.of(kernel, fold.train, fold.test)
        super().__init__(fold, alphas, work, every)
        self._prepare_search(kernel, every)

    def _prepare_search(self, kernel: Tensor, every: Spectrum) -> None:
        train = self._fold.train
        self._inner = [Spectrum.of(kernel, train[fit], train[held], every.largest) for fit, held in self._fold.inner]

    def _validation(self, number: int) -> Validation:
        own = self._inner[number]
        return Validation(own.basis, Shrinkage(own.eigenvalues, self._alphas))

    def _shared(self, own: Tensor) -> Tensor:
        return own[:0]  # nothing

    def _weigh(self, number: int, validation: Validation, own: Tensor, shared: Tensor) -> Weigh:
        dtype, fitted = validation.basis.dtype, own[self._fold.inner[number][0]] - self._mean(own, number)
        weights = self._inner[number].vectors.to(dtype).T @ fitted.to(dtype)
        return lambda voxels: weights[:, voxels]

    def _components(self, own: Tensor, shared: Tensor | None = None) -> Tensor:
        return self._outer.vectors.T @ own


class Downdated(Dual):
    """The dual form with one decomposition for all inner folds, which pays when they are many or products are fast.

    With ``K = V Λ Vᵀ`` on centred rows and ``H`` its shrinkage ``V Λ (Λ + a)⁻¹ Vᵀ``, a fit without the rows L predicts of
    them ``(V a (Λ + a)⁻¹ Vᵀ)_LL⁻¹ H_LF z`` and the mean of the rows F that are left, which is taken out of their responses
    z. This is the leave-one-out formula of Allen (1974) for blocks, with an intercept that is not penalised, and without
    its difference of responses and misses, which loses all digits where the penalty is large.
    """

    def _prepare_search(self, kernel: Tensor, every: Spectrum) -> None:
        import torch

        self._every, self._turns = every, []
        retained = self._alphas[:, None] / (every.eigenvalues + self._alphas[:, None])
        for out, (fit, held) in zip(self._out, self._fold.inner, strict=True):
            vectors = every.vectors[out]
            varies = features_vary(kernel, self._fold.train[fit], every.largest)  # else the guess is the mean
            own = places(np.searchsorted(out, held), vectors)
            inverses = [torch.linalg.inv((vectors * row) @ vectors.T)[own] for row in retained]
            self._turns.append(torch.stack(inverses) * varies)

    def _validation(self, number: int) -> Validation:
        basis = self._every.vectors[self._out[number]]
        return Validation(basis, Shrinkage(self._every.eigenvalues, self._alphas), self._turns[number])

    def _shared(self, own: Tensor) -> Tensor:
        return self._every.vectors.to(own.dtype).T @ own

    def _weigh(self, number: int, validation: Validation, own: Tensor, shared: Tensor) -> Weigh:
        left = own[self._out[number]] - self._mean(own, number)
        basis = validation.basis
        return lambda voxels: shared[:, voxels] - basis.T @ left[:, voxels].to(basis.dtype)

    def _components(self, own: Tensor, shared: Tensor | None = None) -> Tensor:
        return super()._components(own) if shared is None else shared[: len(self._outer.eigenvalues)]

    def _cross_dtype(self, folds: Sequence[Validation]) -> Any:
        # Rounding of what an inverse multiplies grows by its largest eigenvalue at most, at the least penalty.
        least = int(self._alphas.argmin())
        return dtype_for(self._work, max(float(np.linalg.norm(turns[least].cpu().numpy(), 2)) for turns in self._turns))


class Primal(RidgeSolver):
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

        train = rows[fold.train] - rows[fold.train].mean(dim=0)
        test = rows[fold.test] - rows[fold.train].mean(dim=0)
        covariance = train.T @ train
        every = Spectrum.of_covariance(covariance, test)
        super().__init__(fold, alphas, work, every)
        self._train, self._inner = train, []
        for out, (fit, held) in zip(self._out, fold.inner, strict=True):
            # All sums are zero over the training rows: those over the fit are the negative of those over what it leaves out.
            left = train[out]
            mean = -left.sum(dim=0) / len(fit)
            fitted = covariance - left.T @ left - len(fit) * torch.outer(mean, mean)
            spectrum = Spectrum.of_covariance(fitted, train[held] - mean).trimmed(every.largest)
            self._inner.append((spectrum, mean))

    def _validation(self, number: int) -> Validation:
        own = self._inner[number][0]
        return Validation(own.basis, Shrinkage(own.eigenvalues, self._alphas))

    def _shared(self, own: Tensor) -> Tensor:
        """Covariance of features and responses: of all training rows, then of those that each inner fold fits.

        From the whole is taken what a fold leaves out; where every row is left out once, these sum to the whole.
        """
        import torch

        train = self._train.to(own.dtype)
        left = [train[out].T @ own[out] for out in self._out]
        once = (np.bincount(np.concatenate(self._out), minlength=len(own)) == 1).all()
        found = [sum(left[1:], start=left[0]) if once else train.T @ own]
        for one, out, (_, mean) in zip(left, self._out, self._inner, strict=True):
            found.append(found[0] - one + torch.outer(mean.to(own.dtype), own[out].sum(dim=0)))
        return torch.stack(found)

    def _weigh(self, number: int, validation: Validation, own: Tensor, shared: Tensor) -> Weigh:
        weights = self._inner[number][0].cast(own.dtype).components(shared[number + 1])
        return lambda voxels: weights[:, voxels]

    def _components(self, own: Tensor, shared: Tensor | None = None) -> Tensor:
        return self._outer.components(self._train.to(own.dtype).T @ own if shared is None else shared[0])

    def _per_weight(self, shrunk: Tensor) -> Tensor:
        return shrunk
