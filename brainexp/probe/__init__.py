"""What the model still knows: one module per probe."""

from brainexp.probe import erasure, holmes, knowledge, minimal_pairs, senteval, ud, word_length

__all__ = ["erasure", "holmes", "knowledge", "minimal_pairs", "senteval", "ud", "word_length"]
