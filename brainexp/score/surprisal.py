"""How well words were predicted, from the losses of their tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from brainexp.containers import FloatArray, Likelihoods


def perplexities(losses: FloatArray, words: Sequence[str], ends: Sequence[int]) -> dict[str, float]:
    """Perplexity of a text, over all words but the first, which only is context: the same for any tokenizer.

    Parameters
    ----------
    losses : array of shape (n_tokens - 1,)
        -log p, in nats, of all tokens but the first.
    words : sequence of str
        The text, joined by single spaces.
    ends : sequence of int
        After which character each token ends.

    Returns
    -------
    dict of str to float
        ``perplexity`` (per token), ``perplexity_per_word`` and ``bits_per_byte``.
    """
    after_first = next(at for at, end in enumerate(ends) if end > len(words[0]))
    scored = losses[after_first - 1 :]
    n_bytes = len(" ".join(["", *words[1:]]).encode())
    return {
        "perplexity": math.exp(scored.mean()),
        "perplexity_per_word": math.exp(scored.sum() / (len(words) - 1)),
        "bits_per_byte": float(scored.sum()) / math.log(2) / n_bytes,
    }


def word_surprisal(found: Likelihoods, words: Sequence[str]) -> FloatArray:
    """Surprisal of each word: -log2 p, summed over its tokens.

    Parameters
    ----------
    found : Likelihoods
        Of the words joined by single spaces. A token belongs to the word in which it ends, so that a space before a word
        is the word's.
    words : sequence of str

    Returns
    -------
    array of shape (n_words,), in bits
        NaN where a token of the word has no probability, or where the word has no token that ends in it.
    """
    ends = np.cumsum([len(word) + 1 for word in words]) - 1
    word = np.searchsorted(ends, found.stop - 1, side="right")
    bits = np.zeros(len(words))
    np.add.at(bits, word, -found.log_p / math.log(2))
    bits[np.bincount(word, minlength=len(words)) == 0] = np.nan
    return bits
