"""Round weights one input after the other, the others making up for what is lost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from brainexp.compression.calibration.grammar import GrammarText
from brainexp.compression.quantizing import Integers, without_gptq
from brainexp.errors import ConfigError
from brainexp.interfaces import Blueprint, Calibration
from brainexp.registry import COMPRESSIONS


@COMPRESSIONS.register("gptq")
@dataclass(frozen=True)
class Gptq(Integers):
    """GPTQ: keep what layers put out on a text, by its second moments.

    Parameters
    ----------
    act_order : {"static", "none"}
        Round inputs in the order of how large they are on the text, or as they stand. Groups are of neighbours either way.
        Groups in that order ("dynamic", also called "group") were taken out of compressed-tensors in August 2026.
    damping : float
        Added to the diagonal of the second moments, as a share of its mean.
    block_size : int
        Inputs that are done before the rest is made up for; changes speed, and numbers only by rounding.
    calibration : Calibration
        The text; it must have at least as many tokens as the widest layer has inputs.

    Source: Frantar et al. 2023 (arXiv 2210.17323), as llm-compressor does it.
    """

    act_order: Literal["static", "none"] = "static"
    damping: float = 0.01
    block_size: int = 128
    calibration: Calibration = field(default_factory=GrammarText)  # type: ignore[misc]  # methods without text have None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.damping < 0 or self.block_size < 1:
            raise ConfigError(
                f"compression 'gptq': damping must not be negative and block_size at least 1, got {self.damping} and "
                f"{self.block_size}"
            )

    def _decisive(self) -> Iterator[str]:
        yield from super()._decisive()
        if self.act_order != "none":
            yield "act"

    def _objections(self, blueprint: Blueprint) -> Iterator[str]:
        yield from super()._objections(blueprint)
        yield from without_gptq(self.calibration, blueprint, self.rounded(blueprint))

    def _recipe(self, blueprint: Blueprint, modules: list[str]) -> list[Any]:
        from llmcompressor.modifiers.gptq import GPTQModifier

        return [
            GPTQModifier(
                config_groups=self._groups(modules),
                actorder=None if self.act_order == "none" else self.act_order,
                dampening_frac=self.damping,
                block_size=self.block_size,
            )
        ]
