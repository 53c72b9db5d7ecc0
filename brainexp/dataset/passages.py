"""Sentences of passages and the responses to each: MATLAB files of a person each, or one assembly of all people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from brainexp.containers import FloatArray, IntArray
from brainexp.dataset.assembly import Assembly, assembly
from brainexp.dataset.matfile import listed, mat_shape, matfile
from brainexp.errors import ConfigError, DataError
from brainexp.registry import did_you_mean

#: Names of a person's file, and of the array in it: both come from the authors.
FILES = {"examples_{}.mat": "examples", "data_{}.mat": "examples_passagesentences"}
#: What tells sentences, passages and topics; numbers count from 1.
TOLD = ("keySentences", "labelsPassageForEachSentence", "keyPassages", "labelsPassageCategory", "keyPassageCategory")
#: Coordinates of the assembly that tell the same, and those of columns.
OF_ROWS = ("experiment", "stimulus_num", "stimulus", "passage_index", "passage_label", "passage_category")
OF_COLUMNS = ("subject", "roi")
#: Beginnings of the two fields of ``meta`` that hold an atlas each.
MASK, NAMES = "roiMultimask", "rois"


@dataclass(frozen=True, eq=False)
class Passages:
    """What was read, a row per sentence.

    Parameters
    ----------
    sentences : tuple of str
        In the order of the rows.
    passage : array of int of shape (n_sentences,)
        Number of each sentence's passage.
    names, topics : mapping of int to str
        Of each passage, by number.
    """

    sentences: tuple[str, ...]
    passage: IntArray
    names: Mapping[int, str]
    topics: Mapping[int, str]

    def rows(self, by_topic: bool) -> dict[str, IntArray]:
        """Rows of each passage, in the order of numbers, or topic by topic; passages are called by number and name."""
        numbers = [int(number) for number in np.unique(self.passage)]
        if by_topic:
            first = {topic: at for at, topic in reversed(list(enumerate(self.topics[number] for number in numbers)))}
            numbers.sort(key=lambda number: (first[self.topics[number]], number))
        width = len(str(max(numbers)))
        return {
            f"{number:0{width}} {self.names[number]}".strip(): np.flatnonzero(self.passage == number)
            for number in numbers
        }

    def same_as(self, other: Passages) -> bool:
        """Whether somebody else read the same sentences in the same order of rows."""
        return self.sentences == other.sentences and np.array_equal(self.passage, other.passage)


@dataclass(frozen=True)
class PeopleFiles:
    """A folder with a MATLAB file per person and experiment.

    Parameters
    ----------
    root : Path
        The folder, with a folder per person, which may hold another of the same name, as archives unpack.
    experiment : str
        Such as "384sentences".
    n_sentences : int
        Rows that are declared.
    how_to_get : str
        Last sentence of the errors.
    """

    root: Path
    experiment: str
    n_sentences: int
    how_to_get: str

    def subjects(self) -> list[str]:
        """Who is on disk."""
        return [folder.name for folder in sorted(self.root.iterdir()) if folder.is_dir() and self._there(folder.name)]

    def n_voxels(self, subject: str) -> int:
        """Columns of a subject's file; raise DataError if it has other rows than declared."""
        path, key = self._file(subject)
        shape = mat_shape(path, key, self.how_to_get)
        if len(shape) != 2 or shape[0] != self.n_sentences:
            raise DataError(
                f"{path}: {key!r} has shape {shape}, but {self.n_sentences} sentences are declared of {self.experiment}: it "
                f"is of another experiment or version. {self.how_to_get}"
            )
        return shape[1]

    def values(self, subject: str) -> FloatArray:
        """Read a subject's responses, array of shape (n_sentences, n_voxels)."""
        self.n_voxels(subject)
        path, key = self._file(subject)
        held = np.asarray(matfile(path, [key], self.how_to_get)[key])
        if held.dtype.kind not in "fiu":
            raise DataError(f"{path}: {key!r} holds {held.dtype}, but numbers are needed. {self.how_to_get}")
        return held.reshape(self.n_sentences, -1)

    def passages(self, subject: str) -> Passages:
        """Read what a subject read."""
        path, _ = self._file(subject)
        held = matfile(path, TOLD, self.how_to_get)
        sentences = [_text(one) for one in listed(held["keySentences"])]
        names, topics = ([_text(one) for one in listed(held[key])] for key in ("keyPassages", "keyPassageCategory"))
        numbers, topic_of = (self._whole(held, key, path) for key in (TOLD[1], TOLD[3]))
        return _checked(sentences, numbers, names, [topics[at - 1] if 0 < at <= len(topics) else "" for at in topic_of],
                        f"{path}", self.how_to_get)  # fmt: skip

    def meta(self, subject: str) -> dict[str, Any]:
        """Read what a subject's file says of its columns."""
        path, _ = self._file(subject)
        held = matfile(path, ["meta"], self.how_to_get)["meta"]
        if not isinstance(held, dict):
            raise DataError(
                f"{path}: 'meta' is no struct, but one with the places of voxels is needed. {self.how_to_get}"
            )
        return held

    def rois(self, subject: str, atlas: str) -> dict[str, IntArray]:
        """Columns of each region of an atlas of the file, by name."""
        n_voxels = self.n_voxels(subject)
        atlases = _atlases(self.meta(subject))
        path, _ = self._file(subject)
        found = {name.lower(): name for name in atlases}.get(atlas.lower())
        if found is None:
            raise ConfigError(
                f"dataset.atlas={atlas!r} is not in {path}.{did_you_mean(atlas, atlases)} Give null for none."
            )
        labels, names = atlases[found]
        labels = self._whole({found: labels}, found, path)
        if labels.shape != (n_voxels,) or labels.max(initial=0) > len(names):
            raise DataError(
                f"{path}: atlas {found!r} has labels of {labels.size} voxels up to {labels.max(initial=0)}, but there are "
                f"{n_voxels} voxels and {len(names)} names: it is damaged or of another subject. {self.how_to_get}"
            )
        columns = {name: np.flatnonzero(labels == number) for number, name in enumerate(names, 1)}
        return {name: own for name, own in columns.items() if own.size}

    def grid(self, subject: str) -> tuple[tuple[int, ...], IntArray]:
        """Size of the volume in which columns lie, and their places in it, array of shape (n_voxels, 3)."""
        n_voxels = self.n_voxels(subject)
        path, _ = self._file(subject)
        meta = self.meta(subject)
        absent = [name for name in ("colToCoord", "dimx", "dimy", "dimz") if name not in meta]
        if absent:
            raise DataError(
                f"{path}: 'meta' lacks {', '.join(absent)}, so nobody knows where voxels lie. {self.how_to_get}"
            )
        size = tuple(int(self._whole(meta, name, path)[0]) for name in ("dimx", "dimy", "dimz"))
        places = self._whole(meta, "colToCoord", path) - 1
        places = places.reshape(-1, 3) if len(places) == 3 * n_voxels else np.full((n_voxels, 3), -1)
        if (places < 0).any() or (places >= size).any() or _repeated(places):
            raise DataError(
                f"{path}: 'colToCoord' does not give each of {n_voxels} voxels a place of its own in a volume of {size}. "
                f"{self.how_to_get}"
            )
        return size, places

    def _whole(self, held: Mapping[str, Any], name: str, path: Path) -> IntArray:
        """Whole numbers in a vector, 0 for NaN; raise DataError if there are others, or none."""
        values: FloatArray
        try:
            values = np.nan_to_num(np.asarray(held[name], float).ravel())
        except (ValueError, TypeError):
            values = np.empty(0)
        if not values.size or (values != np.round(values)).any():
            raise DataError(f"{path}: {name!r} needs whole numbers, but holds others. {self.how_to_get}")
        whole: IntArray = values.astype(np.intp)
        return whole

    def _there(self, subject: str) -> list[tuple[Path, str]]:
        folders = (self.root / subject, self.root / subject / subject)
        paths = ((folder / name.format(self.experiment), key) for folder in folders for name, key in FILES.items())
        return [(path, key) for path, key in paths if path.is_symlink() or path.exists()]

    def _file(self, subject: str) -> tuple[Path, str]:
        return self._there(subject)[0]


