"""Stretches of tokens, drawn from whole texts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from brainexp.containers import IntArray
from brainexp.errors import ConfigError

#: Of a longer text only the beginning is tokenized: this many tokens, or `POOL` times what is drawn, if that is more.
POOL_TOKENS = 2_000_000
POOL = 4
#: Characters that are tokenized at once, so that a book does not fill the memory.
PIECE = 100_000


def windows(
    texts: Sequence[str], tokenizer: Any, samples: int, tokens: int, seed: int, limit: int | None = None
) -> IntArray:
    """Draw stretches of equal length, none of which overlap.

    Parameters
    ----------
    texts : sequence of str
        Whole texts, put one after the other. Of very long ones only the beginning is drawn from (`POOL_TOKENS`).
    tokenizer : tokenizer of transformers
    samples, tokens : int
        How many stretches, and how long each is.
    seed : int
        Of which are drawn.
    limit : int, optional
        Tokens that the model can read at once.

    Returns
    -------
    array of int of shape (samples, tokens)

    Raises
    ------
    ConfigError
        If the texts are too short, or a stretch is longer than the model can read.
    """
    if limit is not None and tokens > limit:
        raise ConfigError(
            f"calibration: stretches of {tokens} tokens are asked for, but the model reads at most {limit} at once. Give at "
            f"most compression.calibration.tokens={limit}."
        )
    ids = token_numbers(texts, tokenizer, max(POOL_TOKENS, POOL * samples * tokens))
    n_windows = len(ids) // tokens
    if n_windows < samples:
        fits = (
            f"at most compression.calibration.samples={n_windows}, fewer tokens, or a longer text"
            if n_windows
            else f"at most compression.calibration.tokens={len(ids)}, or a longer text"
        )
        raise ConfigError(
            f"calibration: the text has {len(ids):,} tokens, too few for {samples} stretches of {tokens}. Give {fits}."
        )
    chosen = np.sort(np.random.default_rng(seed).choice(n_windows, samples, replace=False))
    return ids[: n_windows * tokens].reshape(n_windows, tokens)[chosen].astype(np.intp)


def token_numbers(texts: Iterable[str], tokenizer: Any, enough: int) -> IntArray:
    """Tokens of texts, one after the other, without special ones, until there are enough; array of shape (n_tokens,)."""
    found, n_tokens = [np.empty(0, np.intp)], 0
    for text in texts:
        for piece in pieces(text, PIECE):
            if n_tokens >= enough:
                return np.concatenate(found)
            found.append(np.asarray(tokenizer(piece, add_special_tokens=False, verbose=False)["input_ids"], np.intp))
            n_tokens += len(found[-1])
    return np.concatenate(found)


def pieces(text: str, length: int) -> Iterator[str]:
    """Cut a text before spaces into pieces of at most about ``length`` characters.

    >>> list(pieces("the fox drank", 5))
    ['the', ' fox', ' drank']
    """
    start = 0
    while len(text) - start > length:
        cut = text.rfind(" ", start + 1, start + length)
        if cut == -1:
            cut = text.find(" ", start + length)
        if cut == -1:
            break
        yield text[start:cut]
        start = cut
    if start < len(text):
        yield text[start:]


def samples_digest(samples: IntArray) -> str:
    """SHA-256 of token numbers and their arrangement, array of any shape; the same on every platform."""
    told = hashlib.sha256(str(samples.shape).encode())
    told.update(np.ascontiguousarray(samples, dtype="<i8").tobytes())
    return told.hexdigest()
