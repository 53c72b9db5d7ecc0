"""Stories of the grammar as stimuli, and the few directions of their annotations that simulated voxels respond to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from brainexp.align.delay import delayed
from brainexp.align.downsample import lanczos
from brainexp.containers import Clock, FloatArray, Stimulus
from brainexp.dataset.cortex import convolved, haemodynamic_response, mean_variance
from brainexp.grammar import annotations as annotated
from brainexp.grammar import story

#: Annotation spaces that are planted in the cortex.
SPACES = ("rate", "syntax", "semantics", "discourse")
#: Words before and after whose other annotations are regressed out of a space. The rate reaches further: a response
#: lasts for many words, over which short words, pauses and syntax still go together.
REACH_WORDS = 2
RATE_REACH_WORDS = 8
#: Columns are divided by their standard deviation or by this, else a column with one entry would be one large spike.
LEAST_SCALE = 0.1


def told(seed: int, n_words: int) -> Stimulus:
    """Tell a story of the grammar; its name is that of its seed, its annotations are those of `brainexp.grammar`."""
    one = story(seed, n_words)
    return Stimulus(
        story=f"story{seed}",
        units=tuple(word.text for word in one.words),
        onset_s=np.array([word.onset_s for word in one.words]),
        offset_s=np.array([word.offset_s for word in one.words]),
        annotations=annotated(one),
    )


def planted_features(
    annotations: Sequence[Mapping[str, FloatArray]], n_dimensions: int, rng: np.random.Generator
) -> list[dict[str, FloatArray]]:
    """Random directions of each annotation space, made specific to it.

    Annotations of different spaces go together: every noun has a word rate, a part of speech, a meaning and a referent. A
    region that responds to "syntax" would be predicted by all of them. So what the other spaces at the word and at the
    words on either side predict linearly is removed first, except from ``rate``, which is taken as it is: word rate is
    what the other spaces must not be mistaken for. Then the columns of a space are summed with random weights.

    Parameters
    ----------
    annotations : sequence of mapping of str to array of shape (n_words, n_columns)
        By story, with all of `SPACES`.
    n_dimensions : int
        Directions per space. Few, for a reader of 35 columns cannot be fitted on a short recording.
    rng : numpy.random.Generator

    Returns
    -------
    list of dict of str to array of shape (n_words, n_dimensions)
        By story and space. Scales are arbitrary.
    """
    scaled = {space: _scaled([story[space] for story in annotations], centred=space != "rate") for space in SPACES}
    specific = {space: _specific(space, scaled) if space != "rate" else scaled[space] for space in SPACES}
    mixes = {space: rng.standard_normal((specific[space][0].shape[1], n_dimensions)) for space in SPACES}
    return [{space: specific[space][at] @ mixes[space] for space in SPACES} for at in range(len(annotations))]


def at_trs(per_word: Sequence[FloatArray], stimuli: Sequence[Stimulus], clocks: Sequence[Clock]) -> list[FloatArray]:
    """Bring features of words to TRs with the pipeline's Lanczos filter, one array per story."""
    return [
        lanczos(stimulus.midpoint_s, clock) @ values
        for stimulus, clock, values in zip(stimuli, clocks, per_word, strict=True)
    ]


def responding_alike(
    planted: Sequence[Mapping[str, FloatArray]],
    stimuli: Sequence[Stimulus],
    clocks: Sequence[Clock],
    kept: Sequence[slice],
) -> list[dict[str, FloatArray]]:
    """Scale each planted feature so that the response to it has a variance of 1 within runs, over kept rows."""
    scaled: list[dict[str, FloatArray]] = [{} for _ in planted]
    for space in planted[0]:
        courses = at_trs([one[space] for one in planted], stimuli, clocks)
        usual = haemodynamic_response(np.zeros(courses[0].shape[1]), clocks[0].tr_s)
        spread = np.sqrt(mean_variance([convolved(course, usual) for course in courses], kept))
        for one, raw in zip(scaled, planted, strict=True):
            one[space] = raw[space] / spread
    return scaled


def _scaled(stories: Sequence[FloatArray], *, centred: bool) -> list[FloatArray]:
    """Columns over all stories on one scale; a rate keeps its zero, which is silence."""
    every = np.concatenate(stories).astype(float)
    middle = every.mean(axis=0) if centred else np.zeros(every.shape[1])
    scale = np.maximum(np.sqrt(((every - middle) ** 2).mean(axis=0)), LEAST_SCALE)
    return [(story - middle) / scale for story in stories]


def _specific(space: str, scaled: Mapping[str, Sequence[FloatArray]]) -> list[FloatArray]:
    """Subtract what the other spaces predict, story by story so that no large matrix is made."""
    others = [
        _around(space, {other: stories[at] for other, stories in scaled.items()}) for at in range(len(scaled[space]))
    ]
    gram = np.sum([one.T @ one for one in others], axis=0)
    shared = np.sum([one.T @ own for one, own in zip(others, scaled[space], strict=True)], axis=0)
    # Indicators sum to one, so the matrix is singular; one word's worth of penalty makes it definite.
    weights = np.linalg.solve(gram + np.eye(len(gram)), shared)
    return [own - one @ weights for one, own in zip(others, scaled[space], strict=True)]


def _around(space: str, scaled: Mapping[str, FloatArray]) -> FloatArray:
    """The other spaces at each word of a story and at the words around it, and a constant."""
    columns: list[FloatArray] = [np.ones((len(scaled[space]), 1))]
    for other, values in scaled.items():
        if other != space:
            reach = RATE_REACH_WORDS if other == "rate" else REACH_WORDS
            columns += [delayed(values, range(reach + 1)), delayed(values[::-1], range(1, reach + 1))[::-1]]
    return np.hstack(columns)
