"""Move what is hard to round from activations to weights, then round both to eight bits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from brainexp.compression.calibration.grammar import GrammarText
from brainexp.compression.quantizing import Quantizing, integers, without_gptq
from brainexp.errors import ConfigError
from brainexp.interfaces import Blueprint, Calibration
from brainexp.registry import COMPRESSIONS

#: Which layer feeds which, by family: the name under which llm-compressor keeps it. Those it keeps of Gemma 2 and 3 name
#: the wrong norm (its pull request 2174), and Llama's, taken for families that it does not know, break Phi.
MAPPINGS: Mapping[str, str] = {
    "bloom": "BloomForCausalLM",
    "cohere": "CohereForCausalLM",
    "cohere2": "Cohere2ForCausalLM",
    "gemma": "LlamaForCausalLM",
    "granite": "GraniteForCausalLM",
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "phi3": "Phi3ForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "seed_oss": "SeedOssForCausalLM",
}


@COMPRESSIONS.register("smoothquant")
@dataclass(frozen=True)
class SmoothQuant(Quantizing):
    """SmoothQuant: even out activations that differ much in size, then W8A8 with a scale per output and per token.

    Parameters
    ----------
    strength : float
        From 0, nothing is moved, to 1, activations are all of a size.
    then : {"rtn", "gptq"}
        How weights are rounded: to nearest, or by GPTQ as ``compression=gptq`` does by default.
    calibration : Calibration
        The text.

    Source: Xiao et al. 2023 (arXiv 2211.10438), as llm-compressor does it. The activations are rounded when the network
    runs, in ``model.dtype``: what is lost is that of an integer kernel, speed is not gained.
    """

    packed: ClassVar[bool] = False
    differentiable: ClassVar[bool] = False

    strength: float = 0.5
    then: Literal["rtn", "gptq"] = "rtn"
    calibration: Calibration = field(default_factory=GrammarText)  # type: ignore[misc]  # methods without text have None

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 1:
            raise ConfigError(f"compression 'smoothquant': strength must be from 0 to 1, got {self.strength}")

    def _decisive(self) -> Iterator[str]:
        yield "w8a8"
        if self.strength != type(self).strength:
            yield f"α{self.strength:g}"
        if self.then != "rtn":
            yield self.then

    def bits_per_weight(self, shape: tuple[int, int], dense_bits: float) -> float:
        """Return eight bits and a row's share of its scale."""
        return 8 + dense_bits / shape[1]

    def _objections(self, blueprint: Blueprint) -> Iterator[str]:
        yield from super()._objections(blueprint)
        if blueprint.family not in MAPPINGS:
            yield (
                f"llm-compressor does not know which layer of a {blueprint.family} feeds which, or is wrong about it; it is "
                f"right about {', '.join(sorted(MAPPINGS))}. Give compression=dynamic_int8, W8A8 without smoothing."
            )
        if self.then == "gptq":
            yield from without_gptq(self.calibration, blueprint, self.rounded(blueprint))

    def _recipe(self, blueprint: Blueprint, modules: list[str]) -> list[Any]:
        from llmcompressor.modifiers.gptq import GPTQModifier
        from llmcompressor.modifiers.quantization import QuantizationModifier
        from llmcompressor.modifiers.transform.smoothquant import SmoothQuantModifier
        from llmcompressor.modifiers.transform.smoothquant.utils import MAPPINGS_REGISTRY

        mappings: list[Any] = [tuple(one) for one in MAPPINGS_REGISTRY[MAPPINGS[blueprint.family]]]
        rounding = GPTQModifier if self.then == "gptq" else QuantizationModifier
        return [
            SmoothQuantModifier(smoothing_strength=self.strength, mappings=mappings),
            rounding(config_groups=integers(modules, 8, None, symmetric=True, activations=8)),
        ]
