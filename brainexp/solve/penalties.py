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

#: Distance of neighbouring nodes in the logarithm of the eigenvalue. Shrinkage is then off by at most a quarter of a per
#: cent of itself, r of a validation block by less than 5e-4 (tested); predictions at the chosen penalty are exact.
NODE_STEP = 0.2
#: The same where the inverse of what is left by shrinkage amplifies the error.
FINE_STEP = 0.1
#: Products in whose time a node adds its part to sums of the size of the result (measured).
PER_NODE = 50
#: Beyond these factors of the penalties the shrinkage is its own limit, λ/a or 1.
BELOW, ABOVE = 1e-2, 1e3
#: Floats in flight per group of voxels: as many as a processor's cache holds.
CACHE_FLOATS = 6_000_000
#: A GPU has no use for small pieces.
GPU_CACHES = 64


@dataclass(frozen=True, eq=False)
class Spectral:
    """A sum over components, each shrunk by its eigenvalue and the penalty: ``basis @ (Λ (Λ + a)⁻¹ W)``.

    Parameters
    ----------
    basis : Tensor of shape (n_rows, n_components)
        What a component adds to each row.
    eigenvalues : Tensor of shape (n_components,)
        Λ, float64, descending and not negative.
    alphas : Tensor of shape (n_penalties,)
        Float64.
    nodes : bool or None
        Whether to interpolate the shrinkage between nodes of the spectrum; None where that is cheaper.
    step : float
        Distance of neighbouring nodes in the logarithm of the eigenvalue.
    """

    basis: Tensor
    eigenvalues: Tensor
    alphas: Tensor
    nodes: bool | None = None
    step: float = NODE_STEP

    @cached_property
    def uses_nodes(self) -> bool:
        """Whether the shrinkage is interpolated."""
        n_penalties, n_components = len(self.alphas), len(self.eigenvalues)
        if self.nodes is not None or not n_components:
            return bool(self.nodes and n_components)
        with_nodes = 2 * n_components + (n_penalties + PER_NODE) * len(self._interpolation.places)
        return with_nodes < n_penalties * n_components

    @property
    def n_arrays(self) -> int:
        """Arrays of the size of the rows that are held beside the result."""
        return len(self._interpolation.places) if self.uses_nodes else 1

    def shrinkage(self) -> Tensor:
        """Values of the shrinkage as they are used, float64 of shape (n_penalties, n_components)."""
        import torch

        if not self.uses_nodes:
            return self._exact(self.eigenvalues)
        node = self._interpolation
        at_nodes = self._exact(node.values)
        following = torch.cat([at_nodes[:, 1:], at_nodes[:, -1:]], dim=1)
        return (at_nodes[:, node.of] * (1 - node.share) + following[:, node.of] * node.share) * node.factor

    def sums(self, weights: Tensor) -> Tensor:
        """Array of shape (n_penalties, n_rows, n_voxels) for weights of shape (n_components, n_voxels)."""
        import torch

        if not self.uses_nodes:
            return torch.stack(
                [(self.basis * row) @ weights for row in self._exact(self.eigenvalues).to(self.basis.dtype)]
            )
        node = self._interpolation
        n_rows, n_voxels = len(self.basis), weights.shape[1]
        total = torch.zeros((len(node.places), n_rows, n_voxels), dtype=weights.dtype, device=weights.device)
        for number, (own, between) in enumerate(self._blocks):
            total[number : number + len(between) // n_rows].view(len(between), n_voxels).addmm_(between, weights[own])
        exact = self._exact(node.values).to(weights.dtype)
        # Row by row: what is mixed fits the innermost cache.
        return (exact @ total.transpose(0, 1)).transpose(0, 1)

    def _exact(self, eigenvalues: Tensor) -> Tensor:
        return eigenvalues / (eigenvalues + self.alphas[:, None])

    @cached_property
    def _interpolation(self) -> _Interpolation:
        return _Interpolation.between(self.eigenvalues, self.alphas, self.step)

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
    """Every component between two nodes: the one at or above it, its share of the one below, and a factor at the ends.

    The share is linear in the eigenvalue, which is exact in both limits of the shrinkage, λ/a and 1.
    """

    places: list[int]  # components that are nodes
    values: Tensor  # their eigenvalues, (n_nodes,)
    of: Tensor  # number of the node at or above each component, (n_components,)
    share: Tensor  # (n_components,)
    factor: Tensor

    @classmethod
    def between(cls, eigenvalues: Tensor, alphas: Tensor, step: float) -> _Interpolation:
        import torch

        inside = eigenvalues.clamp(float(alphas.min()) * BELOW, float(alphas.max()) * ABOVE)
        log = inside.log()
        places = node_places(log.cpu().numpy(), step)
        at = torch.as_tensor(places, device=log.device)
        of = torch.searchsorted(at, torch.arange(len(log), device=log.device), right=True) - 1
        width = inside[at[of]] - inside[at[(of + 1).clamp(max=len(at) - 1)]]
        share = torch.where(width > 0, (inside[at[of]] - inside) / width, torch.zeros_like(width))
        return cls(places, inside[at], of, share, (eigenvalues / inside).clamp(max=1.0))


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


def validation_r2(spectral: Spectral, weights: Tensor, observed: Tensor) -> Tensor:
    """R² of the predictions of every penalty, arrays as in `validation_r`.

    ``observed`` must have the mean of the training rows taken out, for predictions hold it.
    """
    import torch

    found = [
        explained(observed[:, chunk] - spectral.sums(weights[:, chunk]), observed[:, chunk])
        for chunk in cachefuls(spectral, observed.shape[1])
    ]
    return torch.cat(found, dim=1)


def cachefuls(spectral: Spectral, n_voxels: int) -> Iterator[slice]:
    """Cut voxels into pieces whose sums fit a processor's cache."""
    size = max(1, CACHE_FLOATS // (len(spectral.basis) * (spectral.n_arrays + len(spectral.alphas))))
    if spectral.basis.is_cuda:
        size *= GPU_CACHES
    for first in range(0, max(1, n_voxels), size):
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


def explained(missed: Tensor, observed: Tensor) -> Tensor:
    """R² of every penalty and voxel.

    Parameters
    ----------
    missed : Tensor of shape (n_penalties, n_rows, n_voxels)
        Responses without predictions.
    observed : Tensor of shape (n_rows, n_voxels)

    Returns
    -------
    Tensor of shape (n_penalties, n_voxels)
        NaN where a response is constant.
    """
    import torch

    spread = ((observed - observed.mean(dim=0)) ** 2).sum(dim=0)
    r2 = 1 - (missed * missed).sum(dim=1) / spread
    return torch.where(torch.isfinite(r2), r2, torch.nan)


def node_places(log_eigenvalues: FloatArray, step: float = NODE_STEP) -> list[int]:
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
        farthest = int(np.searchsorted(rising, rising[places[-1]] + step, side="right")) - 1
        places.append(max(farthest, int(np.searchsorted(rising, rising[places[-1]], side="right"))))
    return places
