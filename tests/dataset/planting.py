"""What replicas of datasets are made of: words and sentences, and responses with a planted answer."""

from __future__ import annotations

import numpy as np

from brainexp.align.downsample import total
from brainexp.containers import Clock
from brainexp.dataset.cortex import haemodynamic_response

#: A story's words are drawn from these; the tiny models know some of them.
WORDS = "the a old dog saw ran home and then slowly understood that extraordinary grandmother she it was in of mountain".split()
WORDS_PER_S = 1.5
N_VOXELS = 20
#: The first half of the voxels.
RESPONDS = np.arange(N_VOXELS) < N_VOXELS // 2
EXPLAINED = 0.6


def told(story: str, seconds: float):
    """Words of a story with their times, the same whenever it is told."""
    rng = np.random.default_rng(list(story.encode()))
    n_words = int((seconds - 2) * WORDS_PER_S)
    gaps = rng.gamma(2.0, 0.5 / WORDS_PER_S, n_words)
    onset = 1.0 + np.cumsum(gaps) * (seconds - 3) / gaps.sum()
    units = rng.choice(WORDS, n_words)
    return units, onset, np.minimum(onset + 0.05 + 0.02 * np.char.str_len(units), np.append(onset[1:], onset[-1] + 0.3))


def textgrid(story: str, seconds: float, tiers: tuple = ("phone", "word"), silence: str = "sp") -> str:
    """A Praat TextGrid with a tier of phones and one of words, silence between them."""
    units, onset, offset = told(story, seconds)
    edges = [(0.0, onset[0], silence)]
    for at, unit in enumerate(units):
        edges.append((onset[at], offset[at], str(unit)))
        following = onset[at + 1] if at + 1 < len(units) else seconds
        if following - offset[at] > 1e-9:
            edges.append((offset[at], following, "{BR}" if at % 7 == 0 else silence))
    written = "".join(
        f'    item [{number}]:\n        class = "IntervalTier"\n        name = "{name}"\n        xmin = 0\n'
        f"        xmax = {seconds}\n        intervals: size = {len(edges)}\n"
        + "".join(
            f"        intervals [{at}]:\n            xmin = {start:.6f}\n            xmax = {stop:.6f}\n"
            f'            text = "{mark if name != "phone" else "AH0"}"\n'
            for at, (start, stop, mark) in enumerate(edges, 1)
        )
        for number, name in enumerate(tiers, 1)
    )
    return (
        f'File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0\nxmax = {seconds}\ntiers? <exists>\nsize = {len(tiers)}\n'
        f"item []:\n{written}"
    )


def responses(
    story: str,
    seconds: float,
    clock: Clock,
    rng: np.random.Generator,
    n_takes: int = 1,
    words: tuple | None = None,
) -> np.ndarray:
    """Recordings of one story, or of words with their times, array of shape (n_takes, n_trs, n_voxels)."""
    units, onset, offset = told(story, seconds) if words is None else words
    letters = np.char.str_len(units).astype(float)
    course = total((onset + offset) / 2, clock) @ np.column_stack([np.ones(len(units)), letters])
    course = (course - course.mean(0)) / course.std(0)
    taps = haemodynamic_response(np.zeros(1), clock.tr_s)[:, 0]
    heard = np.column_stack([np.convolve(one, taps)[: clock.n_trs] for one in course.T])
    signal = heard @ np.random.default_rng(5).standard_normal((2, N_VOXELS))
    signal = np.where(RESPONDS, signal / signal.std(0), 0.0)
    share = np.where(RESPONDS, EXPLAINED, 0.0)
    noise = rng.standard_normal((n_takes, clock.n_trs, N_VOXELS))
    return np.sqrt(share) * signal + np.sqrt(1 - share) * noise


def sentences(n_items: int) -> list[str]:
    """Sentences of six words, the same whenever they are asked for."""
    rng = np.random.default_rng(11)
    return [" ".join(rng.choice(WORDS, 6)).capitalize() + "." for _ in range(n_items)]


def item_responses(items: list[str], n_columns: int, rng: np.random.Generator) -> np.ndarray:
    """A response per item, array of shape (n_items, n_columns); the first half of the columns responds to letters."""
    letters = np.array([float(sum(map(str.isalpha, item))) for item in items])
    signal = np.sqrt(EXPLAINED) * (letters - letters.mean()) / letters.std()
    noise = rng.standard_normal((len(items), n_columns))
    responds = np.arange(n_columns) < n_columns // 2
    return np.where(responds, signal[:, None] + np.sqrt(1 - EXPLAINED) * noise, noise)
