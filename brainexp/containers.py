"""The things that travel between stages. Each checks itself when made; what receives one trusts it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from brainexp.errors import DataError

if TYPE_CHECKING:
    from scipy.sparse import csr_array

FloatArray = NDArray[np.floating]
IntArray = NDArray[np.intp]
#: Vertices of one hemisphere. The meshes are nested: the vertices of a coarse one are the first of every finer one.
FSAVERAGE = {"fsaverage3": 642, "fsaverage4": 2562, "fsaverage5": 10242, "fsaverage6": 40962, "fsaverage7": 163842}


@dataclass(frozen=True)
class Clock:
    """When the rows of one recording were acquired.

    Parameters
    ----------
    start_s : float
        Start of the first TR on the stimulus' clock, in seconds.
    tr_s : float
        Time from one TR to the next, in seconds.
    n_trs : int
        Number of TRs.
    """

    start_s: float
    tr_s: float
    n_trs: int

    @property
    def end_s(self) -> float:
        """End of the last TR on the stimulus' clock, in seconds."""
        return self.start_s + self.tr_s * self.n_trs

    def midpoints_s(self) -> FloatArray:
        """Middle of each TR, array of shape (n_trs,), in seconds."""
        return self.start_s + self.tr_s * (np.arange(self.n_trs) + 0.5)


@dataclass(frozen=True, eq=False)
class Stimulus:
    """What was presented in one run, unit by unit.

    Parameters
    ----------
    story : str
        Name of the stimulus.
    units : tuple of str
        The elements that get a feature vector, in order: words of a story, or sentences where `Facts.items` says so.
    onset_s, offset_s : arrays of shape (n_units,)
        When each unit starts and ends, in seconds.
    annotations : mapping of str to array of shape (n_units, n_columns)
        Known properties of the units by feature space, where the dataset has them.
    separate : bool
        Whether each unit was presented by itself, as one of many sentences: then it is read alone, whatever context a model
        is given.

    Raises
    ------
    DataError
        If a unit is empty, or times are not finite, not increasing or end before they start.
    """

    story: str
    units: tuple[str, ...]
    onset_s: FloatArray
    offset_s: FloatArray
    annotations: Mapping[str, FloatArray] = field(default_factory=dict)
    separate: bool = False

    def __post_init__(self) -> None:
        n_units = len(self.units)
        if not n_units:
            raise DataError(f"story {self.story!r} has no words. Check its transcript.")
        if self.onset_s.shape != (n_units,) or self.offset_s.shape != (n_units,):
            raise DataError(
                f"story {self.story!r} has {n_units} words but {self.onset_s.shape} onsets and "
                f"{self.offset_s.shape} offsets. Each word needs one of each."
            )
        wrong = np.flatnonzero(
            ~np.isfinite(self.onset_s)
            | ~np.isfinite(self.offset_s)
            | (self.offset_s < self.onset_s)
            | (self.onset_s < np.concatenate([self.onset_s[:1], self.onset_s[:-1]]))
        )
        if wrong.size:
            at = int(wrong[0])
            raise DataError(
                f"story {self.story!r}: word {at} ({self.units[at]!r}) runs from {self.onset_s[at]} s to "
                f"{self.offset_s[at]} s, after a word that began at {self.onset_s[max(at - 1, 0)]} s. "
                "Times must be finite and in order. Correct the transcript."
            )
        for name, annotation in self.annotations.items():
            if annotation.ndim != 2 or len(annotation) != n_units or not np.isfinite(annotation).all():
                raise DataError(
                    f"story {self.story!r}: annotation {name!r} has shape {annotation.shape} or values that are not "
                    f"finite, but there are {n_units} words. One row of numbers per word is needed."
                )
        blank = [at for at, unit in enumerate(self.units) if not unit.strip()]
        if blank:
            raise DataError(f"story {self.story!r}: word {blank[0]} is empty. Remove it from the transcript.")

    @property
    def midpoint_s(self) -> FloatArray:
        """Middle of each unit, array of shape (n_units,), in seconds."""
        return (self.onset_s + self.offset_s) / 2


@dataclass(frozen=True)
class Passage:
    """A text that is read as a whole, and the stretches of it that get a feature vector each.

    Parameters
    ----------
    text : str
        What the model reads.
    stretches : tuple of (int, int)
        First character and one past the last of each; none means the whole text.

    Raises
    ------
    DataError
        If the text is blank, or a stretch is empty or reaches outside it.
    """

    text: str
    stretches: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise DataError("a passage has no words. Remove it.")
        for start, stop in self.stretches:
            if not 0 <= start < stop <= len(self.text) or not self.text[start:stop].strip():
                raise DataError(
                    f"characters {start} to {stop} are no part of {self.text[:60]!r} that has words; it has "
                    f"{len(self.text)} characters. Correct the stretch."
                )

    @property
    def parts(self) -> tuple[tuple[int, int], ...]:
        """The stretches; the whole text where none is named."""
        return self.stretches or ((0, len(self.text)),)


