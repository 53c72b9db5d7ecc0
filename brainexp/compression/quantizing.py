"""What quantizations have in common: llm-compressor rounds the linear layers, compressed-tensors keeps and unpacks them."""

from __future__ import annotations

import importlib.util
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from brainexp.compression import scope
from brainexp.compression.oneshot import oneshot, targets
from brainexp.compression.options import Compressing
from brainexp.errors import ConfigError
from brainexp.interfaces import Blueprint, Calibration, Claims, Uncompressed

#: Families whose blocks read the weights of linear layers themselves, past the rounding.
PAST_LINEAR = ("mamba", "mamba2", "falcon_mamba", "jamba", "bamba", "zamba", "zamba2")
#: Families whose own initialisation stumbles over packed weights when transformers (5.15 to 5.17) reads them again.
NOT_PACKED = ("longt5", "modernbert", "modernbert-decoder", "mt5", "t5", "umt5")


@dataclass(frozen=True)
class Quantizing(Compressing):
    """Linear layers of the blocks are rounded; embeddings, norms and the head stay as they are."""

    #: Whether weights are packed to fewer bits, rather than kept as numbers of eight bits.
    packed: ClassVar[bool] = True
    needs_all_weights: ClassVar[str | None] = None

    def rounded(self, blueprint: Blueprint) -> tuple[str, ...]:
        """Return the linear layers that are rounded."""
        return tuple(name for name in scope.chosen(blueprint, "all") if name not in blueprint.transposed)

    def claims(self, blueprint: Blueprint) -> Claims:
        """Return that weights take at most 256 values in each row."""
        return Claims(modules=self.rounded(blueprint), bits=8)

    def compress(self, given: Uncompressed) -> Any:
        """Return the network with rounded weights, which ``save_pretrained`` packs."""
        modules = targets(self.rounded(given.blueprint))
        return oneshot(given, lambda: self._recipe(given.blueprint, modules), self._around)

    @staticmethod
    def _around() -> AbstractContextManager[None]:
        """Return a context in which llm-compressor is run."""
        return nullcontext()

    def _recipe(self, blueprint: Blueprint, modules: list[str]) -> list[Any]:
        """Return the modifiers of llm-compressor; `modules` are patterns of the layers' names."""
        raise NotImplementedError

    def _objections(self, blueprint: Blueprint) -> Iterator[str]:
        if importlib.util.find_spec("llmcompressor") is None:
            yield "it needs llm-compressor, which is not installed. Install it: pip install brainexp[compress]"
        if blueprint.reads == "table":
            yield "a table of word vectors has no layers to round. Give compression=none."
        if blueprint.reads == "encoder-decoder" and self.calibration is not None:
            yield (
                f"llm-compressor cannot run a text through a {blueprint.family}, an encoder–decoder. Give compression=rtn, "
                "dynamic_int8 or fp8, which need none."
            )
        if blueprint.family in PAST_LINEAR:
            yield (
                f"the blocks of a {blueprint.family} read the weights of their linear layers themselves, past what "
                "llm-compressor rounds. Give compression=magnitude or low_rank."
            )
        if not self.rounded(blueprint):
            yield (
                f"a {blueprint.family} has no linear layer that it could round (those of GPT-2 are Conv1D, another kind). "
                "Give compression=bnb_int8 or bnb_nf4, which round those too, or another model."
            )
        if _lacks_experts(blueprint):
            yield (
                f"the experts of a {blueprint.family} are one tensor per block; llm-compressor takes them apart, and "
                "transformers does not find them again in what it saves. Give a model without experts."
            )
        if self.packed and blueprint.family in NOT_PACKED:
            yield (
                f"transformers cannot read packed weights of a {blueprint.family} again. Give compression=dynamic_int8 or "
                "fp8, whose weights have eight bits, or bnb_nf4."
            )


def _lacks_experts(blueprint: Blueprint) -> bool:
    """Whether blocks have linear layers for attention, and beside them at most routers."""
    left = {name for name, part in scope.parts(blueprint).items() if part not in ("attention", "head")}
    has_attention = bool(scope.chosen(blueprint, "attention"))
    return has_attention and all(name.split(".")[-1] in scope.ROUTERS for name in left)


