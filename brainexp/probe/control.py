"""What a probe's scores are held against (Hewitt & Liang 2019)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from brainexp.containers import Passage
from brainexp.probe.task import SPLITS, Task


def shuffled(one: Task) -> NDArray[np.generic]:
    """Labels that have changed places inside each split, so that no split borrows another's frequencies."""
    rng = np.random.default_rng(0)
    labels = one.labels.copy()
    for split in SPLITS:
        at = one.rows(split)
        labels[at] = rng.permutation(labels[at])
    return labels


def permuted(one: Task) -> Task:
    """Return the task with the words of every text in random order; stretches go with their words.

    A stretch of several words is kept together, so that there still is one to read. Words of overlapping stretches move
    together.
    """
    rng = np.random.default_rng(0)
    return replace(one, passages=tuple(_with_words_permuted(passage, rng) for passage in one.passages))


def _with_words_permuted(passage: Passage, rng: np.random.Generator) -> Passage:
    whole = (0, len(passage.text))
    kept = [part for part in passage.parts if part != whole]
    edges = _chunks(passage.text, kept)
    order = rng.permutation(len(edges))
    moved: dict[int, int] = {}
    words, length = [], 0
    for at in order:
        begin, end = edges[at]
        moved[int(at)] = length - begin
        words.append(passage.text[begin:end])
        length += end - begin + 1
    text = " ".join(words)

    def new(part: tuple[int, int]) -> tuple[int, int]:
        if part == whole:
            return 0, len(text)
        at = next(number for number, (begin, end) in enumerate(edges) if begin <= part[0] and part[1] <= end)
        return part[0] + moved[at], part[1] + moved[at]

    return Passage(text, tuple(new(part) for part in passage.parts))


def _chunks(text: str, together: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Words of a text by their characters, those that a stretch overlaps joined to one."""
    chunks: list[tuple[int, int]] = []
    begin = 0
    for word in text.split():
        begin = text.index(word, begin)
        end = begin + len(word)
        joined = chunks and any(start < chunks[-1][1] and stop > begin for start, stop in together)
        if joined:
            chunks[-1] = (chunks[-1][0], end)
        else:
            chunks.append((begin, end))
        begin = end
    return chunks
