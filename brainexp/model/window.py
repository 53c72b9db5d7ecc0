"""Which text a word is read in, and which tokens are the word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from brainexp.containers import Stimulus
from brainexp.errors import DataError
from brainexp.interfaces import Frame


@dataclass(frozen=True)
class Window:
    """A word in its context.

    Parameters
    ----------
    text : str
        What the model reads.
    start, stop : int
        Characters of the word in it.
    """

    text: str
    start: int
    stop: int


def windows(stimulus: Stimulus, context_words: int, frame: Frame) -> list[Window]:
    """Put every word at the end of the last ``context_words`` words, itself included.

    Parameters
    ----------
    stimulus : Stimulus
        A story.
    context_words : int
        Words that the model reads; the first words of a story have fewer.
    frame : Frame
        What stands around them.

    Returns
    -------
    list of Window
        One per word. Words are joined with single spaces.
    """
    found = []
    for at, word in enumerate(stimulus.units):
        context = " ".join(stimulus.units[max(0, at + 1 - context_words) : at + 1])
        rendered = frame.render(context)
        stop = rendered.start + len(context)
        found.append(Window(text=rendered.text, start=stop - len(word), stop=stop))
    return found


def tokens_of_word(offsets: Sequence[tuple[int, int]], window: Window, stimulus: Stimulus, at: int) -> tuple[int, int]:
    """First and one past the last token that overlap a word.

    Parameters
    ----------
    offsets : sequence of (int, int)
        Characters of each token; special tokens have zero width.
    window : Window
        Where the word stands.
    stimulus : Stimulus
        For the message.
    at : int
        Which word, for the message.

    Raises
    ------
    DataError
        If the tokenizer made no token of the word.
    """
    inside = [token for token, (start, stop) in enumerate(offsets) if start < window.stop and stop > window.start]
    if not inside:
        raise DataError(
            f"story {stimulus.story!r}: the model's tokenizer makes no token of word {at} ({stimulus.units[at]!r}) at "
            f"{stimulus.onset_s[at]:.2f} s. Correct or remove the word in the transcript."
        )
    return inside[0], inside[-1] + 1
