"""How columns of responses sit in the brain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from brainexp.containers.arrays import FloatArray, IntArray
from brainexp.errors import DataError

if TYPE_CHECKING:
    from scipy.sparse import csr_array

#: Vertices of one hemisphere. The meshes are nested: the vertices of a coarse one are the first of every finer one.
FSAVERAGE = {"fsaverage3": 642, "fsaverage4": 2562, "fsaverage5": 10242, "fsaverage6": 40962, "fsaverage7": 163842}


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