@dataclass(frozen=True)
class PackedPeople:
    """One assembly of both experiments and all people.

    Parameters
    ----------
    path, experiment, n_sentences, how_to_get
        As of `PeopleFiles`, but for the path of the file.
    """

    path: Path
    experiment: str
    n_sentences: int
    how_to_get: str

    def subjects(self) -> list[str]:
        """Who took part in the experiment: has any response."""
        held, rows = self._held, self._rows
        took_part = np.isfinite(held.values[rows]).any(axis=0)
        return [str(one) for one in np.unique(held.neuroid["subject"][took_part])]

    def n_voxels(self, subject: str) -> int:
        """Columns of a subject."""
        return int(self._columns(subject).sum())

    def values(self, subject: str) -> FloatArray:
        """A subject's responses, array of shape (n_sentences, n_voxels)."""
        return self._held.values[np.ix_(self._rows, np.flatnonzero(self._columns(subject)))]

    def passages(self, subject: str) -> Passages:
        """What everybody read."""
        own = {name: values[self._rows] for name, values in self._held.presentation.items()}
        numbers = own["passage_index"].astype(int)
        n_passages = int(numbers.max(initial=0))
        names, topics = ([""] * n_passages, [""] * n_passages)
        for number, name, topic in zip(numbers, own["passage_label"], own["passage_category"], strict=True):
            if number > 0:
                names[number - 1], topics[number - 1] = str(name), str(topic)
        sentences = [str(one).strip() for one in own["stimulus"]]
        return _checked(sentences, numbers, names, topics, str(self.path), self.how_to_get)

    def rois(self, subject: str) -> dict[str, IntArray]:
        """Columns of each region, by name."""
        names = self._held.neuroid["roi"][self._columns(subject)].astype(str)
        return {str(name): np.flatnonzero(names == name) for name in np.unique(names) if name}

    def _columns(self, subject: str) -> np.ndarray[Any, np.dtype[np.bool_]]:
        own: np.ndarray[Any, np.dtype[np.bool_]] = self._held.neuroid["subject"].astype(str) == subject
        return own

    @cached_property
    def _rows(self) -> IntArray:
        """Rows of the experiment, in the order in which sentences are numbered: files are sorted otherwise."""
        held = self._held.presentation
        own = np.flatnonzero(held["experiment"].astype(str) == self.experiment)
        numbers = held["stimulus_num"][own].astype(int)
        if len(own) != self.n_sentences or len(np.unique(numbers)) < len(own):
            raise DataError(
                f"{self.path} has {len(own)} rows of {self.experiment} with {len(np.unique(numbers))} different numbers, but "
                f"{self.n_sentences} sentences are declared: it is of another version. {self.how_to_get}"
            )
        return own[np.argsort(numbers)]

    @cached_property
    def _held(self) -> Assembly:
        return assembly(self.path, OF_ROWS, OF_COLUMNS, self.how_to_get)


