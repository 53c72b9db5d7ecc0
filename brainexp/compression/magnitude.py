"""Set the smallest weights to zero, or random ones as a control, with PyTorch's own pruning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from brainexp.compression.options import Compressing
from brainexp.compression.parts import change
from brainexp.compression.scope import Modules, chosen, named, objection, remarks
from brainexp.errors import ConfigError
from brainexp.interfaces import Blueprint, Claims, Uncompressed
from brainexp.progress import progress
from brainexp.registry import COMPRESSIONS


@COMPRESSIONS.register("magnitude")
@dataclass(frozen=True)
class Magnitude(Compressing):
    """Pruning without calibration and without training anew.

    Parameters
    ----------
    sparsity : float
        Share of the chosen layers' weights that becomes zero, between 0 and 1.
    modules : {"all", "attention", "feed_forward", "head"}
        Which linear layers (see `brainexp.compression.scope`). All is every one but the head. A head that shares its weights
        with the embedding gets a copy first, so the embedding stays as it is.
    across : {"model", "layer"}
        Whether weights compete over all chosen layers, where whole layers may vanish, or within each. The first needs room
        for every score at once, some 20 bytes per weight.
    criterion : {"magnitude", "random", "structured_magnitude", "structured_random"}
        What goes: the smallest weights or any; structured, whole outputs of a layer, by the sum of their magnitudes or any.
    seed : int
        Of the random ones.

    Notes
    -----
    ``MagnitudePruningModifier`` of llm-compressor 0.14 is of no use here: in a one-shot run it changes nothing and says
    nothing.
    """

    sparsity: float = 0.5
    modules: Modules = "all"
    across: Literal["model", "layer"] = "layer"
    criterion: Literal["magnitude", "random", "structured_magnitude", "structured_random"] = "magnitude"
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.sparsity < 1:
            raise ConfigError(f"compression 'magnitude': sparsity must lie between 0 and 1, got {self.sparsity}")
        if self._structured and self.across == "model":
            raise ConfigError(
                f"compression 'magnitude': whole outputs compete within a layer, so criterion={self.criterion} needs "
                "across=layer"
            )

    @property
    def needs_all_weights(self) -> str | None:  # type: ignore[override]
        """Return why the weights of all layers must be in memory at once, or None."""
        if self.across == "model":
            return "weights of all layers compete; give compression.across=layer"
        return "a head may share its weights with the embedding" if self.modules == "head" else None

    @property
    def _structured(self) -> bool:
        return self.criterion.startswith("structured")

    @property
    def label(self) -> str:
        """What goes and how much, such as "magnitude 50 %" or "structured_random 10 % attention"."""
        return " ".join([self.criterion, *self._decisive()])

    def _decisive(self) -> Iterator[str]:
        yield f"{100 * self.sparsity:.4g} %"
        yield from named(self.modules)
        if self.across == "model":
            yield "across model"

    def _objections(self, blueprint: Blueprint) -> Iterator[str]:
        yield from filter(None, [objection(blueprint, self.modules)])

    def remarks(self, blueprint: Blueprint) -> tuple[str, ...]:
        """Say so if no feature will change."""
        return remarks(self.modules)

    def claims(self, blueprint: Blueprint) -> Claims:
        """Return the share of zeros, to one weight."""
        names = chosen(blueprint, self.modules)
        sizes = [blueprint.linear[name][0] * blueprint.linear[name][1] for name in names]
        if self.across == "model":
            return Claims(modules=names, sparsity=round(self.sparsity * sum(sizes)) / sum(sizes))
        zeros = [self._zeros(blueprint.linear[name]) for name in names]
        shares = {n_zero / size for n_zero, size in zip(zeros, sizes, strict=True)}
        return Claims(modules=names, sparsity=sum(zeros) / sum(sizes), in_each=len(shares) == 1)

    def _zeros(self, shape: tuple[int, int]) -> int:
        """How many weights of a layer become zero, rounded as PyTorch does."""
        n_outputs, n_inputs = shape
        if self._structured:
            return round(self.sparsity * n_outputs) * n_inputs
        return round(self.sparsity * n_outputs * n_inputs)

    def bits_per_weight(self, shape: tuple[int, int], dense_bits: float) -> float:
        """Return bits of what is left and of the mask: a bit per weight, or per output where whole ones go."""
        mask_bits = 1 / shape[1] if self._structured else 1.0
        return min(dense_bits * (1 - self.sparsity) + mask_bits, dense_bits)

    def compress(self, given: Uncompressed) -> Any:
        """Return the network with zeros in it, held as any other."""
        import torch

        network = given.network()
        names = chosen(given.blueprint, self.modules)
        if self.modules == "head":
            untie_head(network)
        layers = {name: network.get_submodule(name) for name in names}
        outputs = {name: 1 if name in given.blueprint.transposed else 0 for name in names}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self._prune(layers, outputs)
        return network

    def _prune(self, layers: Mapping[str, Any], outputs: Mapping[str, int]) -> None:
        """Set weights of the layers to zero; ``outputs`` is along which axis of its weights a layer's outputs lie."""
        prune = _pytorch()
        if self.across == "model":
            kind = prune.L1Unstructured if self.criterion == "magnitude" else prune.RandomUnstructured
            prune.global_unstructured([(layer, "weight") for layer in layers.values()], kind, amount=self.sparsity)
            for layer in layers.values():
                prune.remove(layer, "weight")
            return
        for name, layer in progress(layers.items(), len(layers), "pruning"):
            match self.criterion:
                case "magnitude":
                    rule = prune.L1Unstructured(self.sparsity)
                case "random":
                    rule = prune.RandomUnstructured(self.sparsity)
                case "structured_magnitude":
                    rule = prune.LnStructured(self.sparsity, n=1, dim=outputs[name])
                case "structured_random":
                    rule = prune.RandomStructured(self.sparsity, dim=outputs[name])
            change(layer, rule.prune(layer.weight.detach()))


def _pytorch() -> Any:
    from torch.nn.utils import prune  # which has no types

    return prune


def untie_head(network: Any) -> None:
    """Give a head weights of its own where it shares those of the embedding.

    Parameters
    ----------
    network : transformers.PreTrainedModel
        With its head; changed in place.
    """
    import torch

    head = network.get_output_embeddings()
    if head is None or head.weight is not network.get_input_embeddings().weight:
        return
    for name, shared in list(head.named_parameters(recurse=False)):
        setattr(head, name, torch.nn.Parameter(shared.detach().clone()))
    if not network.config.is_encoder_decoder:  # whose halves share the embedding too: there, values that differ untie
        network.config.tie_word_embeddings = False
