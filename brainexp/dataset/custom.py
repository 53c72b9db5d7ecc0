"""A folder of your own: stories or sentences as tables, responses as arrays or images, checked as a whole before a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from brainexp.containers import FSAVERAGE, Clock, Facts, FloatArray, IntArray, OnDisk, Responses, Space, Stimulus
from brainexp.dataset.binaryfile import gifti, hdf5, nifti, npy, stored_rows
from brainexp.dataset.subjects import chosen
from brainexp.dataset.textfile import require_folder, text_of
from brainexp.errors import ConfigError, DataError
from brainexp.registry import DATASETS, validated

DESCRIPTION, ROIS, MASK = "dataset.yaml", "rois.tsv", "mask.nii.gz"
#: What a story's folder holds, and the columns that are read.
WORDS, WORD_COLUMNS = "words.tsv", ("word", "onset_s", "offset_s")
ITEMS, ITEM_COLUMNS = "items.tsv", ("item",)
#: Ends of the names of responses; of two hemispheres, the left one stands for both.
LEFT, RIGHT = "_hemi-L.func.gii", "_hemi-R.func.gii"
ENDS = (".npy", ".h5", ".nii.gz", ".nii", LEFT)
#: The array of an HDF5 file.
KEY = "data"
#: Problems that one message tells.
MOST_TOLD = 30
HOW_TO_GET = "README.md, 'A folder of your own', has the layout."
Made = TypeVar("Made")


@dataclass(frozen=True)
class Description:
    """What dataset.yaml says.

    Parameters
    ----------
    tr_s : float
        Seconds per TR; not needed for items.
    start_s : float
        Start of the first TR on the clock of the words, in seconds.
    trim_s : (float, float)
        Seconds to cut from the start and the end of every run.
    test_stories : tuple of str
        Stories to test on, the others being trained on; empty to cross-validate.
    mesh : str or None
        On which mesh columns are vertices, left hemisphere first, such as fsaverage5.
    separate : bool
        Whether items were presented each by itself, so that a model reads each alone; else those of a story are a passage.
    language, licence, doi, citation : str
        Code of the language, such as "en"; whose the data are and how to say so.
    """

    tr_s: float | None = None
    start_s: float = 0.0
    trim_s: tuple[float, float] = (0.0, 0.0)
    test_stories: tuple[str, ...] = ()
    mesh: str | None = None
    separate: bool = True
    language: str = "en"
    licence: str = "not stated"
    doi: str = ""
    citation: str = "not stated"

    def __post_init__(self) -> None:
        if self.tr_s is not None and not 0.05 <= self.tr_s <= 60:
            raise ConfigError(f"{DESCRIPTION}: tr_s={self.tr_s:g} cannot be seconds per TR. Give seconds, such as 2.0.")


@dataclass(frozen=True, eq=False)
class Held:
    """What a folder holds, with everything that is wrong with it.

    Parameters
    ----------
    description : Description
        What its dataset.yaml says.
    stimuli : dict of str to Stimulus
        By story.
    responses : dict of str to dict of str to OnDisk
        By subject and story.
    rois : dict of str to array of int
        Columns of each ROI.
    mask, affine : arrays, optional
        Of mask.nii.gz.
    problems : list of str
        In words; empty for a good folder.
    """

    description: Description = field(default_factory=Description)
    stimuli: dict[str, Stimulus] = field(default_factory=dict)
    responses: dict[str, dict[str, OnDisk]] = field(default_factory=dict)
    rois: dict[str, IntArray] = field(default_factory=dict)
    mask: np.ndarray[Any, Any] | None = None
    affine: FloatArray | None = None
    problems: list[str] = field(default_factory=list)


@DATASETS.register("custom")
@dataclass(frozen=True)
class Custom:
    """Stories as ``STORY/words.tsv``, responses as ``SUBJECT/STORY.npy``, ``.h5``, ``.nii(.gz)`` or two ``.func.gii``.

    Everything that is wrong with the folder is told at once.

    Parameters
    ----------
    root : str or None
        The folder.
    subjects : "all", a name or names
        Who is analysed.
    items : bool
        Whether a row of the responses is a sentence of ``STORY/items.tsv``, and no TR.
    """

    root: str | None = None
    subjects: str | tuple[str, ...] = "all"
    items: bool = False

    @property
    def trim_start_s(self) -> float:
        """Seconds cut from the start of every run."""
        return self._description.trim_s[0]

    @property
    def trim_stop_s(self) -> float:
        """Seconds cut from the end of every run."""
        return self._description.trim_s[1]

    def facts(self) -> Facts:
        """Return what the folder holds; raise DataError with all that is wrong with it."""
        held = self._held
        told, first = held.description, next(iter(held.responses.values()))
        return Facts(
            subjects=tuple(held.responses),
            stories=tuple(held.stimuli),
            n_trs={story: len(rows) for story, rows in first.items()},
            n_voxels={who: next(iter(own.values())).shape[1] for who, own in held.responses.items()},
            tr_s=self._tr_s,
            licence=told.licence,
            doi=told.doi,
            citation=told.citation,
            language=told.language,
            words=f"every line of {ITEMS if self.items else WORDS}",
            trim_s=told.trim_s,
            test_stories=told.test_stories,
            read_by_story=True,
            items=self.items,
        )

    def chosen_subjects(self) -> tuple[str, ...]:
        """Return the subjects that the config asks for; raise ConfigError if one is not there."""
        return chosen(self.subjects, tuple(self._held.responses), "custom")

    def stimuli(self) -> tuple[Stimulus, ...]:
        """Return the stories, in the order of their names."""
        return tuple(self._held.stimuli.values())

    def responses(self, subject: str) -> tuple[Responses, ...]:
        """Return one subject's responses, which stay on disk until they are asked for."""
        start_s = 0.0 if self.items else self._held.description.start_s
        return tuple(
            Responses(subject, story, rows, Clock(start_s=start_s, tr_s=self._tr_s, n_trs=len(rows)))
            for story, rows in self._held.responses[subject].items()
        )

    def ceiling(self, subject: str) -> FloatArray:
        """Return that none is known."""
        return np.full(self.facts().n_voxels[subject], np.nan)

    def space(self, subject: str) -> Space:
        """Return voxels of mask.nii.gz, vertices of the mesh that dataset.yaml names, or columns without places."""
        held, n_voxels = self._held, self.facts().n_voxels[subject]
        if held.mask is not None:
            return Space(kind="volume", n_voxels=n_voxels, rois=held.rois, mask=held.mask, affine=held.affine)
        if held.description.mesh is not None:
            return Space(kind="surface", n_voxels=n_voxels, rois=held.rois, mesh=held.description.mesh)
        note = f"Neither {MASK} nor a mesh says where columns lie."
        return Space(kind="unplaced", n_voxels=n_voxels, rois=held.rois, note=note)

    @property
    def _tr_s(self) -> float:
        return 1.0 if self.items else self._held.description.tr_s or 1.0

    @cached_property
    def _description(self) -> Description:
        return Description() if self.root is None else _described(Path(self.root).expanduser(), [])

    @cached_property
    def _held(self) -> Held:
        root = None if self.root is None else Path(self.root).expanduser()
        held = _read(require_folder(root, "dataset 'custom'", f"Give dataset.root=FOLDER. {HOW_TO_GET}"), self.items)
        if held.problems:
            shown = " ".join(f"({number}) {one}" for number, one in enumerate(held.problems[:MOST_TOLD], 1))
            more = len(held.problems) - MOST_TOLD
            raise DataError(
                f"dataset 'custom': {root} has {len(held.problems)} problem{'s' if len(held.problems) > 1 else ''}: {shown} "
                f"{f'… and {more} more. ' if more > 0 else ''}{HOW_TO_GET}"
            )
        return held


