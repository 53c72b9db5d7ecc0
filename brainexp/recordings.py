"""Stimuli and responses on one clock, and the feature spaces of the stimuli at TR times."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from brainexp.align.audit import Audit, audited, require_agreement
from brainexp.align.baseline import autocorrelation, position, word_rate
from brainexp.align.clock import require_words_inside
from brainexp.align.downsample import DOWNSAMPLERS
from brainexp.align.lexical import item_frequency, item_length, word_frequency, word_length, words_per_item
from brainexp.align.trim import kept_rows
from brainexp.containers import Clock, Design, FloatArray, Layers, OnDisk, Responses, Stimulus
from brainexp.errors import ConfigError, DataError
from brainexp.evaluation import Space
from brainexp.interfaces import Dataset, Remarking, Timed
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
    values : array of shape (n_rows, n_voxels)
        Responses of all subjects side by side, all runs trimmed and stacked; float32, each voxel's mean taken out. There is
        no second copy: `brainexp.experiment.to_predict` takes it over.
    columns : dict of str to slice
        Whose columns are where.
    nuisance : dict of str to dict of str to tuple of arrays of shape (n_trs, n_regressors)
        By subject and name, run by run.
    clocks : tuple of Clock
        One per story, the same for all subjects.
    rows : tuple of slice
        What trimming leaves of each run.
    language : str
        Code of the stimuli's language.
    audits : tuple of Audit
        How well clocks agree, by story.
    remarks : tuple of str
        What the user should know.
    items : bool
        Whether rows are units, such as sentences, and no TRs (see `brainexp.containers.Facts`).
    """

    stimuli: tuple[Stimulus, ...]
    values: FloatArray
    columns: Mapping[str, slice]
    nuisance: Mapping[str, Mapping[str, tuple[FloatArray, ...]]]
    clocks: tuple[Clock, ...]
    rows: tuple[slice, ...]
    language: str
    audits: tuple[Audit, ...] = ()
    remarks: tuple[str, ...] = ()
    items: bool = False

    @property
    def responses(self) -> dict[str, FloatArray]:
        """By subject, arrays of shape (n_rows, n_voxels); views of `values`."""
        return {subject: self.values[:, own] for subject, own in self.columns.items()}

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


def recorded(source: Dataset, tolerance_s: float = Align.clock_tolerance_s) -> Recordings:
    """Load stimuli and responses, one subject after the other, and refuse what does not fit together.

    What is kept is written into one array, story by story, so that little more than it is in memory.

    Parameters
    ----------
    source : Dataset
        Where they are.
    tolerance_s : float
        By how much clocks may disagree.

    Raises
    ------
    DataError
        If stories are in another order than their recordings, a word lies outside its recording, clocks disagree, subjects
        were recorded on different clocks, or have other columns than the dataset declares.
    """
    stimuli, facts = source.stimuli(), source.facts()
    first, *_ = subjects = source.chosen_subjects()
    edges = np.cumsum([0, *(facts.n_voxels[subject] for subject in subjects)])
    columns = {one: slice(*edge) for one, *edge in zip(subjects, edges[:-1], edges[1:], strict=True)}
    clocks: tuple[Clock, ...] = ()
    rows: tuple[slice, ...] = ()
    audits: tuple[Audit, ...] = ()
    values: FloatArray = np.empty((0, 0))
    nuisance = {}
    for subject in subjects:
        runs = source.responses(subject)
        _require_stories(stimuli, runs, subject)
        own = tuple(run.clock for run in runs)
        if subject == first:
            clocks = own
            rows = tuple(kept_rows(clock, source.trim_start_s, source.trim_stop_s) for clock in clocks)
            audits = _audits(source, stimuli, clocks, first, tolerance_s)
            if facts.items:
                _require_a_row_per_item(stimuli, clocks)
            values = np.empty((sum(kept.stop - kept.start for kept in rows), edges[-1]), np.float32)
        elif own != clocks:
            raise DataError(
                f"subjects {first!r} and {subject!r} were recorded on different clocks. Analyse them in separate runs: "
                f"dataset.subjects={subject}"
            )
        _fill(values[:, columns[subject]], runs, rows)
        nuisance[subject] = {name: tuple(run.nuisance[name] for run in runs) for name in runs[0].nuisance}
    told = source.remarks() if isinstance(source, Remarking) else ()
    remarks = (*told, *(remark for audit in audits for remark in audit.remarks()))
    return Recordings(stimuli, values, columns, nuisance, clocks, rows, facts.language, audits, remarks, facts.items)


def _require_stories(stimuli: Sequence[Stimulus], runs: Sequence[Responses], subject: str) -> None:
    told, recorded_ones = [one.story for one in stimuli], [run.story for run in runs]
    if told != recorded_ones:
        raise DataError(
            f"subject {subject!r}: recordings are of {', '.join(recorded_ones)}, but stimuli are {', '.join(told)}. There "
            "must be one recording per story, in the order of the stimuli."
        )


def _require_a_row_per_item(stimuli: Sequence[Stimulus], clocks: Sequence[Clock]) -> None:
    for one, clock in zip(stimuli, clocks, strict=True):
        row = np.floor((one.midpoint_s - clock.start_s) / clock.tr_s)
        if not np.array_equal(row, np.arange(clock.n_trs)):
            raise DataError(
                f"story {one.story!r}: {len(one.units)} items and {clock.n_trs} rows of responses, but each item needs one "
                "row of its own, in the same order. Item i must last from i to i + 1 on a clock of 1 s per row."
            )


