"""Leave the model as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from brainexp.compression.options import Compressing
from brainexp.interfaces import Model, Uncompressed
from brainexp.registry import COMPRESSIONS


@COMPRESSIONS.register("none")
@dataclass(frozen=True)
class NoCompression(Compressing):
    """The identity: the reference that every compression is compared with."""

    def objection(self, model: Model) -> str | None:
        """Return None: it serves every model."""
        return None

    def compress(self, given: Uncompressed) -> Any:
        """Return the network as it is."""
        return given.network()
