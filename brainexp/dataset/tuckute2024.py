"""Tuckute et al. (2024): fMRI of people who read 1,000 six-word sentences, five language regions and their mean."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from brainexp.containers import Clock, Facts, FloatArray, IntArray, Responses, Space, Stimulus
from brainexp.dataset.subjects import chosen, named
from brainexp.dataset.textfile import MOST_SHOWN, require_folder, text_of
from brainexp.errors import ConfigError, DataError
from brainexp.registry import DATASETS, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

STORY = "baseline_sentences"
#: Sentences that were drawn from corpora; those that a model chose to drive or suppress responses are other conditions.
CONDITION = "B"
N_ITEMS = 1000
#: People who read all of them; five others read what a model chose.
SUBJECTS = ("848", "853", "865", "875", "876")
REGIONS = ("lang_LH_AntTemp", "lang_LH_IFG", "lang_LH_IFGorb", "lang_LH_MFG", "lang_LH_PostTemp", "lang_LH_netw")
#: Person by person, a row per person, region and sentence.
LONG = "brain-lang-data_participant_20230728.csv"
#: The mean over people, a row per sentence and a column per region.
WIDE = "bold_response_LH.csv"
#: The one subject of the wide table.
MEAN = "mean"
NORMALISED, RAW = "response_target", "response_target_non_norm"
HOW_TO_GET = (
    "Get data.tar of Tuckute et al. (2024) as github.com/gretatuckute/drive_suppress_brains says, and give "
    f"dataset.root=FOLDER with {LONG} (or {WIDE}, the mean over people)."
)


@DATASETS.register("tuckute2024")
@dataclass(frozen=True)
class Tuckute2024:
    """A response per sentence, region and person: no time, each sentence read by itself.

    Parameters
    ----------
    root : str or None
        Folder with the authors' table of people, or with the table of their mean; where both are, people are taken.
    subjects : "all", a name or names
        Who is analysed: "848", "853", "865", "875", "876"; "mean" where there is only the mean.
    regions : "all", a name or names
        Columns: regions of the left-hemisphere language network, and their mean "lang_LH_netw".
    normalised : bool
        Responses standardised within each session, as published; else as they were estimated (people only).
    order_seed : int or None
        Sentences are put into a random order, so that folds, which are blocks of it, do not follow the order of the table, in
        which neighbours may come from one source. None keeps the table's.
    """

    root: str | None = None
    subjects: str | int | tuple[str | int, ...] = "all"
    regions: str | tuple[str, ...] = "all"
    normalised: bool = True
    order_seed: int | None = 0

    trim_start_s: ClassVar[float] = 0.0
    trim_stop_s: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        regions = self._regions
        unknown = [one for one in regions if one not in REGIONS]
        if unknown or not regions or len(set(regions)) < len(regions):
            hint = did_you_mean(unknown[0], REGIONS) if unknown else f" Give each once: {', '.join(REGIONS)}."
            raise ConfigError(f"dataset 'tuckute2024': regions={list(regions)} are not regions of its tables.{hint}")

    def facts(self) -> Facts:
        """Return what a correct copy holds."""
        subjects = (MEAN,) if self.root is not None and not self._by_person else SUBJECTS
        return Facts(
            subjects=subjects,
            stories=(STORY,),
            n_trs={STORY: N_ITEMS},
            n_voxels=dict.fromkeys(subjects, len(self._regions)),
            tr_s=1.0,
            licence="MIT for the authors' repository; their data as they host it",
            doi="10.1038/s41562-023-01783-7",
            citation=(
                "Tuckute, Sathe, Srikant, Taliaferro, Wang, Schrimpf, Kay & Fedorenko (2024). Driving and suppressing the "
                "human language network using large language models. Nature Human Behaviour 8, 544-561."
            ),
            words="every sentence of the baseline condition is a unit, with the marks that are written in it",
            items=True,
        )

    def chosen_subjects(self) -> tuple[str, ...]:
        """Return the subjects that the config asks for; raise ConfigError if one is not in the table."""
        if not self._by_person:
            return chosen(self.subjects if isinstance(self.subjects, str) else tuple(map(str, _several(self.subjects))),
                          (MEAN,), f"tuckute2024 ({WIDE})")  # fmt: skip
        return named(self.subjects, SUBJECTS, "tuckute2024")

    def stimuli(self) -> tuple[Stimulus, ...]:
        """Return the sentences, each a unit that is read by itself."""
        onset_s = np.arange(N_ITEMS, dtype=float)
        return (Stimulus(STORY, tuple(self._items["sentence"]), onset_s, onset_s + 1, separate=True),)

    def responses(self, subject: str) -> tuple[Responses, ...]:
        """Return one row per sentence and one column per region."""
        values = self._of_person(subject) if self._by_person else self._items[list(self._regions)].to_numpy(float)
        return (Responses(subject, STORY, values, Clock(start_s=0.0, tr_s=1.0, n_trs=N_ITEMS)),)

    def ceiling(self, subject: str) -> FloatArray:
        """Return that none is known; with several people ``ceiling.method=inter_subject`` estimates one."""
        return np.full(len(self._regions), np.nan)

    def space(self, subject: str) -> Space:
        """Return a column per region; the tables give no places."""
        columns: dict[str, IntArray] = {name: np.array([at]) for at, name in enumerate(self._regions)}
        note = "Regions are each person's own, defined by a localizer; the tables give no places."
        return Space(kind="unplaced", n_voxels=len(columns), rois=columns, note=note)

    @property
    def _regions(self) -> tuple[str, ...]:
        if self.regions == "all":
            return REGIONS
        return (self.regions,) if isinstance(self.regions, str) else tuple(self.regions)

    @cached_property
    def _path(self) -> Path:
        root = None if self.root is None else Path(self.root).expanduser()
        folder = require_folder(root, "dataset 'tuckute2024'", HOW_TO_GET)
        wide = folder / WIDE
        only_wide = wide.exists() and not (folder / LONG).exists()
        return wide if only_wide else folder / LONG

    @property
    def _by_person(self) -> bool:
        return self._path.name == LONG

    @cached_property
    def _table(self) -> pd.DataFrame:
        """The table, with every column that is needed, and of the baseline sentences only."""
        import pandas as pd

        response = NORMALISED if self.normalised else RAW
        needed = [
            "item_id",
            "sentence",
            *(["target_UID", "roi", "cond", response] if self._by_person else self._regions),
        ]
        if not self._by_person and not self.normalised:
            raise ConfigError(f"dataset.normalised=false, but {self._path} has normalised responses only. {HOW_TO_GET}")
        try:
            table = pd.read_csv(io.StringIO(text_of(self._path, HOW_TO_GET)), dtype={"target_UID": str, "item_id": str})
        except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
            raise DataError(f"{self._path} is damaged: {str(error).strip()}. {HOW_TO_GET}") from None
        missing = [name for name in needed if name not in table.columns]
        if missing:
            there = ", ".join(map(str, table.columns[:MOST_SHOWN]))
            raise DataError(f"{self._path} has no column {', '.join(missing)}; it has: {there}. {HOW_TO_GET}")
        if self._by_person:
            table = table[(table["cond"] == CONDITION) & table["roi"].isin(self._regions)]
        for name in (response,) if self._by_person else self._regions:
            if table[name].dtype.kind not in "fi":
                value = next(one for one in table[name] if not _is_number(one))
                raise DataError(f"{self._path}: column {name!r} holds {value!r}, but numbers are needed. {HOW_TO_GET}")
        return table

    @cached_property
    def _items(self) -> pd.DataFrame:
        """A row per sentence, in the order of the analysis."""
        items = self._table.drop_duplicates(["item_id", "sentence"] if self._by_person else None)
        twice = items["item_id"][items["item_id"].duplicated()]
        if len(twice):
            raise DataError(f"{self._path}: item {twice.iloc[0]!r} stands for several sentences or rows. {HOW_TO_GET}")
        empty = items["item_id"][items["sentence"].isna()]
        if len(empty):
            raise DataError(f"{self._path}: item {empty.iloc[0]!r} has no sentence. {HOW_TO_GET}")
        if len(items) != N_ITEMS:
            raise DataError(
                f"{self._path} has {len(items)} sentences, but {N_ITEMS} are declared: it is truncated or of another "
                f"version. {HOW_TO_GET}"
            )
        if self.order_seed is None:
            return items
        return items.iloc[np.random.default_rng(self.order_seed).permutation(N_ITEMS)]

    def _of_person(self, subject: str) -> FloatArray:
        """Responses of one person, array of shape (n_items, n_regions); NaN where the table has none."""
        own = self._table[self._table["target_UID"] == subject]
        twice = own[own.duplicated(["item_id", "roi"])]
        if len(twice):
            row = twice.iloc[0]
            raise DataError(
                f"{self._path}: subject {subject!r} has several responses of {row['roi']} to item {row['item_id']!r}, but "
                f"one is needed. {HOW_TO_GET}"
            )
        wide = own.set_index(["item_id", "roi"])[NORMALISED if self.normalised else RAW].unstack()  # noqa: PD010  no means here
        absent = [f"item {one!r}" for one in self._items["item_id"] if one not in wide.index]
        absent += [f"region {one!r}" for one in self._regions if one not in wide.columns]
        if absent:
            raise DataError(
                f"{self._path}: subject {subject!r} has no response for {len(absent)} of the declared items and regions, the "
                f"first {absent[0]}: the table is truncated or of another version. {HOW_TO_GET}"
            )
        return wide.loc[self._items["item_id"], list(self._regions)].to_numpy(float)


def _several(asked: int | str | Sequence[str | int]) -> tuple[str | int, ...]:
    return (asked,) if isinstance(asked, (int, str)) else tuple(asked)


def _is_number(value: object) -> bool:
    try:
        float(str(value))
    except ValueError:
        return False
    return True