@dataclass(frozen=True, eq=False)
class Likelihoods:
    """Log-probabilities of a text's tokens.

    Parameters
    ----------
    log_p : array of shape (n_tokens,)
        Natural logarithms; NaN for a first token that nothing stands before.
    start, stop : arrays of int of shape (n_tokens,)
        Characters of each token.
    """

    log_p: FloatArray
    start: IntArray
    stop: IntArray

    @property
    def total(self) -> float:
        """Sum over the tokens that have a probability."""
        return float(np.nansum(self.log_p))

    @property
    def n_scored(self) -> int:
        """Number of tokens that have a probability."""
        return int(np.isfinite(self.log_p).sum())


@dataclass(frozen=True, eq=False)
class Timing:
    """What is known of when a story's TRs were acquired, beside the clock that the analysis uses.

    Parameters
    ----------
    trigger_s : array of shape (n_triggers,), optional
        When the scanner said that a TR began, in seconds on the stimulus' clock; missing ones already put in.
    missing : tuple of int
        Which of them were missing.
    unreported_trs : int
        TRs at the end of the recording that have no trigger, by the dataset's own account.
    stated_tr_s : mapping of str to float
        Seconds per TR by what states them, such as "task-life_bold.json" or "header of run1.nii.gz".
    """

    trigger_s: FloatArray | None = None
    missing: tuple[int, ...] = ()
    unreported_trs: int = 0
    stated_tr_s: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class OnDisk:
    """Responses of one story on disk, read when rows are asked for; like a float32 array of shape (n_trs, n_voxels).

    Parameters
    ----------
    shape : (int, int)
        TRs and voxels.
    read : callable
        Takes rows, a slice from start to stop, and the float32 array of shape (n_rows, n_voxels) into which they go.
    """

    shape: tuple[int, int]
    read: Callable[[slice, FloatArray], None] = field(repr=False)

    @property
    def ndim(self) -> int:
        """Two axes."""
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> FloatArray:
        start, stop, _ = rows.indices(len(self))
        read: FloatArray = np.empty((max(stop - start, 0), self.shape[1]), np.float32)
        self.read(slice(start, stop), read)
        return read

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> FloatArray:
        return self[:].astype(dtype or np.float32, copy=False)


