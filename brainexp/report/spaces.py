"""Where the columns of a run lie, kept beside its scores, so that maps can be made of several runs later."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from brainexp.containers import Flatmap, Space

FILE = "spaces.npz"
#: Of a sparse matrix; a space has two at most.
PARTS = ("data", "indices", "indptr", "shape")


def save_spaces(spaces: Mapping[str, Space], path: Path) -> None:
    """Write the spaces of subjects into one file; a space that several subjects share is written once.

    Parameters
    ----------
    spaces : mapping of str to Space
        By subject. Their ROIs and what pycortex would need are not kept: scores.parquet and voxels.npz have no use for them.
    path : Path
        A new ``.npz`` file.
    """
    distinct: list[Space] = []
    numbers = []
    for space in spaces.values():
        alike = [at for at, other in enumerate(distinct) if _alike(space, other)]
        numbers.append(alike[0] if alike else len(distinct))
        distinct += [] if alike else [space]
    arrays: dict[str, Any] = {"subjects": np.array(list(spaces)), "space": np.array(numbers)}
    for number, space in enumerate(distinct):
        arrays |= {f"{number}/{name}": value for name, value in _arrays(space).items()}
    np.savez_compressed(path, **arrays)


def load_spaces(path: Path) -> dict[str, Space]:
    """Read what `save_spaces` wrote: spaces by subject, without ROIs; subjects who share one get the same object."""
    with np.load(path) as file:
        found: dict[int, dict[str, Any]] = {}
        for key in file.files:
            number, _, name = key.partition("/")
            if name:
                found.setdefault(int(number), {})[name] = file[key]
        spaces = {number: _space(arrays) for number, arrays in found.items()}
        return {str(who): spaces[int(number)] for who, number in zip(file["subjects"], file["space"], strict=True)}


def _alike(one: Space, other: Space) -> bool:
    return one is other or (one.same_columns(other) and one.flatmap is other.flatmap)


def _arrays(space: Space) -> dict[str, Any]:
    words = {"kind": space.kind, "mesh": space.mesh, "note": space.note, "frame": space.frame}
    arrays: dict[str, Any] = {name: np.array(value) for name, value in words.items() if value is not None}
    arrays["n_voxels"] = np.array(space.n_voxels)
    places = {"coordinates_mm": space.coordinates_mm, "mask": space.mask, "affine": space.affine}
    arrays |= {name: value for name, value in places.items() if value is not None}
    if space.mapper is not None:
        arrays |= _sparse("mapper", space.mapper)
    if space.flatmap is not None:
        arrays |= {"flatmap_mask": space.flatmap.mask} | _sparse("flatmap", space.flatmap.to_pixels)
    return arrays


def _space(arrays: Mapping[str, Any]) -> Space:
    words = {name: str(arrays[name]) for name in ("kind", "mesh", "note", "frame") if name in arrays}
    places = {name: arrays[name] for name in ("coordinates_mm", "mask", "affine") if name in arrays}
    flat = _matrix("flatmap", arrays)
    return Space(
        n_voxels=int(arrays["n_voxels"]),
        rois={},
        mapper=_matrix("mapper", arrays),
        flatmap=None if flat is None else Flatmap(flat, arrays["flatmap_mask"]),
        **words,  # type: ignore[arg-type]
        **places,
    )


def _sparse(name: str, matrix: csr_array) -> dict[str, Any]:
    return {f"{name}_{part}": np.asarray(getattr(matrix, part)) for part in PARTS}


def _matrix(name: str, arrays: Mapping[str, Any]) -> csr_array | None:
    if f"{name}_data" not in arrays:
        return None
    data, indices, indptr, shape = (arrays[f"{name}_{part}"] for part in PARTS)
    return csr_array((data, indices, indptr), shape=tuple(shape))
