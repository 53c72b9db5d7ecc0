"""Set weights to zero and let their neighbours make up for it: SparseGPT of Frantar & Alistarh (2023), arXiv 2301.00774."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from brainexp.compression.pruning_oneshot import OneShotPruning
from brainexp.errors import ConfigError
from brainexp.interfaces import Blueprint, Claims
from brainexp.registry import COMPRESSIONS


@COMPRESSIONS.register("sparsegpt")
@dataclass(frozen=True)
class SparseGPT(OneShotPruning):
    """Weights go where that changes a layer's output least, and the weights of later inputs are moved to mend it.

    Parameters
    ----------
    damping : float
        Added to the diagonal of the inputs' second moments, as a share of its mean.
    block_size : int
        Inputs whose weights are chosen among together.
    """

    damping: float = 0.01
    block_size: int = 128

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.damping <= 0 or self.block_size < 1:
            raise ConfigError(
                f"compression 'sparsegpt': damping must be positive and block_size at least 1, got {self.damping} and "
                f"{self.block_size}"
            )
        if self.two_of_four and self.block_size % 4:
            raise ConfigError(
                f"compression 'sparsegpt': block_size={self.block_size} would cut groups of four. Give a multiple of 4."
            )

    def claims(self, blueprint: Blueprint) -> Claims:
        """Return the share of zeros, with those that tie: weights that were stored in bfloat16 often do."""
        return replace(super().claims(blueprint), ties=True)

    def _zeros(self, shape: tuple[int, int]) -> int:
        if self.two_of_four:
            return shape[0] * shape[1] // 2
        return sum(int(size * self._share(shape)) + 1 for size in self._blocks(shape))

    def _blocks(self, shape: tuple[int, int]) -> Iterator[int]:
        """Weights in each block of a layer."""
        n_outputs, n_inputs = shape
        for start in range(0, n_inputs, self.block_size):
            yield n_outputs * min(self.block_size, n_inputs - start)

    def _share(self, shape: tuple[int, int]) -> float:
        """What to ask for: half a weight less in a block, because llm-compressor 0.14 makes one zero too many in each."""
        return max(self.sparsity - 0.5 / max(self._blocks(shape)), 0.0)

    def _modifier(self, names: list[str], shapes: list[tuple[int, int]]) -> Any:
        from llmcompressor.modifiers.pruning import SparseGPTModifier

        return SparseGPTModifier(
            sparsity=self.sparsity if self.two_of_four else [self._share(shape) for shape in shapes],
            mask_structure="2:4" if self.two_of_four else "0:0",
            dampening_frac=self.damping,
            block_size=self.block_size,
            targets=names,
        )
