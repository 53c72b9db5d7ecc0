"""From features to responses: one module per encoder."""

from brainexp.encoder import banded_ridge, huth_bootstrap, litcoder, ridge, stacked

__all__ = ["banded_ridge", "huth_bootstrap", "litcoder", "ridge", "stacked"]
