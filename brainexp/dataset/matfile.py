"""Read MATLAB files, of version 5 to 7 or of 7.3, as plain arrays, texts, lists and dictionaries, or say what is wrong."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from brainexp.dataset.binaryfile import hdf5
from brainexp.dataset.textfile import MOST_SHOWN, require_file
from brainexp.errors import DataError
from brainexp.registry import did_you_mean

#: How MATLAB files begin, whatever their version; in those of 7.3 an HDF5 file follows.
SIGNATURE = b"MATLAB "
HDF5_BELOW = b"MATLAB 7.3"
#: Bytes of the header of older versions, and of the tag before each variable.
HEADER_BYTES, TAG_BYTES = 128, 8
#: MATLAB's own part of a 7.3 file.
REFERENCES = "#refs#"


def mat_shape(path: Path, name: str, how_to_get: str) -> tuple[int, ...]:
    """Return the shape of a variable of a MATLAB file, as MATLAB has it, without reading it; errors as `matfile`."""
    return _shapes(path, [name], how_to_get)[name]


def matfile(path: Path, names: Sequence[str], how_to_get: str) -> dict[str, Any]:
    """Read variables of a MATLAB file.

    Parameters
    ----------
    path : Path
        ``.mat``; nothing else of it is read.
    names : sequence of str
        The variables, all of which must be there.
    how_to_get : str
        Last sentence of the errors.

    Returns
    -------
    dict of str to value
        Numbers as arrays without axes of length 1, texts as str, cells as lists, structs as dict.

    Raises
    ------
    DataError
        If the file is missing, a pointer, no MATLAB file or truncated, or lacks a variable.
    """
    import scipy.io

    _shapes(path, names, how_to_get)
    if _version_7_3(path, how_to_get):
        with hdf5(path, how_to_get, begins_with=HDF5_BELOW) as file:
            return {name: _of_hdf5(file[name], file) for name in names}
    try:
        held = scipy.io.loadmat(path, variable_names=list(names), squeeze_me=True, struct_as_record=False)
    except _damages() as error:
        raise _damaged(path, error, how_to_get) from None
    return {name: _of_scipy(held[name]) for name in names}


def listed(value: Any) -> list[Any]:
    """Return a cell's entries; a cell of a single entry comes as the entry itself.

    >>> listed("alone"), listed(["a", "b"])
    (['alone'], ['a', 'b'])
    """
    return list(value) if isinstance(value, list) else [value]


def _shapes(path: Path, names: Sequence[str], how_to_get: str) -> dict[str, tuple[int, ...]]:
    """Shapes of all variables; raise DataError if one that is named is not among them."""
    there = _all_shapes(path, how_to_get)
    missing = [name for name in names if name not in there]
    if missing:
        raise DataError(
            f"{path} has no variable {missing[0]!r}.{did_you_mean(missing[0], list(there)[:MOST_SHOWN])} {how_to_get}"
        )
    return there


def _all_shapes(path: Path, how_to_get: str) -> dict[str, tuple[int, ...]]:
    import scipy.io

    if _version_7_3(path, how_to_get):
        with hdf5(path, how_to_get, begins_with=HDF5_BELOW) as file:
            return {
                name: tuple(reversed(getattr(held, "shape", (1, 1))))
                for name, held in file.items()
                if name != REFERENCES
            }
    _require_whole(path, how_to_get)
    try:
        return {name: tuple(shape) for name, shape, _ in scipy.io.whosmat(path)}
    except _damages() as error:
        raise _damaged(path, error, how_to_get) from None


def _version_7_3(path: Path, how_to_get: str) -> bool:
    require_file(path, how_to_get)
    with path.open("rb") as file:
        head = file.read(len(HDF5_BELOW))
    if not head.startswith(SIGNATURE):
        raise DataError(
            f"{path} is no MATLAB file: it begins with {head!r}. Remove it and fetch it again. {how_to_get}"
        )
    return head == HDF5_BELOW


def _require_whole(path: Path, how_to_get: str) -> None:
    """Raise DataError if a file ends before its last variable does; scipy would take it for one with fewer variables."""
    size = path.stat().st_size
    with path.open("rb") as file:
        order = "<" if file.read(HEADER_BYTES)[-2:] == b"IM" else ">"
        at = HEADER_BYTES
        while at < size:
            file.seek(at)
            tag = file.read(TAG_BYTES)
            at += TAG_BYTES + (struct.unpack(f"{order}II", tag)[1] if len(tag) == TAG_BYTES else size)
    if at != size:
        raise _damaged(path, EOFError(f"a variable ends at byte {at}"), how_to_get)


def _damages() -> tuple[type[Exception], ...]:
    from scipy.io.matlab import MatReadError

    return (MatReadError, ValueError, TypeError, OSError, EOFError, IndexError, KeyError, zlib.error, struct.error)


def _damaged(path: Path, error: Exception, how_to_get: str) -> DataError:
    told = str(error).splitlines()[0] if str(error) else type(error).__name__
    return DataError(
        f"{path} of {path.stat().st_size} bytes is truncated or damaged ({told}). Remove it and fetch it again. {how_to_get}"
    )


def _of_scipy(value: Any) -> Any:
    """What scipy gives, made plain."""
    if hasattr(value, "_fieldnames"):
        return {name: _of_scipy(getattr(value, name)) for name in value._fieldnames}
    if isinstance(value, np.ndarray) and value.dtype == object:
        return [_of_scipy(one) for one in value.ravel(order="F")]
    if isinstance(value, np.ndarray) and value.dtype.kind in "US":
        return [str(one) for one in value.ravel(order="F")] if value.size else ""
    return value


def _of_hdf5(held: Any, file: Any) -> Any:
    """What an HDF5 file of MATLAB holds, made plain; its axes come in the other order."""
    import h5py

    if isinstance(held, h5py.Group):
        return {name: _of_hdf5(one, file) for name, one in held.items()}
    kind = held.attrs.get("MATLAB_class", b"").decode()
    if held.attrs.get("MATLAB_empty", 0):
        return "" if kind == "char" else np.empty(0)
    values = held[()]
    if kind == "char":
        rows = ["".join(map(chr, row)) for row in np.atleast_2d(values.T)]
        return rows[0] if len(rows) == 1 else rows
    if values.dtype == object:  # references to a cell's entries, which come column by column
        entries = [_of_hdf5(file[one], file) for one in values.ravel()]
        return entries[0] if len(entries) == 1 else entries
    return np.squeeze(values.T)
