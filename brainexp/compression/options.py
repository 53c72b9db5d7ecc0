"""What compressions have in common."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from brainexp.interfaces import Blueprint, Calibration, Claims, Model
from brainexp.registry import COMPRESSIONS


@dataclass(frozen=True)
class Compressing:
    """A method that changes the weights of a network: no text needed, all blocks kept, unless it says otherwise."""

    #: Options may be components themselves.
    __pydantic_config__: ClassVar[dict[str, Any]] = {"arbitrary_types_allowed": True}
    calibration: ClassVar[Calibration | None] = None
    differentiable: ClassVar[bool] = True
    needs_all_weights: ClassVar[str | None] = "it was not written to work on some of them at a time"

    @property
    def label(self) -> str:
        """Its name, and what `_decisive` yields."""
        return " ".join([COMPRESSIONS.name_of(self), *self._decisive()])

    def _decisive(self) -> Iterator[str]:
        """Options that decide how much is lost, in few letters; those left at their defaults only where papers name them."""
        yield from ()

    def objection(self, model: Model) -> str | None:
        """Return why this compression cannot serve the model on this machine, or None."""
        blueprint = model.blueprint()
        method = COMPRESSIONS.name_of(self)
        if model.weights == "random":
            return f"compression {method!r} is for trained weights, but model.weights=random. Give compression=none."
        if blueprint.quantized is not None:
            return (
                f"compression {method!r} needs full weights, but the checkpoint is already quantized "
                f"({blueprint.quantized}). Give compression=none to use it as it is, or the model that it was made from."
            )
        return next((f"compression {method!r}: {why}" for why in self._objections(blueprint)), None)

    def _objections(self, blueprint: Blueprint) -> Iterator[str]:
        """Why this method cannot serve such a network."""
        yield from ()

    def remarks(self, blueprint: Blueprint) -> tuple[str, ...]:
        """Return what the user should know before it is done."""
        return ()

    def after(self, blueprint: Blueprint) -> Blueprint:
        """Return what the network is made of when it is done, for the next step of a recipe."""
        return blueprint

    def blocks_left(self, n_blocks: int) -> int:
        """Return how many blocks remain: all."""
        return n_blocks

    def claims(self, blueprint: Blueprint) -> Claims:
        """Return what will be true of the weights: nothing in particular."""
        return Claims()

    def bits_per_weight(self, shape: tuple[int, int], dense_bits: float) -> float:
        """Return the bits that a weight of a changed linear layer takes, scales and masks included."""
        return dense_bits
