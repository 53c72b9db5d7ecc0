"""The Alice dataset (Bhattasali et al. 2020), OpenNeuro ds002322: whole brains of people who heard Alice in Wonderland."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from brainexp.containers import Clock, Facts, FloatArray, OnDisk, Responses, Space, Stimulus, Timing
from brainexp.dataset.alice import APPROXIMATE_MNI_MM, DROPPED_TRS, N_TRS, ROIS, STORY, TR_S
from brainexp.dataset.binaryfile import nifti, nifti_shape, nifti_tr_s, stored_voxels
from brainexp.dataset.cleaning import Cleaning
from brainexp.dataset.rois import Rois
from brainexp.dataset.subjects import present
from brainexp.dataset.textfile import MOST_SHOWN, json_of, require_folder, text_of
from brainexp.errors import ConfigError, DataError
from brainexp.registry import DATASETS

#: Who has a preprocessed recording; 38, 46 and 52 have a raw one only, and of 46 and 52 nobody noted when the sound began.
SUBJECTS = tuple(
    str(number)
    for number in (18, 22, 23, 24, 26, 28, 30, 31, 35, 36, 37, 39, 41, 42, 43, 44, 45, 47, 48, 49, 50, 51, 53)
)  # fmt: skip
UNUSABLE = dict.fromkeys(("38", "46", "52"), "the release has no preprocessed recording")
WORDS, ONSET, OFFSET = "Words", "Word Onset", "Word Offset"
N_ROWS = 2132
#: Rows without times that continue the word before them, as the table writes them, and how they are written.
CLITICS = {"s": "'s", "d": "'d", "m": "'m", "ll": "'ll", "nt": "n't", "re": "'re", "ve": "'ve"}
#: What a spreadsheet made of words.
SLIPS = {"TRUE": "true"}
HOW_TO_GET = (
    "Get OpenNeuro ds002322 (python -m brainexp.fetch dataset=alice_ds002322 subjects=[18]) with derivatives/, code/ and "
    "each subject's events.tsv, and give dataset.root=FOLDER."
)


@DATASETS.register("alice_ds002322")
@dataclass(frozen=True)
class AliceDs002322:
    """Twenty-three listeners of chapter one, 362 TRs of 2 s, whole brains in MNI space.

    Read are the release's own preprocessed volumes (SPM8: realigned, in MNI space, smoothed with 3 mm, high-pass at 1/128 Hz,
    the first ten volumes discarded), not the raw ones.

    Parameters
    ----------
    root : str or None
        Folder of ds002322.
    subjects : "all", a name or names
        Who is analysed: "18", or 18; all are those on disk.
    columns : {"mask", "spheres"}
        Voxels of a mask, or the means over spheres around the places of six regions. The authors published no coordinates,
        so spheres lie at the usual places of the named areas.
    mask : str or None
        NIfTI mask, on whose grid voxels lie; None for the grey matter of MNI152 as nilearn has it.
    voxel_mm : int
        Edge of the voxels of that grey matter.
    radius_mm : float
        Of the spheres; the authors used 6 and 10.
    sound_s : float or None
        When the sound began after the scan, in seconds, for all; None for the middle of what the chosen subjects' events.tsv
        say, which are 0.003 to 0.017 for twelve subjects and 0.26 to 0.84 for eleven. How far anyone is from it is audited.
    trim_start_s, trim_stop_s : float
        Seconds cut from the edges of the run.
    rois : Rois
        Which ROIs are summarised.
    cleaning : Cleaning
        What is done to the run's responses.
    """

    root: str | None = None
    subjects: str | int | tuple[str | int, ...] = "all"
    columns: Literal["mask", "spheres"] = "mask"
    mask: str | None = None
    voxel_mm: int = 4
    radius_mm: float = 10.0
    sound_s: float | None = None
    trim_start_s: float = 0.0
    trim_stop_s: float = 0.0
    rois: Rois = field(default_factory=Rois)
    cleaning: Cleaning = field(default_factory=Cleaning)

    def __post_init__(self) -> None:
        if not 1 <= self.voxel_mm <= 10 or not 1 <= self.radius_mm <= 30:
            raise ConfigError(
                f"dataset 'alice_ds002322': voxel_mm must lie in 1..10 and radius_mm in 1..30, got {self.voxel_mm} and "
                f"{self.radius_mm:g}"
            )
        if self.columns == "spheres" and self.mask is not None:
            raise ConfigError("dataset 'alice_ds002322': columns=spheres takes no mask. Leave out dataset.mask.")

    def facts(self) -> Facts:
        """Return what a correct copy holds, of the subjects who are asked for."""
        subjects = self.chosen_subjects()
        n_voxels = len(ROIS) if self.columns == "spheres" else int(self._mask[0].sum())
        return Facts(
            subjects=subjects,
            stories=(STORY,),
            n_trs={STORY: N_TRS},
            n_voxels=dict.fromkeys(subjects, n_voxels),
            tr_s=TR_S,
            licence="CC0",
            doi="10.18112/openneuro.ds002322.v1.0.4",
            citation=(
                "Bhattasali, Brennan, Luh, Franzluebbers & Hale (2020). The Alice datasets: fMRI & EEG observations of "
                "natural language comprehension. Proceedings of LREC 2020, 120-125."
            ),
            words=(
                "every row of code/annotations.tsv; rows without times continue the word before them ('they' + 'll'), but "
                "for whole words, which share its time"
            ),
            read_by_story=True,
        )

    def chosen_subjects(self) -> tuple[str, ...]:
        """Return the subjects that the config asks for; raise ConfigError if one is not there or not usable."""
        asked = (self.subjects,) if isinstance(self.subjects, (str, int)) else self.subjects
        for subject, why in UNUSABLE.items():
            if subject in map(str, asked):
                raise ConfigError(f"subject {subject!r} of alice_ds002322 cannot be analysed: {why}. Leave it out.")
        found = [path.name.removeprefix("sub-") for path in self._derivatives.glob("sub-*")]
        return present(self.subjects, found, SUBJECTS, "alice_ds002322", str(self._derivatives))

    def remarks(self) -> tuple[str, ...]:
        """Say what was done to words, and to whose clock."""
        onsets = {subject: self._onset_s[subject] - self._sound_s for subject in self.chosen_subjects()}
        far = [f"{subject} {off:+.2f}" for subject, off in onsets.items() if abs(off) >= 0.1]
        told = f"alice_ds002322: on the clock the sound begins {self._sound_s:.3f} s after the scan; by events.tsv it began "
        return (
            *self._annotated[1],
            *([f"{told}beside that, in seconds, for {', '.join(far)}."] if far else []),
        )

    def stimuli(self) -> tuple[Stimulus, ...]:
        """Return the chapter, word by word."""
        return (self._annotated[0],)

    def responses(self, subject: str) -> tuple[Responses, ...]:
        """Return one subject's responses, which stay on disk until they are asked for."""
        path = self._recording(subject)
        n_trs = nifti_shape(path, HOW_TO_GET)[3]
        if n_trs != N_TRS:
            whole = (
                f" These are all volumes: the first {DROPPED_TRS} are not discarded."
                if n_trs == N_TRS + DROPPED_TRS
                else ""
            )
            raise DataError(
                f"{path} has {n_trs} TRs, but {N_TRS} are declared.{whole} It is of another version. {HOW_TO_GET}"
            )
        change = None
        if self.cleaning.crosses_rows:
            where = f"subject {subject!r}, story {STORY!r}"
            change = partial(self.cleaning.of_run, tr_s=TR_S, nuisance={}, where=where)
        if self.columns == "spheres":
            values = self._spheres(path, change or np.asarray)
        else:
            values = stored_voxels(path, *self._mask, HOW_TO_GET, change)
        clock = Clock(start_s=DROPPED_TRS * TR_S - self._sound_s, tr_s=TR_S, n_trs=N_TRS)
        return (Responses(subject=subject, story=STORY, values=values, clock=clock),)

    def ceiling(self, subject: str) -> FloatArray:
        """Return that no ceiling is declared; ``ceiling.method=inter_subject`` estimates one."""
        return np.full(self.facts().n_voxels[subject], np.nan)

    def space(self, subject: str) -> Space:
        """Return the voxels of the mask, the same for all, or the spheres."""
        if self.columns == "spheres":
            spheres = Space(
                kind="rois",
                n_voxels=len(ROIS),
                rois={roi: np.array([column]) for column, roi in enumerate(ROIS)},
                coordinates_mm=np.array(APPROXIMATE_MNI_MM),
                note="Places are the usual ones of the named areas; the authors published no coordinates.",
            )
            return self.rois.of(spheres, subject)
        mask, affine = self._mask
        space = Space(kind="volume", n_voxels=int(mask.sum()), rois={}, mask=mask, affine=affine, note="MNI, by SPM8.")
        return self.rois.of(space, subject)

    def timings(self) -> dict[str, Timing]:
        """Return when the volumes of the subject began whose sound is farthest from the clock, and which TRs are stated."""
        subjects = self.chosen_subjects()
        farthest = max(subjects, key=lambda one: abs(self._onset_s[one] - self._sound_s))
        stated: dict[str, float] = {}
        for subject in subjects:
            stated[f"header of {self._recording(subject).name}"] = nifti_tr_s(self._recording(subject), HOW_TO_GET)
            sidecar = self._folder / f"sub-{subject}" / f"sub-{subject}_task-alice_bold.json"
            if sidecar.is_file():
                stated[sidecar.name] = float(json_of(sidecar, HOW_TO_GET).get("RepetitionTime", TR_S))
        volumes_s = TR_S * (DROPPED_TRS + np.arange(N_TRS)) - self._onset_s[farthest]
        return {STORY: Timing(trigger_s=volumes_s, stated_tr_s=stated)}

    @cached_property
    def _folder(self) -> Path:
        root = None if self.root is None else Path(self.root).expanduser()
        return require_folder(root, "dataset 'alice_ds002322'", HOW_TO_GET)

    @cached_property
    def _derivatives(self) -> Path:
        return require_folder(self._folder / "derivatives", "dataset 'alice_ds002322'", HOW_TO_GET)

    def _recording(self, subject: str) -> Path:
        return self._derivatives / f"sub-{subject}" / f"sub-{subject}_task-alice_bold_preprocessed.nii.gz"

    @cached_property
    def _mask(self) -> tuple[np.ndarray[Any, np.dtype[np.bool_]], FloatArray]:
        """The mask and its affine."""
        if self.mask is None:
            from nilearn.datasets import load_mni152_gm_mask

            image = load_mni152_gm_mask(resolution=self.voxel_mm)
            return np.asarray(image.dataobj) > 0, np.asarray(image.affine)
        how_to_get = "Give dataset.mask=FILE, a NIfTI mask in MNI space, or leave it out."
        values, affine, _ = nifti(Path(self.mask).expanduser(), how_to_get)
        if values.ndim != 3 or not (values > 0.5).any():
            raise DataError(
                f"{self.mask} has shape {values.shape} and {int((values > 0.5).sum())} voxels: it is no mask. {how_to_get}"
            )
        return values > 0.5, affine

    def _spheres(self, path: Path, change: Any) -> OnDisk:
        """Means over the voxels of each sphere, on the recording's own grid."""

        def read(rows: slice, into: FloatArray) -> None:
            values, affine, _ = nifti(path, HOW_TO_GET)
            index = np.moveaxis(np.indices(values.shape[:3]), 0, -1)
            places_mm = index @ affine[:3, :3].T + affine[:3, 3]
            means = []
            for roi, centre_mm in zip(ROIS, APPROXIMATE_MNI_MM, strict=True):
                inside = np.linalg.norm(places_mm - np.array(centre_mm), axis=-1) <= self.radius_mm
                if not inside.any():
                    raise DataError(
                        f"{path} has no voxel within {self.radius_mm:g} mm of {roi} at {centre_mm} mm: its header places it "
                        f"elsewhere, or voxels are large. Raise dataset.radius_mm, or fetch it again. {HOW_TO_GET}"
                    )
                means.append(values[inside].mean(axis=0))
            into[:] = change(np.column_stack(means))[rows]

        return OnDisk((N_TRS, len(ROIS)), read)

    @property
    def _sound_s(self) -> float:
        """When the sound began after the scan, for all."""
        if self.sound_s is not None:
            return self.sound_s
        onsets = [self._onset_s[subject] for subject in self.chosen_subjects()]
        return (min(onsets) + max(onsets)) / 2

    @cached_property
    def _onset_s(self) -> Mapping[str, float]:
        """When the sound began after the scan, by subject."""
        return {subject: self._noted_onset(subject) for subject in self.chosen_subjects()}

    def _noted_onset(self, subject: str) -> float:
        path = self._folder / f"sub-{subject}" / f"sub-{subject}_task-alice_events.tsv"
        rows = list(csv.DictReader(text_of(path, HOW_TO_GET).splitlines(), delimiter="\t"))
        try:
            (row,) = rows
            return float(row["onset"])
        except (ValueError, KeyError, TypeError):
            told = rows[0].get("onset") if rows else None
            raise DataError(
                f"{path} has {len(rows)} events with onset {told!r}, but one with the second when the sound began is needed. "
                f"{HOW_TO_GET}"
            ) from None

    @cached_property
    def _annotated(self) -> tuple[Stimulus, tuple[str, ...]]:
        return annotated_words(self._folder / "code" / "annotations.tsv")


