"""Deniz et al. (2019), the Moth subset: fMRI of people who listened to 11 stories and read them, voxel by voxel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Literal

import numpy as np

from brainexp.containers import Clock, Facts, FloatArray, Responses, Space, Stimulus, Timing
from brainexp.dataset.binaryfile import hdf5, hdf5_array, published_ceilings, require_shape, stored_rows
from brainexp.dataset.cleaning import Cleaning
from brainexp.dataset.mappers import mapped_space
from brainexp.dataset.rois import Rois
from brainexp.dataset.subjects import present
from brainexp.dataset.textfile import WORDS, require_folder, words_of_textgrid
from brainexp.dataset.triggers import trigger_timing
from brainexp.errors import DataError
from brainexp.registry import DATASETS

TR_S = 2.0045
#: Triggers of each story, a missing one of "naked" included, in the order of the release's keys story_01 to story_11: the
#: release does not say which is which, but the lengths of the recordings do.
TRIGGERS = {
    "alternateithicatom": 358, "avatar": 382, "howtodraw": 369, "legacy": 415, "life": 445,
    "myfirstdaywiththeyankees": 373, "naked": 437, "odetostepfather": 419, "souls": 370, "undertheinfluence": 319,
    "wheretheressmoke": 306,
}  # fmt: skip
TEST_STORY = "wheretheressmoke"
#: TRs after the last trigger, of silence; responses have them.
UNREPORTED_TRS = 5
#: From the first trigger to the sound, in seconds; the same in all stories to half a millisecond.
SILENCE_S = 10.0231
N_REPEATS = 2
SUBJECTS = tuple(f"{number:02}" for number in range(1, 10))
#: Of the six subjects that were released.
N_VOXELS = {"01": 81133, "02": 80350, "03": 72965, "05": 80615, "07": 92970, "08": 79936}
HOW_TO_GET = (
    "Get denizenslab/narratives_reading_listening_fmri from https://gin.g-node.org with the folder responses, and give "
    "dataset.root=FOLDER."
)
HOW_TO_GET_WORDS = (
    "Give dataset.textgrids=FOLDER with <story>.TextGrid of all 11 stories, such as derivative/TextGrids of OpenNeuro "
    "ds003020."
)
HOW_TO_GET_REPORTS = "Give dataset.trfiles=FOLDER or a zip with <story>.report, or leave it null."
HOW_TO_GET_CEILINGS = "Give dataset.ceilings=FOLDER with listening/ and reading/, or leave it null."


@DATASETS.register("deniz2019")
@dataclass(frozen=True)
class Deniz2019:
    """Six of nine people, ten stories and a test story that was presented twice, TR 2.0045 s.

    Parameters
    ----------
    root : str
        Folder with ``responses/``.
    modality : {"listening", "reading"}
        How the stories were presented; words appear on the screen when they are spoken.
    subjects : "all", a name or names
        Who is analysed: "01" to "09", or 1 to 9; all are those whose responses are on disk, six in the public release.
    textgrids : str or None
        Folder of ``<story>.TextGrid``; None for ``TextGrids/`` in root.
    trfiles : str or None
        Folder or zip of ``<story>.report`` with the scanner's triggers, to hold the clock against; None for ``trfiles/`` or
        ``trfiles.zip`` in root, where there is one.
    ceilings : str or None
        Folder with ``listening/`` and ``reading/`` of ``subject_01_kernel_ridge.npy`` and so on: published ceilings.
    trim_start_s, trim_stop_s : float
        Seconds cut from the edges of every run.
    rois : Rois
        Which ROIs are summarised; the dataset's own are those of its mappers.
    cleaning : Cleaning
        What is done to each run's responses.
    """

    root: str | None = None
    modality: Literal["listening", "reading"] = "listening"
    subjects: str | int | tuple[str | int, ...] = "all"
    textgrids: str | None = None
    trfiles: str | None = None
    ceilings: str | None = None
    trim_start_s: float = 20.045
    trim_stop_s: float = 20.045
    rois: Rois = field(default_factory=Rois)
    cleaning: Cleaning = field(default_factory=Cleaning)

    def facts(self) -> Facts:
        """Return what a correct copy holds."""
        extra = {} if self.root is None else {one: self._width(one) for one in self._on_disk if one not in N_VOXELS}
        n_voxels = dict(sorted({**N_VOXELS, **extra}.items()))
        return Facts(
            subjects=tuple(n_voxels),
            stories=tuple(TRIGGERS),
            n_trs={story: n_triggers + UNREPORTED_TRS for story, n_triggers in TRIGGERS.items()},
            n_voxels=n_voxels,
            tr_s=TR_S,
            licence="CC0",
            doi="10.1523/JNEUROSCI.0675-19.2019",
            citation=(
                "Deniz, Nunez-Elizalde, Huth & Gallant (2019). The representation of semantic information across human "
                "cerebral cortex during listening versus reading is invariant to stimulus modality. Journal of "
                "Neuroscience 39, 7722-7736."
            ),
            words=WORDS,
            trim_s=(type(self).trim_start_s, type(self).trim_stop_s),
            test_stories=(TEST_STORY,),
            read_by_story=True,
        )

    def chosen_subjects(self) -> tuple[str, ...]:
        """Return the subjects that the config asks for; raise ConfigError if one is not there."""
        return present(self.subjects, self._on_disk, SUBJECTS, f"deniz2019 ({self.modality})", str(self._folder))

    def remarks(self) -> tuple[str, ...]:
        """Say who was left out, and which ceilings cannot be."""
        told = []
        unplaced = [one for one in self.chosen_subjects() if not _exists(self._mappers(one))]
        if unplaced:
            told.append(f"deniz2019: no map of {', '.join(unplaced)}: mappers/ of the release is not there.")
        absent = [name for name in SUBJECTS if name not in self._on_disk]
        if self.subjects == "all" and absent:
            told.append(f"deniz2019: {', '.join(absent)} not on disk, and not analysed.")
        for subject in self.chosen_subjects() if self.ceilings else ():
            n_impossible = self._published(subject)[1]
            if n_impossible:
                told.append(
                    f"deniz2019: {n_impossible} published ceilings of {subject}, {self.modality}, are above 1 or below -1, "
                    "and taken as unknown."
                )
        return tuple(told)

    def stimuli(self) -> tuple[Stimulus, ...]:
        """Return the stories, word by word, the test story last."""
        given = self._folder.parent / "TextGrids" if self.textgrids is None else Path(self.textgrids).expanduser()
        if not given.is_dir():
            raise DataError(f"dataset 'deniz2019': there is no folder {given} with the words. {HOW_TO_GET_WORDS}")
        return tuple(
            words_of_textgrid(given / f"{story}.TextGrid", story, "word", HOW_TO_GET_WORDS) for story in TRIGGERS
        )

    def responses(self, subject: str) -> tuple[Responses, ...]:
        """Return one subject's responses, which stay on disk until they are asked for; the test story's repeats averaged."""
        facts = self.facts()
        runs = []
        for number, story in enumerate(TRIGGERS, 1):
            test = story == TEST_STORY
            path = self._path(subject, "val" if test else "trn")
            values = stored_rows(
                path,
                f"story_{number:02}",
                HOW_TO_GET,
                n_repeats=N_REPEATS if test else None,
                change=self._change(subject, story) if self.cleaning.crosses_rows else None,
                only_first=self.cleaning.repeats == "first",
            )
            require_shape(path, story, values.shape, facts.n_trs, facts.n_voxels[subject], HOW_TO_GET)
            clock = Clock(start_s=-SILENCE_S, tr_s=TR_S, n_trs=len(values))
            runs.append(Responses(subject=subject, story=story, values=values, clock=clock))
        return tuple(runs)

    def repeats(self, subject: str) -> dict[str, FloatArray]:
        """Return the two recordings of the test story, array of shape (2, n_trs, n_voxels), float32."""
        with hdf5(self._path(subject, "val"), HOW_TO_GET) as file:
            held = hdf5_array(file, f"story_{len(TRIGGERS):02}", 3, HOW_TO_GET)
            takes = np.empty(held.shape, np.float32)
            held.read_direct(takes)
        for take in takes:
            take[:] = self._change(subject, TEST_STORY)(take)
        return {TEST_STORY: takes}

    def ceiling(self, subject: str) -> FloatArray:
        """Return the published ceilings, where ``ceilings`` names them; array of shape (n_voxels,), NaN where unknown."""
        if self.ceilings is None:
            return np.full(self.facts().n_voxels[subject], np.nan)
        return self._published(subject)[0]

    def space(self, subject: str) -> Space:
        """Return the columns on fsaverage and the subject's own flatmap, as mappers/ has them; unplaced without."""
        n_voxels, path = self.facts().n_voxels[subject], self._mappers(subject)
        if path is not None and _exists(path):
            return self.rois.of(mapped_space(path, n_voxels, HOW_TO_GET), subject)
        note = f"Places of voxels are in mappers/subject{subject}_mappers.hdf of the release."
        return self.rois.of(Space(kind="unplaced", n_voxels=n_voxels, rois={}, note=note), subject)

    def timings(self) -> dict[str, Timing]:
        """Return the triggers, by story, where there are reports."""
        reports = self._reports
        if reports is None:
            return {}
        return {story: trigger_timing(reports, story, UNREPORTED_TRS, HOW_TO_GET_REPORTS) for story in TRIGGERS}

    @cached_property
    def _folder(self) -> Path:
        root = None if self.root is None else Path(self.root).expanduser()
        return require_folder(
            require_folder(root, "dataset 'deniz2019'", HOW_TO_GET) / "responses", "dataset 'deniz2019'", HOW_TO_GET
        )

    @cached_property
    def _on_disk(self) -> tuple[str, ...]:
        return tuple(subject for subject in SUBJECTS if _exists(self._path(subject, "trn")))

    @cached_property
    def _reports(self) -> Path | None:
        if self.trfiles is not None:
            return Path(self.trfiles).expanduser()
        here = [self._folder.parent / name for name in ("trfiles", "trfiles.zip")]
        return next((one for one in here if one.exists()), None)

    def _path(self, subject: str, part: str) -> Path:
        return self._folder / f"subject{subject}_{self.modality}_fmri_data_{part}.hdf"

    def _mappers(self, subject: str) -> Path | None:
        return None if self.root is None else self._folder.parent / "mappers" / f"subject{subject}_mappers.hdf"

    def _change(self, subject: str, story: str) -> Callable[[FloatArray], FloatArray]:
        where = f"subject {subject!r}, story {story!r}"
        return partial(self.cleaning.of_run, tr_s=TR_S, nuisance={}, where=where)

    def _width(self, subject: str) -> int:
        """Columns of a subject of whom nothing is declared."""
        with hdf5(self._path(subject, "trn"), HOW_TO_GET) as file:
            return int(hdf5_array(file, "story_01", 2, HOW_TO_GET).shape[1])

    def _published(self, subject: str) -> tuple[FloatArray, int]:
        assert self.ceilings is not None
        path = Path(self.ceilings).expanduser() / self.modality / f"subject_{subject}_kernel_ridge.npy"
        return published_ceilings(path, self.facts().n_voxels[subject], HOW_TO_GET_CEILINGS)


def _exists(path: Path | None) -> bool:
    """Also of a link to content that is not fetched, which is told when it is read."""
    return path is not None and (path.exists() or path.is_symlink())