@dataclass(frozen=True)
class Integers(Quantizing):
    """Weights become whole numbers times a scale per group.

    Parameters
    ----------
    bits : int
        Of a weight, 2 to 8: at most two to so many distinct values in a group.
    group_size : int or None
        Neighbouring inputs of an output that share a scale; None for one scale per output (a row of the weights).
    symmetric : bool
        The grid lies evenly around zero; otherwise each group also has a zero point, of as many bits as a weight.

    Notes
    -----
    As compressed-tensors rounds, with lo and hi the least and greatest weight of a group or 0: symmetric, the scale is
    max(-lo, hi) / ((2**bits - 1) / 2) and the zero point z is 0; otherwise the scale is (hi - lo) / (2**bits - 1) and z is
    -2**(bits - 1) - lo / scale, clamped and rounded. A weight w becomes (q - z) * scale with q = w / scale + z, clamped to
    -2**(bits - 1) … 2**(bits - 1) - 1 and rounded, half to even. All is computed in ``model.dtype``, which is also that of
    the stored scales; with eight bits, bfloat16 is itself so coarse that grids are missed by one.
    """

    bits: int = 4
    group_size: int | None = 128
    symmetric: bool = True

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 8:
            raise ConfigError(f"compression: bits must be from 2 to 8, got {self.bits}")
        if self.group_size is not None and self.group_size < 2:
            raise ConfigError(f"compression: group_size must be at least 2, or null, got {self.group_size}")

    def _decisive(self) -> Iterator[str]:
        yield f"w{self.bits}"
        if self.group_size is not None:
            yield f"g{self.group_size}"
        if self.symmetric != type(self).symmetric:
            yield "sym" if self.symmetric else "asym"

    def claims(self, blueprint: Blueprint) -> Claims:
        """Return how many values weights take in each group."""
        return Claims(modules=self.rounded(blueprint), bits=self.bits, group_size=self.group_size)

    def bits_per_weight(self, shape: tuple[int, int], dense_bits: float) -> float:
        """Return bits of a weight and its share of scale and zero point."""
        shared = dense_bits + (0 if self.symmetric else self.bits)
        return self.bits + shared / (self.group_size or shape[1])

    def _objections(self, blueprint: Blueprint) -> Iterator[str]:
        yield from super()._objections(blueprint)
        inputs = {name: blueprint.linear[name][1] for name in self.rounded(blueprint)}
        uneven = [name for name, n in inputs.items() if self.group_size is not None and n % self.group_size]
        if uneven:
            beside = f" (and of {len(uneven) - 1} more layers)" if len(uneven) > 1 else ""
            would_do = ", ".join(map(str, group_sizes(inputs)))
            yield (
                f"group_size={self.group_size} does not divide the {inputs[uneven[0]]} inputs of {uneven[0]}{beside}. Give "
                f"compression.group_size={would_do} or null (one scale per output)."
            )

    def _groups(self, modules: list[str]) -> dict[str, Any]:
        return integers(modules, self.bits, self.group_size, symmetric=self.symmetric)


def group_sizes(inputs: Mapping[str, int]) -> list[int]:
    """Return sizes of groups, from 8 on, that divide the inputs of every layer.

    >>> group_sizes({"up": 64, "down": 192})
    [8, 16, 32, 64]
    """
    common = math.gcd(*inputs.values())
    return [size for size in range(8, min(common, 1024) + 1) if common % size == 0]


def integers(
    modules: list[str], bits: int, group_size: int | None, *, symmetric: bool, activations: Literal[8] | None = None
) -> dict[str, Any]:
    """Return what compressed-tensors calls config groups: how the layers are rounded.

    Parameters
    ----------
    modules : list of str
        Patterns of names.
    bits, group_size, symmetric
        As of `Integers`.
    activations : 8 or None
        Round inputs of the layers to so many bits, with a scale per token, when the network runs.
    """
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme, QuantizationStrategy

    strategy = QuantizationStrategy.CHANNEL if group_size is None else QuantizationStrategy.GROUP
    inputs = (
        None
        if activations is None
        else QuantizationArgs(num_bits=activations, strategy=QuantizationStrategy.TOKEN, dynamic=True)
    )
    weights = QuantizationArgs(num_bits=bits, strategy=strategy, group_size=group_size, symmetric=symmetric)
    return {"group_0": QuantizationScheme(targets=modules, weights=weights, input_activations=inputs)}


def without_gptq(text: Calibration, blueprint: Blueprint, modules: tuple[str, ...]) -> Iterator[str]:
    """Say why GPTQ would fail: fewer tokens than a layer has inputs, or a switch on which llm-compressor stumbles."""
    n_tokens = text.samples * text.tokens
    widest = max(modules, key=lambda name: blueprint.linear[name][1], default=None)
    if widest is not None and n_tokens < blueprint.linear[widest][1]:
        n_inputs = blueprint.linear[widest][1]
        yield (
            f"the calibration has {text.samples} × {text.tokens} = {n_tokens:,} tokens, fewer than {widest} has inputs "
            f"({n_inputs:,}), so it says nothing of some. Give compression.calibration.samples={-(-n_inputs // text.tokens)} "
            "or more."
        )
    if os.environ.get("LLM_COMPRESSOR_LOG_DISABLED", "").lower() == "true":
        yield "with LLM_COMPRESSOR_LOG_DISABLED=true llm-compressor fails (Level 'METRIC' does not exist). Unset it."
