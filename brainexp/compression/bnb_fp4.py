"""Four-bit floating point, by bitsandbytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from brainexp.compression.bnb_four_bit import FourBit
from brainexp.registry import COMPRESSIONS


@COMPRESSIONS.register("bnb_fp4")
@dataclass(frozen=True)
class BnbFp4(FourBit):
    """FP4: a sign and eight sizes, zero among them, that lie as those of floating-point numbers do.

    Notes
    -----
    NF4 has the smaller error for weights that are about normally distributed; this is what it is compared with in Dettmers
    et al. (2023), https://arxiv.org/abs/2305.14314.
    """

    levels: ClassVar[str] = "fp4"
