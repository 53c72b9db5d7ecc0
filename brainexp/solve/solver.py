"""What all forms of ridge regression share: penalties compared, chosen and used for any number of voxels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from brainexp.containers import FloatArray, Fold
from brainexp.solve.penalties import Measure, Validation, Weigh, scores
from brainexp.solve.spectrum import Spectrum, places

if TYPE_CHECKING:
    from torch import Tensor

#: Rounding of single precision, amplified by the spectrum, from which double precision is taken. Over random problems at
#: this limit single precision changed predictions by 3e-5 of a response's standard deviation, 8e-4 at most, and r by 2e-4
#: at most; away from the limit by a hundredth of that.
MAX_ERROR = 1e-4
#: Voxels on which the errors of fast scores are measured, and by how much the largest one is multiplied.
SAMPLE, SAFETY = 50, 2.0
#: Error with which the score of the only penalty that may be best is good enough.
MAX_SCORE_ERROR = 1e-3


@dataclass(frozen=True)
class Work:
    """How a solver computes; penalties are those that exact arithmetic chooses.

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
        Whether all penalties are first compared nearly and fast, and only those exactly that may be best: in single
        precision, unless False; in double precision only if True. As for `brainexp.solve.penalties.Validation`.
    """

    device: str = "cpu"
    dtype: Literal["float32", "float64"] = "float32"
    voxels_per_batch: int = 8192
    nodes: bool | None = None


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

    def solve(self, responses: FloatArray, measure: Measure = "r") -> tuple[FloatArray, FloatArray, FloatArray]:
        """Search, choose and predict in one go: best score and penalty of shape (n_voxels,), then as `predict`."""

    def cross_predict(self, responses: FloatArray, penalty: FloatArray) -> FloatArray:
        """Predictions of each inner fold's validation rows, one below the other, array of shape (n_rows, n_voxels).

        Every penalty must be one of those that were searched.
        """

    def weights(self, responses: FloatArray, penalty: FloatArray) -> FloatArray:
        """Weights of training rows (dual) or of features (primal), array of shape (n_weights, n_voxels)."""


def chosen(scores: FloatArray, alphas: Sequence[float]) -> tuple[FloatArray, FloatArray]:
    """Best score of each voxel and its penalty, the largest one where nothing is known; arrays of shape (n_voxels,)."""
    known = np.isfinite(scores)
    at = np.where(known, scores, -np.inf).argmax(axis=0)
    best = np.where(known.any(axis=0), scores[at, np.arange(scores.shape[1])], np.nan)
    return best, np.where(known.any(axis=0), np.asarray(alphas)[at], max(alphas))


@dataclass(frozen=True, eq=False)
class _Step:
    """One way to score penalties: type of the responses, every inner fold ready for it."""

    dtype: Any
    validations: list[Validation]


#: How wrong scores may be, (n_penalties,), and differences of any two of a voxel, (n_penalties, n_penalties).
_Error = tuple["Tensor", "Tensor"]


class RidgeSolver(ABC):
    """What all forms share: search, predictions of inner folds, and the fit of all training rows.

    Parameters
    ----------
    fold : Fold
        Rows.
    alphas : sequence of float
        Penalties.
    work : Work
        How to compute.
    outer : Spectrum
        Of all training rows.
    """

    def __init__(self, fold: Fold, alphas: Sequence[float], work: Work, outer: Spectrum) -> None:
        self._fold, self._work = fold, work
        self._out = [np.setdiff1d(np.arange(len(fold.train)), fit) for fit, _ in fold.inner]
        self._alphas = _like(np.asarray(alphas, float), outer.eigenvalues)
        self._dtype = dtype_for(work, (outer.largest / min(alphas)) ** 0.5)
        self._outer = outer.trimmed(outer.largest).cast(self._dtype)

    @abstractmethod
    def _validation(self, number: int) -> Validation:
        """How an inner fold's validation rows are predicted, in double precision."""

    @abstractmethod
    def _shared(self, own: Tensor) -> Tensor:
        """What all inner folds need of centred responses, shape (..., n_voxels)."""

    @abstractmethod
    def _weigh(self, number: int, validation: Validation, own: Tensor, shared: Tensor) -> Weigh:
        """Weights of an inner fold for `Validation`."""

    @abstractmethod
    def _components(self, own: Tensor, shared: Tensor | None = None) -> Tensor:
        """Weights of `_outer` before they are shrunk, of centred responses; with what inner folds share, if known."""

    def search(self, responses: FloatArray, measure: Measure = "r") -> FloatArray:
        """As `Solver.search`.

        Fast scores differ from exact ones. By how much is measured on a sample of voxels; where that leaves several
        penalties that may be best, these are scored exactly.
        """
        steps = self._steps(measure, responses.shape[1])
        error = self._errors(steps, responses, measure)

        def compared(own: Tensor, _: slice) -> Tensor:
            own = _centred(own)
            return self._compared(own, self._shared(own), steps, error, measure)

        return _by_chunk(compared, responses, steps[0].dtype, self._alphas, self._work)

    def solve(self, responses: FloatArray, measure: Measure = "r") -> tuple[FloatArray, FloatArray, FloatArray]:
        """As `Solver.solve`."""
        import torch

        steps = self._steps(measure, responses.shape[1])
        error = self._errors(steps, responses, measure)

        def solved(given: Tensor, _: slice) -> Tensor:
            mean = given.mean(dim=0)
            wide = given - mean
            own = wide.to(steps[0].dtype)
            shared = self._shared(own)
            best, penalty = chosen(self._compared(own, shared, steps, error, measure).cpu().numpy(), alphas)
            wide = wide.to(self._dtype)
            components = self._components(wide, shared if own.dtype == wide.dtype else None)
            guess = (self._outer.basis @ self._shrunk(components, penalty)).double() + mean
            return torch.cat([_like(np.stack([best, penalty]).astype(float), guess), guess])

        dtype, alphas = torch.promote_types(steps[0].dtype, self._dtype), self._alphas.tolist()
        found = _by_chunk(solved, responses, dtype, self._alphas, self._work)
        return found[0], found[1], found[2:]

    def _compared(
        self, own: Tensor, shared: Tensor, steps: Sequence[_Step], error: _Error | None, measure: Measure
    ) -> Tensor:
        import torch

        found = self._scores(steps[0], own, shared, measure)
        if error is not None:
            wanted = _in_doubt(found, *error)
            voxels = torch.nonzero(wanted.any(dim=0))[:, 0]
            asked, few = wanted[:, voxels], own[:, voxels].double()
            exact = self._scores(steps[1], few, self._shared(few), measure, asked).to(found.dtype)
            near = found[:, voxels]
            best = near.nan_to_num(nan=-torch.inf).argmax(dim=0, keepdim=True)
            # The others keep their distance to the best, which is what they are known by.
            found[:, voxels] = torch.where(asked, exact, near + (exact - near).gather(0, best))
        return found

    def _steps(self, measure: Measure, n_voxels: int) -> list[_Step]:
        """Fast, then exact; few voxels are not worth a fast step."""
        import torch

        single = self._work.dtype == "float32"
        folds = [self._validation(number) for number in range(len(self._fold.inner))]
        exact = _Step(torch.float64, [one.prepared(measure, nodes=False) for one in folds])
        if n_voxels <= SAMPLE or not (single or self._work.nodes):
            return [exact]
        dtype, fast = (torch.float32, fast_dtype(self._work)) if single else (torch.float64, None)
        return [_Step(dtype, [one.prepared(measure, self._work.nodes).cast(dtype, fast) for one in folds]), exact]

    def _errors(self, steps: Sequence[_Step], responses: FloatArray, measure: Measure) -> _Error | None:
        """How wrong the fast step may be; penalties share most of the rounding, so differences are closer."""
        import torch

        if len(steps) == 1:
            return None
        voxels = np.linspace(0, responses.shape[1] - 1, SAMPLE).astype(int)
        sample, found = _centred(_like(responses[:, voxels], self._alphas)), []
        for step in steps:
            own = sample.to(step.dtype)
            found.append(self._scores(step, own, self._shared(own), measure).double())
        near, exact = (one[:, found[1].isfinite().all(dim=0)] for one in found)
        missed = torch.nan_to_num(near - exact, nan=torch.inf)
        missed = torch.cat([missed, missed.new_zeros(len(missed), 1)], dim=1)  # there may be no voxel to measure on
        gap = torch.nan_to_num((missed[:, None] - missed).abs(), nan=torch.inf)
        return SAFETY * missed.abs().amax(dim=1), SAFETY * gap.amax(dim=2)

    def _scores(
        self, step: _Step, own: Tensor, shared: Tensor, measure: Measure, wanted: Tensor | None = None
    ) -> Tensor:
        total = own.new_zeros(len(self._alphas), own.shape[1])
        for number, (_, held) in enumerate(self._fold.inner):
            validation = step.validations[number]
            weigh = self._weigh(number, validation, own, shared)
            total += scores(validation, weigh, own[held] - self._mean(own, number), measure, wanted)
        return total / len(self._fold.inner)

    def _mean(self, own: Tensor, number: int) -> Tensor:
        """Mean of centred responses over the rows that an inner fold fits, from the fewer ones that it leaves out."""
        fit, _ = self._fold.inner[number]
        return -own[self._out[number]].sum(dim=0) / len(fit)

    def cross_predict(self, responses: FloatArray, penalty: FloatArray) -> FloatArray:
        """As `Solver.cross_predict`."""
        number = np.abs(penalty - self._alphas.cpu().numpy()[:, None]).argmin(axis=0)
        folds = [self._validation(at) for at in range(len(self._fold.inner))]
        dtype = self._cross_dtype(folds)
        folds = [one.cast(dtype) for one in folds]

        def predictions(given: Tensor, chunk: slice) -> Tensor:
            import torch

            centre = given.mean(dim=0)
            own, found = given - centre, []
            shared = self._shared(own)
            for at, (validation, (_, held)) in enumerate(zip(folds, self._fold.inner, strict=True)):
                weights = self._weigh(at, validation, own, shared)(slice(None))
                guess = own.new_empty(len(held), own.shape[1])
                for one in np.unique(number[chunk]):
                    alike = places(np.flatnonzero(number[chunk] == one), own)
                    guess[:, alike] = validation.one(int(one), weights[:, alike])
                found.append(guess + (self._mean(own, at) + centre))
            return torch.cat(found)

        return _by_chunk(predictions, responses, dtype, self._alphas, self._work)

    def _cross_dtype(self, folds: Sequence[Validation]) -> Any:
        return self._dtype

    def predict(self, responses: FloatArray, penalty: FloatArray) -> FloatArray:
        """As `Solver.predict`."""

        def predictions(own: Tensor, chunk: slice) -> Tensor:
            shrunk = self._shrunk(self._components(_centred(own)), penalty[chunk])
            return (self._outer.basis @ shrunk).double() + own.mean(dim=0)

        return _by_chunk(predictions, responses, self._dtype, self._alphas, self._work)

    def weights(self, responses: FloatArray, penalty: FloatArray) -> FloatArray:
        """As `Solver.weights`; those of training rows have sum zero."""

        def coefficients(own: Tensor, chunk: slice) -> Tensor:
            shrunk = self._shrunk(self._components(_centred(own)), penalty[chunk])
            return self._outer.vectors @ self._per_weight(shrunk)

        return _by_chunk(coefficients, responses, self._dtype, self._alphas, self._work)

    def _per_weight(self, shrunk: Tensor) -> Tensor:
        return shrunk / self._outer.eigenvalues[:, None].to(shrunk.dtype)

    def _shrunk(self, components: Tensor, penalty: FloatArray) -> Tensor:
        value = self._outer.eigenvalues[:, None]
        return components * (value / (value + _like(penalty, value))).to(components.dtype)