@dataclass(frozen=True, eq=False)
class Responses:
    """Brain responses of one subject to one story.

    Parameters
    ----------
    subject, story : str
        Who was recorded, and hearing or reading what.
    values : array of shape (n_trs, n_voxels), or OnDisk
        NaN is allowed and makes a voxel unscorable; it is never filled in. Large ones are `OnDisk`, and never in memory as
        a whole beside what is made of them.
    clock : Clock
        When the rows were acquired.
    nuisance : mapping of str to array of shape (n_trs, n_regressors)
        Regressors of no interest that were recorded beside.

    Raises
    ------
    DataError
        If shapes disagree or a nuisance regressor is not finite.
    """

    subject: str
    story: str
    values: FloatArray | OnDisk
    clock: Clock
    nuisance: Mapping[str, FloatArray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        where = f"subject {self.subject!r}, story {self.story!r}"
        if self.values.ndim != 2 or self.values.shape[0] != self.clock.n_trs:
            raise DataError(
                f"{where}: responses have shape {self.values.shape}, but the clock has {self.clock.n_trs} TRs. "
                "One row per TR is needed."
            )
        for name, regressor in self.nuisance.items():
            if regressor.ndim != 2 or regressor.shape[0] != self.clock.n_trs:
                raise DataError(
                    f"{where}: nuisance {name!r} has shape {regressor.shape}, but there are "
                    f"{self.clock.n_trs} TRs. One row per TR is needed."
                )
            if not np.isfinite(regressor).all():
                raise DataError(f"{where}: nuisance {name!r} has NaN or infinite values. Repair its file.")


@dataclass(frozen=True, eq=False)
class Layers:
    """Features of one story on disk, a file per layer; read it as an array of shape (n_layers, n_units, n_dims).

    ``layers[3]`` maps one file into memory, read-only, and lets go of it with the array: a study has more files than a
    process may hold open. float16 is brought to float32 on the way, so nobody computes in it.

    Parameters
    ----------
    files : tuple of Path
        Arrays of shape (n_units, n_dims). Layer 0 is the embedding output, the last one the output of the last block.
    n_units, n_dims : int
        Shape of each.
    """

    files: tuple[Path, ...] = field(repr=False)
    n_units: int
    n_dims: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Layers, units and dims."""
        return len(self.files), self.n_units, self.n_dims

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, layer: int) -> FloatArray:
        try:
            stored: FloatArray = np.load(self.files[layer], mmap_mode="r")
        except FileNotFoundError as error:
            raise DataError(
                f"{error.filename} was there when the run began and is gone. Run again, and prune the cache when nothing "
                "runs."
            ) from error
        return stored if stored.dtype == np.float32 else stored.astype(np.float32)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> FloatArray:
        return np.stack([self[layer] for layer in range(len(self))]).astype(dtype or np.float32, copy=False)


@dataclass(frozen=True, eq=False)
class Design:
    """One feature space at TR times, before delays.

    Parameters
    ----------
    name : str
        Which feature space, such as "layer 3" or "word_rate".
    runs : tuple of arrays of shape (n_trs, n_dims)
        Features of every TR, run by run.
    rows : tuple of slice
        What trimming leaves of each run.
    delays : tuple of int, in TRs
        A row holds the features of these earlier TRs of its run side by side; (0,) for spaces without delays.
    """

    name: str
    runs: tuple[FloatArray, ...]
    rows: tuple[slice, ...]
    delays: tuple[int, ...]

    @property
    def n_rows(self) -> int:
        """Rows of all runs after trimming."""
        return sum(len(range(*kept.indices(len(run)))) for kept, run in zip(self.rows, self.runs, strict=True))

    @property
    def n_features(self) -> int:
        """Columns, delays included."""
        return int(self.runs[0].shape[1]) * len(self.delays)

    def matrix(self) -> FloatArray:
        """Features of every row, delayed copies side by side: shape (n_rows, n_features), zero before a run's start."""
        stacked = np.concatenate([*self.runs, np.zeros_like(self.runs[0][:1])])
        return np.hstack([stacked[source] for source in self.sources()])

    def sources(self) -> IntArray:
        """Where each row draws from, array of shape (n_delays, n_rows): TRs of the stacked runs, -1 before a run's start."""
        found = []
        first = 0
        for run, kept in zip(self.runs, self.rows, strict=True):
            local = np.arange(len(run))[kept] - np.array(self.delays)[:, None]
            found.append(np.where(local >= 0, local + first, -1))
            first += len(run)
        return np.concatenate(found, axis=1)


@dataclass(frozen=True, eq=False)
class Fitted:
    """What an encoder found on one fold.

    Parameters
    ----------
    validation_r : array of shape (n_voxels,)
        r on validation rows of the training rows, at the chosen penalty.
    penalty : array of shape (n_bands, n_voxels)
        The chosen penalty of each feature space.
    predicted : array of shape (n_test, n_voxels)
        Predictions of the held-out rows.
    parts : array of shape (n_bands, n_test, n_voxels), optional
        What each feature space adds to the predictions, where there are several and it was asked for.
    """

    validation_r: FloatArray
    penalty: FloatArray
    predicted: FloatArray
    parts: FloatArray | None = None


@dataclass(frozen=True, eq=False)
class Flatmap:
    """A subject's cortex, cut and flattened into a picture.

    Parameters
    ----------
    to_pixels : sparse array of shape (n_pixels, n_voxels)
        Weights of the columns in each pixel.
    mask : array of bool of shape (width, height)
        Pixels in C order of its true places.

    Raises
    ------
    DataError
        If they have different numbers of pixels.
    """

    to_pixels: csr_array
    mask: NDArray[np.bool_]

    def __post_init__(self) -> None:
        if self.to_pixels.shape[0] != self.mask.sum():
            raise DataError(
                f"a flatmap needs as many rows as its mask has pixels, but there are {self.to_pixels.shape[0]} and "
                f"{self.mask.sum()}."
            )


@dataclass(frozen=True)
class Pycortex:
    """A subject in a store of pycortex, which can draw the cortex flat.

    Parameters
    ----------
    store : Path
        Folder of the store.
    subject, transform : str
        Names in it.
    """

    store: Path
    subject: str
    transform: str


@dataclass(frozen=True, eq=False)
class Space:
    """How the columns of the responses sit in the brain.

    Parameters
    ----------
    kind : {"rois", "volume", "surface", "unplaced"}
        What a map of the columns is: a value per ROI, per voxel of a mask, or per vertex of a mesh (left hemisphere first);
        "unplaced" where nobody knows, and no map is drawn.
    n_voxels : int
        Number of columns.
    rois : mapping of str to array of int
        The columns of each ROI.
    coordinates_mm : array of shape (n_voxels, 3), optional
        MNI coordinates of the columns, for ``kind="rois"``.
    mask : array of bool of shape (x, y, z), optional
        Places in C order of the mask's true voxels, for ``kind="volume"``.
    affine : array of shape (4, 4), optional
        Voxel indices to millimetres, for ``kind="volume"``.
    mesh : str, optional
        Name of the mesh, such as "fsaverage5", for ``kind="surface"``.
    note : str
        What a reader of the map must know about the space.
    mapper : sparse array of shape (n_places, n_voxels), optional
        Weights of the columns at each place of the map, where columns are not the places themselves: voxels of a subject
        that are shown on a mesh, or parcels.
    frame : {"mni", "native"}
        Whose brain a volume lies in: a template's, or each subject's own, where equal indices are different places.
    areas : mapping of str to tuple of arrays of int
        For ROIs in whose means each of several areas counts alike, however large: the columns of each area.
    flatmap : Flatmap, optional
        The subject's own flattened cortex.
    pycortex : Pycortex, optional
        The same, for a volume in the order of pycortex, where that is installed.
    """

    kind: Literal["rois", "volume", "surface", "unplaced"]
    n_voxels: int
    rois: Mapping[str, IntArray]
    coordinates_mm: FloatArray | None = None
    mask: NDArray[np.bool_] | None = None
    affine: FloatArray | None = None
    mesh: str | None = None
    note: str = ""
    mapper: csr_array | None = None
    frame: Literal["mni", "native"] = "mni"
    areas: Mapping[str, tuple[IntArray, ...]] = field(default_factory=dict)
    flatmap: Flatmap | None = None
    pycortex: Pycortex | None = None

    def __post_init__(self) -> None:
        for roi, columns in self.rois.items():
            if len(columns) == 0 or columns.min() < 0 or columns.max() >= self.n_voxels:
                raise DataError(
                    f"ROI {roi!r} must name at least one of the columns 0..{self.n_voxels - 1}, and no other; "
                    f"it names {len(columns)} columns."
                )
        self._require_own_columns()
        if self.kind == "volume" and (self.mask is None or self.affine is None or self.mask.sum() != self.n_places):
            raise DataError(f"a volume needs an affine and a mask with {self.n_places} true voxels.")
        if self.kind == "rois" and (self.coordinates_mm is None or self.coordinates_mm.shape != (self.n_voxels, 3)):
            raise DataError(f"a space of ROIs needs coordinates of shape ({self.n_voxels}, 3), in mm.")
        if self.kind == "surface" and self.mesh is None:
            raise DataError("a surface needs the name of its mesh, such as 'fsaverage5'.")
        declared = FSAVERAGE.get(str(self.mesh)) if self.kind == "surface" else None
        if declared is not None and 2 * declared != self.n_places:
            raise DataError(
                f"{self.mesh} has 2 × {declared} vertices, but there are {self.n_places} places. "
                f"Name the right one of {', '.join(FSAVERAGE)}."
            )

    def _require_own_columns(self) -> None:
        """Raise DataError if areas, mapper or flatmap speak of other columns."""
        for roi, parts in self.areas.items():
            if not np.array_equal(np.sort(np.concatenate(parts)), np.sort(self.rois.get(roi, np.empty(0)))):
                raise DataError(f"the areas of ROI {roi!r} must have its columns, each once, and no other.")
        matrices = {"mapper": self.mapper, "flatmap": None if self.flatmap is None else self.flatmap.to_pixels}
        for what, matrix in matrices.items():
            if matrix is not None and matrix.shape[1] != self.n_voxels:
                raise DataError(f"the {what} has weights for {matrix.shape[1]} columns, but there are {self.n_voxels}.")

    @property
    def _regions(self) -> tuple[str, ...] | None:
        """Names of the columns, where each is an ROI of its own; None where some are not."""
        named = {int(columns[0]): roi for roi, columns in self.rois.items() if len(columns) == 1}
        each = len(named) == len(self.rois) == self.n_voxels
        return tuple(named[column] for column in range(self.n_voxels)) if each else None

    @property
    def n_places(self) -> int:
        """Places of a map: vertices, voxels of the mask, or columns."""
        return self.n_voxels if self.mapper is None else int(self.mapper.shape[0])

    def placed(self, values: FloatArray) -> FloatArray:
        """Bring one value per column to the places of the map.

        Where a place has weights of columns that are not known, the known ones take their part; a place without any is NaN.

        Parameters
        ----------
        values : array of shape (n_voxels,)

        Returns
        -------
        array of shape (n_places,)
        """
        return values if self.mapper is None else spread_out(self.mapper, values)

    def same_places(self, other: Space) -> bool:
        """Whether the places of two subjects' maps are the same, so that maps can be averaged."""
        return (
            (self.kind, self.n_places, self.mesh) == (other.kind, other.n_places, other.mesh)
            and self.kind != "unplaced"
            and "native" not in (self.frame, other.frame)
            and _equal(self.mask, other.mask)
            and _equal(self.affine, other.affine)
        )

    def same_columns(self, other: Space) -> bool:
        """Whether column i of one subject is the same place as column i of another, or the same region of each."""
        if self.kind == other.kind == "unplaced":
            return self._regions is not None and self._regions == other._regions
        return (
            self.same_places(other)
            and _equal(self.coordinates_mm, other.coordinates_mm)
            and (self.mapper is other.mapper or _equal(_dense(self.mapper), _dense(other.mapper)))
        )


def spread_out(weights: csr_array, values: FloatArray) -> FloatArray:
    """Weighted sums of known values, the weights of unknown ones divided among them.

    Parameters
    ----------
    weights : sparse array of shape (n_places, n_voxels)
    values : array of shape (n_voxels,)
        NaN where unknown.

    Returns
    -------
    array of shape (n_places,)
        NaN where a place has no known value.
    """
    known = np.isfinite(values)
    of_all = np.asarray(weights.sum(axis=1)).ravel()
    of_known = weights @ known.astype(float)
    reached = of_known != 0
    share = of_all / np.where(reached, of_known, 1.0)
    return np.where(reached, weights @ np.where(known, values, 0.0) * share, np.nan)


def _equal(one: NDArray[np.generic] | None, other: NDArray[np.generic] | None) -> bool:
    return one is other or (one is not None and other is not None and np.array_equal(one, other))


def _dense(matrix: csr_array | None) -> NDArray[np.generic] | None:
    """Indices and weights of a sparse matrix side by side, for comparing."""
    return None if matrix is None else np.concatenate([matrix.indptr, matrix.indices, matrix.data])


@dataclass(frozen=True, eq=False)
class Fold:
    """Rows of one cross-validation fold.

    Parameters
    ----------
    train, test : arrays of int
        Rows of the stacked runs. Rows in the gap belong to neither.
    inner : tuple of (array of int, array of int)
        Training and validation positions *within* ``train``, for choosing penalties and layers.
    """

    train: IntArray
    test: IntArray
    inner: tuple[tuple[IntArray, IntArray], ...]


@dataclass(frozen=True)
class Facts:
    """What a dataset declares about itself; a test holds the declaration against the data.

    Parameters
    ----------
    subjects, stories : tuple of str
        Usable subjects and the stories in order.
    n_trs : mapping of str to int
        TRs of each story.
    n_voxels : mapping of str to int
        Columns of each subject.
    tr_s : float
        Seconds per TR.
    licence, doi, citation : str
        Whose it is and how to say so.
    language : str
        Code of the stimuli's language, such as "en".
    words : str
        What counts as a word of the stimuli, and what is left out.
    trim_s : (float, float)
        Seconds that published work cuts from the start and the end of every run.
    test_stories : tuple of str
        Stories that published work tests on, and trains on the others; empty where there is no such habit.
    read_by_story : bool
        Whether responses are `OnDisk`, so that no more than the kept rows are in memory.
    items : bool
        Whether a row of the responses is one unit, such as a sentence, and no TR: rows have no time, ``tr_s`` is 1, unit i
        lasts from i to i + 1, and a story is a group of items that folds keep together, such as a passage.
    """

    subjects: tuple[str, ...]
    stories: tuple[str, ...]
    n_trs: Mapping[str, int]
    n_voxels: Mapping[str, int]
    tr_s: float
    licence: str
    doi: str
    citation: str
    language: str = "en"
    words: str = "every word, with the marks that are written on it"
    trim_s: tuple[float, float] = (0.0, 0.0)
    test_stories: tuple[str, ...] = ()
    read_by_story: bool = False
    items: bool = False

    def __post_init__(self) -> None:
        unknown = [story for story in self.test_stories if story not in self.stories]
        if unknown:
            raise DataError(f"test stories {', '.join(unknown)} are declared, but no such stories.")
