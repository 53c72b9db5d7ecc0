"""What the model still knows: one module per probe."""

from brainexp.probe import holmes, knowledge, minimal_pairs, perplexity, senteval, ud, word_length

__all__ = ["holmes", "knowledge", "minimal_pairs", "perplexity", "senteval", "ud", "word_length"]
