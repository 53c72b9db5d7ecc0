"""From features to responses: one module per encoder."""

from brainexp.encoder import huth_bootstrap, litcoder, ridge

__all__ = ["huth_bootstrap", "litcoder", "ridge"]
