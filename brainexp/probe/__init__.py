"""What the model still knows: one module per probe."""

from brainexp.probe import holmes, word_length

__all__ = ["holmes", "word_length"]
