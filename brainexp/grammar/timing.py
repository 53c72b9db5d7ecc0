"""When each word is spoken: length, jitter, pauses."""

import numpy as np

LETTER_S = 0.04
BASE_S = 0.11
JITTER = 0.18
#: Silence after a mark, in seconds: lowest and highest.
PAUSES_S = {",": (0.2, 0.4), ".": (0.4, 0.9), "?": (0.4, 0.9)}


def spoken(texts: list[str], rng: np.random.Generator) -> tuple[list[float], list[float]]:
    """Onsets and offsets of words that are read aloud at about 2.6 words a second.

    A word takes a base time and a time for each letter, times a factor drawn uniformly around one.
    Times are whole milliseconds.

    Parameters
    ----------
    texts : list of str
        Words with the marks that follow them.
    rng : np.random.Generator

    Returns
    -------
    onsets_s, offsets_s : list of float, in seconds
        Each word ends no later than the next one begins.
    """
    lengths = np.array([len(text.rstrip(".,?")) for text in texts], dtype=float)
    jitter, silence = rng.random((2, len(texts)))
    duration_s = (BASE_S + LETTER_S * lengths) * (1 + JITTER * (2 * jitter - 1))
    low, high = np.array([PAUSES_S.get(text[-1], (0.0, 0.0)) for text in texts]).reshape(-1, 2).T
    spoken_ms = np.rint(1000 * duration_s).astype(np.int64)
    pause_ms = np.rint(1000 * (low + silence * (high - low))).astype(np.int64)
    offsets = np.cumsum(spoken_ms + pause_ms) - pause_ms
    return ((offsets - spoken_ms) / 1000).tolist(), (offsets / 1000).tolist()
