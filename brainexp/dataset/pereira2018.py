"""Pereira et al. (2018), experiments 2 and 3: fMRI of people who read short passages, a response per sentence and voxel."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

import numpy as np

from brainexp.containers import Clock, Facts, FloatArray, IntArray, Responses, Space, Stimulus
from brainexp.dataset.binaryfile import nifti
from brainexp.dataset.passages import PackedPeople, Passages, PeopleFiles
from brainexp.dataset.rois import Rois
from brainexp.dataset.subjects import present
from brainexp.dataset.textfile import require_folder
from brainexp.errors import ConfigError, DataError
from brainexp.registry import DATASETS


class Told(NamedTuple):
    """An experiment as it was done.

    Attributes
    ----------
    n_sentences, n_passages, n_topics : int
        What was read.
    subjects : tuple of str
        Who took part, by the names of the authors' folders.
    """

    n_sentences: int
    n_passages: int
    n_topics: int
    subjects: tuple[str, ...]


EXPERIMENTS = {
    "384sentences": Told(384, 96, 24, ("M02", "M04", "M07", "M08", "M09", "M14", "M15", "P01")),
    "243sentences": Told(243, 72, 24, ("M02", "M03", "M04", "M07", "M15", "P01")),
}
#: People of the assembly, who have other names; not all took part in both experiments.
PACKED_SUBJECTS = ("018", "199", "215", "288", "289", "296", "343", "366", "407", "426")
PACKED = "assy_Pereira2018_language.nc"
HOW_TO_GET = (
    "Get the subjects' archives from the page of the data (evlab.mit.edu/sites/default/files/documents/index2.html; it "
    "has no address for programs), so that dataset.root has P01/examples_384sentences.mat and so on; or Brain-Score's "
    f"assembly of the language network (python -m brainexp.fetch dataset=pereira2018), {PACKED}."
)


@DATASETS.register("pereira2018")
@dataclass(frozen=True)
class Pereira2018:
    """A response per sentence and voxel: no time; sentences of a passage were read one after the other.

    Parameters
    ----------
    root : str or None
        Folder with a folder per person, or with the assembly; where both are, people's own files are taken.
    experiment : {"384sentences", "243sentences"}
        Experiment 2, 96 passages of 4 sentences, or 3, 72 passages of 3 or 4; each has 24 topics.
    subjects : "all", a name or names
        Who is analysed: "P01", "M02" and so on, or "018" (or 18) and so on of the assembly; all are those on disk who took
        part.
    read : {"passage", "alone"}
        Whether a model reads a sentence after those of its passage before it, or by itself.
    order : {"topic", "file"}
        Passages topic by topic, so that a number of folds that divides 24 keeps each topic in one fold; or by number.
    atlas : str or None
        Which atlas of the person's file gives the ROIs, such as "AAL"; an assembly has the regions of the language network.
    only_rois : bool
        Leave out voxels outside of the atlas' regions.
    grid : str or None
        NIfTI image on the grid of the data, whose affine says where voxels lie; the files do not. None leaves them unplaced.
    rois : Rois
        ROIs by name instead of an atlas of the file; they need a grid.
    """

    root: str | None = None
    experiment: Literal["384sentences", "243sentences"] = "384sentences"
    subjects: str | int | tuple[str | int, ...] = "all"
    read: Literal["passage", "alone"] = "passage"
    order: Literal["topic", "file"] = "topic"
    atlas: str | None = None
    only_rois: bool = False
    grid: str | None = None
    rois: Rois = field(default_factory=Rois)

    trim_start_s: ClassVar[float] = 0.0
    trim_stop_s: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        if self.only_rois and self.atlas is None:
            raise ConfigError(
                "dataset 'pereira2018': only_rois=true needs an atlas. Give dataset.atlas=NAME, such as AAL."
            )

    def facts(self) -> Facts:
        """Return what a correct copy holds, of the subjects who are asked for; voxels are as on disk."""
        subjects = self.chosen_subjects()
        return Facts(
            subjects=subjects,
            stories=tuple(self._rows),
            n_trs={story: len(rows) for story, rows in self._rows.items()},
            n_voxels={subject: len(self._columns[subject]) for subject in subjects},
            tr_s=1.0,
            licence="none given; public, for research",
            doi="10.1038/s41467-018-03068-4",
            citation=(
                "Pereira, Lou, Pritchett, Ritter, Gershman, Kanwisher, Botvinick & Fedorenko (2018). Toward a universal "
                "decoder of linguistic meaning from brain activation. Nature Communications 9, 963."
            ),
            words="every sentence is a unit, with the marks that are written in it",
            items=True,
        )

    def chosen_subjects(self) -> tuple[str, ...]:
        """Return the subjects that the config asks for; raise ConfigError if one is not there or did not take part."""
        declared = PACKED_SUBJECTS if isinstance(self._source, PackedPeople) else self._told.subjects
        found = self._source.subjects()
        return present(self.subjects, found, declared, f"pereira2018 ({self.experiment})", str(self._folder))

    def remarks(self) -> tuple[str, ...]:
        """Say which of two layouts is read, and who is missing."""
        told = []
        if isinstance(self._source, PeopleFiles) and (self._folder / PACKED).exists():
            told.append(f"pereira2018: people's own files are read, not {PACKED}.")
        absent = [name for name in self._told.subjects if name not in self.chosen_subjects()]
        if self.subjects == "all" and absent and isinstance(self._source, PeopleFiles):
            told.append(f"pereira2018: {', '.join(absent)} not on disk.")
        return tuple(told)

    def stimuli(self) -> tuple[Stimulus, ...]:
        """Return the passages, sentence by sentence."""
        return tuple(
            Stimulus(
                story,
                tuple(self._passages.sentences[row] for row in rows),
                np.arange(len(rows), dtype=float),
                np.arange(len(rows)) + 1.0,
                separate=self.read == "alone",
            )
            for story, rows in self._rows.items()
        )

    def responses(self, subject: str) -> tuple[Responses, ...]:
        """Return one row per sentence and one column per voxel, passage by passage."""
        if not self._source.passages(subject).same_as(self._passages):
            first = self.chosen_subjects()[0]
            raise DataError(
                f"dataset 'pereira2018': sentences of {subject} are others, or in another order, than those of {first}: a "
                f"file is of another version. {HOW_TO_GET}"
            )
        values, columns = self._source.values(subject), self._columns[subject]
        if not np.array_equal(columns, np.arange(values.shape[1])):
            values = values[:, columns]
        return tuple(
            Responses(subject, story, _part(values, rows), Clock(start_s=0.0, tr_s=1.0, n_trs=len(rows)))
            for story, rows in self._rows.items()
        )

    def ceiling(self, subject: str) -> FloatArray:
        """Return that none is published with the data; ``ceiling.method=cross_subject`` estimates one."""
        return np.full(len(self._columns[subject]), np.nan)

    def space(self, subject: str) -> Space:
        """Return voxels of the grid, where one is given, with the regions of the atlas."""
        columns = self._columns[subject]
        rois = {
            roi: own
            for roi, within in self._regions(subject).items()
            if (own := np.flatnonzero(np.isin(columns, within))).size
        }
        if self.grid is None:
            note = "The files do not say where voxels lie; dataset.grid=FILE does."
            return self.rois.of(Space(kind="unplaced", n_voxels=len(columns), rois=rois, note=note), subject)
        places, size, affine = self._placed(subject)
        mask = np.zeros(size, bool)
        mask[tuple(places[columns].T)] = True
        space = Space(kind="volume", n_voxels=len(columns), rois=rois, mask=mask, affine=affine)
        return self.rois.of(space, subject)

    @property
    def _told(self) -> Told:
        return EXPERIMENTS[self.experiment]

    @cached_property
    def _folder(self) -> Path:
        root = None if self.root is None else Path(self.root).expanduser()
        return require_folder(root, "dataset 'pereira2018'", HOW_TO_GET)

    @cached_property
    def _source(self) -> PeopleFiles | PackedPeople:
        """People's own files, or the assembly where there are none."""
        files = PeopleFiles(self._folder, self.experiment, self._told.n_sentences, HOW_TO_GET)
        packed = self._folder / PACKED
        only_packed = not files.subjects() and (packed.exists() or packed.is_symlink())
        return PackedPeople(packed, self.experiment, self._told.n_sentences, HOW_TO_GET) if only_packed else files

    @cached_property
    def _passages(self) -> Passages:
        """What was read, as the first subject's file has it."""
        first = self.chosen_subjects()[0]
        held = self._source.passages(first)
        told, n_passages = self._told, len(np.unique(held.passage))
        n_topics = len({held.topics[int(number)] for number in np.unique(held.passage)})
        if (len(held.sentences), n_passages, n_topics) != (told.n_sentences, told.n_passages, told.n_topics):
            raise DataError(
                f"dataset 'pereira2018', {self.experiment}, {first}: {len(held.sentences)} sentences, {n_passages} passages "
                f"and {n_topics} topics, but {told.n_sentences}, {told.n_passages} and {told.n_topics} are declared. It is "
                f"of another experiment or version. {HOW_TO_GET}"
            )
        return held

    @cached_property
    def _rows(self) -> dict[str, IntArray]:
        return self._passages.rows(by_topic=self.order == "topic")

    @cached_property
    def _columns(self) -> dict[str, IntArray]:
        """Columns of each subject's file, in the order of the analysis: that of the volume where voxels have places."""
        return {subject: self._columns_of(subject) for subject in self.chosen_subjects()}

    def _columns_of(self, subject: str) -> IntArray:
        columns: IntArray = np.arange(self._source.n_voxels(subject))
        if self.only_rois:
            columns = np.unique(np.concatenate(list(self._regions(subject).values())))
        if self.grid is None:
            return columns
        places, size, _ = self._placed(subject)
        at = np.ravel_multi_index(tuple(places[columns].T), size)
        return columns[np.argsort(at)]

    def _regions(self, subject: str) -> dict[str, IntArray]:
        """Columns of the file in each region."""
        if isinstance(self._source, PackedPeople):
            if self.atlas is not None:
                raise ConfigError(
                    f"dataset.atlas={self.atlas!r}: {PACKED} has the regions of the language network and no other atlas. "
                    "Leave out dataset.atlas."
                )
            return self._source.rois(subject)
        return {} if self.atlas is None else self._source.rois(subject, self.atlas)

    def _placed(self, subject: str) -> tuple[IntArray, tuple[int, ...], FloatArray]:
        """Places of all columns of the file in the grid, its size, and its affine."""
        if isinstance(self._source, PackedPeople):
            raise ConfigError(f"dataset.grid={self.grid}: {PACKED} has columns of regions. Leave out dataset.grid.")
        values, affine, _ = nifti(Path(str(self.grid)).expanduser(), "Give dataset.grid=FILE on the grid of the data.")
        size, places = self._source.grid(subject)
        if values.shape[:3] != size:
            raise DataError(
                f"{self.grid} has {values.shape[:3]} voxels, but those of {subject} lie in a volume of {size}: it is on "
                "another grid. Give dataset.grid=FILE on the grid of the data."
            )
        return places, size, affine


def _part(values: FloatArray, rows: IntArray) -> FloatArray:
    """Rows of an array; a view of it where they follow one another, as those of a passage do."""
    first, last = int(rows[0]), int(rows[-1])
    return values[first : last + 1] if last - first + 1 == len(rows) else values[rows]
