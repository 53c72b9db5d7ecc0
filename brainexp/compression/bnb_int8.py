"""Eight bits per weight and input, by bitsandbytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from brainexp.compression.bnb import BitsAndBytes
from brainexp.errors import ConfigError
from brainexp.interfaces import Blueprint, Claims
from brainexp.registry import COMPRESSIONS


@COMPRESSIONS.register("bnb_int8")
@dataclass(frozen=True)
class BnbInt8(BitsAndBytes):
    """LLM.int8(): whole numbers from -127 to 127 and a scale per output; inputs are rounded to eight bits token by token.

    Parameters
    ----------
    threshold : float
        Inputs of at least this size are multiplied as they are, with the eight-bit weights, and so is all that stands in
        their column; 0 rounds all.

    Notes
    -----
    Dettmers et al. (2022), https://arxiv.org/abs/2208.07339. Which columns hold such inputs depends on all tokens of a
    forward pass. So with a threshold every text is read in a pass of its own, which is slow on a GPU; and where words share a
    text (model.context=growing, sliding or sentence), a word's features depend, by rounding only, on later words.
    threshold=0 has neither. Weights and inputs are taken in float16 before they are rounded.
    """

    threshold: float = 6.0

    def __post_init__(self) -> None:
        if not self.threshold >= 0:
            raise ConfigError(f"compression 'bnb_int8': threshold must be 0 (none) or more, got {self.threshold}")

    def _decisive(self) -> Iterator[str]:
        if self.threshold != type(self).threshold:
            yield f"t{self.threshold:g}"
        yield from super()._decisive()

    def claims(self, blueprint: Blueprint) -> Claims:
        """Return which layers have eight bits; a row has one scale."""
        return Claims(modules=self.modules(blueprint), bits=8)

    def bits_per_weight(self, shape: tuple[int, int], dense_bits: float) -> float:
        """Return eight and the row's scale of 32 bits, shared by its weights."""
        return 8 + 32 / shape[1]

    def _settings(self, blueprint: Blueprint) -> dict[str, Any]:
        return {"load_in_8bit": True, "llm_int8_threshold": self.threshold}