def _audits(
    source: Dataset, stimuli: Sequence[Stimulus], clocks: Sequence[Clock], subject: str, tolerance_s: float
) -> tuple[Audit, ...]:
    timings = source.timings() if isinstance(source, Timed) else {}
    audits = []
    for one, clock in zip(stimuli, clocks, strict=True):
        require_words_inside(one, clock, subject, tolerance_s)
        audits.append(audited(one.story, one.onset_s, one.offset_s, clock, timings.get(one.story)))
    require_agreement(audits, tolerance_s)
    return tuple(audits)


def _fill(into: FloatArray, runs: Sequence[Responses], rows: Sequence[slice]) -> None:
    """Write the kept rows of all runs, and take each voxel's mean out: no score depends on it, for intercepts are free."""
    n_columns = into.shape[1]
    baseline: FloatArray | None = None
    first = 0
    with np.errstate(invalid="ignore", over="ignore"):  # infinite values become NaN, and their voxels unscorable
        for run, kept in zip(runs, rows, strict=True):
            if run.values.shape[1] != n_columns:
                raise DataError(
                    f"subject {run.subject!r}, story {run.story!r}: {run.values.shape[1]} columns, but {n_columns} are "
                    "declared. The files are of another version, or of another subject."
                )
            own = into[first : first + kept.stop - kept.start]
            first += len(own)
            if isinstance(run.values, OnDisk) and own.flags.c_contiguous:
                run.values.read(kept, own)
            elif isinstance(run.values, OnDisk):
                own[:] = run.values[kept]
            else:  # a large baseline leaves single precision no digits: it goes before rounding
                baseline = run.values[kept].mean(axis=0, dtype=float) if baseline is None else baseline
                np.subtract(run.values[kept], baseline, out=own, casting="unsafe")
        np.subtract(into, into.mean(axis=0, dtype=float), out=into, casting="unsafe")


def layer_designs(
    align: Align, recordings: Recordings, features: Mapping[str, FloatArray | Layers], what: str = ""
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
    what : str
        What their names begin with.
    """
    to_trs = word_weights(align, recordings)

    def design(layer: int) -> Design:
        runs = (
            matrix @ features[stimulus.story][layer]
            for matrix, stimulus in zip(to_trs, recordings.stimuli, strict=True)
        )
        return Design(f"{what} layer {layer}".strip(), tuple(runs), recordings.rows, align.delays)

    n_layers = len(next(iter(features.values())))
    return [partial(design, layer) for layer in range(n_layers)]


def feature_space(name: str, align: Align, recordings: Recordings) -> Space:
    """A feature space that needs no language model.

    Parameters
    ----------
    name : str
        One of `OF_WORDS` (of items: number of words, letters in all and per word, mean frequency) or
        "low_level" for all of them, one of `OF_TIME`, an annotation of the stimuli or "annotations"
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
        return [Design(name, tuple(own[subject][name]), recordings.rows, (0,)) for subject in recordings.columns]
    annotations = list(recordings.stimuli[0].annotations) if name == ALL_ANNOTATIONS else [name]
    return word_space(
        name,
        [np.hstack([one.annotations[part] for part in annotations]) for one in recordings.stimuli],
        align,
        recordings,
    )


def _low_level(name: str, align: Align, recordings: Recordings) -> Design:
    stimuli, clocks = recordings.stimuli, recordings.clocks
    if recordings.items and name in OF_WORDS:
        measures: dict[str, Callable[[Sequence[str]], FloatArray]] = {
            "word_rate": words_per_item,
            "word_length": item_length,
            "word_frequency": partial(item_frequency, language=recordings.language),
        }
        return word_space(name, [measures[name](one.units) for one in stimuli], align, recordings)
    if name == "word_length":
        return word_space(name, [word_length(one.units) for one in stimuli], align, recordings)
    if name == "word_frequency":
        return word_space(name, [word_frequency(one.units, recordings.language) for one in stimuli], align, recordings)
    if name == "word_rate":
        rates = (word_rate(one.midpoint_s, clock) for one, clock in zip(stimuli, clocks, strict=True))
        return Design(name, tuple(rates), recordings.rows, align.delays)
    longest = max(clock.n_trs for clock in clocks)
    course = {"position": position, "autocorrelation": autocorrelation}[name](longest)
    return Design(name, tuple(course[: clock.n_trs] for clock in clocks), recordings.rows, (0,))


def word_space(name: str, values: Sequence[FloatArray], align: Align, recordings: Recordings) -> Design:
    """Bring values of words, arrays of shape (n_units, n_dims) story by story, to TRs, inside each run."""
    runs = (matrix @ own for matrix, own in zip(word_weights(align, recordings), values, strict=True))
    return Design(name, tuple(runs), recordings.rows, align.delays)


def word_weights(align: Align, recordings: Recordings) -> list[FloatArray]:
    """Weights of every word in every TR, arrays of shape (n_trs, n_words), by story."""
    downsampler = DOWNSAMPLERS[align.downsample]
    return [
        downsampler(stimulus.midpoint_s, clock).astype(np.float32)
        for stimulus, clock in zip(recordings.stimuli, recordings.clocks, strict=True)
    ]
