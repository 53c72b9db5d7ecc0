"""Voxels of a subject whose cortex is in a store of pycortex, as in LeBel et al. (2023); pycortex itself is not needed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from brainexp.containers import FSAVERAGE, FloatArray, IntArray, Pycortex, Space
from brainexp.dataset.textfile import require_file
from brainexp.errors import DataError

#: The mesh whose sphere comes with nilearn.
MESH = "fsaverage5"


def pycortex_space(store: Path, subject: str, n_voxels: int, how_to_get: str) -> Space:
    """How voxels sit in a subject's own volume, where columns are those of pycortex's thick mask, as in LeBel et al. (2023).

    pycortex turns volumes about, to (z, y, x), and counts voxels in that order; read with nibabel the mask is (x, y, z), in
    whose order they would be mixed up. So the mask stands turned here, and the affine with it.

    Parameters
    ----------
    store : Path
        Folder of the store, such as ``pycortex-db``.
    subject : str
        A folder in it.
    n_voxels : int
        Columns of the subject's responses.
    how_to_get : str
        Last sentence of the errors.

    Returns
    -------
    Space
        A native volume without ROIs.

    Raises
    ------
    DataError
        If no transform of the subject has a mask of that many voxels.
    """
    import nibabel

    sizes = []
    for path in sorted((store / subject / "transforms").glob("*/mask_thick.nii.gz")):
        require_file(path, how_to_get)
        try:
            image: Any = nibabel.load(path)
            mask = np.asarray(image.dataobj).T != 0
        except Exception as error:  # of any kind, for readers of images check little
            raise DataError(f"{path} cannot be read as a volume: {error}. {how_to_get}") from None
        if mask.sum() == n_voxels:
            return Space(
                kind="volume",
                n_voxels=n_voxels,
                rois={},
                mask=mask,
                affine=image.affine[:, [2, 1, 0, 3]],
                frame="native",
                pycortex=Pycortex(store, subject, path.parent.name),
            )
        sizes.append(f"{path.parent.name} has {mask.sum()}")
    held = "; ".join(sizes) or "there is none"
    raise DataError(
        f"{store / subject / 'transforms'} needs a mask_thick.nii.gz of {n_voxels} voxels, as the responses have, but "
        f"{held}. {how_to_get}"
    )


def fsaverage_space(store: Path, freesurfer: Path, subject: str, n_voxels: int, how_to_get: str) -> Space:
    """Bring the voxels of `pycortex_space` to fsaverage5, so that ROIs have names there and subjects can be averaged.

    Each vertex of the subject takes the voxel in which the middle between its white and pial place lies (pycortex' mapper
    "nearest"), and goes to the vertex of fsaverage5 that is nearest on FreeSurfer's registered sphere. A vertex of fsaverage5
    is the mean of what comes to it.

    Parameters
    ----------
    store : Path
        Folder of the store, with ``<subject>/surfaces/{wm,pia}_{lh,rh}.gii`` and ``<subject>/transforms``.
    freesurfer : Path
        FreeSurfer's folder of subjects, with ``<subject>/surf/{lh,rh}.sphere.reg``.
    subject : str
        A folder in both.
    n_voxels : int
        Columns of the subject's responses.
    how_to_get : str
        Last sentence of the errors.

    Returns
    -------
    Space
        A surface with a mapper and without ROIs.

    Raises
    ------
    DataError
        If a file is missing or damaged, or the surfaces have different vertices.
    """
    from scipy.sparse import csr_array

    volume = pycortex_space(store, subject, n_voxels, how_to_get)
    assert volume.pycortex is not None
    column = _vertex_columns(store / subject, volume, volume.pycortex.transform, how_to_get)
    places, columns = [], []
    for number, side in enumerate(("lh", "rh")):
        place = _nearest_on_sphere(freesurfer / subject / "surf" / f"{side}.sphere.reg", side, how_to_get)
        own = column[side]
        if len(own) != len(place):
            raise DataError(
                f"{side} of {subject!r} has {len(own)} vertices in {store.name} and {len(place)} in {freesurfer.name}: they "
                f"are of different reconstructions. {how_to_get}"
            )
        places.append(place[own >= 0] + number * FSAVERAGE[MESH])
        columns.append(own[own >= 0])
    at = (np.concatenate(places), np.concatenate(columns))
    counts = csr_array((np.ones(len(at[0])), at), shape=(2 * FSAVERAGE[MESH], n_voxels))
    total: FloatArray = np.asarray(counts.sum(axis=1)).ravel()
    mapper = csr_array(counts.multiply(1 / np.where(total > 0, total, 1.0)[:, None]))
    return Space(kind="surface", n_voxels=n_voxels, rois={}, mesh=MESH, mapper=mapper)


def _vertex_columns(folder: Path, volume: Space, transform: str, how_to_get: str) -> dict[str, IntArray]:
    """Column of the voxel in which each vertex lies, by hemisphere; -1 where it is none of the columns."""
    path = require_file(folder / "transforms" / transform / "matrices.xfm", how_to_get)
    try:
        to_voxels = np.array(json.loads(path.read_text())["coord"], dtype=float)
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} holds no transform of pycortex: {error}. {how_to_get}") from None
    assert volume.mask is not None  # checked by Space
    number = np.full(volume.mask.shape, -1)
    number[volume.mask] = np.arange(volume.n_voxels)
    found = {}
    for side in ("lh", "rh"):
        white, pial = (_points(folder / "surfaces" / f"{kind}_{side}.gii", how_to_get) for kind in ("wm", "pia"))
        if len(white) != len(pial):
            raise DataError(
                f"{folder}: wm_{side}.gii has {len(white)} vertices, pia_{side}.gii {len(pial)}. {how_to_get}"
            )
        at = np.round((white + pial) / 2 @ to_voxels[:3, :3].T + to_voxels[:3, 3]).astype(int)[:, ::-1]  # z, y, x
        inside = ((at >= 0) & (at < number.shape)).all(axis=1)
        found[side] = np.where(inside, number[tuple(np.where(inside[:, None], at, 0).T)], -1)
    return found


def _nearest_on_sphere(path: Path, side: str, how_to_get: str) -> IntArray:
    """Vertex of fsaverage that is nearest to each vertex of a registered sphere."""
    from nibabel.freesurfer.io import read_geometry
    from nilearn.datasets import load_fsaverage
    from scipy.spatial import KDTree

    require_file(path, how_to_get)
    try:
        points, *_ = read_geometry(path)  # type: ignore[no-untyped-call]
    except Exception as error:  # of any kind, for readers of images check little
        raise DataError(f"{path} cannot be read as a surface of FreeSurfer: {error}. {how_to_get}") from None
    common = load_fsaverage(MESH)["sphere"].parts[{"lh": "left", "rh": "right"}[side]].coordinates.astype(float)
    on_sphere = [one / np.linalg.norm(one, axis=1, keepdims=True) for one in (common, points)]
    return np.asarray(KDTree(on_sphere[0]).query(on_sphere[1])[1])


def _points(path: Path, how_to_get: str) -> FloatArray:
    import nibabel

    require_file(path, how_to_get)
    try:
        image: Any = nibabel.load(path)
        points = np.asarray(image.darrays[0].data, dtype=float)
    except Exception as error:  # of any kind, for readers of images check little
        raise DataError(f"{path} cannot be read as a surface: {error}. {how_to_get}") from None
    return points
