"""Narratives (Nastase et al. 2021), OpenNeuro ds002345: fMRI of 345 people who listened to spoken stories, on fsaverage6."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from brainexp.containers import FSAVERAGE, Clock, Facts, FloatArray, Responses, Space, Stimulus, Timing
from brainexp.dataset.binaryfile import gifti_shape, nifti_tr_s, stored_vertices
from brainexp.dataset.cleaning import Cleaning
from brainexp.dataset.rois import Rois
from brainexp.dataset.subjects import present
from brainexp.dataset.textfile import json_of, require_folder, text_of
from brainexp.errors import ConfigError, DataError
from brainexp.registry import DATASETS, did_you_mean


class Told(NamedTuple):
    """A story as it was presented, in TRs.

    Attributes
    ----------
    onset_trs, sound_trs : int
        When the sound begins after the first TR, and how long it lasts: code/event_meta.json of the release's authors.
    n_trs : int or None
        TRs scanned, where they are published; else those on disk count.
    task, condition : str
        Name of the scan, and the group that heard this version of the story; the story's own name, and none, if empty.
    """

    onset_trs: int
    sound_trs: int
    n_trs: int | None = None
    task: str = ""
    condition: str = ""


#: The stories whose words are aligned in stimuli/gentle.
STORIES = {
    "21styear": Told(14, 2225, 2249),
    "black": Told(8, 533),
    "bronx": Told(8, 357),
    "forgot": Told(8, 558),
    "lucy": Told(1, 361),
    "merlin": Told(22, 591),
    "milkywayoriginal": Told(14, 269, task="milkyway", condition="original"),
    "milkywaysynonyms": Told(14, 269, task="milkyway", condition="synonyms"),
    "milkywayvodka": Told(14, 269, task="milkyway", condition="vodka"),
    "notthefallintact": Told(20, 365),
    "pieman": Told(10, 281),
    "piemanpni": Told(8, 267),
    "prettymouth": Told(14, 451),
    "shapesphysical": Told(33, 270),
    "shapessocial": Told(33, 272),
    "sherlock": Told(22, 701),
    "slumlordreach": Told(20, 1176),
    "tunnel": Told(2, 1023),
}
#: Scans that the authors leave out: code/scan_exclude.json; where a scan was repeated, the first one counts.
EXCLUDED = {
    "lucy": ("053", "065"),
    "merlin": ("158",),
    "milkyway": ("038", "105", "123"),
    "notthefallintact": ("317", "335"),
    "pieman": ("001", "021", "022", "038", "056", "068", "069"),
    "prettymouth": ("038", "105"),
    "shapessocial": ("238",),
    "slumlordreach": ("139",),
    "tunnel": ("004", "013"),
}
#: Scans with another TR than the others, in seconds: neuroscout issue 960.
OTHER_TR_S = {("milkyway", "115"): 1.52}
TR_S = 1.5
MESH = "fsaverage6"
SUBJECTS = tuple(f"{number:03}" for number in range(1, 346))
#: Of a row of align.csv: the word as written, the word as the aligner knows it, start and end; without a header.
N_CELLS = 4
HOW_TO_GET = (
    "Get Narratives (python -m brainexp.fetch dataset=narratives stories=[21styear], or datalad install "
    "///labs/hasson/narratives) with derivatives/afni-nosmooth and stimuli/gentle, and give dataset.root=FOLDER."
)


@DATASETS.register("narratives")
@dataclass(frozen=True)
class Narratives:
    """Listeners of one story or several, TR 1.5 s, 81,924 vertices of fsaverage6.

    A word without times, which the aligner did not find, is put between its neighbours: such words share the gap between
    the word before and the word after evenly. At the edges of a story, where there is only one neighbour, they are left out.
    A word that begins before the word before it, by an error of the aligner, begins with that word; a word that lasts into
    the next one ends where that begins. How many there are is told.

    Parameters
    ----------
    root : str
        Folder with ``derivatives/`` and ``stimuli/``.
    stories : str or tuple of str
        Which ones (`STORIES`); several only of people who heard all of them.
    subjects : "all", a name or names
        Who is analysed: "244", or 244; all are those who are on disk, without scans that the authors leave out.
    smoothing : {"nosmooth", "smooth"}
        Which derivative of AFNI.
    unaligned : {"interpolate", "drop"}
        What becomes of words without times.
    words_from : {"auto", "sound", "scan"}
        Whether words are timed from the start of the sound or of the scan. "auto" decides by the last word: a time later than
        the sound lasts counts from the start of the scan.
    trim_start_s, trim_stop_s : float
        Seconds cut from the edges of every run. As published for 21st Year; its sound begins 21 s after the scan.
    rois : Rois
        Which ROIs are summarised.
    cleaning : Cleaning
        What is done to each run's responses, beyond what the derivatives had: they are detrended and free of confounds.
    """

    root: str | None = None
    stories: str | tuple[str, ...] = "21styear"
    subjects: str | int | tuple[str | int, ...] = "all"
    smoothing: Literal["nosmooth", "smooth"] = "nosmooth"
    unaligned: Literal["interpolate", "drop"] = "interpolate"
    words_from: Literal["auto", "sound", "scan"] = "auto"
    trim_start_s: float = 21.0
    trim_stop_s: float = 13.5
    rois: Rois = field(default_factory=Rois)
    cleaning: Cleaning = field(default_factory=Cleaning)

    def __post_init__(self) -> None:
        asked = self._stories
        if not asked or len(set(asked)) < len(asked):
            raise ConfigError(f"dataset.stories={list(asked)}: name each story once.")
        for story in asked:
            if story not in STORIES:
                raise ConfigError(f"unknown story {story!r} of narratives.{did_you_mean(story, STORIES)}")

    def facts(self) -> Facts:
        """Return what a correct copy holds, of the stories that are asked for."""
        subjects = self.chosen_subjects()
        return Facts(
            subjects=subjects,
            stories=self._stories,
            n_trs={story: self._n_trs(story) for story in self._stories},
            n_voxels=dict.fromkeys(subjects, 2 * FSAVERAGE[MESH]),
            tr_s=TR_S,
            licence="CC0",
            doi="10.1038/s41597-021-01033-3",
            citation=(
                "Nastase, Liu, Hillman, Zadbood, Hasenfratz, Keshavarzian, Chen, Honey, Yeshurun, Regev, Nguyen, Chang, "
                "Baldassano, Lositsky, Simony, Chow, Leong, Brooks, Micciche, Choe, Goldstein, Vanderwal, Halchenko, "
                "Norman & Hasson (2021). The Narratives fMRI dataset for evaluating models of naturalistic language "
                "comprehension. Scientific Data 8, 250."
            ),
            words="every row of align.csv that has times or stands between rows that have, as the transcript writes it",
            trim_s=(type(self).trim_start_s, type(self).trim_stop_s),
            read_by_story=True,
        )

    def chosen_subjects(self) -> tuple[str, ...]:
        """Return the subjects that the config asks for; raise ConfigError if one is not there."""
        heard = [name for name in self._on_disk if all(name not in self._unusable(story) for story in self._stories)]
        found = heard if self.subjects == "all" else self._on_disk
        where = f"{self._derivative}, task {', '.join(self._task(story) for story in self._stories)},"
        return present(self.subjects, found, SUBJECTS, "narratives", where)

    def remarks(self) -> tuple[str, ...]:
        """Say who was left out, and what was done to words."""
        told = []
        for story in self._stories:
            left_out = {who: why for who, why in self._unusable(story).items() if who in self._on_disk}
            if self.subjects == "all" and left_out:
                reasons = ", ".join(f"{who} ({why})" for who, why in left_out.items())
                told.append(f"narratives: left out of {story!r}: {reasons}.")
            repeated = [who for who in self.chosen_subjects() if len(self._scans(who, story)) > 1]
            if repeated:
                told.append(f"narratives: {', '.join(repeated)} heard {story!r} several times; the first scan counts.")
            told += self._aligned[story][1]
        return tuple(told)

    def stimuli(self) -> tuple[Stimulus, ...]:
        """Return the stories, word by word."""
        return tuple(self._aligned[story][0] for story in self._stories)

    def responses(self, subject: str) -> tuple[Responses, ...]:
        """Return one subject's responses, left hemisphere first, which stay on disk until they are asked for."""
        runs = []
        for story in self._stories:
            left = self._left(subject, story)
            paths = (left, left.with_name(left.name.replace("hemi-L", "hemi-R")))
            values = stored_vertices(paths, HOW_TO_GET, self._change(subject, story))
            n_trs, n_voxels = self._n_trs(story), 2 * FSAVERAGE[MESH]
            if values.shape != (n_trs, n_voxels):
                raise DataError(
                    f"{left}: {values.shape[0]} TRs and {values.shape[1]} vertices of both hemispheres, but {n_trs} and "
                    f"{n_voxels} are declared. It is of another story, mesh or version. {HOW_TO_GET}"
                )
            clock = Clock(start_s=self._start_s(story), tr_s=TR_S, n_trs=n_trs)
            runs.append(Responses(subject=subject, story=story, values=values, clock=clock))
        return tuple(runs)

    def ceiling(self, subject: str) -> FloatArray:
        """Return that no ceiling is published, array of NaN of shape (n_voxels,); see ``ceiling.method=cross_subject``."""
        return np.full(2 * FSAVERAGE[MESH], np.nan)

    def space(self, subject: str) -> Space:
        """Return the mesh, the same for all."""
        return self.rois.of(Space(kind="surface", n_voxels=2 * FSAVERAGE[MESH], rois={}, mesh=MESH), subject)

    def timings(self) -> dict[str, Timing]:
        """Return what sidecars and headers of the scans state of the TR, by story, of every chosen subject."""
        found = {}
        for story in self._stories:
            stated: dict[str, float] = {}
            for subject in self.chosen_subjects():
                stated |= self._stated_tr_s(subject, story)
            found[story] = Timing(stated_tr_s=stated)
        return found

    @property
    def _stories(self) -> tuple[str, ...]:
        return (self.stories,) if isinstance(self.stories, str) else self.stories

    @cached_property
    def _folder(self) -> Path:
        root = None if self.root is None else Path(self.root).expanduser()
        return require_folder(root, "dataset 'narratives'", HOW_TO_GET)

    @cached_property
    def _derivative(self) -> Path:
        what = f"dataset 'narratives', smoothing={self.smoothing}"
        return require_folder(self._folder / "derivatives" / f"afni-{self.smoothing}", what, HOW_TO_GET)

    @cached_property
    def _on_disk(self) -> tuple[str, ...]:
        """Who has a scan of every story, at least of one hemisphere: the other is then missed by name."""
        there = {path.name.removeprefix("sub-") for path in self._derivative.glob("sub-*")}
        return tuple(who for who in sorted(there) if all(self._scans(who, story) for story in self._stories))

    def _task(self, story: str) -> str:
        return STORIES[story].task or story

    def _scans(self, subject: str, story: str) -> list[Path]:
        """Left hemispheres of a subject's scans of a story, in the order of the runs."""
        folder = self._derivative / f"sub-{subject}" / "func"
        stem = f"sub-{subject}_task-{self._task(story)}_*space-{MESH}_hemi-"
        found = {
            path.with_name(path.name.replace("hemi-R", "hemi-L"))
            for path in folder.glob(f"{stem}?_desc-clean.func.gii")
        }
        return sorted(found, key=lambda path: [int(part) for part in re.findall(r"run-(\d+)", path.name)])

    def _left(self, subject: str, story: str) -> Path:
        return self._scans(subject, story)[0]

    def _unusable(self, story: str) -> Mapping[str, str]:
        """Who cannot be analysed together with the others, and why."""
        task, condition = self._task(story), STORIES[story].condition
        reasons = dict.fromkeys(EXCLUDED.get(task, ()), "left out by the authors")
        reasons |= {who: f"TR {tr_s} s" for (what, who), tr_s in OTHER_TR_S.items() if what == task}
        if condition:
            others = {who: heard[task] for who, heard in self._conditions.items() if heard.get(task) != condition}
            reasons |= {who: f"heard {heard!r}" for who, heard in others.items()}
        return reasons

    @cached_property
    def _conditions(self) -> dict[str, dict[str, str]]:
        """Which version of each task every subject heard."""
        path = self._folder / "participants.tsv"
        rows = list(csv.DictReader(text_of(path, HOW_TO_GET).splitlines(), delimiter="\t"))
        if not rows or not {"participant_id", "task", "condition"} <= rows[0].keys():
            raise DataError(f"{path} needs columns participant_id, task and condition. {HOW_TO_GET}")
        return {
            row["participant_id"].removeprefix("sub-"): dict(
                zip(row["task"].split(","), row["condition"].split(","), strict=False)
            )
            for row in rows
            if any(task in row["task"].split(",") for task in map(self._task, self._stories))
        }

    def _n_trs(self, story: str) -> int:
        """As published; where that is not known, as the first subject's left hemisphere has them."""
        declared = STORIES[story].n_trs
        if declared is not None:
            return declared
        path = self._left(self.chosen_subjects()[0], story)
        found, _ = gifti_shape(path, HOW_TO_GET)
        least = STORIES[story].onset_trs + STORIES[story].sound_trs
        if found < least:
            raise DataError(
                f"{path} has {found} TRs, but the sound of {story!r} alone ends after {least}: it is of another story or "
                f"version. {HOW_TO_GET}"
            )
        return found

    def _start_s(self, story: str) -> float:
        """Start of the first TR on the words' clock."""
        return 0.0 if self._from_scan(story) else -STORIES[story].onset_trs * TR_S

    def _from_scan(self, story: str) -> bool:
        if self.words_from != "auto":
            return self.words_from == "scan"
        last_s = float(self._aligned[story][0].onset_s[-1])
        return last_s > (STORIES[story].sound_trs + 1) * TR_S

    @cached_property
    def _aligned(self) -> dict[str, tuple[Stimulus, tuple[str, ...]]]:
        """The words of each story, and what was done to them."""
        gentle = self._folder / "stimuli" / "gentle"
        return {story: aligned_words(gentle / story / "align.csv", story, self.unaligned) for story in self._stories}

    def _change(self, subject: str, story: str) -> Callable[[FloatArray], FloatArray] | None:
        if not self.cleaning.crosses_rows:
            return None
        where = f"subject {subject!r}, story {story!r}"
        return partial(self.cleaning.of_run, tr_s=TR_S, nuisance={}, where=where)

    def _stated_tr_s(self, subject: str, story: str) -> dict[str, float]:
        """What sidecars and headers of the raw scan state, where they are on disk."""
        task = self._task(story)
        raw = self._folder / f"sub-{subject}" / "func"
        sidecars = [self._folder / f"task-{task}_bold.json", *sorted(raw.glob(f"sub-{subject}_task-{task}_*bold.json"))]
        stated = {}
        for path in sidecars:
            if path.is_file():
                stated[path.name] = float(json_of(path, HOW_TO_GET).get("RepetitionTime", TR_S))
        for path in sorted(raw.glob(f"sub-{subject}_task-{task}_*bold.nii*")):
            if path.is_file() and path.stat().st_size > 1024:  # a pointer of git-annex is of no concern here
                stated[f"header of {path.name}"] = nifti_tr_s(path, HOW_TO_GET)
        return stated


