"""Several methods, one after the other: prune, then quantize."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from brainexp.compression.options import Compressing
from brainexp.compression.parts import change
from brainexp.errors import ConfigError
from brainexp.interfaces import Blueprint, Calibration, Claims, Compression, Model, Uncompressed
from brainexp.registry import COMPRESSIONS

#: What a method does to a network, in the order that works: zeros can survive rounding, but not the other way round.
DEEDS = ("drops blocks", "makes zeros or lowers the rank", "quantizes")


@COMPRESSIONS.register("recipe")
@dataclass(frozen=True)
class Recipe(Compressing):
    """Each step starts from the network that the last one left; zeros that a step has made are zeros in the end.

    Parameters
    ----------
    steps : tuple of Compression
        In their order, such as [{name: wanda, sparsity: 0.5}, {name: rtn, bits: 4}]: blocks are dropped first, weights pruned
        next and quantized last, each at most once and in the same layers. Steps that need text read the same.

    Notes
    -----
    Methods that round weights and make up for it by moving others, as GPTQ does, fill some of the zeros. These are set to
    zero again, which every grid of theirs has.
    """

    steps: tuple[Compression, ...]

    def __post_init__(self) -> None:
        names = [COMPRESSIONS.name_of(step) for step in self.steps]
        if not names or {"none", "recipe"} & {*names}:
            raise ConfigError(f"compression 'recipe': steps must be methods that compress, got {names}")
        texts = [step.calibration for step in self.steps if step.calibration is not None]
        if any(text != texts[0] for text in texts):
            raise ConfigError(
                f"compression 'recipe': steps must read the same calibration, got {texts}. Give each the same."
            )

    @property
    def label(self) -> str:
        """Those of its steps, such as "wanda 50 % + rtn w4 g128"."""
        return " + ".join(step.label for step in self.steps)

    @property
    def calibration(self) -> Calibration | None:  # type: ignore[override]
        """The text that its steps read, or None."""
        return next((step.calibration for step in self.steps if step.calibration is not None), None)

    @property
    def differentiable(self) -> bool:  # type: ignore[override]
        """Whether gradients flow through the compressed weights."""
        return all(step.differentiable for step in self.steps)

    @property
    def needs_all_weights(self) -> str | None:  # type: ignore[override]
        """Return why a step needs all weights in memory at once, or None."""
        return next((step.needs_all_weights for step in self.steps if step.needs_all_weights is not None), None)

    def objection(self, model: Model) -> str | None:
        """Return why the steps cannot serve the model in this order, or None."""
        blueprint = model.blueprint()
        last, changed = -1, None
        for number, step in enumerate(self.steps, 1):
            title = f"compression 'recipe', step {number} ({COMPRESSIONS.name_of(step)})"
            why = step.objection(_Between(model, blueprint))
            if why is not None:
                return f"compression 'recipe', step {number}: {why}"
            deed, modules = _deed(step, blueprint), step.claims(blueprint).modules
            if deed <= last:
                return f"{title} {DEEDS[deed]}, which must not follow a step that {DEEDS[last]}. Change the order."
            if deed == 1 and COMPRESSIONS.name_of(step) == "low_rank" and number < len(self.steps):
                return f"{title}: a product of thin matrices that is rounded is none any more. Let it be the last step."
            if modules and changed is not None and {*modules} != {*changed}:
                return (
                    f"{title} changes {len(modules)} layers, but the step before it {len(changed)}: what a weight costs is "
                    "counted for layers that all steps change. Give them the same modules."
                )
            last, changed = deed, modules or changed
            blueprint = step.after(blueprint)
        return None

    def _walk(self, blueprint: Blueprint) -> Iterator[tuple[Compression, Blueprint]]:
        """Every step, and what it starts from."""
        for step in self.steps:
            yield step, blueprint
            blueprint = step.after(blueprint)

    def remarks(self, blueprint: Blueprint) -> tuple[str, ...]:
        """Return what the user should know of any step."""
        return tuple(remark for step, left in self._walk(blueprint) for remark in step.remarks(left))

    def blocks_left(self, n_blocks: int) -> int:
        """Return how many blocks remain after all steps."""
        for step in self.steps:
            n_blocks = step.blocks_left(n_blocks)
        return n_blocks

    def after(self, blueprint: Blueprint) -> Blueprint:
        """Return what the network is made of after all steps."""
        for step in self.steps:
            blueprint = step.after(blueprint)
        return blueprint

    def claims(self, blueprint: Blueprint) -> Claims:
        """Return what will be true of the weights: all that the steps claim, together."""
        told: dict[str, Any] = {}
        for step, left in self._walk(blueprint):
            claims = step.claims(left)
            told |= {key: value for key, value in vars(claims).items() if value != getattr(Claims(), key)}
        return Claims(**told)

    def bits_per_weight(self, shape: tuple[int, int], dense_bits: float) -> float:
        """Return bits of a weight: what pruning leaves of those that quantization needs."""
        for step in reversed(self.steps):
            dense_bits = step.bits_per_weight(shape, dense_bits)
        return dense_bits

    def compress(self, given: Uncompressed) -> Any:
        """Return the network after the last step."""
        zeros: dict[str, Any] = {}
        for step, blueprint in self._walk(given.blueprint):
            network = step.compress(replace(given, blueprint=blueprint))
            _restore(network, zeros)
            claims = step.claims(blueprint)
            if claims.sparsity is not None:
                zeros = {name: _packed(network.get_submodule(name).weight == 0) for name in claims.modules}
            given = replace(given, network=_reader(network))
        return network


def _deed(step: Compression, blueprint: Blueprint) -> int:
    """What a step does, as a place in `DEEDS`."""
    if step.blocks_left(blueprint.n_blocks) < blueprint.n_blocks:
        return 0
    return 1 if step.claims(blueprint).bits is None else 2


def _restore(network: Any, zeros: Mapping[str, Any]) -> None:
    """Set to zero what was zero before; where weights are packed already, their grid has kept it."""
    if not zeros:
        return
    import torch

    for name, (shape, were_zero) in zeros.items():
        layer = network.get_submodule(name)
        weight = layer.weight.detach()
        if weight.is_floating_point() and weight.shape == shape:
            mask = torch.from_numpy(np.unpackbits(were_zero, count=weight.numel()).astype(bool)).reshape(shape)
            change(layer, weight.masked_fill(mask.to(weight.device), 0))


def _packed(mask: Any) -> tuple[Any, Any]:
    """Return the shape of a mask and its values, eight to a byte: there is one for every weight of the network."""
    return mask.shape, np.packbits(mask.cpu().numpy())


def _reader(network: Any) -> Callable[..., Any]:
    """Return what reads a network: as it is, or, with options of ``from_pretrained``, from a folder that is soon gone."""

    def read(**options: Any) -> Any:
        if not options:
            return network
        with TemporaryDirectory() as folder:
            network.save_pretrained(folder)
            return type(network).from_pretrained(folder, **{"dtype": network.dtype, **options}).eval()

    return read


class _Between:
    """A model as an earlier step leaves it, not yet made."""

    def __init__(self, model: Model, blueprint: Blueprint) -> None:
        self._model, self._blueprint = model, blueprint

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def blueprint(self) -> Blueprint:
        """Return what it is made of."""
        return self._blueprint
