"""Label files of surfaces and volumes: which area is where."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from brainexp.containers import FSAVERAGE, FloatArray, IntArray, Space
from brainexp.dataset.textfile import require_file
from brainexp.errors import ConfigError, DataError

#: Names of what is no area.
BACKGROUND = ("???", "unknown", "medial_wall", "freesurfer_defined_medial_wall", "background")
#: How file names tell the left hemisphere, and the right one.
SIDES = (("hemi-L", "hemi-R"), ("lh.", "rh."), (".L.", ".R."), ("_L_", "_R_"))


def right_of(left: Path) -> Path:
    """Return the right hemisphere's file beside the left one's.

    >>> right_of(Path("tpl-fsaverage6_hemi-L_desc-MMP_dseg.label.gii")).name
    'tpl-fsaverage6_hemi-R_desc-MMP_dseg.label.gii'

    Raises
    ------
    ConfigError
        If the name does not tell which hemisphere it is.
    """
    for ours, theirs in SIDES:
        if left.name.count(ours) == 1:
            return left.with_name(left.name.replace(ours, theirs))
    raise ConfigError(
        f"rois.labels: {left.name} does not tell that it is the left hemisphere (such as by hemi-L or lh.). Give both "
        "files, left one first: rois.labels=[LEFT,RIGHT]"
    )


def vertex_labels(path: Path, mesh: str, n_vertices: int, how_to_get: str) -> tuple[IntArray, dict[int, str]]:
    """Read the label of each vertex of one hemisphere.

    Parameters
    ----------
    path : Path
        A ``.gii`` or ``.annot`` file, on the mesh or on a finer fsaverage.
    mesh : str
        Of the data.
    n_vertices : int
        Vertices of a hemisphere of that mesh.
    how_to_get : str
        Last sentence of the errors.

    Returns
    -------
    labels : array of int of shape (n_vertices,)
    names : dict of int to str
        By label.

    Raises
    ------
    DataError
        If the file is missing, damaged, or on a coarser or an unrelated mesh.
    """
    require_file(path, how_to_get)
    try:
        labels, names = _annotation(path) if path.suffix == ".annot" else _gifti_labels(path)
    except Exception as error:  # of any kind, for readers of images check little
        raise DataError(f"{path} cannot be read as labels of a surface: {error}. {how_to_get}") from None
    nested = mesh in FSAVERAGE and len(labels) in FSAVERAGE.values()
    if len(labels) != n_vertices and not (nested and len(labels) > n_vertices):
        raise DataError(
            f"{path} has labels of {len(labels)} vertices, but the data lie on {mesh} with {n_vertices} per hemisphere. "
            "Labels must lie on the same mesh or on a finer fsaverage."
        )
    return labels[:n_vertices], names


def voxel_labels(path: Path, space: Space, how_to_get: str) -> tuple[IntArray, IntArray]:
    """Read a label volume on the grid of the data; each voxel takes the label at its centre.

    Parameters
    ----------
    path : Path
        A NIfTI file of whole numbers.
    space : Space
        Of the data.
    how_to_get : str
        Last sentence of the errors.

    Returns
    -------
    labels : array of int of shape (n_places,)
        0 outside of the file's grid.
    known : array of int
        All labels of the file but 0.

    Raises
    ------
    DataError
        If the file is missing, damaged, or its values are not whole numbers.
    """
    values, on_grid = _on_grid(path, space, how_to_get)
    whole = np.round(values)
    if not np.array_equal(whole, values):
        raise DataError(
            f"{path} has values that are not whole numbers, such as {values[whole != values][0]:g}: it holds no labels. "
            "For a mask give rois.set=masks."
        )
    known = np.unique(whole).astype(int)
    return on_grid.astype(int), known[known != 0]


def voxel_mask(path: Path, space: Space, how_to_get: str) -> IntArray:
    """Places of the data inside a mask (values above one half), array of int; errors as of `voxel_labels`."""
    _, on_grid = _on_grid(path, space, how_to_get)
    return np.flatnonzero(on_grid > 0.5)


def named_labels(path: Path, how_to_get: str) -> dict[int, str]:
    """Read a table of labels and names: FreeSurfer's, Schaefer's and Yeo's, or ``dseg.tsv`` of BIDS.

    Rows begin with a whole number, followed by the name; others are left out.

    Raises
    ------
    DataError
        If the file is missing or has no such row.
    """
    lines = require_file(path, how_to_get).read_text(encoding="utf-8", errors="replace").splitlines()
    rows = [re.split(r"[\t,]|\s+", line.strip()) for line in lines]
    names = {int(row[0]): row[1] for row in rows if len(row) > 1 and row[0].isdigit()}
    if not names:
        raise DataError(f"{path} has no row of a number and a name, such as '1 7Networks_LH_Vis_1'. Check rois.names.")
    return names


def is_background(name: str) -> bool:
    """Whether a label names no area."""
    return name.lower().replace(" ", "_").split("+")[0] in BACKGROUND


def _on_grid(path: Path, space: Space, how_to_get: str) -> tuple[FloatArray, FloatArray]:
    """Finite values of a volume, and those at the places of the data."""
    import nibabel
    from nilearn.image import resample_img

    require_file(path, how_to_get)
    assert space.mask is not None  # checked by Space
    try:
        image: Any = nibabel.load(path)
        values = np.nan_to_num(np.asarray(image.dataobj, dtype=np.float32))
    except Exception as error:  # of any kind, for readers of images check little
        raise DataError(f"{path} cannot be read as a volume: {error}. {how_to_get}") from None
    if values.ndim == 4 and values.shape[3] == 1:
        values = values[..., 0]
    if values.ndim != 3:
        raise DataError(f"{path} has shape {values.shape}, but a single volume is needed. Split it first.")
    on_grid = resample_img(
        nibabel.Nifti1Image(values, image.affine),  # type: ignore[no-untyped-call]
        target_affine=space.affine,
        target_shape=space.mask.shape,
        interpolation="nearest",
        force_resample=True,
        copy_header=True,
    )
    return values, np.asarray(on_grid.dataobj)[space.mask]


def _gifti_labels(path: Path) -> tuple[IntArray, dict[int, str]]:
    import nibabel

    image: Any = nibabel.load(path)
    return np.asarray(image.darrays[0].data).astype(int), dict(image.labeltable.get_labels_as_dict())


def _annotation(path: Path) -> tuple[IntArray, dict[int, str]]:
    from nibabel.freesurfer.io import read_annot

    labels, _, names = read_annot(path)  # type: ignore[no-untyped-call]
    return np.asarray(labels).astype(int), {number: name.decode() for number, name in enumerate(names)}
