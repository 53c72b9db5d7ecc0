"""What a word, or a sentence, looks like before anybody understands it: its length and how common it is."""

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


def words_per_item(items: Sequence[str]) -> FloatArray:
    """Words of each sentence or other item, array of shape (n_items, 1): what the word rate is where there is no time.

    Dashes and other marks that stand alone are no words; an item without any word counts as one.
    """
    counts = [sum(any(map(str.isalnum, word)) for word in item.split()) for item in items]
    return np.array([[float(max(count, 1))] for count in counts])


def item_length(items: Sequence[str]) -> FloatArray:
    """Letters and digits of each item, and their mean per word, array of shape (n_items, 2)."""
    letters = word_length(items)
    return np.hstack([letters, letters / words_per_item(items)])


def item_frequency(items: Sequence[str], language: str) -> FloatArray:
    """Mean Zipf frequency of each item's words, array of shape (n_items, 1); see `word_frequency`."""
    return np.array([[word_frequency(item.split(), language).mean()] for item in items])
