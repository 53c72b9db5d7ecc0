"""Which words a word is read with, the text that they make, and which of its tokens are the word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

import numpy as np

from brainexp.containers import IntArray, Passage, Stimulus
from brainexp.errors import DataError
from brainexp.interfaces import Frame

Mode = Literal["window", "growing", "sliding", "sentence"]

SENTENCE_ENDS = (".", "!", "?", "…", "。", "！", "？")
CLOSING_MARKS = "\"'”’)]}»"
#: Words with a full stop that end no sentence, beside initials such as "J."
ABBREVIATIONS = frozenset({"mr.", "mrs.", "ms.", "dr.", "st.", "prof.", "gen.", "capt.", "vs.", "e.g.", "i.e."})


@dataclass(frozen=True, eq=False)
class Reading:
    """A text that the model reads in one pass, and the words whose features it gives.

    Parameters
    ----------
    text : str
        What the model reads.
    first : int
        Number in the story of the first word in the text.
    wanted : int
        Number of the first word whose features are taken; all words from there to the last one are wanted.
    start, stop : array of int of shape (n_words,)
        Characters of each word in the text.
    """

    text: str
    first: int
    wanted: int
    start: IntArray
    stop: IntArray

    @property
    def words(self) -> range:
        """Numbers of the wanted words."""
        return range(self.wanted, self.first + len(self.start))


def first_words(stimulus: Stimulus, mode: Mode, context_words: int | None, stride_words: int | None) -> IntArray:
    """For every word, the number of the first word that it is read with.

    With N = ``context_words``, S = ``stride_words`` and i the word's number, a word sees, itself included,

    ========  ==========================================================================  ===============
    mode      words                                                                       how many
    ========  ==========================================================================  ===============
    window    the last N                                                                  N
    growing   all since the context was last cut; when N are reached, N // 2 are kept     N // 2 + 1 to N
    sliding   those of the first chunk that holds it; chunks of N words start every S     N - S + 1 to N
    sentence  its sentence                                                                1 to N
    ========  ==========================================================================  ===============

    The first N words of a story have what there is: 1 to N. None for N means that nothing is cut. Units that were presented
    separately, such as sentences of an item list, are read alone in every mode. Where units are sentences of a passage, they
    are what is counted.

    Parameters
    ----------
    stimulus : Stimulus
        A story.
    mode : {"window", "growing", "sliding", "sentence"}
        A sentence ends with a word that ends in one of ``. ! ? …`` (closing quotes and brackets after it do not count),
        initials and ``ABBREVIATIONS`` excepted.
    context_words : int or None
        N; in mode sentence, the longest sentence that is allowed.
    stride_words : int or None
        S, in mode sliding only; None for an eighth of N.

    Returns
    -------
    array of int of shape (n_units,)
        Never decreasing.

    Raises
    ------
    DataError
        If a sentence is longer than ``context_words``.

    Notes
    -----
    Growing is the context of Antonello, Vaidya & Huth (2023), there with N = 512.
    """
    number = np.arange(len(stimulus.units))
    if stimulus.separate:
        return number
    if mode == "sentence":
        return _sentence_starts(stimulus, context_words)
    if context_words is None:
        return np.zeros_like(number)
    if mode == "window":
        return np.maximum(number + 1 - context_words, 0)
    stride = context_words - context_words // 2 if mode == "growing" else stride_words or max(context_words // 8, 1)
    return np.maximum(-(-(number + 1 - context_words) // stride), 0) * stride


def _sentence_starts(stimulus: Stimulus, longest: int | None) -> IntArray:
    starts = np.zeros(len(stimulus.units), np.intp)
    for at in range(1, len(starts)):
        starts[at] = at if _ends_sentence(stimulus.units[at - 1]) else starts[at - 1]
        n_words = at + 1 - starts[at]
        if longest is not None and n_words > longest:
            raise DataError(
                f"story {stimulus.story!r}: the sentence that starts with word {starts[at]} "
                f"({stimulus.units[starts[at]]!r}) at {stimulus.onset_s[starts[at]]:.2f} s has more than {longest} words. "
                "Raise model.context_words, or give null for no limit. A transcript without punctuation has no "
                "sentences: use another model.context."
            )
    return starts


def _ends_sentence(word: str) -> bool:
    bare = word.rstrip(CLOSING_MARKS)
    initial = len(bare) == 2 and bare[0].isupper() and bare[0] != "I"
    return bare.endswith(SENTENCE_ENDS) and not (bare.endswith(".") and (initial or bare.lower() in ABBREVIATIONS))


def readings(stimulus: Stimulus, first: IntArray, frame: Frame, *, shared: bool) -> list[Reading]:
    """Make the texts that give every word its features.

    Parameters
    ----------
    stimulus : Stimulus
        A story.
    first : array of int of shape (n_units,)
        What ``first_words`` gives.
    frame : Frame
        What stands around the words.
    shared : bool
        Whether words with the same first word are taken from one pass. In a causal model that changes nothing, for a word
        does not see what comes after it; in a bidirectional one, a word then sees later words.

    Returns
    -------
    list of Reading
        Every word is wanted in exactly one. Words are joined with single spaces.
    """
    words = range(len(stimulus.units))
    groups = [list(group) for _, group in groupby(words, key=first.__getitem__)] if shared else [[at] for at in words]
    n_chars = np.array([len(word) for word in stimulus.units])
    found = []
    for group in groups:
        begin, end = int(first[group[0]]), group[-1] + 1
        rendered = frame.render(" ".join(stimulus.units[begin:end]))
        stop = rendered.start + np.cumsum(n_chars[begin:end] + 1) - 1
        found.append(Reading(rendered.text, begin, group[0], start=stop - n_chars[begin:end], stop=stop))
    return found


def tokens_of_words(
    offsets: Sequence[tuple[int, int]], reading: Reading, stimulus: Stimulus
) -> tuple[IntArray, IntArray]:
    """First, and one past the last, token of every wanted word.

    A token belongs to the word whose characters it overlaps, so a space before a word may be part of its first token.

    Parameters
    ----------
    offsets : sequence of (int, int)
        Characters of each token; special tokens have zero width and belong to no word.
    reading : Reading
        Where the words stand.
    stimulus : Stimulus
        For the message.

    Returns
    -------
    start, stop : array of int of shape (n_wanted,)

    Raises
    ------
    DataError
        If the tokenizer made no token of a word, or one token of a word and something else.
    """
    begins, ends = np.asarray(offsets, np.intp).reshape(-1, 2).T
    word = np.searchsorted(reading.stop, begins, side="right")  # the first that ends after the token begins
    last = np.searchsorted(reading.start, ends, side="left") - 1  # the last that begins before the token ends
    inside = (ends > begins) & (word <= last)
    outside = (begins < len(reading.text[: reading.start[0]].rstrip())) | (
        ends > len(reading.text) - len(reading.text[reading.stop[-1] :].lstrip())
    )  # in the prompt, whose spaces may come along
    before = reading.wanted - reading.first
    merged = np.flatnonzero(inside & (last >= before) & ((word < last) | outside))
    if merged.size:
        begin, end = int(begins[merged[0]]), int(ends[merged[0]])
        raise _unreadable(
            stimulus,
            reading.first + int(max(word[merged[0]], before)),
            f"makes one token, {reading.text[begin:end]!r}, of it and its neighbour",
        )
    token = np.flatnonzero(inside)
    start, stop = np.full(len(reading.start), len(begins)), np.zeros(len(reading.start), np.intp)
    np.minimum.at(start, word[token], token)
    np.maximum.at(stop, word[token], token + 1)
    dropped = np.flatnonzero(stop[before:] == 0)
    if dropped.size:
        raise _unreadable(stimulus, reading.wanted + int(dropped[0]), "makes no token of it")
    return start[before:], stop[before:]


def tokens_of_stretches(offsets: Sequence[tuple[int, int]], passage: Passage) -> tuple[IntArray, IntArray]:
    """First, and one past the last, token that overlaps each stretch of a passage.

    Two stretches may share a token, for a tokenizer may join neighbours.

    Parameters
    ----------
    offsets : sequence of (int, int)
        Characters of each token; special tokens have zero width and belong to no stretch.
    passage : Passage
        Where the stretches are.

    Returns
    -------
    start, stop : array of int of shape (n_stretches,)

    Raises
    ------
    DataError
        If the tokenizer made no token of a stretch.
    """
    begins, ends = np.asarray(offsets, np.intp).reshape(-1, 2).T
    found = []
    for start, stop in passage.parts:
        token = np.flatnonzero((begins < stop) & (ends > start) & (ends > begins))
        if not token.size:
            raise DataError(
                f"the model's tokenizer makes no token of {passage.text[start:stop]!r} in {passage.text[:80]!r}. Correct or "
                "remove the passage, or use another model."
            )
        found.append((token[0], token[-1] + 1))
    starts, stops = np.array(found, np.intp).T
    return starts, stops


def _unreadable(stimulus: Stimulus, at: int, what: str) -> DataError:
    around = " ".join(stimulus.units[max(0, at - 3) : at + 4])
    return DataError(
        f"story {stimulus.story!r}: word {at} ({stimulus.units[at]!r}) at {stimulus.onset_s[at]:.2f} s, in {around!r}: "
        f"the model's tokenizer {what}. Correct or remove the word in the transcript, or use another model."
    )
