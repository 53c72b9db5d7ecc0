"""What makes a model smaller: one module per method."""

from brainexp.compression import magnitude, none, sparsegpt, wanda

__all__ = ["magnitude", "none", "sparsegpt", "wanda"]
