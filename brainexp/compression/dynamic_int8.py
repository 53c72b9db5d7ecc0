"""Eight bits for weights and activations, of the whole model or of a part."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from brainexp.compression import scope
from brainexp.compression.quantizing import Quantizing, integers
from brainexp.interfaces import Blueprint
from brainexp.registry import COMPRESSIONS


@COMPRESSIONS.register("dynamic_int8")
@dataclass(frozen=True)
class DynamicInt8(Quantizing):
    """W8A8 without text: a scale per output for weights, and one per token for activations, found when the network runs.

    Parameters
    ----------
    modules : {"all", "attention", "feed_forward"}
        Which linear layers.

    Source: Namburi et al. 2023 (arXiv 2312.00960) round parts of a model with torch's dynamic int8, which has one scale for
    all weights of a layer; here it is llm-compressor's, with one per output. Activations are rounded when the network runs,
    in ``model.dtype``: what is lost is that of an integer kernel, speed is not gained.
    """

    packed: ClassVar[bool] = False
    differentiable: ClassVar[bool] = False

    modules: Literal["all", "attention", "feed_forward"] = "all"

    def _decisive(self) -> Iterator[str]:
        yield "w8a8"
        yield from scope.named(self.modules)

    def rounded(self, blueprint: Blueprint) -> tuple[str, ...]:
        """Return the linear layers that are rounded."""
        return tuple(name for name in scope.chosen(blueprint, self.modules) if name not in blueprint.transposed)

    def bits_per_weight(self, shape: tuple[int, int], dense_bits: float) -> float:
        """Return eight bits and a row's share of its scale."""
        return 8 + dense_bits / shape[1]

    def _recipe(self, blueprint: Blueprint, modules: list[str]) -> list[Any]:
        from llmcompressor.modifiers.quantization import QuantizationModifier

        return [QuantizationModifier(config_groups=integers(modules, 8, None, symmetric=True, activations=8))]
