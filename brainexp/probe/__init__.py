"""What the model still knows: one module per probe."""

from brainexp.probe import (
    erasure,
    holmes,
    knowledge,
    lm_eval,
    minimal_pairs,
    perplexity,
    senteval,
    ud,
    word_length,
)

__all__ = ["erasure", "holmes", "knowledge", "lm_eval", "minimal_pairs", "perplexity", "senteval", "ud", "word_length"]
