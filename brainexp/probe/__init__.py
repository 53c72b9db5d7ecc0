"""What the model still knows: one module per probe."""

from brainexp.probe import holmes, minimal_pairs, senteval, ud, word_length

__all__ = ["holmes", "minimal_pairs", "senteval", "ud", "word_length"]
