"""From a subject's columns to places: sparse matrices in HDF5, and parcels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from brainexp.containers import FSAVERAGE, Flatmap, IntArray, Space
from brainexp.dataset.textfile import require_file
from brainexp.errors import DataError

if TYPE_CHECKING:
    from scipy.sparse import csr_array

#: Names of the matrix and of the mask of a flatmap, as releases of the Gallant laboratory have them.
FLATMAPS = (("voxel_to_flatmap", "flatmap_mask"), ("voxel_to_pixmap", "pixmap_mask"))
#: What the names of masks of functional ROIs begin with.
ROI_MASK = "roi_mask_"


def mapped_space(path: Path, n_voxels: int, how_to_get: str) -> Space:
    """How a subject's voxels sit on fsaverage and on the own flatmap, as a file of mappers says.

    The layout is that of Deniz et al. (2019) and of the voxelwise tutorials (Dupre la Tour et al. 2022): matrices in
    compressed rows, ``<name>_data``, ``_indices``, ``_indptr`` and ``_shape``; ``flatmap_mask``; ``roi_mask_<ROI>``.

    Parameters
    ----------
    path : Path
        An HDF5 file.
    n_voxels : int
        Columns of the subject's responses.
    how_to_get : str
        Last sentence of the errors.

    Returns
    -------
    Space
        A surface; its ROIs are the subject's functional ones, where the file has them.

    Raises
    ------
    DataError
        If the file is missing, damaged, of another subject or has no mapper to fsaverage.
    """
    import h5py

    require_file(path, how_to_get)
    try:
        with h5py.File(path) as file:
            mapper = _sparse(file, "voxel_to_fsaverage", path, how_to_get)
            flatmap = next(
                (
                    Flatmap(_sparse(file, matrix, path, how_to_get), np.asarray(file[mask]).astype(bool))
                    for matrix, mask in FLATMAPS
                    if f"{matrix}_data" in file and mask in file
                ),
                None,
            )
            rois = {
                name.removeprefix(ROI_MASK): np.flatnonzero(np.asarray(file[name]).ravel())
                for name in file
                if name.startswith(ROI_MASK)
            }
    except OSError as error:
        raise DataError(f"{path} is no HDF5 file, or is truncated: {error}. {how_to_get}") from None
    if mapper.shape[1] != n_voxels:
        raise DataError(
            f"{path} maps {mapper.shape[1]} voxels, but the responses have {n_voxels}: it is of another subject. {how_to_get}"
        )
    mesh = next((name for name, vertices in FSAVERAGE.items() if 2 * vertices == mapper.shape[0]), None)
    if mesh is None:
        sizes = ", ".join(str(2 * vertices) for vertices in FSAVERAGE.values())
        raise DataError(f"{path} maps to {mapper.shape[0]} vertices, but fsaverage has one of {sizes}. {how_to_get}")
    found = {roi: columns for roi, columns in rois.items() if columns.size}
    return Space(kind="surface", n_voxels=n_voxels, rois=found, mesh=mesh, mapper=mapper, flatmap=flatmap)


def parcel_mapper(labels: IntArray, parcels: Mapping[int, int]) -> csr_array:
    """Weights that paint each parcel's value on its places.

    Parameters
    ----------
    labels : array of int of shape (n_places,)
        Label of each voxel of a mask, or of each vertex of both hemispheres.
    parcels : mapping of int to int
        Column of each label; places with other labels belong to none.

    Returns
    -------
    sparse array of shape (n_places, n_columns)
        For `Space.mapper`.

    Raises
    ------
    DataError
        If a parcel has no place.
    """
    from scipy.sparse import csr_array

    empty = [label for label in parcels if not (labels == label).any()]
    if empty:
        raise DataError(f"{len(empty)} of {len(parcels)} parcels have no place in the atlas, such as label {empty[0]}.")
    places = np.flatnonzero(np.isin(labels, list(parcels)))
    columns = np.array([parcels[int(label)] for label in labels[places]])
    shape = (len(labels), max(parcels.values()) + 1)
    return csr_array((np.ones(len(places)), (places, columns)), shape=shape)


def _sparse(file: Any, name: str, path: Path, how_to_get: str) -> csr_array:
    from scipy.sparse import csr_array

    parts = [f"{name}_{part}" for part in ("data", "indices", "indptr", "shape")]
    missing = [part for part in parts if part not in file]
    if missing:
        held = ", ".join(sorted(file)[:12]) or "nothing"
        raise DataError(f"{path} lacks {', '.join(missing)}; it has {held}. {how_to_get}")
    data, indices, indptr, shape = (np.asarray(file[part]) for part in parts)
    try:
        n_places, n_columns = (int(size) for size in shape)
        matrix = csr_array((data, indices, indptr), shape=(n_places, n_columns))
        matrix.check_format(full_check=True)
    except ValueError as error:
        raise DataError(f"{path}: {name} is no sparse matrix: {error}. {how_to_get}") from None
    return matrix
