"""Floating-point numbers of eight bits for weights and activations."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from brainexp.compression.quantizing import Quantizing
from brainexp.interfaces import Blueprint, Calibration, Claims
from brainexp.registry import COMPRESSIONS

#: Rows and columns of a block.
BLOCK = 128


@COMPRESSIONS.register("fp8")
@dataclass(frozen=True)
class Fp8(Quantizing):
    """FP8 (E4M3): one bit of sign, four of exponent, three of mantissa.

    Parameters
    ----------
    scales : {"dynamic", "static", "block"}
        Dynamic: one per output for weights, and one per token for activations, found when the network runs. Static: one
        per layer for weights, and one for its activations, found on a text. Block: one per 128 × 128 weights, and one per
        token and 128 inputs, found when the network runs.
    calibration : Calibration or None
        The text, for static scales.

    Source: the schemes FP8_DYNAMIC, FP8 and FP8_BLOCK of compressed-tensors. Activations are rounded when the network runs,
    in ``model.dtype``, on a CPU as on a GPU: what is lost is that of an FP8 kernel, speed is not gained.
    """

    packed: ClassVar[bool] = False
    differentiable: ClassVar[bool] = False

    scales: Literal["dynamic", "static", "block"] = "dynamic"
    calibration: Calibration | None = None  # type: ignore[misc]  # a constant in methods without text

    def _decisive(self) -> Iterator[str]:
        if self.scales != "dynamic":
            yield self.scales

    def claims(self, blueprint: Blueprint) -> Claims:
        """Return that weights take at most 256 values in each row, or in each row of a block."""
        return Claims(modules=self.rounded(blueprint), bits=8, group_size=BLOCK if self.scales == "block" else None)

    def bits_per_weight(self, shape: tuple[int, int], dense_bits: float) -> float:
        """Return eight bits and a weight's share of the scales that are stored."""
        outputs, inputs = shape
        n_scales = {
            "dynamic": outputs,
            "static": 2,  # of weights and of activations
            "block": math.ceil(outputs / BLOCK) * math.ceil(inputs / BLOCK),
        }
        return 8 + dense_bits * n_scales[self.scales] / (outputs * inputs)

    def _objections(self, blueprint: Blueprint) -> Iterator[str]:
        yield from super()._objections(blueprint)
        if self.scales == "static" and self.calibration is None:
            yield "static scales are found on a text. Give +compression/calibration=grammar, or compression.scales=dynamic."
        if self.scales != "static" and self.calibration is not None:
            yield f"scales={self.scales} needs no text. Give compression.scales=static, or leave out the calibration."
        inputs = {name: blueprint.linear[name][1] for name in self.rounded(blueprint)}
        uneven = next((name for name, n in inputs.items() if self.scales == "block" and n % BLOCK), None)
        if uneven is not None:
            yield (
                f"scales=block needs inputs in multiples of {BLOCK}, but {uneven} has {inputs[uneven]}. Give "
                "compression.scales=dynamic."
            )

    def _recipe(self, blueprint: Blueprint, modules: list[str]) -> list[Any]:
        from compressed_tensors.quantization import preset_name_to_scheme
        from llmcompressor.modifiers.quantization import QuantizationModifier

        scheme = {"dynamic": "FP8_DYNAMIC", "static": "FP8", "block": "FP8_BLOCK"}[self.scales]
        return [QuantizationModifier(config_groups={"group_0": preset_name_to_scheme(scheme, modules)})]
