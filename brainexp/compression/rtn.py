"""Round each weight to the nearest value of a grid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from brainexp.compression.quantizing import Integers, integers
from brainexp.interfaces import Blueprint
from brainexp.registry import COMPRESSIONS


@COMPRESSIONS.register("rtn")
@dataclass(frozen=True)
class RoundToNearest(Integers):
    """Round to nearest: needs no text.

    Parameters
    ----------
    activations : 8 or None
        With eight bits for weights too, W8A8: inputs of the layers are rounded as well, with a scale per token, when the
        network runs. transformers reckons with the rounded numbers in ``model.dtype``, on a CPU as on a GPU: what is lost
        is that of an integer kernel, speed is not gained.

    Source: as compressed-tensors does it, through llm-compressor (Red Hat, Apache-2.0).
    """

    activations: Literal[8] | None = None

    @property
    def packed(self) -> bool:  # type: ignore[override]
        """Return whether weights are packed to fewer bits."""
        return self.activations is None

    @property
    def differentiable(self) -> bool:  # type: ignore[override]
        """Return whether gradients pass; they do not pass rounded activations."""
        return self.activations is None

    def _decisive(self) -> Iterator[str]:
        bits, *others = super()._decisive()
        yield from (bits if self.activations is None else f"{bits}a{self.activations}", *others)

    def _objections(self, blueprint: Blueprint) -> Iterator[str]:
        yield from super()._objections(blueprint)
        if self.activations is not None and self.bits != 8:
            yield (
                f"activations=8 goes with bits=8, got bits={self.bits}: beside rounded activations weights are kept as "
                "numbers of eight bits, whatever their grid. Give compression.bits=8, or compression.activations=null."
            )

    def _recipe(self, blueprint: Blueprint, modules: list[str]) -> list[Any]:
        from llmcompressor.modifiers.quantization import QuantizationModifier

        groups = integers(modules, self.bits, self.group_size, symmetric=self.symmetric, activations=self.activations)
        return [QuantizationModifier(config_groups=groups)]