def _in_doubt(scores: Tensor, error: Tensor, gap: Tensor) -> Tensor:
    """Where a penalty may be a voxel's best, unless it is the only one and its score good enough.

    ``gap`` of shape (n_penalties, n_penalties) is the largest error of a difference, ``error`` that of a score.
    """
    import torch

    known = torch.where(scores.isfinite(), scores, -torch.inf)
    best, at = known.max(dim=0)
    candidate = (best - known <= gap[:, at]) & known.isfinite()
    rough = candidate & (error > MAX_SCORE_ERROR)[:, None]
    return candidate & ((candidate.sum(dim=0) > 1) | rough.any(dim=0))


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


def dtype_for(work: Work, amplification: float) -> Any:
    """Single precision where it is wanted and its rounding, so much amplified, stays small."""
    import torch

    enough = np.finfo(np.float32).eps * amplification <= MAX_ERROR
    return torch.float32 if work.dtype == "float32" and enough else torch.float64


def fast_dtype(work: Work) -> Any:
    """The type whose products are fastest: bfloat16 where the processor multiplies it, else single precision."""
    import torch

    if work.device == "cpu":
        able = torch.cpu.get_capabilities()
        has = able.get("avx512_bf16", False) or able.get("amx_bf16", False)
    else:
        has = torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if has else torch.float32


def _centred(values: Tensor) -> Tensor:
    return values - values.mean(dim=0)


def _like(values: FloatArray, like: Tensor) -> Tensor:
    import torch

    return torch.from_numpy(np.ascontiguousarray(values)).to(like.device)
