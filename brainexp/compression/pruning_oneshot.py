"""What the pruning methods of llm-compressor share: they look at calibration text, block after block."""

from __future__ import annotations

import importlib.util
from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from brainexp.compression.calibration.grammar import GrammarText
from brainexp.compression.oneshot import oneshot
from brainexp.compression.options import Compressing
from brainexp.compression.scope import chosen, named, objection
from brainexp.errors import ConfigError, ModelError
from brainexp.interfaces import Blueprint, Calibration, Claims, Uncompressed
from brainexp.registry import COMPRESSIONS


@dataclass(frozen=True)
class OneShotPruning(Compressing):
    """Options of every method that prunes by what calibration text does in each layer.

    Parameters
    ----------
    sparsity : float
        Share of the chosen layers' weights that becomes zero, between 0 and 1.
    two_of_four : bool
        Whether two of every four neighbouring inputs become zero, as some hardware wants it; sparsity is then 0.5.
    modules : {"all", "attention", "feed_forward"}
        Which linear layers (see `brainexp.compression.scope`). All is every one but the head.
    calibration : Calibration
        The text.

    Notes
    -----
    llm-compressor's ``sparsity_profile="owl"`` (a share per layer) is not offered: in 0.14 it ends with "Cannot invoke event
    before initializing".
    """

    needs_all_weights: ClassVar[str | None] = None

    sparsity: float = 0.5
    two_of_four: bool = False
    modules: Literal["all", "attention", "feed_forward"] = "all"
    calibration: Calibration = field(default_factory=GrammarText)  # type: ignore[misc]  # methods without text have None

    def __post_init__(self) -> None:
        name = COMPRESSIONS.name_of(self)
        if not 0 < self.sparsity < 1:
            raise ConfigError(f"compression {name!r}: sparsity must lie between 0 and 1, got {self.sparsity}")
        if self.two_of_four and self.sparsity != 0.5:
            raise ConfigError(
                f"compression {name!r}: two_of_four makes half of the weights zero, so sparsity must be 0.5, "
                f"got {self.sparsity}"
            )

    def _decisive(self) -> Iterator[str]:
        yield "2:4" if self.two_of_four else f"{100 * self.sparsity:.4g} %"
        yield from named(self.modules)

    def _objections(self, blueprint: Blueprint) -> Iterator[str]:
        if importlib.util.find_spec("llmcompressor") is None:
            yield "it needs llm-compressor, which is not installed. Install it: pip install brainexp[compress]"
        yield from filter(None, [objection(blueprint, self.modules)])
        if blueprint.transposed:
            yield f"llm-compressor does not know the linear layers of a {blueprint.family}. Give compression=magnitude."
        if blueprint.reads == "encoder-decoder":
            yield "llm-compressor cannot follow a network of two halves. Give compression=magnitude."
        if not chosen(blueprint, "attention"):
            yield f"a {blueprint.family} uses weights past its linear layers. Give compression=magnitude."
        if not chosen(
            blueprint, "feed_forward"
        ):  # llm-compressor unstacks the experts, and saves what cannot be read again
            yield f"llm-compressor cannot save a {blueprint.family} with its experts. Give compression=magnitude."
        odd = [name for name in chosen(blueprint, self.modules) if blueprint.linear[name][1] % 4]
        if self.two_of_four and odd:
            yield f"{odd[0]} has {blueprint.linear[odd[0]][1]} inputs, no multiple of 4. Give two_of_four=false."

    def claims(self, blueprint: Blueprint) -> Claims:
        """Return the share of zeros, to one weight."""
        names = chosen(blueprint, self.modules)
        shapes = [blueprint.linear[name] for name in names]
        zeros = [self._zeros(shape) for shape in shapes]
        sizes = [n_outputs * n_inputs for n_outputs, n_inputs in shapes]
        shares = {n_zero / size for n_zero, size in zip(zeros, sizes, strict=True)}
        return Claims(
            modules=names,
            sparsity=sum(zeros) / sum(sizes),
            in_each=len(shares) == 1,
            two_of_four=self.two_of_four,
        )

    @abstractmethod
    def _zeros(self, shape: tuple[int, int]) -> int:
        """How many weights of a layer become zero."""

    def bits_per_weight(self, shape: tuple[int, int], dense_bits: float) -> float:
        """Return bits of what is left and of the mask: one bit per weight, also of the two numbers among four."""
        return min(dense_bits * (1 - self.sparsity) + 1, dense_bits)

    @abstractmethod
    def _modifier(self, names: list[str], shapes: list[tuple[int, int]]) -> Any:
        """What llmcompressor shall do to the layers."""

    def compress(self, given: Uncompressed) -> Any:
        """Return the network with zeros in it, held as any other."""
        names = list(chosen(given.blueprint, self.modules))
        shapes = [given.blueprint.linear[name] for name in names]
        network = pruned(given, lambda: self._modifier(names, shapes))
        whole = [name for name in names if not (network.get_submodule(name).weight == 0).any()]
        if whole:
            raise ModelError(f"compression {COMPRESSIONS.name_of(self)!r} left {whole[0]} as it was.")
        return network


def pruned(given: Uncompressed, modifier: Callable[[], Any]) -> Any:
    """Return a network that llm-compressor has changed, otherwise as transformers had made it.

    Parameters
    ----------
    given : Uncompressed
        With samples.
    modifier : callable
        Gives the modifier of llm-compressor.
    """
    network = oneshot(given, lambda: [modifier()])
    del network.save_pretrained  # theirs is for quantized weights
    return network