def _read(root: Path, items: bool) -> Held:
    """Read a folder, and go on where something is wrong with it."""
    problems: list[str] = []
    description = _described(root, problems)
    if description.tr_s is None and not items:
        problems.append(f"{DESCRIPTION} must say tr_s, in seconds per TR, such as tr_s: 2.0.")
    mask, affine = _mask(root, problems)
    folders = [one for one in sorted(root.iterdir()) if one.is_dir() and not one.name.startswith(".")]
    table = ITEMS if items else WORDS
    stories = [one for one in folders if (one / table).exists()]
    stimuli = {one.name: _stimulus(one, items, description.separate, problems) for one in stories}
    other = [one.name for one in folders if (one / (WORDS if items else ITEMS)).exists() and one not in stories]
    if other:
        problems.append(
            f"{', '.join(other)}: {table} is needed (dataset.items={str(items).lower()}), but another is there."
        )
    if not stories and not other:
        problems.append(f"no folder has {table}: each story needs one.")
    responses: dict[str, dict[str, OnDisk]] = {}
    for folder in folders:
        if folder not in stories and (found := _files(folder)):
            _require_stories(folder, found, list(stimuli), problems)
            responses[folder.name] = _responses(folder, found, list(stimuli), mask, problems)
    if not responses:
        problems.append("no folder has responses: each subject needs one, with a file per story.")
    told = {story: one for story, one in stimuli.items() if one is not None}
    _require_sizes(told, responses, description, items, mask, problems)
    n_voxels = min((rows.shape[1] for own in responses.values() for rows in own.values()), default=0)
    return Held(description, told, responses, _rois(root, n_voxels, problems), mask, affine, problems)


