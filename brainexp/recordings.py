"""Stimuli and responses on one clock, and the feature spaces of the stimuli at TR times."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from brainexp.align.baseline import autocorrelation, position, word_rate
from brainexp.align.clock import require_words_inside
from brainexp.align.downsample import DOWNSAMPLERS
from brainexp.align.lexical import word_frequency, word_length
from brainexp.align.trim import kept_rows
from brainexp.containers import Clock, Design, FloatArray, Layers, Stimulus
from brainexp.errors import ConfigError, DataError
from brainexp.evaluation import Space
from brainexp.interfaces import Dataset
from brainexp.registry import did_you_mean
from brainexp.settings import Align

#: Feature spaces that stand on the words' times and looks, and those of time alone.
OF_WORDS = ("word_rate", "word_length", "word_frequency")
OF_TIME = ("position", "autocorrelation")
#: Feature spaces that come from the model: its layer 0, and its untrained twin.
OF_THE_MODEL = ("static", "untrained")
#: All annotations of the stimuli together: what a perfect model of them would reach.
ALL_ANNOTATIONS = "annotations"
#: All of `OF_WORDS` side by side.
ALL_LOW_LEVEL = "low_level"


@dataclass(frozen=True, eq=False)
class Recordings:
    """Stimuli and responses of the chosen subjects, on one clock per story.

    Parameters
    ----------
    stimuli : tuple of Stimulus
        Every story.
    responses : dict of str to array of shape (n_rows, n_voxels)
        By subject, all runs trimmed and stacked; float32, each voxel's mean taken out.
    nuisance : dict of str to dict of str to tuple of arrays of shape (n_trs, n_regressors)
        By subject and name, run by run.
    clocks : tuple of Clock
        One per story, the same for all subjects.
    rows : tuple of slice
        What trimming leaves of each run.
    language : str
        Code of the stimuli's language.
    """

    stimuli: tuple[Stimulus, ...]
    responses: Mapping[str, FloatArray]
    nuisance: Mapping[str, Mapping[str, tuple[FloatArray, ...]]]
    clocks: tuple[Clock, ...]
    rows: tuple[slice, ...]
    language: str

    def stacked(self, per_run: Sequence[FloatArray]) -> FloatArray:
        """Trim what is given run by run, arrays of shape (n_trs, ...), and stack it."""
        return np.concatenate([run[kept] for run, kept in zip(per_run, self.rows, strict=True)])

    @property
    def run_lengths(self) -> list[int]:
        """Rows of each run after trimming."""
        return [len(range(*kept.indices(clock.n_trs))) for kept, clock in zip(self.rows, self.clocks, strict=True)]

    def nuisance_rows(self, names: Sequence[str], subject: str) -> FloatArray:
        """Nuisance regressors of a subject side by side, array of shape (n_rows, n_regressors)."""
        return np.hstack([self.stacked(self.nuisance[subject][name]) for name in names])

    def spaces(self) -> tuple[str, ...]:
        """Names that `feature_space` knows here."""
        first = next(iter(self.nuisance.values()))
        annotated = (*self.stimuli[0].annotations, ALL_ANNOTATIONS) if self.stimuli[0].annotations else ()
        return (*OF_WORDS, *OF_TIME, ALL_LOW_LEVEL, *first, *annotated)


def recorded(source: Dataset) -> Recordings:
    """Load stimuli and responses, one subject after the other, and refuse what does not fit together.

    Parameters
    ----------
    source : Dataset
        Where they are.

    Raises
    ------
    DataError
        If a word lies outside its recording, or subjects were recorded on different clocks.
    """
    stimuli = source.stimuli()
    first, *_ = subjects = source.chosen_subjects()
    clocks: tuple[Clock, ...] = ()
    rows: tuple[slice, ...] = ()
    responses, nuisance = {}, {}
    for subject in subjects:
        runs = source.responses(subject)
        own = tuple(run.clock for run in runs)
        if subject == first:
            clocks = own
            rows = tuple(kept_rows(clock, source.trim_start_s, source.trim_stop_s) for clock in clocks)
            for stimulus, clock in zip(stimuli, clocks, strict=True):
                require_words_inside(stimulus, clock, first)
        elif own != clocks:
            raise DataError(
                f"subjects {first!r} and {subject!r} were recorded on different clocks. Analyse them in separate runs: "
                f"dataset.subjects={subject}"
            )
        stacked = np.concatenate([run.values[kept] for run, kept in zip(runs, rows, strict=True)])
        # A constant changes no score, for intercepts are free; without it single precision suffices.
        with np.errstate(invalid="ignore", over="ignore"):  # infinite values become NaN, and their voxels unscorable
            responses[subject] = (stacked - stacked.mean(axis=0, dtype=float)).astype(np.float32)
        nuisance[subject] = {name: tuple(run.nuisance[name] for run in runs) for name in runs[0].nuisance}
    return Recordings(stimuli, responses, nuisance, clocks, rows, source.facts().language)


def layer_designs(
    align: Align, recordings: Recordings, features: Mapping[str, FloatArray | Layers]
) -> list[Callable[[], Design]]:
    """One callable per layer that brings its features to TRs, inside each run.

    Parameters
    ----------
    align : Align
        How.
    recordings : Recordings
        When words and TRs happened.
    features : mapping of str to array of shape (n_layers, n_units, n_dims)
        By story.
    """
    to_trs = word_weights(align, recordings)

    def design(layer: int) -> Design:
        runs = (
            matrix @ features[stimulus.story][layer]
            for matrix, stimulus in zip(to_trs, recordings.stimuli, strict=True)
        )
        return Design(f"layer {layer}", tuple(runs), recordings.rows, align.delays)

    n_layers = len(next(iter(features.values())))
    return [partial(design, layer) for layer in range(n_layers)]


def feature_space(name: str, align: Align, recordings: Recordings) -> Space:
    """A feature space that needs no language model.

    Parameters
    ----------
    name : str
        One of `OF_WORDS` or "low_level" for all of them, one of `OF_TIME`, an annotation of the stimuli or "annotations"
        for all of them, or a nuisance regressor of the dataset.
    align, recordings
        As for `layer_designs`.

    Returns
    -------
    Design, or one Design per subject for nuisance regressors

    Raises
    ------
    ConfigError
        If there is no such space here.
    """
    if name not in recordings.spaces():
        raise ConfigError(f"unknown feature space {name!r}.{did_you_mean(name, (*recordings.spaces(), *OF_THE_MODEL))}")
    if name == ALL_LOW_LEVEL:
        parts = [_low_level(part, align, recordings).runs for part in OF_WORDS]
        runs = tuple(np.hstack(run) for run in zip(*parts, strict=True))
        return Design(name, runs, recordings.rows, align.delays)
    if name in (*OF_WORDS, *OF_TIME):
        return _low_level(name, align, recordings)
    own = recordings.nuisance
    if name in next(iter(own.values())):
        return [Design(name, tuple(own[subject][name]), recordings.rows, (0,)) for subject in recordings.responses]
    annotations = list(recordings.stimuli[0].annotations) if name == ALL_ANNOTATIONS else [name]
    return _of_words(
        name,
        [np.hstack([one.annotations[part] for part in annotations]) for one in recordings.stimuli],
        align,
        recordings,
    )


def _low_level(name: str, align: Align, recordings: Recordings) -> Design:
    stimuli, clocks = recordings.stimuli, recordings.clocks
    if name == "word_length":
        return _of_words(name, [word_length(one.units) for one in stimuli], align, recordings)
    if name == "word_frequency":
        return _of_words(name, [word_frequency(one.units, recordings.language) for one in stimuli], align, recordings)
    if name == "word_rate":
        rates = (word_rate(one.midpoint_s, clock) for one, clock in zip(stimuli, clocks, strict=True))
        return Design(name, tuple(rates), recordings.rows, align.delays)
    longest = max(clock.n_trs for clock in clocks)
    course = {"position": position, "autocorrelation": autocorrelation}[name](longest)
    return Design(name, tuple(course[: clock.n_trs] for clock in clocks), recordings.rows, (0,))


def _of_words(name: str, values: Sequence[FloatArray], align: Align, recordings: Recordings) -> Design:
    runs = (matrix @ own for matrix, own in zip(word_weights(align, recordings), values, strict=True))
    return Design(name, tuple(runs), recordings.rows, align.delays)


def word_weights(align: Align, recordings: Recordings) -> list[FloatArray]:
    """Weights of every word in every TR, arrays of shape (n_trs, n_words), by story."""
    downsampler = DOWNSAMPLERS[align.downsample]
    return [
        downsampler(stimulus.midpoint_s, clock).astype(np.float32)
        for stimulus, clock in zip(recordings.stimuli, recordings.clocks, strict=True)
    ]
