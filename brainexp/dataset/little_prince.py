"""The Little Prince (Li et al. 2022), OpenNeuro ds003643: fMRI of people who heard an audiobook in their language."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Literal

import numpy as np

from brainexp.containers import Clock, Facts, FloatArray, Responses, Space, Stimulus, Timing
from brainexp.dataset.binaryfile import nifti, nifti_shape, nifti_tr_s, require_shape, stored_voxels
from brainexp.dataset.cleaning import Cleaning
from brainexp.dataset.rois import Rois
from brainexp.dataset.subjects import present
from brainexp.dataset.textfile import require_folder, words_of_textgrid
from brainexp.errors import DataError
from brainexp.registry import DATASETS

#: Name in the files, and code of the language.
LANGUAGES = {"english": ("EN", "en"), "chinese": ("CN", "zh"), "french": ("FR", "fr")}
N_SECTIONS = 9
#: TRs of the nine sections where they are published; half the seconds of the English TextGrids.
SCANNED_TRS: dict[str, tuple[int, ...]] = {
    "english": (282, 298, 340, 303, 265, 343, 325, 292, 368),
    "french": (309, 326, 354, 315, 293, 378, 332, 294, 336),
}
TR_S = 2.0
#: Numbers that the release has, 49, 35 and 28.
NUMBERS = {
    "english": sorted(set(range(57, 116)) - {60, 66, 71, 80, 85, 90, 102, 107, 111, 112}),
    "chinese": sorted(set(range(1, 38)) - {12, 35}),
    "french": sorted(set(range(1, 31)) - {21, 27}),
}
SUBJECTS = {
    language: tuple(f"{LANGUAGES[language][0]}{number:03}" for number in own) for language, own in NUMBERS.items()
}
WORDS = (
    "every interval of the only tier that has a letter or a digit; no words are silence ('#') and marks that stand alone; "
    "apostrophes as usual, numbers with hyphens"
)
HOW_TO_GET = (
    "Get OpenNeuro ds003643 (python -m brainexp.fetch dataset=little_prince subjects=[EN057]) with annotation and "
    "derivatives, and give dataset.root=FOLDER."
)
HOW_TO_GET_MASK = (
    "Give dataset.mask=FILE, a NIfTI mask in the space of the data, such as mask_lpp_en.nii.gz (4 mm, 25,870 voxels) of "
    "https://github.com/l-bg/llms_brain_lateralization."
)


@DATASETS.register("little_prince")
@dataclass(frozen=True)
class LittlePrince:
    """Forty-nine English, 35 Chinese and 28 French listeners, nine sections of about ten minutes, TR 2 s.

    Columns are the voxels of a mask, on the mask's grid; recordings on another grid are brought there by linear
    interpolation, such as from 2 mm to the published masks' 4 mm. Runs are numbered as they were scanned, so their
    order counts, not their number.

    Parameters
    ----------
    root : str
        Folder of ds003643, with ``annotation/`` and ``derivatives/``.
    language : {"english", "chinese", "french"}
        Whose recordings.
    subjects : "all", a name or names
        Who is analysed: "EN057", or 57; all are those on disk.
    mask : str or None
        NIfTI mask; None for ``mask_lpp_en.nii.gz`` (``cn``, ``fr``) in root.
    sound_s : float
        When the sound begins after the first TR of a recording, in seconds. Published analyses take 0, and times in the
        TextGrids run as long as the recordings do; the data's authors speak of 8 s between the trigger and the sound.
    trim_start_s, trim_stop_s : float
        Seconds cut from the edges of every run.
    rois : Rois
        Which ROIs are summarised.
    cleaning : Cleaning
        What is done to each run's responses.
    """

    root: str | None = None
    language: Literal["english", "chinese", "french"] = "english"
    subjects: str | int | tuple[str | int, ...] = "all"
    mask: str | None = None
    sound_s: float = 0.0
    trim_start_s: float = 20.0
    trim_stop_s: float = 20.0
    rois: Rois = field(default_factory=Rois)
    cleaning: Cleaning = field(default_factory=Cleaning)

    def facts(self) -> Facts:
        """Return what a correct copy holds, of the subjects who are asked for."""
        subjects = self.chosen_subjects()
        return Facts(
            subjects=subjects,
            stories=self._sections,
            n_trs=self._n_trs,
            n_voxels=dict.fromkeys(subjects, int(self._mask[0].sum())),
            tr_s=TR_S,
            licence="CC0",
            doi="10.1038/s41597-022-01625-7",
            citation=(
                "Li, Bhattasali, Zhang, Franzluebbers, Luh, Spreng, Brennan, Yang, Pallier & Hale (2022). Le Petit Prince "
                "multilingual naturalistic fMRI corpus. Scientific Data 9, 530."
            ),
            language=LANGUAGES[self.language][1],
            words=WORDS,
            trim_s=(type(self).trim_start_s, type(self).trim_stop_s),
            read_by_story=True,
        )

    def chosen_subjects(self) -> tuple[str, ...]:
        """Return the subjects that the config asks for; raise ConfigError if one is not there."""
        found = [path.name.removeprefix("sub-") for path in self._derivatives.glob(f"sub-{self._code}*")]
        dataset = f"little_prince ({self.language})"
        return present(self.subjects, found, SUBJECTS[self.language], dataset, str(self._derivatives))

    def stimuli(self) -> tuple[Stimulus, ...]:
        """Return the sections, word by word."""
        folder = self._folder / "annotation" / self._code
        return tuple(
            words_of_textgrid(
                folder / f"lpp{self._code}_{section}.TextGrid", section, None, HOW_TO_GET, spelling=spelled
            )
            for section in self._sections
        )

    def responses(self, subject: str) -> tuple[Responses, ...]:
        """Return one subject's responses, which stay on disk until they are asked for."""
        mask, affine = self._mask
        runs = []
        for section, path in zip(self._sections, self._runs(subject), strict=True):
            change = None
            if self.cleaning.crosses_rows:
                where = f"subject {subject!r}, story {section!r}"
                change = partial(self.cleaning.of_run, tr_s=TR_S, nuisance={}, where=where)
            values = stored_voxels(path, mask, affine, HOW_TO_GET, change)
            require_shape(path, section, values.shape, self._n_trs, int(mask.sum()), HOW_TO_GET)
            clock = Clock(start_s=0.0 - self.sound_s, tr_s=TR_S, n_trs=len(values))
            runs.append(Responses(subject=subject, story=section, values=values, clock=clock))
        return tuple(runs)

    def ceiling(self, subject: str) -> FloatArray:
        """Return that no ceiling is declared, array of NaN of shape (n_voxels,); see ``ceiling.method=inter_subject``."""
        return np.full(int(self._mask[0].sum()), np.nan)

    def space(self, subject: str) -> Space:
        """Return the voxels of the mask, the same for all; the template is MNI's Colin27."""
        mask, affine = self._mask
        note = "MNI, template Colin27."
        space = Space(kind="volume", n_voxels=int(mask.sum()), rois={}, mask=mask, affine=affine, note=note)
        return self.rois.of(space, subject)

    def timings(self) -> dict[str, Timing]:
        """Return what headers of the recordings state of the TR, by section."""
        by_subject = [self._runs(subject) for subject in self.chosen_subjects()]
        return {
            section: Timing(stated_tr_s={f"header of {path.name}": nifti_tr_s(path, HOW_TO_GET) for path in paths})
            for section, paths in zip(self._sections, zip(*by_subject, strict=True), strict=True)
        }

    @property
    def _code(self) -> str:
        return LANGUAGES[self.language][0]

    @property
    def _sections(self) -> tuple[str, ...]:
        return tuple(f"section{number}" for number in range(1, N_SECTIONS + 1))

    @cached_property
    def _folder(self) -> Path:
        root = None if self.root is None else Path(self.root).expanduser()
        return require_folder(root, "dataset 'little_prince'", HOW_TO_GET)

    @cached_property
    def _derivatives(self) -> Path:
        return require_folder(self._folder / "derivatives", "dataset 'little_prince'", HOW_TO_GET)

    @cached_property
    def _mask(self) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.bool_]], FloatArray]:
        """The mask and its affine."""
        given = self._folder / f"mask_lpp_{self._code.lower()}.nii.gz" if self.mask is None else Path(self.mask)
        values, affine, _ = nifti(given.expanduser(), HOW_TO_GET_MASK)
        if values.ndim != 3 or not (values > 0.5).any():
            raise DataError(
                f"{given} has shape {values.shape} and {int((values > 0.5).sum())} voxels: it is no mask. {HOW_TO_GET_MASK}"
            )
        return values > 0.5, affine

    @cached_property
    def _n_trs(self) -> dict[str, int]:
        """As published; where that is not known, as the first subject's recordings have them."""
        declared = SCANNED_TRS.get(self.language)
        if declared is None:
            first = self._runs(self.chosen_subjects()[0])
            declared = tuple(nifti_shape(path, HOW_TO_GET)[3] for path in first)
        return dict(zip(self._sections, declared, strict=True))

    def _runs(self, subject: str) -> list[Path]:
        """The nine recordings of a subject, in the order in which they were scanned."""
        folder = self._derivatives / f"sub-{subject}" / "func"
        name = f"sub-{subject}_task-lpp{self._code}_run-*_space-MNIColin27_desc-preproc_bold.nii.gz"
        numbers = {path: int(re.findall(r"run-(\d+)", path.name)[0]) for path in folder.glob(name)}
        found = sorted(numbers, key=numbers.__getitem__)
        if len(found) != N_SECTIONS:
            raise DataError(
                f"{folder} has {len(found)} recordings {name} (runs {', '.join(str(numbers[one]) for one in found) or 'none'}"
                f"), but {N_SECTIONS} are declared. Fetch what is missing, or leave {subject} out of dataset.subjects. "
                f"{HOW_TO_GET}"
            )
        return found


def spelled(mark: str) -> str:
    r"""Return a word as it is usually written; nothing for silence and marks that stand alone.

    >>> [spelled(mark) for mark in ("#", ",", r"\` the", r"it\` ll", r'na\i"ve', "six_hundred_twelve", "flowers—")]
    ['', '', 'the', "it'll", 'naïve', 'six-hundred-twelve', 'flowers—']
    """
    text = mark.strip().replace('\\i"', "ï").replace("\\`", "'").replace("_", "-")
    text = re.sub(r"' (?=\w)", "'", text).strip('«»" ').lstrip("'")
    return text if any(letter.isalnum() for letter in text) else ""
