"""Replace each layer's weights by their nearest ones of low rank: truncated singular value decomposition."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from brainexp.compression.options import Compressing
from brainexp.compression.parts import change
from brainexp.compression.scope import chosen, named, objection
from brainexp.containers import FloatArray
from brainexp.errors import ConfigError, ModelError
from brainexp.interfaces import Blueprint, Claims, Uncompressed
from brainexp.progress import progress
from brainexp.registry import COMPRESSIONS


@COMPRESSIONS.register("low_rank")
@dataclass(frozen=True)
class LowRank(Compressing):
    """Two thin matrices in place of a layer's weights: r (m + n) numbers for m n, kept as their product.

    Whatever loads the model can load the product; what is saved on disk and in memory is nothing, what could be is in
    ``bits_per_weight``. A layer for which the rank saves nothing, r (m + n) >= m n, is left as it is. The ranks are in the
    saved config, ``low_rank``.

    Parameters
    ----------
    rank : int or None
        The same for all layers; give this or ``energy``.
    energy : float or None
        Share of the squared singular values that is kept, between 0 and 1: each layer takes the least rank that has it.
    modules : {"all", "attention", "feed_forward"}
        Which linear layers (see `brainexp.compression.scope`). All is every one but the head.
    """

    needs_all_weights: ClassVar[str | None] = None

    rank: int | None = None
    energy: float | None = 0.9
    modules: Literal["all", "attention", "feed_forward"] = "all"

    def __post_init__(self) -> None:
        if (self.rank is None) == (self.energy is None):
            raise ConfigError(
                f"compression 'low_rank': give either rank or energy and leave the other null, got rank={self.rank}, "
                f"energy={self.energy}"
            )
        if self.rank is not None and self.rank < 1:
            raise ConfigError(f"compression 'low_rank': rank must be at least 1, got {self.rank}")
        if self.energy is not None and not 0 < self.energy < 1:
            raise ConfigError(f"compression 'low_rank': energy must lie between 0 and 1, got {self.energy}")

    def _decisive(self) -> Iterator[str]:
        yield f"r{self.rank}" if self.energy is None else f"{100 * self.energy:.4g} %"
        yield from named(self.modules)

    def _objections(self, blueprint: Blueprint) -> Iterator[str]:
        yield from filter(None, [objection(blueprint, self.modules)])
        if self.rank is not None and not self._ranks(blueprint):
            names = chosen(blueprint, self.modules)
            most = max((highest_rank(blueprint.linear[name]) for name in names), default=0)
            yield f"rank={self.rank} saves nothing in any layer. Give at most {most}."

    def remarks(self, blueprint: Blueprint) -> tuple[str, ...]:
        """Say which layers are left as they are."""
        n_chosen = len(chosen(blueprint, self.modules))
        n_left = n_chosen - len(self._ranks(blueprint))
        if self.rank is None or not n_left:
            return ()
        return (
            f"low_rank: {n_left} of {n_chosen} layers are so small that rank {self.rank} would save nothing; they stay.",
        )

    def claims(self, blueprint: Blueprint) -> Claims:
        """Return the ranks, where they are known beforehand."""
        if self.rank is None:
            return Claims(modules=chosen(blueprint, self.modules))
        ranks = self._ranks(blueprint)
        return Claims(modules=tuple(ranks), ranks=ranks)

    def _ranks(self, blueprint: Blueprint) -> dict[str, int]:
        """Rank of every layer that has one worth having, where the same is asked of all."""
        names = chosen(blueprint, self.modules)
        rank = self.rank or 0
        return {name: rank for name in names if rank <= highest_rank(blueprint.linear[name])}

    def bits_per_weight(self, shape: tuple[int, int], dense_bits: float) -> float:
        """Return bits of both thin matrices over the layer's weights; NaN for ``energy``, whose ranks only weights tell."""
        if self.rank is None:
            return float("nan")
        return bits_of_rank(shape, self.rank, dense_bits)

    def compress(self, given: Uncompressed) -> Any:
        """Return the network with products of thin matrices as weights."""
        import torch

        network = given.network()
        ranks = {}
        names = chosen(given.blueprint, self.modules)
        for name in progress(names, len(names), "low rank"):
            layer = network.get_submodule(name)
            weight = layer.weight  # read once: it may be on the disk
            left, values, right = torch.linalg.svd(
                weight.detach().to(given.blueprint.device, torch.float32), full_matrices=False
            )
            rank = self.rank or rank_for(values.cpu().double().numpy(), self.energy or 1.0)
            if rank > highest_rank(given.blueprint.linear[name]):
                continue
            ranks[name] = rank
            change(layer, ((left[:, :rank] * values[:rank]) @ right[:rank]).to(weight))
        if not ranks:
            raise ModelError(
                f"compression 'low_rank': in no layer has a rank that saves anything {self.energy:.0%} of the energy. "
                "Lower energy."
            )
        network.config.low_rank = ranks
        return network


def rank_for(values: FloatArray, energy: float) -> int:
    """Return the least rank that keeps a share of the energy.

    Parameters
    ----------
    values : array of shape (n,)
        Singular values, decreasing.
    energy : float
        Share of their squares that is kept.

    >>> rank_for(np.array([3.0, 1.0, 1.0, 0.0]), 0.8), rank_for(np.array([3.0, 1.0, 1.0, 0.0]), 0.9)
    (1, 2)
    """
    kept = np.cumsum(values**2) / np.sum(values**2)
    return int(np.searchsorted(kept, energy)) + 1


def highest_rank(shape: tuple[int, int]) -> int:
    """Return the highest rank at which two thin matrices are smaller than the weights.

    >>> highest_rank((4, 4)), highest_rank((100, 10))
    (1, 9)
    """
    n_outputs, n_inputs = shape
    return (n_outputs * n_inputs - 1) // (n_outputs + n_inputs)


def bits_of_rank(shape: tuple[int, int], rank: int, dense_bits: float) -> float:
    """Return bits of two thin matrices over the number of weights of their product."""
    n_outputs, n_inputs = shape
    return rank * (n_outputs + n_inputs) * dense_bits / (n_outputs * n_inputs)
