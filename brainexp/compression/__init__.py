"""What makes a model smaller: one module per method."""

from brainexp.compression import layer_drop, low_rank, magnitude, none, recipe, sparsegpt, wanda

__all__ = ["layer_drop", "low_rank", "magnitude", "none", "recipe", "sparsegpt", "wanda"]