def _tried(problems: list[str], what: Callable[[], Made]) -> Made | None:
    """Return what a function returns, or None and a problem more."""
    try:
        return what()
    except (DataError, ConfigError) as error:
        problems.append(str(error).removesuffix(f" {HOW_TO_GET}"))
        return None


def _described(root: Path, problems: list[str]) -> Description:
    import yaml

    if not (root / DESCRIPTION).exists():
        return Description()

    def described() -> Description:
        try:
            held = yaml.safe_load(text_of(root / DESCRIPTION, HOW_TO_GET)) or {}
        except yaml.YAMLError as error:
            raise DataError(f"{DESCRIPTION} is no YAML: {' '.join(str(error).split())}.") from None
        if not isinstance(held, Mapping):
            raise DataError(f"{DESCRIPTION} must hold names with values, such as tr_s: 2.0.")
        return validated(Description, {str(key): value for key, value in held.items()}, DESCRIPTION)

    return _tried(problems, described) or Description()


def _mask(root: Path, problems: list[str]) -> tuple[np.ndarray[Any, Any] | None, FloatArray | None]:
    if not (root / MASK).exists():
        return None, None
    image = _tried(problems, lambda: nifti(root / MASK, HOW_TO_GET))
    if image is None:
        return None, None
    if image[0].ndim != 3 or not (image[0] > 0).any():
        problems.append(
            f"{MASK} has shape {image[0].shape} and {int((image[0] > 0).sum())} voxels, but needs (x, y, z) and some."
        )
        return None, None
    return image[0] > 0, image[1]


def _stimulus(folder: Path, items: bool, separate: bool, problems: list[str]) -> Stimulus | None:
    """Words or items of a story; None where its table is wrong."""
    name, columns = (ITEMS, ITEM_COLUMNS) if items else (WORDS, WORD_COLUMNS)
    where = f"{folder.name}/{name}"
    text = _tried(problems, lambda: text_of(folder / name, HOW_TO_GET))
    if text is None:
        return None
    head, *lines = [line.split("\t") for line in text.split("\n") if line.strip()] or [[""]]
    missing = [one for one in columns if one not in head]
    if missing:
        problems.append(f"{where}: its first line must name the columns {', '.join(columns)}, with tabs between; it lacks "
                        f"{', '.join(missing)}.")  # fmt: skip
        return None
    at = [head.index(one) for one in columns]
    short = [number for number, line in enumerate(lines, 2) if len(line) <= max(at) or not line[at[0]].strip()]
    if short:
        problems.append(f"{where}: {len(short)} lines lack a cell or have an empty one, the first is line {short[0]}.")
        return None
    units = tuple(line[at[0]].strip() for line in lines)
    if items:
        onset_s, offset_s = np.arange(len(units), dtype=float), np.arange(len(units)) + 1.0
    else:
        times = [[_number(line[one]) for one in at[1:]] for line in lines]
        wrong = [number for number, pair in enumerate(times, 2) if not np.isfinite(pair).all()]
        if wrong:
            cells = "\t".join(lines[wrong[0] - 2])
            problems.append(
                f"{where}: {len(wrong)} lines have no number as time, the first is line {wrong[0]}, {cells!r}."
            )
            return None
        onset_s, offset_s = np.array(times, float).reshape(-1, 2).T
    return _tried(problems, lambda: Stimulus(folder.name, units, onset_s, offset_s, separate=items and separate))


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return float("nan")


