"""A few fables and a simulated cortex: the smallest input on which the right answer is known."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from brainexp.align.downsample import lanczos
from brainexp.align.trim import kept_rows
from brainexp.containers import Clock, Facts, FloatArray, Responses, Space, Stimulus
from brainexp.dataset.cortex import autoregressive, haemodynamic_response
from brainexp.dataset.subjects import chosen
from brainexp.errors import ConfigError
from brainexp.registry import DATASETS

TR_S = 1.5
SILENCE_S = 6.0
#: Centre in MNI millimetres, and what each region responds to.
REGIONS: dict[str, tuple[tuple[float, float, float], str]] = {
    "A1": ((-46.0, -22.0, 8.0), "letters"),
    "LPTL": ((-58.0, -42.0, 4.0), "speech"),
    "LATL": ((-50.0, 10.0, -26.0), "creature"),
    "V1": ((-8.0, -88.0, 2.0), "nothing"),
}
RADIUS_MM = 10.0
VOXEL_MM = 4.0
GRID_SHAPE = (46, 55, 46)
ORIGIN_MM = (-90.0, -126.0, -72.0)
CREATURES = frozenset(
    [
        "crow",
        "sparrow",
        "bird",
        "fox",
        "snail",
        "lion",
        "mouse",
        "hunters",
        "hare",
        "tortoise",
        "owl",
        "animals",
        "dog",
        "stranger",
        "wolf",
        "sheep",
        "flock",
        "boy",
        "men",
        "father",
        "butcher's",
        "boy's",
        "father's",
        "cricket",
        "ants",
        "ant",
        "man",
        "traveller",
        "friend",
    ]
)
AUTOREGRESSION = 0.4
#: The response is cut after 24 s.
RESPONSE_TRS = 16


@DATASETS.register("passage")
@dataclass(frozen=True)
class Passage:
    """Eight fables after Aesop, and voxels that respond to letters, to quoted speech, to creatures or to nothing.

    Each region's signal is the annotation of the words, brought to TRs and convolved with a haemodynamic response, plus
    autocorrelated noise, so that each voxel's ceiling is known: the square root of its share of signal variance.

    Parameters
    ----------
    n_subjects : int
        Simulated people; each has noise of their own.
    subjects : "all", a name or names
        Who is analysed: "p1" to "pN".
    explainable : float
        Share of a responding voxel's variance that is signal, between 0 and 1; the ceiling is its square root.
    n_repeats : int
        Recordings of each fable that `repeats` returns.
    seed : int
        Seed of the noise.
    trim_start_s, trim_stop_s : float
        Seconds cut from the edges of every run.
    """

    n_subjects: int = 4
    subjects: str | tuple[str, ...] = "all"
    explainable: float = 0.5
    n_repeats: int = 4
    seed: int = 0
    trim_start_s: float = 15.0
    trim_stop_s: float = 6.0

    def __post_init__(self) -> None:
        for name in ("n_subjects", "n_repeats"):
            if getattr(self, name) < 1:
                raise ConfigError(f"dataset 'passage': {name} must be at least 1, got {getattr(self, name)}")
        if not 0 <= self.explainable < 1:
            raise ConfigError(f"dataset 'passage': explainable must lie in [0, 1), got {self.explainable}")

    def facts(self) -> Facts:
        """Return what the simulation holds."""
        names = tuple(f"p{number}" for number in range(1, self.n_subjects + 1))
        return Facts(
            subjects=names,
            stories=tuple(stimulus.story for stimulus in self._stories),
            n_trs={stimulus.story: _clock(stimulus).n_trs for stimulus in self._stories},
            n_voxels=dict.fromkeys(names, int(self._mask.sum())),
            tr_s=TR_S,
            licence="public domain",
            doi="",
            citation="Fables after Aesop with a simulated cortex, part of brainexp.",
            trim_s=(type(self).trim_start_s, type(self).trim_stop_s),
        )

    def chosen_subjects(self) -> tuple[str, ...]:
        """Return the subjects that the config asks for."""
        return chosen(self.subjects, self.facts().subjects, "passage")

    def stimuli(self) -> tuple[Stimulus, ...]:
        """Return the fables, word by word."""
        return self._stories

    def responses(self, subject: str) -> tuple[Responses, ...]:
        """Return one simulated person's responses to every fable."""
        return tuple(
            Responses(subject=subject, story=stimulus.story, values=values, clock=_clock(stimulus))
            for stimulus, values in zip(self._stories, self._take(subject, 0), strict=True)
        )

    def repeats(self, subject: str) -> dict[str, FloatArray]:
        """Return `n_repeats` recordings of every fable, the first of which is that of `responses`.

        Returns
        -------
        dict of str to array of shape (n_repeats, n_trs, n_voxels)
            By story.
        """
        takes = [self._take(subject, take) for take in range(self.n_repeats)]
        return {stimulus.story: np.stack(runs) for stimulus, *runs in zip(self._stories, *takes, strict=True)}

    def ceiling(self, subject: str) -> FloatArray:
        """Return the planted ceiling, array of shape (n_voxels,); 0 where nothing was planted."""
        planted = np.array([target != "nothing" for target in self._targets])
        return np.where(planted, np.sqrt(self.explainable), 0.0)

    def space(self, subject: str) -> Space:
        """Return spheres around the regions' centres on a 4 mm MNI grid."""
        rois = {name: np.flatnonzero(self._region == number) for number, name in enumerate(REGIONS)}
        return Space(
            kind="volume",
            n_voxels=len(self._region),
            rois=rois,
            mask=self._mask,
            affine=_affine(),
            note="Simulated responses.",
        )

    @cached_property
    def _stories(self) -> tuple[Stimulus, ...]:
        text = (Path(__file__).parent / "fables.txt").read_text(encoding="utf-8")
        parts = re.split(r"^== (\w+)\n", text, flags=re.MULTILINE)[1:]
        return tuple(_timed(story, tuple(told.split())) for story, told in zip(parts[::2], parts[1::2], strict=True))

    @cached_property
    def _labels(self) -> np.ndarray:
        """Region number of each voxel of the grid, -1 outside all of them."""
        index = np.stack(np.meshgrid(*map(np.arange, GRID_SHAPE), indexing="ij"), axis=-1)
        place = index * VOXEL_MM + np.array(ORIGIN_MM)
        labels = np.full(GRID_SHAPE, -1)
        for number, (centre, _) in enumerate(REGIONS.values()):
            labels[np.linalg.norm(place - np.array(centre), axis=-1) <= RADIUS_MM] = number
        return labels

    @cached_property
    def _mask(self) -> np.ndarray:
        return np.asarray(self._labels >= 0)

    @cached_property
    def _region(self) -> np.ndarray:
        return np.asarray(self._labels[self._mask])

    @cached_property
    def _targets(self) -> tuple[str, ...]:
        annotation = [target for _, target in REGIONS.values()]
        return tuple(annotation[number] for number in self._region)

    @cached_property
    def _signals(self) -> dict[str, dict[str, FloatArray]]:
        """Signal of each annotation by story, standardised over the kept TRs of all stories."""
        raw = {stimulus.story: _signal(stimulus) for stimulus in self._stories}
        kept = {
            stimulus.story: kept_rows(_clock(stimulus), self.trim_start_s, self.trim_stop_s)
            for stimulus in self._stories
        }
        names = next(iter(raw.values()))
        stacked = {name: np.concatenate([signal[name][kept[story]] for story, signal in raw.items()]) for name in names}
        return {
            story: {name: (signal[name] - stacked[name].mean()) / stacked[name].std() for name in signal}
            for story, signal in raw.items()
        }

    def _take(self, subject: str, take: int) -> list[FloatArray]:
        """One recording of every fable."""
        person = self.facts().subjects.index(subject)
        rng = np.random.default_rng([self.seed, person, take] if take else [self.seed, person])
        return [self._recorded(stimulus, rng) for stimulus in self._stories]

    def _recorded(self, stimulus: Stimulus, rng: np.random.Generator) -> FloatArray:
        n_trs = _clock(stimulus).n_trs
        noise = autoregressive(n_trs, len(self._region), AUTOREGRESSION, rng)
        signals = {"nothing": np.zeros(n_trs), **self._signals[stimulus.story]}
        planted = np.column_stack([signals[target] for target in self._targets])
        weight = np.where(planted.any(axis=0), self.explainable, 0.0)
        return np.asarray(np.sqrt(weight) * planted + np.sqrt(1 - weight) * noise)


