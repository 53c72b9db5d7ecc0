"""From a seed to a story, or only to its text."""

from collections.abc import Iterator

import numpy as np

from brainexp.grammar.discourse import plans
from brainexp.grammar.draws import Draws
from brainexp.grammar.telling import Plan
from brainexp.grammar.timing import spoken
from brainexp.grammar.words import Sentence, Story, Word, bracketed, rows, surface


def story(seed: int, n_words: int) -> Story:
    """Tell a story with all its annotations.

    Parameters
    ----------
    seed : int
        Not negative. Stories of different seeds are independent.
    n_words : int
        The story ends with the sentence in which this many words are reached.

    Returns
    -------
    Story
        The same on every platform.

    Raises
    ------
    ValueError
        If the seed is negative or no word is asked for.
    """
    content, timing = _streams(seed, n_words)
    told = list(_told(content, n_words))
    texts = [text for _, texts, _ in told for text in texts]
    onsets, offsets = spoken(texts, timing)
    sentences: list[Sentence] = []
    last: dict[int, int] = {}
    start = 0
    for plan, forms, topic in told:
        words = _words(plan, forms, topic, start, last, onsets, offsets)
        construction = plan.tree.construction or "plain"
        sentences.append(Sentence(words, bracketed(plan.tree, forms), construction, plan.relation, topic))
        start += len(forms)
    return Story(seed, tuple(sentences))


def text(seed: int, n_words: int) -> str:
    """The words of `story` with the same arguments, without annotations, in less time."""
    content, _ = _streams(seed, n_words)
    return " ".join(form for _, forms, _ in _told(content, n_words) for form in forms)


def _streams(seed: int, n_words: int) -> tuple[np.random.Generator, np.random.Generator]:
    if seed < 0 or n_words < 1:
        raise ValueError(f"seed must be 0 or more and n_words at least 1, got seed={seed} and n_words={n_words}.")
    content, timing = np.random.SeedSequence(seed).spawn(2)
    return np.random.default_rng(content), np.random.default_rng(timing)


def _told(rng: np.random.Generator, n_words: int) -> Iterator[tuple[Plan, list[str], str]]:
    count = 0
    for plan, world in plans(Draws(rng)):
        forms = surface(plan.tree, plan.mark)
        yield plan, forms, world.topic.name
        count += len(forms)
        if count >= n_words:
            return


def _words(
    plan: Plan,
    forms: list[str],
    topic: str,
    start: int,
    last: dict[int, int],
    onsets: list[float],
    offsets: list[float],
) -> tuple[Word, ...]:
    made: list[Word] = []
    relation = plan.relation
    previous, distance = -1, 0
    for place, row in enumerate(rows(plan.tree)):
        leaf = row.leaf
        at = start + place
        entity = leaf.entity
        if entity < 0:
            distance = 0
        else:
            # Words of one mention share the distance that its first word has.
            if entity != previous:
                distance = at - last[entity] if entity in last else 0
            last[entity] = at
        previous = entity
        made.append(
            Word(
                forms[place],
                leaf.lemma,
                leaf.pos,
                leaf.tense,
                leaf.number,
                row.depth,
                row.closing,
                row.head - place if row.head >= 0 else 0,
                place - row.subject if row.subject >= 0 else 0,
                row.distractors,
                row.in_relative,
                row.construction or "plain",
                leaf.kind,
                leaf.animacy,
                row.role,
                entity,
                leaf.givenness,
                distance,
                relation,
                topic,
                onsets[at],
                offsets[at],
            )
        )
    return tuple(made)