def aligned_words(
    path: Path, story: str, unaligned: Literal["interpolate", "drop"] = "interpolate"
) -> tuple[Stimulus, tuple[str, ...]]:
    """Read the words of an ``align.csv`` of the aligner Gentle, by the rules of `Narratives`.

    Parameters
    ----------
    path : Path
        Rows of word, word as the aligner knows it, start and end in seconds; without a header.
    story : str
        Name of the story.
    unaligned : {"interpolate", "drop"}
        What becomes of words without times.

    Returns
    -------
    stimulus : Stimulus
    remarks : tuple of str
        What was done to words.

    Raises
    ------
    DataError
        If the file is missing, has rows of another kind or no word with times.
    """
    rows = [row for row in csv.reader(text_of(path, HOW_TO_GET).splitlines()) if row]
    times = np.full((len(rows), 2), np.nan)
    for at, row in enumerate(rows):
        if len(row) != N_CELLS or not row[0].strip():
            raise DataError(
                f"{path}, row {at + 1}: {row} is not a word, the aligner's word, start and end. {HOW_TO_GET}"
            )
        try:
            times[at] = [float(cell) if cell.strip() else np.nan for cell in row[2:]]
        except ValueError:
            header = " The file should have no header." if at == 0 else ""
            raise DataError(
                f"{path}, row {at + 1}: {row[2]!r} and {row[3]!r} are not seconds.{header} {HOW_TO_GET}"
            ) from None
    known = np.flatnonzero(np.isfinite(times).all(axis=1))
    if not known.size:
        raise DataError(f"{path}: none of {len(rows)} words has times. {HOW_TO_GET}")
    remarks = []
    n_unknown = len(rows) - len(known)
    kept = known
    if n_unknown and unaligned == "interpolate":
        kept = np.arange(known[0], known[-1] + 1)
        times[kept] = _filled(times[kept])
    if n_unknown:
        put_in = len(kept) - len(known)
        remarks.append(
            f"story {story!r}: {n_unknown} of {len(rows)} words have no times; {put_in} were put between their neighbours, "
            f"{n_unknown - put_in} left out."
        )
    stated, times = times[kept, 0], times[kept]
    times[:, 0] = np.maximum.accumulate(stated)
    moved = times[:, 0] > stated
    if moved.any():
        remarks.append(
            f"story {story!r}: {moved.sum()} words begin before the word before them, by up to "
            f"{(times[:, 0] - stated).max():.2f} s, and were put after it."
        )
    offset_s = np.minimum(np.maximum(times[:, 1], times[:, 0]), np.append(times[1:, 0], np.inf))
    units = tuple(rows[at][0].strip() for at in kept)
    return Stimulus(story=story, units=units, onset_s=times[:, 0], offset_s=offset_s), tuple(remarks)


def _filled(times: FloatArray) -> FloatArray:
    """Let words without times share the gap between their neighbours; array of shape (n_words, 2), known at both edges."""
    filled = times.copy()
    known = np.flatnonzero(np.isfinite(times).all(axis=1))
    for before, after in pairwise(known):
        edges = np.linspace(times[before, 1], max(times[before, 1], times[after, 0]), after - before)
        filled[before + 1 : after] = np.column_stack([edges[:-1], edges[1:]])
    return filled
