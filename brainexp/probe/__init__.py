"""What the model still knows: one module per probe."""

from brainexp.probe import word_length

__all__ = ["word_length"]
