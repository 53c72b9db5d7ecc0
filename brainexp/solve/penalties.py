"""r or R² of predictions of validation rows: of all penalties at once, or only of some."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import Tensor

Measure = Literal["r", "r2"]
#: Width of a block of components in the logarithm of the eigenvalue, and how many functions of the penalty a block has.
#: Shrinkage is then off by at most a quarter of a per cent of itself (tested).
BLOCK_WIDTH, RANK = 0.8, 3
#: Products in whose time a function of a block is mixed into the sums of one penalty (measured).
PER_FUNCTION = 3
#: Beyond these factors of the penalties the shrinkage is nearly its limit, λ/a or 1, and all components make one block.
BELOW, ABOVE = 0.3, 3.0
#: Floats in flight per group of rows and voxels: as many as a processor's cache holds.
CACHE_FLOATS = 6_000_000
#: Rows at once, where they do not depend on each other.
ROWS = 400
#: A GPU has no use for small pieces.
GPU_CACHES = 64

#: Gives the weights of some voxels.
Weigh = Callable[["slice | Tensor"], "Tensor"]


@dataclass(frozen=True, eq=False)
class Shrinkage:
    """``Λ (Λ + a)⁻¹`` of every penalty.

    Parameters
    ----------
    eigenvalues : Tensor of shape (n_components,)
        Λ, float64, descending and not negative.
    alphas : Tensor of shape (n_penalties,)
        Float64.
    nodes : bool or None
        Whether neighbouring components share a few functions of the penalty; None where that is cheaper.
    relative : bool
        Whether it is in units of the first component's.
    """

    eigenvalues: Tensor
    alphas: Tensor
    nodes: bool | None = None
    relative: bool = False

    @cached_property
    def uses_nodes(self) -> bool:
        """Whether components share functions of the penalty."""
        n_penalties, n_components = len(self.alphas), len(self.eigenvalues)
        if self.nodes is not None or not n_components:
            return bool(self.nodes and n_components)
        n_functions = self.functions.shape[1]
        return RANK * n_components + PER_FUNCTION * n_penalties * n_functions < n_penalties * n_components

    @cached_property
    def exact(self) -> Tensor:
        """Float64 of shape (n_penalties, n_components)."""
        found = self.eigenvalues / (self.eigenvalues + self.alphas[:, None])
        return found / found[:, :1] if self.relative else found

    @property
    def functions(self) -> Tensor:
        """Functions of the penalty, one block's after the other, float64 of shape (n_penalties, n_functions)."""
        return self._factors[0]

    @property
    def blocks(self) -> list[tuple[slice, slice, Tensor]]:
        """Components of each block, its functions, and shares of them, (n_own_functions, n_own_components)."""
        return self._factors[1]

    @cached_property
    def _factors(self) -> tuple[Tensor, list[tuple[slice, slice, Tensor]]]:
        # (λ + m) / (λ + a), with m in the middle of the penalties, hardly changes inside a block: its best approximation
        # by few functions, a truncated singular value decomposition, is close for every component.
        import torch

        value, alphas = self.eigenvalues, self.alphas
        middle = alphas.log().mean().exp()
        inside = value.clamp(float(alphas.min()) * BELOW, float(alphas.max()) * ABOVE).log()
        number = ((inside[:1] - inside) / BLOCK_WIDTH).floor()
        unit = 1 + alphas[:, None] / value[:1] if self.relative else torch.ones_like(alphas)[:, None]
        functions: list[Tensor] = []
        blocks, first, at = [], 0, 0
        for size in torch.unique_consecutive(number, return_counts=True)[1].tolist():
            own = value[first : first + size]
            shape = (own + middle) / (own + alphas[:, None])
            level = shape[:, :1]
            left, strength, right = torch.linalg.svd(shape / level, full_matrices=False)
            functions.append(unit * level * left[:, :RANK] * strength[:RANK])
            rank = functions[-1].shape[1]
            blocks.append((slice(first, first + size), slice(at, at + rank), right[:RANK] * own / (own + middle)))
            first, at = first + size, at + rank
        return torch.cat(functions, dim=1), blocks


