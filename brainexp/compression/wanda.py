"""Set weights to zero that meet small inputs: Wanda of Sun et al. (2024), arXiv 2306.11695."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from brainexp.compression.pruning_oneshot import OneShotPruning
from brainexp.registry import COMPRESSIONS


@COMPRESSIONS.register("wanda")
@dataclass(frozen=True)
class Wanda(OneShotPruning):
    """Of the weights of each output, those go whose size times the norm of their input is smallest; the others stay."""

    def _zeros(self, shape: tuple[int, int]) -> int:
        n_outputs, n_inputs = shape
        return n_outputs * int(n_inputs * self.sparsity)

    def _modifier(self, names: list[str], shapes: list[tuple[int, int]]) -> Any:
        from llmcompressor.modifiers.pruning import WandaPruningModifier

        return WandaPruningModifier(
            sparsity=self.sparsity, mask_structure="2:4" if self.two_of_four else "0:0", targets=names
        )