def _timed(story: str, words: tuple[str, ...]) -> Stimulus:
    """Words as if read aloud: 60 ms a letter, a pause after punctuation."""
    letters = np.array([len(word.strip('".,?!')) for word in words])
    pause_s = np.array([0.6 if word[-1] in '.?!"' else 0.3 if word[-1] == "," else 0.05 for word in words])
    duration_s = 0.12 + 0.06 * letters
    onset_s = SILENCE_S + np.concatenate([[0.0], np.cumsum(duration_s + pause_s)[:-1]])
    return Stimulus(story=story, units=words, onset_s=onset_s, offset_s=onset_s + duration_s)


def _clock(stimulus: Stimulus) -> Clock:
    return Clock(start_s=0.0, tr_s=TR_S, n_trs=int(np.ceil((stimulus.offset_s[-1] + SILENCE_S) / TR_S)))


def _annotations(words: tuple[str, ...]) -> dict[str, FloatArray]:
    opened = np.cumsum([word.startswith('"') for word in words])
    closed = np.concatenate([[0], np.cumsum([word.endswith('"') for word in words])[:-1]])
    bare = [word.strip('".,?!').lower() for word in words]
    return {
        "letters": np.array([len(word) for word in bare], dtype=float),
        "speech": (opened > closed).astype(float),
        "creature": np.array([word in CREATURES for word in bare], dtype=float),
    }


def _signal(stimulus: Stimulus) -> dict[str, FloatArray]:
    clock = _clock(stimulus)
    to_trs = lanczos(stimulus.midpoint_s, clock)
    response = haemodynamic_response(np.zeros(1), TR_S)[:RESPONSE_TRS, 0]
    return {
        name: np.convolve(to_trs @ values, response)[: clock.n_trs]
        for name, values in _annotations(stimulus.units).items()
    }


def _affine() -> FloatArray:
    affine = np.diag([VOXEL_MM, VOXEL_MM, VOXEL_MM, 1.0])
    affine[:3, 3] = ORIGIN_MM
    return affine
