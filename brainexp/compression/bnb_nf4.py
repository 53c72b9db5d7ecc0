"""Four-bit NormalFloat, by bitsandbytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from brainexp.compression.bnb_four_bit import FourBit
from brainexp.registry import COMPRESSIONS


@COMPRESSIONS.register("bnb_nf4")
@dataclass(frozen=True)
class BnbNf4(FourBit):
    """NF4: 16 levels that are the quantiles of a normal distribution, which weights resemble.

    Notes
    -----
    Dettmers et al. (2023), QLoRA, https://arxiv.org/abs/2305.14314.
    """

    levels: ClassVar[str] = "nf4"