@dataclass(frozen=True, eq=False)
class Validation:
    """How validation rows of one inner fold are predicted: ``turn_a @ basis @ (Λ (Λ + a)⁻¹ W)`` for weights W.

    Parameters
    ----------
    basis : Tensor of shape (n_rows, n_components)
        What a component adds to each row.
    shrinkage : Shrinkage
        Of the components.
    turns : Tensor of shape (n_penalties, n_validation, n_rows), or None
        What turns the sums of a penalty into predictions; without, they are.
    """

    basis: Tensor
    shrinkage: Shrinkage
    turns: Tensor | None = None

    def prepared(self, measure: Measure, nodes: bool | None) -> Validation:
        """For a measure, with nodes or without: for r only the direction of centred predictions matters."""
        shrinkage = replace(self.shrinkage, relative=measure == "r", nodes=nodes)
        if measure == "r2":
            return replace(self, shrinkage=shrinkage)
        if self.turns is None:
            return Validation(self.basis - self.basis.mean(dim=0), shrinkage)
        return Validation(self.basis, shrinkage, self.turns - self.turns.mean(dim=1, keepdim=True))

    def cast(self, dtype: Any, fast: Any = None) -> Validation:
        """The same with basis and turns of another type; a ``fast`` one for products that all penalties share."""
        shares = self.shrinkage.uses_nodes and self.turns is None  # a turn would amplify the rounding
        turns = None if self.turns is None else self.turns.to(dtype)
        return replace(self, basis=self.basis.to(fast if fast and shares else dtype), turns=turns)

    def one(self, penalty: int, weights: Tensor) -> Tensor:
        """Predictions with one penalty, for weights of shape (n_components, n_voxels): shape (n_validation, n_voxels)."""
        sums = (self.basis * self.shrinkage.exact[penalty].to(self.basis.dtype)) @ weights
        return sums if self.turns is None else self.turns[penalty] @ sums

    def every(self, weights: Tensor, dtype: Any) -> Tensor:
        """Predictions of a type with every penalty, shape (n_penalties, n_validation, n_voxels)."""
        low, n_rows, n_voxels = weights.to(self.basis.dtype), len(self.basis), weights.shape[1]
        if self.shrinkage.uses_nodes:
            functions = self.shrinkage.functions.to(dtype)
            total = functions.new_empty(functions.shape[1], n_rows, n_voxels)
            for (own, at, _), between in zip(self.shrinkage.blocks, self._between, strict=True):
                total[at] = (between @ low[own]).view(-1, n_rows, n_voxels)
            # Row by row: what is mixed fits the innermost cache.
            sums = (functions @ total.transpose(0, 1)).transpose(0, 1)
        else:
            shrunk = self.shrinkage.exact.T[:, :, None].to(low.dtype) * low[:, None]
            sums = (self.basis @ shrunk.flatten(1)).view(n_rows, -1, n_voxels).transpose(0, 1)
        return sums if self.turns is None else self.turns @ sums

    @cached_property
    def groups(self) -> list[tuple[slice, Validation]]:
        """Validation rows that are predicted together."""
        if self.turns is not None:
            return [(slice(None), self)]
        cut = [slice(first, first + ROWS) for first in range(0, len(self.basis), ROWS)]
        return [(rows, replace(self, basis=self.basis[rows])) for rows in cut]

    @cached_property
    def _between(self) -> list[Tensor]:
        """What components of each block add to each of its functions, one above the other: one product."""
        import torch

        dtype = self.basis.dtype
        return [
            torch.cat([self.basis[:, own] * row for row in share.to(dtype)]) for own, _, share in self.shrinkage.blocks
        ]


def scores(
    validation: Validation, weigh: Weigh, observed: Tensor, measure: Measure, wanted: Tensor | None = None
) -> Tensor:
    """Score penalties, by r or R².

    Parameters
    ----------
    validation : Validation
        Prepared for the measure.
    weigh : callable
        Gives the weights of some of the voxels.
    observed : Tensor of shape (n_validation, n_voxels)
        Responses; for R² without the mean of the rows that were fitted.
    measure : {"r", "r2"}
    wanted : Tensor of shape (n_penalties, n_voxels), or None
        Where a score is asked for; the result is NaN elsewhere. None for all, a cacheful of voxels at a time.

    Returns
    -------
    Tensor of shape (n_penalties, n_voxels)
        NaN where a response is constant, for r also where a prediction is.
    """
    import torch

    mean = observed.mean(dim=0)
    centred = observed - mean
    rounding = 8 * torch.finfo(observed.dtype).eps * mean.abs()
    spread = (centred * centred).sum(dim=0)
    spread = torch.where(spread > len(observed) * rounding**2, spread, 0.0)
    if measure == "r":
        observed = centred
    square = (observed * observed).sum(dim=0)
    cross, power = (observed.new_zeros(len(validation.shrinkage.alphas), observed.shape[1]) for _ in range(2))
    if wanted is None:
        for rows, own in validation.groups:
            for piece in _cachefuls(own, observed.shape[1]):
                guess = own.every(weigh(piece), observed.dtype)
                cross[:, piece] += (guess * observed[rows, piece]).sum(dim=1)
                power[:, piece] += (guess * guess).sum(dim=1)
        return score(cross, power, square, spread, measure)
    weights = weigh(slice(None))
    for penalty, asked in enumerate(wanted):
        voxels = torch.nonzero(asked)[:, 0]
        guess = validation.one(penalty, weights[:, voxels])
        cross[penalty, voxels] = (guess * observed[:, voxels]).sum(dim=0)
        power[penalty, voxels] = (guess * guess).sum(dim=0)
    return torch.where(wanted, score(cross, power, square, spread, measure), torch.nan)


def _cachefuls(validation: Validation, n_voxels: int) -> Iterator[slice]:
    """Cut voxels into pieces whose sums fit a processor's cache."""
    shrinkage = validation.shrinkage
    n_arrays = 2 * len(shrinkage.alphas) + (shrinkage.functions.shape[1] if shrinkage.uses_nodes else 0)
    caches = GPU_CACHES if validation.basis.is_cuda else 1
    width = max(1, caches * CACHE_FLOATS // (len(validation.basis) * n_arrays))
    for first in range(0, max(1, n_voxels), width):
        yield slice(first, first + width)


def score(cross: Tensor, power: Tensor, square: Tensor, spread: Tensor, measure: Measure) -> Tensor:
    """Pearson's r or R² from sums over rows.

    Parameters
    ----------
    cross, power : Tensor of shape (n_penalties, n_voxels)
        Sums of predictions times responses, and of squared predictions; for r of centred ones.
    square, spread : Tensor of shape (n_voxels,)
        Sums of squared responses, and of squared centred ones.
    measure : {"r", "r2"}

    Returns
    -------
    Tensor of shape (n_penalties, n_voxels)
        NaN where a response is constant, for r also where a prediction is.
    """
    import torch

    found = cross / (power * spread).sqrt() if measure == "r" else 1 - (square - 2 * cross + power) / spread
    return torch.where(torch.isfinite(found), found, torch.nan)
