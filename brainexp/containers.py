"""The things that travel between stages. Each checks itself when made; what receives one trusts it."""

from __future__ import annotations

from collections.abc import Mapping
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
        The elements that get a feature vector, in order: words of a story.
    onset_s, offset_s : arrays of shape (n_units,)
        When each unit starts and ends, in seconds.
    annotations : mapping of str to array of shape (n_units, n_columns)
        Known properties of the units by feature space, where the dataset has them.

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


@dataclass(frozen=True, eq=False)
class Responses:
    """Brain responses of one subject to one story.

    Parameters
    ----------
    subject, story : str
        Who was recorded, and hearing or reading what.
    values : array of shape (n_trs, n_voxels)
        NaN is allowed and makes a voxel unscorable; it is never filled in.
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
    values: FloatArray
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
    kind : {"rois", "volume", "surface"}
        What a map of the columns is: a value per ROI, per voxel of a mask, or per vertex of a mesh (left hemisphere first).
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

    kind: Literal["rois", "volume", "surface"]
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
            and "native" not in (self.frame, other.frame)
            and _equal(self.mask, other.mask)
            and _equal(self.affine, other.affine)
        )

    def same_columns(self, other: Space) -> bool:
        """Whether column i of one subject is the same place as column i of another."""
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
