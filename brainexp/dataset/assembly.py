"""Read assemblies of Brain-Score: netCDF files of presentations and neuroids, with coordinates of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from brainexp.containers import FloatArray
from brainexp.dataset.binaryfile import hdf5
from brainexp.dataset.textfile import MOST_SHOWN
from brainexp.errors import DataError
from brainexp.registry import did_you_mean

#: The axes of an assembly: what was presented, and what was recorded.
PRESENTATION, NEUROID = "presentation", "neuroid"
Coordinates = dict[str, np.ndarray[Any, Any]]


@dataclass(frozen=True, eq=False)
class Assembly:
    """Responses, and what is known of their rows and columns.

    Parameters
    ----------
    values : array of shape (n_presentations, n_neuroids)
        NaN where somebody was not presented with something.
    presentation, neuroid : dict of str to array
        Coordinates of rows and of columns: texts or numbers, by name.
    """

    values: FloatArray
    presentation: Coordinates
    neuroid: Coordinates


def assembly(path: Path, presentation: Sequence[str], neuroid: Sequence[str], how_to_get: str) -> Assembly:
    """Read an assembly.

    Parameters
    ----------
    path : Path
        netCDF-4, which is HDF5: one array along both axes, a dimension scale for each, and a vector per coordinate.
    presentation, neuroid : sequences of str
        Coordinates that are needed; the others are not read.
    how_to_get : str
        Last sentence of the errors.

    Raises
    ------
    DataError
        If the file is missing, a pointer, no netCDF-4 or truncated, has no such array, or lacks a coordinate.
    """
    import h5py

    with hdf5(path, how_to_get) as file:
        axes = {name: _axes(held) for name, held in file.items() if isinstance(held, h5py.Dataset)}
        data = [name for name, own in axes.items() if sorted(own) == sorted((PRESENTATION, NEUROID))]
        if len(data) != 1 or file[data[0]].dtype.kind not in "fiu":
            raise DataError(
                f"{path} needs one array of numbers along {PRESENTATION} and {NEUROID}, but it has {len(data)}; there are: "
                f"{', '.join(list(axes)[:MOST_SHOWN]) or 'none'}. {how_to_get}"
            )
        values = np.asarray(file[data[0]][()], float)
        if axes[data[0]] == (NEUROID, PRESENTATION):
            values = values.T
        found = {
            axis: {name: _coordinate(file, name, axis, axes, path, how_to_get) for name in names}
            for axis, names in ((PRESENTATION, presentation), (NEUROID, neuroid))
        }
    return Assembly(values, found[PRESENTATION], found[NEUROID])


def _axes(held: Any) -> tuple[str, ...]:
    """Names of the axes of an array, where dimension scales are attached to it."""
    attached = held.attrs.get("DIMENSION_LIST")
    if attached is None:
        return ()
    return tuple(held.file[one[0]].name.lstrip("/") if len(one) else "" for one in attached)


def _coordinate(
    file: Any, name: str, axis: str, axes: dict[str, tuple[str, ...]], path: Path, how_to_get: str
) -> np.ndarray[Any, Any]:
    if axes.get(name) != (axis,):
        there = [one for one, own in axes.items() if own == (axis,)]
        raise DataError(
            f"{path} has no coordinate {name!r} of each {axis}.{did_you_mean(name, there[:MOST_SHOWN])} {how_to_get}"
        )
    held = file[name]
    return np.asarray(held.asstr()[()] if held.dtype.kind == "O" else held[()])
