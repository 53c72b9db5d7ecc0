"""Brennan et al. (2016): fMRI of 27 people who listened to chapter one of Alice in Wonderland, as six ROIs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from brainexp.align.trend import without_trend
from brainexp.containers import Clock, Facts, FloatArray, Responses, Space, Stimulus
from brainexp.dataset.subjects import chosen
from brainexp.dataset.textfile import WORDS, numeric_table, require_file, require_folder, words_of_textgrid
from brainexp.errors import ConfigError, DataError
from brainexp.registry import DATASETS
from brainexp.score.ceiling import inter_subject_correlation

STORY = "alice_chapter_1"
TR_S = 2.0
N_TRS = 362
#: Volumes acquired before the first row of the time courses; motion files still have them.
DROPPED_TRS = 10
#: The audio starts with 20 s of silence, exactly the dropped volumes.
START_S = DROPPED_TRS * TR_S
ROIS = ("LATL", "RATL", "LPTL", "LIPL", "LPreM", "LIFG")
#: Centres for the picture only: the release gives no coordinates, so these are the named areas' usual places.
APPROXIMATE_MNI_MM = (
    (-50.0, 10.0, -26.0),
    (52.0, 10.0, -26.0),
    (-58.0, -44.0, 4.0),
    (-50.0, -58.0, 30.0),
    (-48.0, 0.0, 46.0),
    (-50.0, 22.0, 12.0),
)
#: s33 is left out: its time courses are zero throughout.
SUBJECTS = tuple(
    f"s{number}"
    for number in (18, 22, 23, 24, 26, 28, 30, 31, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53)
)  # fmt: skip
#: Beyond this, a polynomial would remove the response to the story.
MAX_DETREND_ORDER = 20
HOW_TO_GET = (
    "Download the release of Brennan et al. (2016) from the authors' page (doi:10.1016/j.bandl.2016.04.008), so that "
    "dataset.root holds alice_data_shared/ and alice_stim_shared/."
)


@DATASETS.register("alice")
@dataclass(frozen=True)
class Alice:
    """Six regions of 27 listeners, 362 TRs of 2 s, one run each.

    Parameters
    ----------
    root : str
        Folder with ``alice_data_shared/`` and ``alice_stim_shared/``.
    subjects : "all", a name or names
        Who is analysed.
    radius_mm : {6, 10}
        Radius of the spheres over which the authors averaged.
    detrend_order : int or None
        Polynomial of time removed from each time course beforehand; it is fitted to the whole run (see
        `brainexp.align.trend.without_trend`). None removes nothing.
    trim_start_s, trim_stop_s : float
        Seconds cut from the edges of the run.
    """

    root: str | None = None
    subjects: str | tuple[str, ...] = "all"
    radius_mm: Literal[6, 10] = 6
    detrend_order: int | None = None
    trim_start_s: float = 0.0
    trim_stop_s: float = 0.0

    def __post_init__(self) -> None:
        if self.detrend_order is not None and not 0 <= self.detrend_order < MAX_DETREND_ORDER:
            raise ConfigError(
                f"dataset 'alice': detrend_order must lie in 0..{MAX_DETREND_ORDER - 1} or be null, got {self.detrend_order}"
            )

    def facts(self) -> Facts:
        """Return what a correct copy holds."""
        return Facts(
            subjects=SUBJECTS,
            stories=(STORY,),
            n_trs={STORY: N_TRS},
            n_voxels=dict.fromkeys(SUBJECTS, len(ROIS)),
            tr_s=TR_S,
            licence="CC BY 4.0",
            doi="10.1016/j.bandl.2016.04.008",
            citation=(
                "Brennan, Stabler, Van Wagenen, Luh & Hale (2016). Abstract linguistic structure correlates with "
                "temporal activity during naturalistic comprehension. Brain and Language 157-158, 81-94."
            ),
            words=WORDS,
        )

    def chosen_subjects(self) -> tuple[str, ...]:
        """Return the subjects that the config asks for; raise ConfigError if one is not usable."""
        return chosen(self.subjects, SUBJECTS, "alice", unusable={"s33": "its time courses are zero throughout"})

    def stimuli(self) -> tuple[Stimulus, ...]:
        """Return the chapter, word by word."""
        path = self._folder / "alice_stim_shared" / "DownTheRabbitHoleFinal_exp120_pad_1.TextGrid"
        return (words_of_textgrid(path, STORY, "word", HOW_TO_GET),)

    def responses(self, subject: str) -> tuple[Responses, ...]:
        """Return one subject's time courses, with motion, sound power and word rate beside.

        The authors' sound power and word rate are already convolved with a haemodynamic response.
        """
        data = self._folder / "alice_data_shared"
        return (
            Responses(
                subject=subject,
                story=STORY,
                values=self._time_courses(subject),
                clock=Clock(start_s=START_S, tr_s=TR_S, n_trs=N_TRS),
                nuisance={
                    "motion": self._motion(subject),
                    "sound_power": numeric_table(data / f"{subject}-sndpwr.txt", (N_TRS, 1), HOW_TO_GET),
                    "hrf_word_rate": numeric_table(data / f"{subject}-rate.txt", (N_TRS, 1), HOW_TO_GET),
                },
            ),
        )

    def ceiling(self, subject: str) -> FloatArray:
        """Return the subject's correlation with the mean of all other usable subjects, array of shape (6,)."""
        own: FloatArray = self._isc[SUBJECTS.index(subject)]
        return own

    def space(self, subject: str) -> Space:
        """Return the six regions at the usual places of the named areas."""
        return Space(
            kind="rois",
            n_voxels=len(ROIS),
            rois={roi: np.array([column]) for column, roi in enumerate(ROIS)},
            coordinates_mm=np.array(APPROXIMATE_MNI_MM),
            note="Places are the usual ones of the named areas; the release gives no coordinates.",
        )

    @cached_property
    def _folder(self) -> Path:
        root = None if self.root is None else Path(self.root).expanduser()
        return require_folder(root, "dataset 'alice'", f"{HOW_TO_GET} Then give dataset.root=FOLDER.")

    @cached_property
    def _isc(self) -> FloatArray:
        return inter_subject_correlation(np.stack([self._time_courses(subject) for subject in SUBJECTS]))

    def _time_courses(self, subject: str) -> FloatArray:
        path = self._folder / "alice_data_shared" / f"{self.radius_mm}mm" / f"{subject}-timecourses.txt"
        values = numeric_table(path, (N_TRS, len(ROIS)), HOW_TO_GET)
        return values if self.detrend_order is None else without_trend(values, self.detrend_order)

    def _motion(self, subject: str) -> FloatArray:
        """Six movement parameters, the volumes dropped that the time courses lack."""
        data = self._folder / "alice_data_shared"
        found = sorted(data.glob(f"{subject}-rp_*.txt"))
        if len(found) != 1:
            raise DataError(f"{data} has {len(found)} files {subject}-rp_*.txt, but one is needed. {HOW_TO_GET}")
        return numeric_table(require_file(found[0], HOW_TO_GET), (DROPPED_TRS + N_TRS, 6), HOW_TO_GET)[DROPPED_TRS:]
