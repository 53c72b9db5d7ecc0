"""Leave the model as it is."""

from __future__ import annotations

from dataclasses import dataclass

from brainexp.interfaces import LoadedModel, Model
from brainexp.registry import COMPRESSIONS


@COMPRESSIONS.register("none")
@dataclass(frozen=True)
class NoCompression:
    """The identity: the reference that every compression is compared with."""

    def objection(self, model: Model) -> str | None:
        """Return None: it serves every model."""
        return None

    def compress(self, model: LoadedModel) -> LoadedModel:
        """Return the model that was handed in."""
        return model
