"""r of every penalty on validation rows, from sufficient statistics and never from stored predictions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from brainexp.containers import FloatArray

if TYPE_CHECKING:
    from torch import Tensor

#: Distance of neighbouring nodes in the logarithm of the eigenvalue. Shrinkage is then off by at most a half per cent of
#: itself, r of a validation block by less than 5e-4 (tested); predictions at the chosen penalty are exact.
NODE_STEP = 0.2
#: From how many penalties on nodes are cheaper than a product per penalty.
MIN_PENALTIES_FOR_NODES = 4
#: Beyond these factors of the penalties the shrinkage is its own limit, λ/a or 1.
BELOW, ABOVE = 1e-2, 1e3
#: Floats in flight per group of voxels: as many as a processor's cache holds.
CACHE_FLOATS = 6_000_000
#: A GPU has no use for small pieces.
GPU_CACHES = 64


@dataclass(frozen=True, eq=False)
class Spectral:
    """A sum over components, each shrunk by a function of its eigenvalue and the penalty: ``basis @ (f(Λ, a) * W)``.

    Parameters
    ----------
    basis : Tensor of shape (n_rows, n_components)
        What a component adds to each row.
    eigenvalues : Tensor of shape (n_components,)
        Λ, float64, descending and not negative.
    alphas : Tensor of shape (n_penalties,)
        Float64.
    inverse : bool
        Whether the function is ``1 / (Λ + a)``, else the shrinkage ``Λ / (Λ + a)``.
    nodes : bool or None
        Whether to interpolate the function between nodes of the spectrum; None where that is cheaper.
    """

    basis: Tensor
    eigenvalues: Tensor
    alphas: Tensor
    inverse: bool = False
    nodes: bool | None = None

    @cached_property
    def uses_nodes(self) -> bool:
        """Whether the function is interpolated."""
        return len(self.alphas) >= MIN_PENALTIES_FOR_NODES if self.nodes is None else self.nodes

    @property
    def n_arrays(self) -> int:
        """Arrays of the size of the rows that are held beside the result."""
        return len(self._interpolation.places) if self.uses_nodes else 1

    def function(self) -> Tensor:
        """Values of the function as they are used, float64 of shape (n_penalties, n_components)."""
        import torch

        if not self.uses_nodes:
            return self._exact(self.eigenvalues)
        node = self._interpolation
        exact = self._exact(node.values)
        after = torch.cat([exact[:, 1:], exact[:, -1:]], dim=1)
        return (exact[:, node.of] * (1 - node.share) + after[:, node.of] * node.share) * node.factor

    def sums(self, weights: Tensor) -> Tensor:
        """Array of shape (n_penalties, n_rows, n_voxels) for weights of shape (n_components, n_voxels)."""
        import torch

        if not self.uses_nodes:
            return torch.stack([(self.basis * row) @ weights for row in self.function().to(self.basis.dtype)])
        node = self._interpolation
        n_rows, n_voxels = len(self.basis), weights.shape[1]
        total = torch.zeros((len(node.places), n_rows, n_voxels), dtype=weights.dtype, device=weights.device)
        for number, (own, between) in enumerate(self._blocks):
            total[number : number + len(between) // n_rows].view(len(between), n_voxels).addmm_(between, weights[own])
        exact = self._exact(node.values).to(weights.dtype)
        # Row by row: what is mixed fits the innermost cache.
        return (exact @ total.transpose(0, 1)).transpose(0, 1)

    def _exact(self, eigenvalues: Tensor) -> Tensor:
        above = 1.0 if self.inverse else eigenvalues
        return above / (eigenvalues + self.alphas[:, None])

    @cached_property
    def _interpolation(self) -> _Interpolation:
        return _Interpolation.between(self.eigenvalues, self.alphas, self.inverse)

    @cached_property
    def _blocks(self) -> list[tuple[slice, Tensor]]:
        """Components from each node to the next, and what they add to both, one above the other: one product, not two."""
        import torch

        node = self._interpolation
        scaled = self.basis * node.factor.to(self.basis.dtype)
        share = node.share.to(self.basis.dtype)
        blocks = []
        for first, last in zip(node.places, [*node.places[1:], len(self.eigenvalues)], strict=True):
            own = slice(first, last)
            on_node = last - first == 1 or last == len(self.eigenvalues)
            above, below = scaled[:, own] * (1 - share[own]), scaled[:, own] * share[own]
            blocks.append((own, above if on_node else torch.cat([above, below])))
        return blocks


@dataclass(frozen=True, eq=False)
class _Interpolation:
    """Every component between two nodes: the one at or above it, its share of the one below, and a factor at the ends."""

    places: list[int]  # components that are nodes
    values: Tensor  # their eigenvalues, (n_nodes,)
    of: Tensor  # (n_components,)
    share: Tensor
    factor: Tensor

    @classmethod
    def between(cls, eigenvalues: Tensor, alphas: Tensor, inverse: bool) -> _Interpolation:
        import torch

        inside = eigenvalues.clamp(float(alphas.min()) * BELOW, float(alphas.max()) * ABOVE)
        log = inside.log()
        places = node_places(log.cpu().numpy())
        at = torch.as_tensor(places, device=log.device)
        of = torch.searchsorted(at, torch.arange(len(log), device=log.device), right=True) - 1
        following = log[at[(of + 1).clamp(max=len(at) - 1)]]
        width = log[at[of]] - following
        share = torch.where(width > 0, (log[at[of]] - log) / width, torch.zeros_like(width))
        ends = inside / eigenvalues.clamp(min=inside) if inverse else (eigenvalues / inside).clamp(max=1.0)
        return cls(places, inside[at], of, share, ends)


def validation_r(spectral: Spectral, weights: Tensor, observed: Tensor) -> Tensor:
    """Correlate predictions of every penalty with responses, a cacheful of voxels at a time.

    Parameters
    ----------
    spectral : Spectral
        Of one fold.
    weights : Tensor of shape (n_components, n_voxels)
        ``Qᵀ Y`` of the training rows; in the primal form ``Λ⁻¹ Qᵀ Xᵀ Y``.
    observed : Tensor of shape (n_rows, n_voxels)
        Responses of the validation rows.

    Returns
    -------
    Tensor of shape (n_penalties, n_voxels)
        NaN where a prediction or a response is constant.
    """
    import torch

    centred = replace(spectral, basis=spectral.basis - spectral.basis.mean(dim=0))
    found = [
        correlation(centred.sums(weights[:, chunk]), observed[:, chunk])
        for chunk in cachefuls(centred, observed.shape[1])
    ]
    return torch.cat(found, dim=1)


def cachefuls(spectral: Spectral, n_voxels: int) -> Iterator[slice]:
    """Cut voxels into pieces whose sums fit a processor's cache."""
    size = max(1, CACHE_FLOATS // (len(spectral.basis) * (spectral.n_arrays + len(spectral.alphas))))
    if spectral.basis.is_cuda:
        size *= GPU_CACHES
    for first in range(0, n_voxels, size):
        yield slice(first, first + size)


def correlation(predicted: Tensor, observed: Tensor) -> Tensor:
    """Pearson's r of every penalty and voxel.

    Parameters
    ----------
    predicted : Tensor of shape (n_penalties, n_rows, n_voxels)
        Mean zero over rows.
    observed : Tensor of shape (n_rows, n_voxels)

    Returns
    -------
    Tensor of shape (n_penalties, n_voxels)
        NaN where either is constant.
    """
    import torch

    target = observed - observed.mean(dim=0)
    cross = (predicted * target).sum(dim=1)
    r = cross / ((predicted * predicted).sum(dim=1) * (target * target).sum(dim=0)).sqrt()
    return torch.where(torch.isfinite(r), r, torch.nan)


def node_places(log_eigenvalues: FloatArray) -> list[int]:
    """Choose eigenvalues as nodes: neighbours are at most a step apart, or have no eigenvalue between them.

    Parameters
    ----------
    log_eigenvalues : array of shape (n_components,)
        Descending.

    Returns
    -------
    list of int
        Their places, from the first on.
    """
    places = [0]
    rising = -log_eigenvalues
    while rising[places[-1]] < rising[-1]:
        farthest = int(np.searchsorted(rising, rising[places[-1]] + NODE_STEP, side="right")) - 1
        places.append(max(farthest, int(np.searchsorted(rising, rising[places[-1]], side="right"))))
    return places
