"""Writers of formats that no library here writes: MATLAB files of version 7.3, and assemblies of Brain-Score."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import h5py
import numpy as np

#: Names of a cell's entries.
NUMBERS = count()


def write_mat73(path: Path, variables: dict) -> None:
    """Write a MATLAB file of version 7.3: HDF5 behind a header of 512 bytes; str, lists (cells), dict (structs), numbers."""
    with h5py.File(path, "w", userblock_size=512) as file:
        references = file.create_group("#refs#")
        for name, value in variables.items():
            _put(file, references, file, name, value)
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64, HDF5 schema 1.00 .".ljust(124) + b"\x00\x02IM")


def _put(file, references, group, name, value):
    if isinstance(value, dict):
        own = group.create_group(name)
        own.attrs["MATLAB_class"] = np.bytes_("struct")
        for key, inner in value.items():
            _put(file, references, own, key, inner)
    elif isinstance(value, list):
        refs = []
        for inner in value:
            called = f"r{next(NUMBERS)}"
            _put(file, references, references, called, inner)
            refs.append(references[called].ref)
        held = group.create_dataset(name, data=np.array([refs], dtype=object), dtype=h5py.ref_dtype)
        held.attrs["MATLAB_class"] = np.bytes_("cell")
    elif isinstance(value, str):
        letters = np.array([[ord(letter)] for letter in value], np.uint16)
        group.create_dataset(name, data=letters).attrs["MATLAB_class"] = np.bytes_("char")
    else:
        held = group.create_dataset(name, data=np.atleast_2d(np.asarray(value)).T)
        held.attrs["MATLAB_class"] = np.bytes_("double")


def write_mat5(path: Path, variables: dict) -> None:
    """The same variables in version 5, where cells are columns of objects."""
    import scipy.io

    scipy.io.savemat(path, {name: _for_scipy(value) for name, value in variables.items()}, do_compression=True)


def _for_scipy(value):
    if isinstance(value, dict):
        return {key: _for_scipy(inner) for key, inner in value.items()}
    if isinstance(value, list):
        cell = np.empty((len(value), 1), object)
        cell[:, 0] = [_for_scipy(inner) for inner in value]
        return cell
    return value


def rewritten_mat(path, change):
    """Read a MATLAB file of version 5, change its variables and write it anew."""
    import scipy.io

    held = {key: value for key, value in scipy.io.loadmat(path).items() if not key.startswith("__")}
    scipy.io.savemat(path, change(held))


def write_assembly(path: Path, values: np.ndarray, presentation: dict, neuroid: dict) -> None:
    """Write an assembly as xarray does: netCDF-4 with scales that hold nothing, and a vector per coordinate."""
    with h5py.File(path, "w") as file:
        for axis, size in zip(("presentation", "neuroid"), values.shape, strict=True):
            file.create_dataset(axis, data=np.zeros(size, ">f4")).make_scale(
                f"This is a netCDF dimension but not a netCDF variable. {size}"
            )
        data = file.create_dataset("data", data=values, compression="gzip")
        data.dims[0].attach_scale(file["presentation"])
        data.dims[1].attach_scale(file["neuroid"])
        for axis, coordinates in (("presentation", presentation), ("neuroid", neuroid)):
            for name, given in coordinates.items():
                own = np.asarray(given)
                text = own.dtype.kind in "UO"
                held = file.create_dataset(
                    name, data=own.astype(object) if text else own, dtype=h5py.string_dtype() if text else None
                )
                held.dims[0].attach_scale(file[axis])
