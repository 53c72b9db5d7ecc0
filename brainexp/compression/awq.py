"""Round weights after those that meet large activations were made larger."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal

from brainexp.compression.calibration.grammar import GrammarText
from brainexp.compression.quantizing import Integers
from brainexp.compression.workarounds.llmcompressor_pin_memory import without_pinned_memory
from brainexp.errors import ConfigError
from brainexp.interfaces import Blueprint, Calibration
from brainexp.registry import COMPRESSIONS

#: Which layer feeds which, by family: the name under which llm-compressor keeps it. It takes Llama's for families that it
#: does not know, and does nothing where no name fits (BERT), or breaks the model where they fit but mean another thing.
MAPPINGS: Mapping[str, str] = {
    "cohere": "CohereForCausalLM",
    "cohere2": "Cohere2ForCausalLM",
    "exaone4": "Exaone4ForCausalLM",
    "gemma": "LlamaForCausalLM",
    "gemma2": "Gemma2ForCausalLM",
    "gemma3_text": "Gemma3ForCausalLM",
    "granite": "GraniteForCausalLM",
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "olmo": "OlmoForCausalLM",
    "olmo3": "Olmo3ForCausalLM",
    "phi3": "Phi3ForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "seed_oss": "SeedOssForCausalLM",
}


@COMPRESSIONS.register("awq")
@dataclass(frozen=True)
class Awq(Integers):
    """Activation-aware quantization: inputs that are large on a text get finer steps.

    The weights of an input are multiplied by a scale, what feeds it is divided by it, and weights are rounded to nearest;
    the scale is a power of the mean activation, chosen so that the block puts out what it did.

    Parameters
    ----------
    duo_scaling : bool or "both"
        Let the scale depend on the size of weights too; "both" tries half of the grid with and half without.
    n_grid : int
        Powers that are tried.
    calibration : Calibration
        The text.

    Source: Lin et al. 2024 (arXiv 2306.00978), as llm-compressor does it.
    """

    symmetric: bool = False
    duo_scaling: bool | Literal["both"] = True
    n_grid: int = 20
    calibration: Calibration = field(default_factory=GrammarText)  # type: ignore[misc]  # methods without text have None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_grid < 4:
            raise ConfigError(f"compression 'awq': n_grid must be at least 4, got {self.n_grid}")

    def _objections(self, blueprint: Blueprint) -> Iterator[str]:
        yield from super()._objections(blueprint)
        if blueprint.family not in MAPPINGS:
            yield (
                f"llm-compressor does not know which layer of a {blueprint.family} feeds which, only of "
                f"{', '.join(sorted(MAPPINGS))}. Give compression=gptq, or rtn with compression.symmetric=false."
            )

    @staticmethod
    def _around() -> AbstractContextManager[None]:
        """Return a context in which it runs without a GPU."""
        return without_pinned_memory()

    def _recipe(self, blueprint: Blueprint, modules: list[str]) -> list[Any]:
        from llmcompressor.modifiers.quantization import QuantizationModifier
        from llmcompressor.modifiers.transform.awq import AWQModifier
        from llmcompressor.modifiers.transform.awq.mappings import AWQ_MAPPING_REGISTRY

        mappings = AWQ_MAPPING_REGISTRY[MAPPINGS[blueprint.family]]
        return [
            AWQModifier(mappings=mappings, duo_scaling=self.duo_scaling, n_grid=self.n_grid),
            QuantizationModifier(config_groups=self._groups(modules)),
        ]
