"""What a word looks like before anybody understands it: its length and how common it is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from brainexp.containers import FloatArray


def word_length(units: Sequence[str]) -> FloatArray:
    """Letters and digits of each word, array of shape (n_units, 1)."""
    return np.array([[float(sum(mark.isalnum() for mark in unit))] for unit in units])


def word_frequency(units: Sequence[str], language: str) -> FloatArray:
    """Zipf frequency of each word: the logarithm to base 10 of its occurrences in a thousand million words.

    Frequencies are those of wordfreq (Speer 2022), as the scale of van Heuven et al. (2014); 0 for unknown words.

    Parameters
    ----------
    units : sequence of str
        Words; marks around them do not matter.
    language : str
        Code of the language, such as "en".

    Returns
    -------
    array of shape (n_units, 1)
    """
    from wordfreq import zipf_frequency

    return np.array([[zipf_frequency(unit, language)] for unit in units])
