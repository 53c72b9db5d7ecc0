"""Stretches of tokens, drawn from whole texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from brainexp.containers import IntArray
from brainexp.errors import ConfigError


def windows(texts: Sequence[str], tokenizer: Any, samples: int, tokens: int, seed: int) -> IntArray:
    """Draw stretches of equal length, none of which overlap.

    Parameters
    ----------
    texts : sequence of str
        Whole texts, put one after the other.
    tokenizer : tokenizer of transformers
    samples, tokens : int
        How many stretches, and how long each is.
    seed : int
        Of which are drawn.

    Returns
    -------
    array of int of shape (samples, tokens)

    Raises
    ------
    ConfigError
        If the texts are too short.
    """
    ids = np.concatenate([tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"] for text in texts])
    n_windows = len(ids) // tokens
    if n_windows < samples:
        raise ConfigError(
            f"calibration: the text has {len(ids):,} tokens, too few for {samples} stretches of {tokens}. Give at most "
            f"compression.calibration.samples={n_windows}, fewer tokens, or a longer text."
        )
    chosen = np.sort(np.random.default_rng(seed).choice(n_windows, samples, replace=False))
    return ids[: n_windows * tokens].reshape(n_windows, tokens)[chosen].astype(np.intp)