def _checked(
    sentences: list[str], passage: IntArray, names: list[str], topics: list[str], where: str, how_to_get: str
) -> Passages:
    """Hold what was read against itself."""
    n_passages = min(len(names), len(topics))
    first, last = (int(passage.min()), int(passage.max())) if len(passage) else (0, 0)
    if len(passage) != len(sentences) or first < 1 or last > n_passages:
        raise DataError(
            f"{where}: {len(sentences)} sentences with {len(passage)} passage numbers from {first} to {last}, but there are "
            f"{len(names)} passages and topics of {len(topics)}. {how_to_get}"
        )
    empty = [at for at, sentence in enumerate(sentences, 1) if not sentence]
    if empty:
        raise DataError(f"{where}: sentence {empty[0]} is empty. {how_to_get}")
    numbered = range(1, n_passages + 1)
    return Passages(
        tuple(sentences), passage, dict(zip(numbered, names, strict=False)), dict(zip(numbered, topics, strict=False))
    )


def _atlases(meta: Mapping[str, Any]) -> dict[str, tuple[Any, list[str]]]:
    """Labels of voxels and names of labels, by atlas: fields with the atlas' name, or three cells with all atlases."""
    found = {
        name.removeprefix(MASK): (meta[name], [_text(one) for one in listed(meta[NAMES + name.removeprefix(MASK)])])
        for name in meta
        if name.startswith(MASK) and name != MASK and NAMES + name.removeprefix(MASK) in meta
    }
    if all(key in meta for key in ("atlases", MASK, NAMES)):
        named = [_text(one) for one in listed(meta["atlases"])]
        masks = listed(meta[MASK])
        regions = listed(meta[NAMES]) if len(named) > 1 else [meta[NAMES]]
        found |= {
            name: (mask, [_text(one) for one in listed(own)])
            for name, mask, own in zip(named, masks, regions, strict=False)
        }
    return found


def _text(entry: Any) -> str:
    """The text of a cell's entry, which may be a cell itself."""
    while isinstance(entry, list) and entry:
        entry = entry[0]
    return str(entry).strip() if isinstance(entry, str) else ""


def _repeated(places: IntArray) -> bool:
    return len(np.unique(places, axis=0)) < len(places)
