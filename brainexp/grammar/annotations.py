"""Annotations of a story as numbers, in named spaces that simulated brain areas respond to."""

import math

import numpy as np
from numpy.typing import NDArray

from brainexp.grammar.lexicon import lexicon
from brainexp.grammar.telling import RELATIONS
from brainexp.grammar.words import Story, Word

Space = tuple[float, ...]

TENSES = ("past", "present", "infinitive", "participle", "gerund")
POSES = ("NOUN", "PROPN", "PRON", "VERB", "AUX", "ADJ", "ADV", "ADP", "DET")
ANIMACIES = ("human", "animal", "inanimate", "abstract")
ROLES = ("agent", "patient", "recipient", "location", "instrument", "experiencer", "theme")
CLASSES = (
    "person",
    "animal",
    "plant",
    "food",
    "drink",
    "tool",
    "container",
    "garment",
    "place",
    "document",
    "treasure",
    "furniture",
    "vehicle",
)
ACTS = (
    "motion",
    "ingest",
    "perceive",
    "transfer",
    "say",
    "intend",
    "activity",
    "handle",
    "create",
    "care",
    "belong",
)
GIVENNESS = ("new", "given", "pronoun")
TOPICS = (
    "kitchen",
    "garden",
    "farm",
    "forest",
    "sea",
    "market",
    "school",
    "workshop",
    "music",
    "mountain",
    "river",
    "winter",
    "castle",
    "home",
    "night",
)


def _named(prefix: str, values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{prefix}={value}" for value in values)


#: What the columns of each space mean; ``x=v`` is one where x is v and zero elsewhere.
#:
#: ``rate`` has the word itself (1 everywhere, so that a sum over a TR is the word rate), its letters, its
#: duration and the pause after it, in seconds. ``log_`` columns are log(1 + words).
ANNOTATION_COLUMNS: dict[str, tuple[str, ...]] = {
    "rate": ("word", "letters", "duration_s", "pause_s"),
    "morphology": (*_named("tense", TENSES), "number=singular", "number=plural", "finite", "inflected"),
    "syntax": (
        "depth",
        "closing",
        "log_head_distance",
        "head_after",
        "log_subject_distance",
        "distractors",
        "in_relative",
        "passive",
        *_named("pos", POSES),
    ),
    "semantics": (
        *_named("animacy", ANIMACIES),
        *_named("role", ROLES),
        *_named("class", CLASSES),
        *_named("act", ACTS),
    ),
    "discourse": (
        *_named("givenness", GIVENNESS),
        "log_mention_distance",
        *_named("relation", RELATIONS),
        *_named("topic", TOPICS),
    ),
}
#: The one column that is constant by design.
CONSTANT_COLUMNS = frozenset({("rate", "word")})


def annotations(story: Story) -> dict[str, NDArray[np.float32]]:
    """Every word of a story as a row of numbers in each space.

    Parameters
    ----------
    story : Story

    Returns
    -------
    dict of str to array of shape (n_words, n_columns), float32
        Keys and columns as in `ANNOTATION_COLUMNS`.
    """
    words = story.words
    onsets = [word.onset_s for word in words[1:]] + [words[-1].offset_s]
    rows: dict[str, list[Space]] = {space: [] for space in ANNOTATION_COLUMNS}
    for word, next_onset_s in zip(words, onsets, strict=True):
        rows["rate"].append(_rate(word, next_onset_s))
        rows["morphology"].append(_morphology(word))
        rows["syntax"].append(_syntax(word))
        rows["semantics"].append(_semantics(word))
        rows["discourse"].append(_discourse(word))
    return {space: np.array(values, dtype=np.float32) for space, values in rows.items()}


def _indicators(value: str, values: tuple[str, ...]) -> Space:
    return tuple(float(value == other) for other in values)


def _rate(word: Word, next_onset_s: float) -> Space:
    letters = len(word.text.rstrip(".,?"))
    return (1.0, letters, word.offset_s - word.onset_s, next_onset_s - word.offset_s)


def _morphology(word: Word) -> Space:
    finite = word.tense in ("past", "present")
    bare = word.text.rstrip(".,?").lower()
    inflected = word.pos in ("NOUN", "VERB", "AUX") and bare != word.lemma.lower()
    number = _indicators(word.number, ("singular", "plural"))
    return (*_indicators(word.tense, TENSES), *number, float(finite), float(inflected))


def _syntax(word: Word) -> Space:
    return (
        word.depth,
        word.closing,
        _log(abs(word.head_distance)),
        float(word.head_distance > 0),
        _log(word.subject_distance),
        word.distractors,
        float(word.in_relative),
        float(word.construction == "passive"),
        *_indicators(word.pos, POSES),
    )


def _semantics(word: Word) -> Space:
    above = _classes(word.kind)
    return (
        *_indicators(word.animacy, ANIMACIES),
        *_indicators(word.role, ROLES),
        *(float(name in above) for name in CLASSES),
        *(float(word.pos == "VERB" and word.kind == act) for act in ACTS),
    )


def _log(n_words: int) -> float:
    # Rounded, because the last bit of a logarithm is not the same on every platform.
    return round(math.log1p(n_words), 6)


def _classes(kind: str) -> frozenset[str]:
    parents = lexicon().parents
    found: set[str] = set()
    while kind in parents:
        found.add(kind)
        kind = parents[kind]
    return frozenset(found)


def _discourse(word: Word) -> Space:
    return (
        *_indicators(word.givenness, GIVENNESS),
        _log(word.mention_distance),
        *_indicators(word.relation, RELATIONS),
        *_indicators(word.topic, TOPICS),
    )
