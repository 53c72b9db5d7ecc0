"""From features to responses: one module per encoder."""

from brainexp.encoder import ridge

__all__ = ["ridge"]