def annotated_words(path: Path) -> tuple[Stimulus, tuple[str, ...]]:
    """Read the words of ``code/annotations.tsv``.

    Parameters
    ----------
    path : Path
        A row per word or clitic, with columns Words, Word Onset and Word Offset in seconds of the sound.

    Returns
    -------
    stimulus : Stimulus
    remarks : tuple of str
        What was done to words.

    Raises
    ------
    DataError
        If the file is missing, lacks a column, has other rows than declared, or the first row has no times.
    """
    rows = list(csv.DictReader(text_of(path, HOW_TO_GET).splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE))
    there = list(rows[0]) if rows else []
    missing = [name for name in (WORDS, ONSET, OFFSET) if name not in there]
    if missing:
        raise DataError(
            f"{path} has no column {', '.join(missing)}; it has: {', '.join(there[:MOST_SHOWN])}. {HOW_TO_GET}"
        )
    if len(rows) != N_ROWS:
        raise DataError(f"{path} has {len(rows)} words, but {N_ROWS} are declared: it is truncated. {HOW_TO_GET}")
    units: list[str] = []
    times: list[list[float]] = []
    n_joined = n_beside = 0
    for number, row in enumerate(rows, 2):
        word = SLIPS.get(str(row[WORDS]).strip(), str(row[WORDS]).strip()).replace("’", "'")
        onset_s, offset_s = (_seconds(row[name], path, number) for name in (ONSET, OFFSET))
        if np.isfinite([onset_s, offset_s]).all():
            units.append(word)
            times.append([onset_s, offset_s])
        elif not units:
            raise DataError(f"{path}, row {number}: the first word, {word!r}, has no times. {HOW_TO_GET}")
        elif word.startswith("'") or word in CLITICS:
            units[-1] += CLITICS.get(word, word)
            n_joined += 1
        else:
            middle_s = sum(times[-1]) / 2
            units.append(word)
            times.append([middle_s, times[-1][1]])
            times[-2][1] = middle_s
            n_beside += 1
    onset, offset = np.array(times).T
    backwards = offset < onset
    offset = np.where(backwards, np.append(onset[1:], onset[-1]), offset)
    told = [
        f"story {STORY!r}: {n_joined} rows without times were joined to the word before them, {n_beside} whole words "
        "share its time."
    ]
    if backwards.any():
        wrong = ", ".join(units[at] for at in np.flatnonzero(backwards)[:MOST_SHOWN])
        told.append(f"story {STORY!r}: {wrong}: ends before it begins; taken to end where the next word begins.")
    return Stimulus(STORY, tuple(units), onset, offset), tuple(told)


def _seconds(cell: str | None, path: Path, number: int) -> float:
    """Seconds of a cell; NaN where it is empty."""
    text = (cell or "").strip()
    try:
        return float(text) if text not in ("", "n/a") else float("nan")
    except ValueError:
        raise DataError(f"{path}, row {number}: {text!r} is no time in seconds. {HOW_TO_GET}") from None