def _files(folder: Path) -> dict[str, list[Path]]:
    """Files of responses by story."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        end = next((one for one in (*ENDS, RIGHT) if path.name.endswith(one)), None)
        if end is not None and not path.name.startswith("."):
            found.setdefault(path.name.removesuffix(end), []).append(path)
    return found


def _require_stories(folder: Path, found: Mapping[str, list[Path]], stories: list[str], problems: list[str]) -> None:
    absent = [story for story in stories if story not in found]
    if absent:
        problems.append(f"{folder.name} has no responses to {', '.join(absent)}.")
    unknown = [story for story in found if story not in stories]
    if unknown:
        problems.append(f"{folder.name} has responses to {', '.join(unknown)}, but there is no such story.")


def _responses(
    folder: Path,
    found: Mapping[str, list[Path]],
    stories: list[str],
    mask: np.ndarray[Any, Any] | None,
    problems: list[str],
) -> dict[str, OnDisk]:
    """Rows of every story that can be read, unread."""
    held = {}
    for story in stories:
        paths = found.get(story, [])
        hemispheres = [path for path in paths if path.name.endswith((LEFT, RIGHT))]
        if len(hemispheres) == 1 and len(paths) == 1:
            problems.append(f"{folder.name}/{paths[0].name} is one hemisphere: {LEFT} and {RIGHT} are needed.")
        elif len(paths) - (len(hemispheres) == 2) > 1:
            problems.append(f"{folder.name} has several files for {story}: {', '.join(path.name for path in paths)}.")
        elif paths:
            rows = _tried(problems, lambda paths=paths: _rows(paths, mask))  # type: ignore[misc]
            if rows is not None:
                held[story] = rows
    return held


def _rows(paths: list[Path], mask: np.ndarray[Any, Any] | None) -> OnDisk:
    """Rows of one file, or of the files of two hemispheres, which stay on disk."""
    path = paths[0]
    if path.name.endswith(".h5"):
        with hdf5(path, HOW_TO_GET) as file:
            keys = list(file)
        return stored_rows(path, keys[0] if len(keys) == 1 else KEY, HOW_TO_GET)
    if path.name.endswith(".npy"):
        return _on_disk(path, lambda: npy(path, HOW_TO_GET, n_axes=2))
    if path.name.endswith((".nii", ".nii.gz")):
        return _on_disk(path, lambda: _in_mask(path, mask))
    return _on_disk(path, lambda: np.hstack([gifti(one, HOW_TO_GET) for one in paths]))


def _on_disk(path: Path, values: Callable[[], FloatArray]) -> OnDisk:
    """Rows that are read as a whole, once to see their shape and once when they are asked for."""
    first = values()
    if first.dtype.kind not in "fiu":
        raise DataError(f"{path} holds {first.dtype}, but numbers are needed.")

    def read(rows: slice, into: FloatArray) -> None:
        into[:] = values()[rows]

    return OnDisk((first.shape[0], first.shape[1]), read)


def _in_mask(path: Path, mask: np.ndarray[Any, Any] | None) -> FloatArray:
    if mask is None:
        raise DataError(f"{path} needs {MASK}, which says which voxels to take.")
    values, _, _ = nifti(path, HOW_TO_GET)
    if values.ndim != 4 or values.shape[:3] != mask.shape:
        raise DataError(f"{path} has shape {values.shape}, but {MASK} has {mask.shape}: (x, y, z, TRs) are needed.")
    taken: FloatArray = values[mask].T
    return taken


def _require_sizes(
    stimuli: Mapping[str, Stimulus],
    responses: Mapping[str, Mapping[str, OnDisk]],
    description: Description,
    items: bool,
    mask: np.ndarray[Any, Any] | None,
    problems: list[str],
) -> None:
    unknown = [one for one in description.test_stories if one not in stimuli]
    if unknown:
        problems.append(f"{DESCRIPTION} names test_stories {', '.join(unknown)}, but there are: {', '.join(stimuli)}.")
    if description.mesh is not None and mask is not None:
        problems.append(
            f"{DESCRIPTION} names a mesh, but there is {MASK} too: columns are vertices or voxels, not both."
        )
    for subject, own in responses.items():
        widths = {rows.shape[1] for rows in own.values()}
        if len(widths) > 1:
            told = ", ".join(f"{story} {rows.shape[1]}" for story, rows in own.items())
            problems.append(f"{subject}: stories differ in their number of columns: {told}.")
        places = int(mask.sum()) if mask is not None else 2 * FSAVERAGE.get(str(description.mesh), 0)
        if places and widths - {places}:
            what = MASK if mask is not None else description.mesh
            problems.append(f"{subject} has {min(widths - {places})} columns, but {what} has {places} places.")
    for story, stimulus in stimuli.items():
        lengths = {subject: len(own[story]) for subject, own in responses.items() if story in own}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{subject} {length}" for subject, length in lengths.items())
            problems.append(f"{story}: subjects differ in their number of rows: {told}.")
        problems.extend(_unfit(stimulus, min(lengths.values()), description, items) if lengths else ())


def _unfit(stimulus: Stimulus, n_rows: int, description: Description, items: bool) -> Iterator[str]:
    n_units = len(stimulus.units)
    if items and n_rows != n_units:
        yield f"{stimulus.story}: {n_units} items, but {n_rows} rows of responses: one per item is needed."
    if not items and description.tr_s is not None:
        end_s = description.start_s + n_rows * description.tr_s
        middle_s = stimulus.midpoint_s
        n_outside = int(((middle_s < description.start_s) | (middle_s >= end_s)).sum())
        if n_outside:
            in_ms = " Times look like milliseconds." if middle_s[-1] / 1000 < end_s < middle_s[-1] / 100 else ""
            yield (
                f"{stimulus.story}: {n_outside} of {n_units} words lie outside the recording, which runs from "
                f"{description.start_s:g} s to {end_s:g} s ({n_rows} rows of {description.tr_s:g} s); the last word is at "
                f"{middle_s[-1]:.2f} s.{in_ms}"
            )


def _rois(root: Path, n_voxels: int, problems: list[str]) -> dict[str, IntArray]:
    """Columns of each ROI, for all subjects alike; none without rois.tsv."""
    if not (root / ROIS).exists():
        return {}
    text = _tried(problems, lambda: text_of(root / ROIS, HOW_TO_GET))
    head, *lines = [line.split("\t") for line in (text or "").split("\n") if line.strip()] or [[""]]
    if text is None or head[:2] != ["column", "roi"]:
        problems.append(f"{ROIS}: its first line must be column and roi, with a tab between.")
        return {}
    found: dict[str, list[int]] = {}
    wrong = []
    for number, line in enumerate(lines, 2):
        column = line[0].strip()
        if len(line) < 2 or not line[1].strip() or not column.isdigit() or not int(column) < n_voxels:
            wrong.append(number)
        else:
            found.setdefault(line[1].strip(), []).append(int(column))
    if wrong:
        problems.append(
            f"{ROIS}: {len(wrong)} lines do not name a column 0..{n_voxels - 1} and an ROI, the first is line {wrong[0]}."
        )
    return {roi: np.unique(columns) for roi, columns in found.items()}
