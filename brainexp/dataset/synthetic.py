"""Stories from a small grammar and a simulated cortex, so that the right answer is known voxel by voxel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from brainexp.align.trim import kept_rows
from brainexp.containers import Clock, Facts, FloatArray, IntArray, Responses, Space, Stimulus
from brainexp.dataset import cortex
from brainexp.dataset.planted import SPACES, at_trs, planted_features, responding_alike, told
from brainexp.dataset.regions import REGIONS, surface, volume
from brainexp.dataset.subjects import chosen
from brainexp.errors import ConfigError
from brainexp.registry import DATASETS
from brainexp.score.ceiling import inter_subject_correlation, repeat_ceiling

#: Recording goes on after the last word, in seconds.
AFTER_S = 10.0
#: How far a voxel's latency lies from the usual one at most, in seconds: less than FIR delays of 1 to 4 TRs can follow.
LATENCY_S = 0.5
#: Language models in this project are trained on stories with seeds from 1,000,000 on; those below are for testing them.
FIRST_SEED_NOT_FOR_TESTS = 900_000
#: Bounds the memory for work; also which voxels share a stream of random numbers, so it decides the numbers.
VOXELS_AT_ONCE = 512
#: First numbers of the streams of random numbers.
PLANTING, GROUP, PERSON, MOVING, NOISE = range(5)


@DATASETS.register("synthetic")
@dataclass(frozen=True)
class Synthetic:
    """Regions of the language network and controls that respond to known annotations of known stories, or to nothing.

    A voxel's signal is a weighted sum of the planted features of its region (see `planted_features`), brought to TRs with
    the Lanczos filter of the pipeline and convolved with a double-gamma response. Noise is autoregressive, drifts, and
    follows the six motion parameters that are offered as the nuisance regressor "motion". Numbers follow from the seeds on
    every platform, but for rounding.

    A FIR encoder with delays of 1 to 4 TRs misses the tail of the response; at a TR of 2 s it can reach 0.98 to 1.00 of the
    ceiling. At a shorter TR give it more delays. With another ``align.downsample`` than lanczos it reaches less.

    Parameters
    ----------
    n_subjects : int
        Simulated people.
    subjects : "all", a name or names
        Who is analysed: "s1" to "sN".
    n_stories, words_per_story : int
        One run per story; a story ends with the sentence that reaches its number of words, at about 2.6 words a second.
    tr_s : float
        Seconds per TR.
    space_kind : {"volume", "fsaverage5"}
        A grid in MNI space, or the mesh, on which all vertices but those simulated are NaN.
    n_voxels : int
        Voxels or vertices to simulate, those nearest to the centres of the regions.
    voxel_mm : float
        Edge of a voxel, for ``space_kind="volume"``.
    n_dimensions : int
        Directions of each annotation space that voxels may respond to.
    shared : float
        Share of the variance of voxels' weights that all subjects have in common, from 0 to 1.
    explainable : (float, float)
        Each voxel's share of signal variance is drawn uniformly between these; the ceiling is about its square root.
    autoregression : float
        Correlation of the noise from one TR to the next, but for drift and motion.
    drift, motion : float
        Shares of the noise variance.
    n_repeats : int
        Recordings of the last story that `repeats` returns.
    ceiling_from : {"analytic", "repeats", "isc"}
        The true ceiling, or an estimate as for real data: from repeats of the last story or between subjects.
    story_seed : int
        Seed of the first story; the next ones follow.
    seed : int
        Of everything else.
    trim_start_s, trim_stop_s : float
        Seconds cut from the edges of every run; at the start the response to the first words is still rising.
    """

    n_subjects: int = 4
    subjects: str | tuple[str, ...] = "all"
    n_stories: int = 8
    words_per_story: int = 500
    tr_s: float = 2.0
    space_kind: Literal["volume", "fsaverage5"] = "volume"
    n_voxels: int = 440
    voxel_mm: float = 4.0
    n_dimensions: int = 3
    shared: float = 0.5
    explainable: tuple[float, float] = (0.2, 0.5)
    autoregression: float = 0.4
    drift: float = 0.15
    motion: float = 0.15
    n_repeats: int = 5
    ceiling_from: Literal["analytic", "repeats", "isc"] = "analytic"
    story_seed: int = 0
    seed: int = 0
    trim_start_s: float = 20.0
    trim_stop_s: float = 10.0

    def __post_init__(self) -> None:
        for holds, words in _requirements(self):
            if not holds:
                raise ConfigError(f"dataset 'synthetic': {words}")

    def facts(self) -> Facts:
        """Return what the simulation holds."""
        return Facts(
            subjects=self._names,
            stories=tuple(stimulus.story for stimulus in self._stimuli),
            n_trs={stimulus.story: clock.n_trs for stimulus, clock in zip(self._stimuli, self._clocks, strict=True)},
            n_voxels=dict.fromkeys(self._names, self._places[0].n_voxels),
            tr_s=self.tr_s,
            licence="BSD-3-Clause",
            doi="",
            citation="Stories from a grammar with a simulated cortex, part of brainexp.",
            trim_s=(type(self).trim_start_s, type(self).trim_stop_s),
        )

    def chosen_subjects(self) -> tuple[str, ...]:
        """Return the subjects that the config asks for; raise ConfigError if one is unknown."""
        return chosen(self.subjects, self._names, "synthetic")

    def stimuli(self) -> tuple[Stimulus, ...]:
        """Return the stories, with the annotation spaces of the grammar."""
        return self._stimuli

    def planted(self) -> tuple[dict[str, FloatArray], ...]:
        """What voxels respond to, word by word.

        Returns
        -------
        tuple of dict of str to array of shape (n_words, n_dimensions)
            By story and space. At TRs and after the usual haemodynamic response each has a variance of 1 within runs.
        """
        return self._planted

    def responses(self, subject: str) -> tuple[Responses, ...]:
        """Return one recording per story, float32, with the motion parameters beside."""
        person = self._names.index(subject)
        first_takes = [(run, 0) for run in range(self.n_stories)]
        return tuple(
            Responses(
                subject=subject,
                story=self._stimuli[run].story,
                values=values,
                clock=self._clocks[run],
                nuisance={"motion": self._movement(person, run, 0)},
            )
            for run, values in enumerate(self._recorded(person, first_takes))
        )

    def repeats(self, subject: str) -> dict[str, FloatArray]:
        """Return `n_repeats` recordings of the last story, the first of which is that of `responses`.

        Returns
        -------
        dict of str to array of shape (n_repeats, n_trs, n_voxels), float32
            By story, one entry.
        """
        takes = [(self.n_stories - 1, take) for take in range(self.n_repeats)]
        return {self._stimuli[-1].story: np.stack(self._recorded(self._names.index(subject), takes))}

    def signals(self, subject: str) -> tuple[FloatArray, ...]:
        """Return what would be recorded without noise, by story, arrays of shape (n_trs, n_voxels)."""
        signals = [np.full((clock.n_trs, self._places[0].n_voxels), np.nan) for clock in self._clocks]
        for _, columns, tuning in self._chunks(self._names.index(subject)):
            for signal, values in zip(signals, self._signals_of(tuning), strict=True):
                signal[:, columns] = values
        return tuple(signals)

    def variances(self, subject: str) -> tuple[FloatArray, FloatArray]:
        """Variances about the run's mean over kept rows, of the signal and, expected, of the noise.

        Returns
        -------
        signal, noise : arrays of shape (n_stories, n_voxels)
            On average over rows of all runs they are each voxel's share, and 1 minus it.
        """
        person = self._names.index(subject)
        own, rest = (np.full((self.n_stories, self._places[0].n_voxels), np.nan) for _ in range(2))
        movements = [self._movement(person, run, 0) for run in range(self.n_stories)]
        for _, columns, tuning in self._chunks(person):
            for run, signal in enumerate(self._signals_of(tuning)):
                rows = self._kept[run]
                own[run, columns] = signal[rows].var(axis=0)
                rest[run, columns] = cortex.noise_variance(rows, movements[run], tuning, self._noise)
        return own, rest

    def ceiling(self, subject: str) -> FloatArray:
        """Best r that each voxel's noise allows: the analytic one, or an estimate of it.

        The analytic one is the limit of the mean over runs of the r between signal and response (see
        `cortex.analytic_ceiling`); where a fold holds several runs, r tends to nearly the same.

        Returns
        -------
        array of shape (n_voxels,)
            Zero where nothing was planted; NaN where nothing was simulated, or where an estimate is undefined.
        """
        if self.ceiling_from == "repeats":
            return repeat_ceiling(self.repeats(subject)[self._stimuli[-1].story][:, self._kept[-1]])
        if self.ceiling_from == "isc":
            between: FloatArray = self._isc[self._names.index(subject)]
            return between
        return cortex.analytic_ceiling(*self.variances(subject))

    def space(self, subject: str) -> Space:
        """Return where the columns lie, the same for all subjects."""
        return self._places[0]

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return tuple(f"s{number}" for number in range(1, self.n_subjects + 1))

    @cached_property
    def _stimuli(self) -> tuple[Stimulus, ...]:
        seeds = range(self.story_seed, self.story_seed + self.n_stories)
        return tuple(told(seed, self.words_per_story) for seed in seeds)

    @cached_property
    def _clocks(self) -> tuple[Clock, ...]:
        ends_s = [stimulus.offset_s[-1] + AFTER_S for stimulus in self._stimuli]
        return tuple(Clock(start_s=0.0, tr_s=self.tr_s, n_trs=int(np.ceil(end_s / self.tr_s))) for end_s in ends_s)

    @cached_property
    def _kept(self) -> tuple[slice, ...]:
        return tuple(kept_rows(clock, self.trim_start_s, self.trim_stop_s) for clock in self._clocks)

    @cached_property
    def _places(self) -> tuple[Space, IntArray]:
        """The space, and the region of each of its columns."""
        if self.space_kind == "volume":
            return volume(self.n_voxels, self.voxel_mm)
        return surface(self.n_voxels, self.space_kind)

    @cached_property
    def _planted(self) -> tuple[dict[str, FloatArray], ...]:
        rng = np.random.default_rng([self.seed, PLANTING])
        raw = planted_features([stimulus.annotations for stimulus in self._stimuli], self.n_dimensions, rng)
        return tuple(responding_alike(raw, self._stimuli, self._clocks, self._kept))

    @cached_property
    def _features(self) -> list[FloatArray]:
        """All planted features at TRs, arrays of shape (n_trs, n_spaces * n_dimensions), one per run."""
        return at_trs([np.hstack(list(one.values())) for one in self._planted], self._stimuli, self._clocks)

    @cached_property
    def _noise(self) -> cortex.Noise:
        return cortex.Noise(autoregression=self.autoregression, drift=self.drift, motion=self.motion)

    @cached_property
    def _isc(self) -> FloatArray:
        """Correlation of each subject with the mean of the others, in chunks, for all recordings may not fit in memory."""
        found = np.full((self.n_subjects, self._places[0].n_voxels), np.nan)
        chunks = [list(self._chunks(person)) for person in range(self.n_subjects)]
        for chunk in zip(*chunks, strict=True):
            recordings = []
            for person, (number, _, tuning) in enumerate(chunk):
                runs = self._takes(person, number, tuning, [(run, 0) for run in range(self.n_stories)])
                recordings.append(np.concatenate([run[rows] for run, rows in zip(runs, self._kept, strict=True)]))
            found[:, chunk[0][1]] = inter_subject_correlation(np.stack(recordings))
        return found

    def _recorded(self, person: int, takes: Sequence[tuple[int, int]]) -> list[FloatArray]:
        """Recordings by (run, take), float32; written chunk by chunk, so that little more than the result is in memory."""
        n_columns = self._places[0].n_voxels
        recordings = [np.full((self._clocks[run].n_trs, n_columns), np.nan, np.float32) for run, _ in takes]
        for number, columns, tuning in self._chunks(person):
            for recording, values in zip(recordings, self._takes(person, number, tuning, takes), strict=True):
                recording[:, columns] = values
        return recordings

    def _takes(
        self, person: int, number: int, tuning: cortex.Tuning, takes: Sequence[tuple[int, int]]
    ) -> Iterator[FloatArray]:
        """Recordings of one chunk of voxels."""
        signals = self._signals_of(tuning)
        for run, take in takes:
            rng = np.random.default_rng([self.seed, NOISE, person, run, take, number])
            movement = self._movement(person, run, take)
            yield signals[run] + cortex.noise(self._kept[run], movement, tuning, self._noise, self.tr_s, rng)

    def _movement(self, person: int, run: int, take: int) -> FloatArray:
        rng = np.random.default_rng([self.seed, MOVING, person, run, take])
        return cortex.motion(self._clocks[run].n_trs, self._kept[run], rng)

    def _signals_of(self, tuning: cortex.Tuning) -> list[FloatArray]:
        return cortex.signals(self._features, self._kept, tuning, self.tr_s)

    def _chunks(self, person: int) -> Iterator[tuple[int, IntArray, cortex.Tuning]]:
        """Number, columns and tuning of each chunk of simulated voxels."""
        simulated = np.flatnonzero(self._places[1] >= 0)
        tuning = self._tuning(person)
        for number, first in enumerate(range(0, len(simulated), VOXELS_AT_ONCE)):
            chunk = slice(first, first + VOXELS_AT_ONCE)
            yield number, simulated[chunk], tuning.of(chunk)

    def _tuning(self, person: int) -> cortex.Tuning:
        """Draw weights, shares of signal, latencies and sensitivity to movement of all simulated voxels."""
        region = self._places[1][self._places[1] >= 0]
        size = (len(SPACES) * self.n_dimensions, len(region))
        group = np.random.default_rng([self.seed, GROUP]).standard_normal(size)
        rng = np.random.default_rng([self.seed, PERSON, person])
        weights = np.sqrt(self.shared) * group + np.sqrt(1 - self.shared) * rng.standard_normal(size)
        listens = np.array([[space in one.responds_to for one in REGIONS.values()] for space in SPACES])[:, region]
        share = np.where(np.any(listens, axis=0), rng.uniform(*self.explainable, len(region)), 0.0)
        movements = [self._movement(person, run, 0) for run in range(self.n_stories)]
        return cortex.Tuning(
            weights=weights * np.repeat(listens, self.n_dimensions, axis=0),
            share=share,
            latency_s=rng.uniform(-LATENCY_S, LATENCY_S, len(region)),
            motion=cortex.motion_weights(movements, self._kept, self.motion * (1 - share), rng),
        )


def _requirements(given: Synthetic) -> Iterator[tuple[bool, str]]:
    """What options must fulfil, and what to say if one does not."""
    for name in ("n_subjects", "n_stories", "words_per_story", "n_dimensions", "n_repeats"):
        yield getattr(given, name) >= 1, f"{name} must be at least 1, got {getattr(given, name)}"
    for name in ("tr_s", "voxel_mm"):
        yield getattr(given, name) > 0, f"{name} must be positive, got {getattr(given, name)}"
    low, high = given.explainable
    yield 0 <= low <= high < 1, f"explainable must be two shares in [0, 1), the lower first, got {low} and {high}"
    yield 0 <= given.shared <= 1, f"shared must lie in [0, 1], got {given.shared}"
    yield 0 <= given.autoregression < 1, f"autoregression must lie in [0, 1), got {given.autoregression}"
    shares = f"drift and motion must be shares that sum to 1 at most, got {given.drift} and {given.motion}"
    yield min(given.drift, given.motion) >= 0 and given.drift + given.motion <= 1, shares
    yield given.seed >= 0, f"seed must not be negative, got {given.seed}"
    last = given.story_seed + given.n_stories - 1
    yield (
        given.story_seed >= 0 and last < FIRST_SEED_NOT_FOR_TESTS,
        (
            f"stories of seeds {given.story_seed} to {last} are asked for, but they must lie in "
            f"0..{FIRST_SEED_NOT_FOR_TESTS - 1}, for models are trained on higher ones. Lower story_seed or n_stories."
        ),
    )
    enough = given.ceiling_from != "repeats" or given.n_repeats > 1
    yield enough, f"ceiling_from=repeats needs n_repeats of 2 or more, got {given.n_repeats}"
    enough = given.ceiling_from != "isc" or given.n_subjects > 1
    yield enough, f"ceiling_from=isc needs n_subjects of 2 or more, got {given.n_subjects}"
