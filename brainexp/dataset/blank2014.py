"""Blank et al. (2014): fMRI of five people who heard eight stories, as twelve regions of the language network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from brainexp.containers import Clock, Facts, FloatArray, IntArray, Responses, Space, Stimulus
from brainexp.dataset.assembly import Assembly, assembly
from brainexp.dataset.subjects import named
from brainexp.dataset.textfile import require_folder
from brainexp.errors import ConfigError, DataError
from brainexp.registry import DATASETS, did_you_mean

STORIES = ("Aqua", "Boar", "Elvis", "HighSchool", "KingOfBirds", "MatchstickSeller", "MrSticky", "Tulips")
SUBJECTS = ("061", "085", "088", "090", "098")
REGIONS = (
    *("01_LH_PostTemp", "02_LH_AntTemp", "03_LH_IFG", "04_LH_IFGorb", "05_LH_MFG", "06_LH_AngG"),
    *("07_RH_PostTemp", "08_RH_AntTemp", "09_RH_IFG", "10_RH_IFGorb", "11_RH_MFG", "12_RH_AngG"),
)
#: Rows of all stories together: volumes during which a word ended, 4 s before.
N_ROWS = 1317
FILE = "assy_Blank2014_fROI.nc"
#: Numbers of a row, from which its identifier is made: Boar.3.0.
NUMBERS = ("sentence_number_in_story", "part_number_in_sentence")
OF_ROWS = ("stimulus_id", "story", "stimulus", *NUMBERS)
OF_COLUMNS = ("subject_id", "fROI_area")
HOW_TO_GET = (
    f"Get {FILE}, as Brain-Score packs the data (python -m brainexp.fetch dataset=blank2014), and give dataset.root=FOLDER. "
    "The recordings themselves are not public."
)


@DATASETS.register("blank2014")
@dataclass(frozen=True)
class Blank2014:
    """A response per region and volume of 2 s, each with the words that ended in the 2 s that lie 4 s before it.

    Rows are volumes, but no clock is released: a volume during which no word ended was left out, and the delay of the
    response is in the choice of words. So a row is an item of a story, and stories are never split between folds.

    Parameters
    ----------
    root : str or None
        Folder with the assembly.
    subjects : "all", a name or names
        Who is analysed: "061", "085", "088", "090", "098".
    regions : "all", a name or names
        Columns: each person's own regions of the language network, such as "03_LH_IFG".
    """

    root: str | None = None
    subjects: str | int | tuple[str | int, ...] = "all"
    regions: str | tuple[str, ...] = "all"

    trim_start_s: ClassVar[float] = 0.0
    trim_stop_s: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        regions = self._regions
        unknown = [one for one in regions if one not in REGIONS]
        if unknown or not regions or len(set(regions)) < len(regions):
            hint = did_you_mean(unknown[0], REGIONS) if unknown else f" Give each once: {', '.join(REGIONS)}."
            raise ConfigError(f"dataset 'blank2014': regions={list(regions)} are not regions of the assembly.{hint}")

    def facts(self) -> Facts:
        """Return what a correct copy holds; rows of each story are as on disk."""
        return Facts(
            subjects=SUBJECTS,
            stories=STORIES,
            n_trs={story: len(rows) for story, rows in self._rows.items()},
            n_voxels=dict.fromkeys(SUBJECTS, len(self._regions)),
            tr_s=1.0,
            licence="none given; public through Brain-Score, for research",
            doi="10.1152/jn.00884.2013",
            citation=(
                "Blank, Kanwisher & Fedorenko (2014). A functional dissociation between language and multiple-demand systems "
                "revealed in patterns of BOLD signal fluctuations. Journal of Neurophysiology 112, 1105-1118."
            ),
            words="every piece of a story is a unit: the words that ended within 2 s, with the marks written there",
            items=True,
        )

    def chosen_subjects(self) -> tuple[str, ...]:
        """Return the subjects that the config asks for."""
        return named(self.subjects, SUBJECTS, "blank2014")

    def remarks(self) -> tuple[str, ...]:
        """Say whether the file's own labels of rows contradict each other."""
        moved = int((self._identifier != np.array(self._labelled)).sum())
        if not moved:
            return ()
        return (
            f"blank2014: {moved} of {N_ROWS} rows of {FILE} are labelled with another story, sentence and text than their "
            "identifier (stimulus_id) names. Responses go by the identifier, and so do the words here.",
        )

    def stimuli(self) -> tuple[Stimulus, ...]:
        """Return the stories, piece by piece."""
        return tuple(
            Stimulus(
                story,
                tuple(self._text[str(self._identifier[row])] for row in rows),
                np.arange(len(rows), dtype=float),
                np.arange(len(rows)) + 1.0,
            )
            for story, rows in self._rows.items()
        )

    def responses(self, subject: str) -> tuple[Responses, ...]:
        """Return one row per piece of the story and one column per region; NaN where the assembly has none."""
        held = self._held
        own = {
            str(area): at
            for at, (who, area) in enumerate(zip(held.neuroid["subject_id"], held.neuroid["fROI_area"], strict=True))
            if str(who) == subject
        }
        absent = [region for region in self._regions if region not in own]
        if absent:
            raise DataError(f"{self._path}: subject {subject!r} has no region {', '.join(absent)}. {HOW_TO_GET}")
        columns = np.array([own[region] for region in self._regions])
        return tuple(
            Responses(subject, story, held.values[np.ix_(rows, columns)], Clock(start_s=0.0, tr_s=1.0, n_trs=len(rows)))
            for story, rows in self._rows.items()
        )

    def ceiling(self, subject: str) -> FloatArray:
        """Return that none is declared; ``ceiling.method=inter_subject`` estimates one."""
        return np.full(len(self._regions), np.nan)

    def space(self, subject: str) -> Space:
        """Return a column per region; the assembly gives no places."""
        columns: dict[str, IntArray] = {name: np.array([at]) for at, name in enumerate(self._regions)}
        note = "Regions are each person's own, defined by a localizer; the assembly gives no places."
        return Space(kind="unplaced", n_voxels=len(columns), rois=columns, note=note)

    @property
    def _regions(self) -> tuple[str, ...]:
        if self.regions == "all":
            return REGIONS
        return (self.regions,) if isinstance(self.regions, str) else tuple(self.regions)

    @cached_property
    def _path(self) -> Path:
        root = None if self.root is None else Path(self.root).expanduser()
        return require_folder(root, "dataset 'blank2014'", HOW_TO_GET) / FILE

    @cached_property
    def _held(self) -> Assembly:
        held = assembly(self._path, OF_ROWS, OF_COLUMNS, HOW_TO_GET)
        found = {
            "rows": (len(held.values), N_ROWS),
            "columns": (held.values.shape[1], len(SUBJECTS) * len(REGIONS)),
            "stories": (len(np.unique(held.presentation["story"].astype(str))), len(STORIES)),
        }
        wrong = [
            f"{one} {what} ({declared} are declared)" for what, (one, declared) in found.items() if one != declared
        ]
        if wrong:
            raise DataError(f"{self._path} has {', '.join(wrong)}: it is of another version. {HOW_TO_GET}")
        return held

    @cached_property
    def _identifier(self) -> np.ndarray[tuple[int, ...], np.dtype[np.str_]]:
        """What each row of responses is, such as "Boar.3.0": story, sentence and part of the sentence."""
        return self._held.presentation["stimulus_id"].astype(str)

    @cached_property
    def _labelled(self) -> list[str]:
        """The same as the coordinates of the rows have it; they travel together, and not always with their row."""
        held = self._held.presentation
        numbers = zip(held["story"], *(held[name].astype(int) for name in NUMBERS), strict=True)
        return [".".join(map(str, one)) for one in numbers]

    @cached_property
    def _text(self) -> dict[str, str]:
        """The words of each piece, by identifier."""
        texts = [str(one).strip() for one in self._held.presentation["stimulus"]]
        return dict(zip(self._labelled, texts, strict=True))

    @cached_property
    def _rows(self) -> dict[str, IntArray]:
        """Rows of each story in the order in which they were heard: the file is sorted by text."""
        identifiers = [str(one) for one in self._identifier]
        unknown = [one for one in identifiers if one not in self._text]
        if unknown or len(set(identifiers)) < len(identifiers):
            what = f"no text of {unknown[0]!r}" if unknown else "an identifier twice"
            raise DataError(f"{self._path}: stimulus_id does not tell rows apart: there is {what}. {HOW_TO_GET}")
        place = [_place(one, self._path) for one in identifiers]
        rows: dict[str, list[int]] = {story: [] for story in STORIES}
        for row in sorted(range(len(place)), key=place.__getitem__):
            story = place[row][0]
            if story not in rows:
                raise DataError(f"{self._path}: unknown story {story!r}.{did_you_mean(story, STORIES)} {HOW_TO_GET}")
            rows[story].append(row)
        return {story: np.array(own) for story, own in rows.items()}


def _place(identifier: str, path: Path) -> tuple[str, int, int]:
    """Story, sentence and part, from an identifier such as "Boar.3.0"."""
    parts: Sequence[str] = identifier.rsplit(".", 2)
    if len(parts) != 3 or not all(part.isdigit() for part in parts[1:]):
        raise DataError(f"{path}: {identifier!r} is no story, sentence and part, such as Boar.3.0. {HOW_TO_GET}")
    return parts[0], int(parts[1]), int(parts[2])
