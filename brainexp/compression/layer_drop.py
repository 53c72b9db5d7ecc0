"""Leave out whole transformer blocks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import numpy as np

from brainexp.compression.calibration.grammar import GrammarText
from brainexp.compression.options import Compressing
from brainexp.compression.parts import on_disk
from brainexp.containers import FloatArray
from brainexp.errors import ConfigError
from brainexp.interfaces import Blueprint, Calibration, Uncompressed
from brainexp.registry import COMPRESSIONS

#: Where the blocks are in the part of a network that gives features, by transformers' name of the family. In all of them
#: a block adds to the state that it is given, and no block needs another one.
BLOCKS = {
    **dict.fromkeys(
        ("llama", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "mistral", "phi", "phi3", "gpt_neox"), "layers"
    ),
    "gpt2": "h",
    "opt": "decoder.layers",
    "bert": "encoder.layer",
    "roberta": "encoder.layer",
}


@COMPRESSIONS.register("layer_drop")
@dataclass(frozen=True)
class LayerDrop(Compressing):
    """Blocks go, and those that are left follow each other; the numbers of the kept ones are in the config, ``kept_blocks``.

    Parameters
    ----------
    n_blocks : int
        How many blocks go.
    by : {"block_influence", "last"}
        Which: those that change their input least, 1 - cos between what a token's state is before and after, averaged over
        the calibration text (ShortGPT of Men et al. 2024, arXiv 2403.03853), or the last ones.
    calibration : Calibration or None
        The text, for ``block_influence``; left out for ``last``.

    Notes
    -----
    The states of a model's last layer are those after its final norm, in the smaller model too, so its last layer is not
    that of the same number in the whole one, even if all blocks below are the same.
    """

    needs_all_weights: ClassVar[str | None] = None

    n_blocks: int = 1
    by: Literal["block_influence", "last"] = "block_influence"
    calibration: Calibration | None = field(default_factory=GrammarText)  # type: ignore[misc]

    def __post_init__(self) -> None:
        if self.n_blocks < 1:
            raise ConfigError(f"compression 'layer_drop': n_blocks must be at least 1, got {self.n_blocks}")
        if self.by == "last":
            object.__setattr__(self, "calibration", None)
        elif self.calibration is None:
            raise ConfigError(
                "compression 'layer_drop': by=block_influence needs a calibration, such as {name: grammar}"
            )

    def _decisive(self) -> Iterator[str]:
        yield str(self.n_blocks)
        if self.by == "last":
            yield "last"

    def _objections(self, blueprint: Blueprint) -> Iterator[str]:
        if blueprint.family not in BLOCKS:
            yield f"blocks of a {blueprint.family} cannot be left out. Known: {', '.join(sorted(BLOCKS))}."
        if self.n_blocks >= blueprint.n_blocks:
            yield f"n_blocks={self.n_blocks} of {blueprint.n_blocks} would leave none. Lower it."

    def after(self, blueprint: Blueprint) -> Blueprint:
        """Return what the network is made of when blocks have gone and the others are counted anew."""
        left = self.blocks_left(blueprint.n_blocks)
        inside = f"{BLOCKS[blueprint.family]}."
        gone = {name for name in blueprint.linear if _block_number(name, inside) >= left}
        return replace(
            blueprint,
            n_blocks=left,
            linear={name: shape for name, shape in blueprint.linear.items() if name not in gone},
            transposed=tuple(name for name in blueprint.transposed if name not in gone),
        )

    def blocks_left(self, n_blocks: int) -> int:
        """Return how many blocks remain."""
        return n_blocks - self.n_blocks

    def compress(self, given: Uncompressed) -> Any:
        """Return the network with fewer blocks, and a config that fits."""
        network = given.network()
        base, n_blocks = network.base_model, given.blueprint.n_blocks
        holder, _, name = f".{BLOCKS[given.blueprint.family]}".rpartition(".")
        holder = base.get_submodule(holder.removeprefix("."))
        blocks = getattr(holder, name)
        if self.by == "last":
            kept = list(range(self.blocks_left(n_blocks)))
        else:
            influence = block_influence(base, blocks, given)
            kept = sorted(np.argsort(influence, kind="stable")[self.n_blocks :].tolist())
        setattr(holder, name, type(blocks)([blocks[number] for number in kept]))
        for number, block in enumerate(getattr(holder, name)):
            for module in block.modules():
                if hasattr(module, "layer_idx"):  # its place in the cache of keys and values
                    module.layer_idx = number
        _shorten(network.config, kept)
        return network


def block_influence(base: Any, blocks: Any, given: Uncompressed) -> FloatArray:
    """How much each block turns the states of calibration text.

    Parameters
    ----------
    base : torch.nn.Module
        The network without its head.
    blocks : torch.nn.ModuleList
        Its blocks.
    given : Uncompressed
        With samples.

    Returns
    -------
    array of shape (n_blocks,)
        1 - cos between a token's state before and after the block, averaged over tokens.
    """
    import torch

    total = np.zeros(len(blocks))

    def add(number: int) -> Any:
        def hook(_: Any, args: tuple[Any, ...], told: dict[str, Any], output: Any) -> None:
            before = args[0] if args else told["hidden_states"]
            after = output[0] if isinstance(output, tuple) else output
            total[number] += float((1 - torch.cosine_similarity(before.float(), after.float(), dim=-1)).sum())

        return hook

    hooks = [block.register_forward_hook(add(number), with_kwargs=True) for number, block in enumerate(blocks)]
    moved = not on_disk(base)  # else its layers are moved when they are used
    if moved:
        base.to(given.blueprint.device)
    with torch.inference_mode():
        for row in given.samples:
            base(input_ids=torch.tensor(row[None], device=given.blueprint.device))
    if moved:
        base.to("cpu")
    for hook in hooks:
        hook.remove()
    return total / given.samples.size


def _block_number(name: str, inside: str) -> int:
    """Number of the block that a linear layer is in; -1 for one outside of blocks."""
    _, found, rest = f".{name}".partition(f".{inside}")
    return int(rest.split(".")[0]) if found else -1


def _shorten(config: Any, kept: list[int]) -> None:
    """Let a config tell of the kept blocks only."""
    kinds = getattr(config, "layer_types", None)
    if kinds is not None:
        config.layer_types = [kinds[number] for number in kept]
    config.num_hidden_layers = len(kept)
    earlier = getattr(config, "kept_blocks", None)
    config.kept_blocks = kept if earlier is None else [earlier[number] for number in kept]
