"""Harry Potter (Wehbe et al. 2014): fMRI of eight people who read a chapter word by word, voxel by voxel."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from brainexp.containers import Clock, Facts, FloatArray, IntArray, OnDisk, Responses, Space, Stimulus, Timing
from brainexp.dataset.binaryfile import npy
from brainexp.dataset.cleaning import Cleaning
from brainexp.dataset.subjects import present
from brainexp.dataset.textfile import require_folder
from brainexp.errors import ConfigError, DataError
from brainexp.registry import DATASETS

SUBJECTS = ("F", "H", "I", "J", "K", "L", "M", "N")
#: TRs of the four runs as scanned.
SCANNED_TRS = (340, 352, 279, 380)
#: TRs of each run that the released responses lack.
CUT_START_TRS, CUT_STOP_TRS = 20, 15
TR_S = 2.0
N_WORDS = 5176
#: How long a word stands on the screen.
WORD_S = 0.5
#: Written around words for the layout on the screen: italics, and what was escaped.
LAYOUT = str.maketrans("", "", "@^\\")
#: Stands on the screen where a new part begins.
FIXATION = "+"
HOW_TO_GET = (
    "Get the folder fMRI of the Harry Potter data (a link stands in https://github.com/mtoneva/brain_language_nlp) with "
    "data_subject_F.npy and so on, time_fmri.npy, runs_fmri.npy, time_words_fmri.npy and words_fmri.npy or "
    "stimuli_words.npy, and give dataset.root=FOLDER."
)


@DATASETS.register("harry_potter")
@dataclass(frozen=True)
class HarryPotter:
    """Eight readers of chapter 9 of the first book, 5,176 words of half a second in four runs, TR 2 s.

    Parameters
    ----------
    root : str
        Folder ``fMRI``, or the one above it.
    subjects : "all", a name or names
        Who is analysed: F, H, I, J, K, L, M, N; all are those on disk.
    trim_start_s, trim_stop_s : float
        Seconds cut from the edges of every run; the release has no responses in the first 40 s and the last 30 s.
    cleaning : Cleaning
        What is done to each run's responses, over the rows that the release has; as published, standard deviation 1.
    """

    root: str | None = None
    subjects: str | tuple[str, ...] = "all"
    trim_start_s: float = 40.0
    trim_stop_s: float = 30.0
    cleaning: Cleaning = field(default_factory=lambda: Cleaning(standardise="run"))

    def __post_init__(self) -> None:
        for name, cut in (("trim_start_s", CUT_START_TRS), ("trim_stop_s", CUT_STOP_TRS)):
            if math.ceil(round(getattr(self, name) / TR_S, 9)) < cut:
                raise ConfigError(
                    f"dataset 'harry_potter': {name}={getattr(self, name):g}, but the release has no responses in these "
                    f"{cut} TRs. Give at least {name}={TR_S * cut:g}."
                )

    def facts(self) -> Facts:
        """Return what a correct copy holds; voxels are as on disk."""
        subjects = self.chosen_subjects()
        return Facts(
            subjects=subjects,
            stories=tuple(self._n_trs),
            n_trs=self._n_trs,
            n_voxels={subject: int(self._held(subject).shape[1]) for subject in subjects},
            tr_s=TR_S,
            licence="none given; for research",
            doi="10.1371/journal.pone.0112575",
            citation=(
                "Wehbe, Murphy, Talukdar, Fyshe, Ramdas & Mitchell (2014). Simultaneously uncovering the patterns of brain "
                "regions involved in different story reading subprocesses. PLoS ONE 9, e112575."
            ),
            words=f"every word on the screen with the marks that are written on it; no words are '{FIXATION}' and '@', '^'",
            trim_s=(type(self).trim_start_s, type(self).trim_stop_s),
            read_by_story=True,
        )

    def chosen_subjects(self) -> tuple[str, ...]:
        """Return the subjects that the config asks for; raise ConfigError if one is not there."""
        found = [path.stem.removeprefix("data_subject_") for path in self._folder.glob("data_subject_*.npy")]
        return present(self.subjects, found, SUBJECTS, "harry_potter", str(self._folder))

    def remarks(self) -> tuple[str, ...]:
        """Say who and what was left out."""
        absent = [name for name in SUBJECTS if name not in self.chosen_subjects()]
        told = [] if self.subjects != "all" or not absent else [f"harry_potter: {', '.join(absent)} not on disk."]
        n_kept = sum(len(one.units) for one in self.stimuli())
        return (
            *told,
            f"harry_potter: {len(self._words) - n_kept} of {len(self._words)} words are marks, and left out.",
        )

    def stimuli(self) -> tuple[Stimulus, ...]:
        """Return the four runs, word by word, each from the start of its first TR."""
        onset_s = self._times("time_words_fmri.npy", len(self._words))
        begin_s = np.array([self._trs_s[rows.start] for rows in self._rows])
        run = np.searchsorted(begin_s, onset_s, side="right") - 1
        found = []
        for at, name in enumerate(self._n_trs):
            shown = [one for one in np.flatnonzero(run == at) if self._words[one]]
            own_s = onset_s[shown] - begin_s[at]
            offset_s = np.minimum(own_s + WORD_S, np.append(own_s[1:], np.inf))
            found.append(Stimulus(name, tuple(self._words[one] for one in shown), own_s, offset_s))
        return tuple(found)

    def responses(self, subject: str) -> tuple[Responses, ...]:
        """Return one subject's responses, which stay on disk until they are asked for.

        The release cut TRs off the edges of every run; they are NaN here, and trimmed.
        """
        held = self._held(subject)
        runs = []
        first = 0
        for name, n_trs in self._n_trs.items():
            last = first + n_trs - CUT_START_TRS - CUT_STOP_TRS
            where = f"subject {subject!r}, story {name!r}"
            change = partial(self.cleaning.of_run, tr_s=TR_S, nuisance={}, where=where)
            values = _padded(held, slice(first, last), change if self.cleaning.crosses_rows else np.asarray)
            runs.append(Responses(subject, name, values, Clock(start_s=0.0, tr_s=TR_S, n_trs=n_trs)))
            first = last
        return tuple(runs)

    def ceiling(self, subject: str) -> FloatArray:
        """Return that no ceiling is published, array of NaN of shape (n_voxels,)."""
        return np.full(self._held(subject).shape[1], np.nan)

    def space(self, subject: str) -> Space:
        """Return the columns without places: the release has none."""
        note = "The release does not say where voxels lie."
        return Space(kind="unplaced", n_voxels=int(self._held(subject).shape[1]), rois={}, note=note)

    def timings(self) -> dict[str, Timing]:
        """Return when each run's TRs began, as the release has it."""
        return {
            name: Timing(trigger_s=self._trs_s[rows] - self._trs_s[rows.start])
            for name, rows in zip(self._n_trs, self._rows, strict=True)
        }

    @cached_property
    def _folder(self) -> Path:
        root = None if self.root is None else Path(self.root).expanduser()
        folder = require_folder(root, "dataset 'harry_potter'", HOW_TO_GET)
        return folder / "fMRI" if (folder / "fMRI").is_dir() else folder

    @property
    def _n_trs(self) -> dict[str, int]:
        return {f"run{number}": n_trs for number, n_trs in enumerate(SCANNED_TRS, 1)}

    @cached_property
    def _trs_s(self) -> FloatArray:
        return self._times("time_fmri.npy", sum(SCANNED_TRS))

    @cached_property
    def _rows(self) -> list[slice]:
        """TRs of each run among all; raise DataError if the release counts others."""
        numbers: IntArray = np.asarray(npy(self._folder / "runs_fmri.npy", HOW_TO_GET)).ravel().astype(int)
        expected = np.repeat(np.arange(1, len(SCANNED_TRS) + 1), SCANNED_TRS)
        if not np.array_equal(numbers, expected):
            counts = [int((numbers == number).sum()) for number in np.unique(numbers)]
            raise DataError(
                f"{self._folder / 'runs_fmri.npy'} has runs of {counts} TRs, but {list(SCANNED_TRS)} are declared, one after "
                f"the other. It is of another version. {HOW_TO_GET}"
            )
        edges = np.cumsum([0, *SCANNED_TRS]).tolist()
        return [slice(start, stop) for start, stop in pairwise(edges)]

    @cached_property
    def _words(self) -> tuple[str, ...]:
        """Every word as on the screen; nothing for what is no word."""
        path = next(
            (self._folder / name for name in ("words_fmri.npy", "stimuli_words.npy") if (self._folder / name).exists()),
            self._folder / "words_fmri.npy",
        )
        held = np.asarray(npy(path, HOW_TO_GET)).ravel()
        if held.dtype.kind not in "US" or len(held) != N_WORDS:
            raise DataError(
                f"{path} has {len(held)} values of type {held.dtype}, but {N_WORDS} words are declared. It is of another "
                f"version. {HOW_TO_GET}"
            )
        texts = [one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one) for one in held]
        plain = [text.translate(LAYOUT).strip() for text in texts]
        return tuple("" if text == FIXATION else text for text in plain)

    def _times(self, name: str, n_times: int) -> FloatArray:
        held: FloatArray = np.asarray(npy(self._folder / name, HOW_TO_GET), dtype=float).ravel()
        if len(held) != n_times or not np.isfinite(held).all() or (np.diff(held) < 0).any():
            raise DataError(
                f"{self._folder / name} has {len(held)} times, but {n_times} that rise are declared. It is of another "
                f"version. {HOW_TO_GET}"
            )
        return held

    def _held(self, subject: str) -> np.ndarray[Any, Any]:
        """The released responses of all runs, mapped into memory; raise DataError if they have other rows."""
        path = self._folder / f"data_subject_{subject}.npy"
        held = npy(path, HOW_TO_GET, n_axes=2)
        expected = sum(SCANNED_TRS) - len(SCANNED_TRS) * (CUT_START_TRS + CUT_STOP_TRS)
        if len(held) != expected:
            whole = " These are all TRs: their edges are not cut." if len(held) == sum(SCANNED_TRS) else ""
            raise DataError(
                f"{path} has {len(held)} rows, but {expected} are declared.{whole} It is of another version. {HOW_TO_GET}"
            )
        return held


def _padded(held: np.ndarray[Any, Any], run: slice, change: Callable[[FloatArray], FloatArray]) -> OnDisk:
    """Rows of one run, with rows of NaN for what the release has cut off."""
    n_held = run.stop - run.start

    def read(rows: slice, into: FloatArray) -> None:
        into[:] = np.nan
        first, last = max(rows.start, CUT_START_TRS), min(rows.stop, CUT_START_TRS + n_held)
        if first < last:
            wanted = slice(first - CUT_START_TRS, last - CUT_START_TRS)
            into[first - rows.start : last - rows.start] = change(held[run])[wanted]

    return OnDisk((CUT_START_TRS + n_held + CUT_STOP_TRS, held.shape[1]), read)
