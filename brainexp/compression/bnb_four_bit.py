"""What four-bit compressions of bitsandbytes have in common."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from brainexp.compression.bnb import BitsAndBytes
from brainexp.interfaces import Blueprint, Claims

#: Weights that share a scale, in the order of the flattened matrix.
BLOCK = 64
#: Scales that share a scale, with double quantization.
SCALES_PER_BLOCK = 256


@dataclass(frozen=True)
class FourBit(BitsAndBytes):
    """Four bits per weight: one of 16 levels, times a scale for each 64 weights.

    Parameters
    ----------
    double_quant : bool
        Quantize the scales too, to eight bits.
    """

    double_quant: bool = True
    levels: ClassVar[str]

    def _decisive(self) -> Iterator[str]:
        if not self.double_quant:
            yield "single"
        yield from super()._decisive()

    def claims(self, blueprint: Blueprint) -> Claims:
        """Return which layers take 16 values per block.

        Blocks are of the flattened matrix; neighbours in a row that no block's end can part are as many as the greatest
        common divisor of a block and the rows.
        """
        modules = self.modules(blueprint)
        unparted = math.gcd(BLOCK, *(blueprint.linear[name][1] for name in modules))
        return Claims(modules=modules, bits=4, group_size=unparted)

    def bits_per_weight(self, shape: tuple[int, int], dense_bits: float) -> float:
        """Return four and the scales: 32 bits per block, or eight and 32 bits per 256 blocks."""
        n_weights = shape[0] * shape[1]
        n_blocks = -(-n_weights // BLOCK)
        n_scales = -(-n_blocks // SCALES_PER_BLOCK)
        scales = 8 * n_blocks + 32 * n_scales if self.double_quant else 32 * n_blocks
        return 4 + scales / n_weights

    def _settings(self, blueprint: Blueprint) -> dict[str, Any]:
        return {
            "load_in_4bit": True,
            "bnb_4bit_quant_type": self.levels,
            "bnb_4bit_use_double_quant": self.double_quant,
            "bnb_4bit_compute_dtype": blueprint.dtype,
        }
