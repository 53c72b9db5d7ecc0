"""Read HDF5, NumPy, NIfTI and GIfTI files that datasets come in, or say what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from brainexp.containers import FloatArray, OnDisk
from brainexp.dataset.textfile import MOST_SHOWN, require_file
from brainexp.errors import DataError
from brainexp.registry import did_you_mean

if TYPE_CHECKING:
    import h5py

#: How an HDF5 file begins.
HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
#: Numbers that are read at a time where they cannot go straight to their place.
NUMBERS_AT_ONCE = 2**24


@contextmanager
def hdf5(path: Path, how_to_get: str) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading.

    Parameters
    ----------
    path : Path
        The file.
    how_to_get : str
        Last sentence of the errors.

    Raises
    ------
    DataError
        If it is missing, a pointer, no HDF5 or truncated, or breaks off while it is read.
    """
    import h5py

    require_file(path, how_to_get)
    with path.open("rb") as file:
        head = file.read(len(HDF5_SIGNATURE))
    if head != HDF5_SIGNATURE:
        raise DataError(f"{path} is no HDF5 file: it begins with {head!r}. Remove it and fetch it again. {how_to_get}")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"{path} of {path.stat().st_size} bytes is truncated or damaged ({str(error).splitlines()[0]}). Remove it and "
            f"fetch it again. {how_to_get}"
        ) from None


def hdf5_array(file: h5py.File, key: str, n_axes: int, how_to_get: str) -> h5py.Dataset:
    """Return an array of an open HDF5 file, unread.

    Parameters
    ----------
    file : h5py.File
        The open file.
    key : str
        Name of the array.
    n_axes : int
        How many axes it must have.
    how_to_get : str
        Last sentence of the errors.

    Raises
    ------
    DataError
        If there is no such array, or it has other axes or does not hold numbers.
    """
    import h5py

    held = file.get(key)
    if not isinstance(held, h5py.Dataset):
        raise DataError(
            f"{file.filename} has no array {key!r}.{did_you_mean(key, list(file)[:MOST_SHOWN])} {how_to_get}"
        )
    if held.ndim != n_axes or held.dtype.kind not in "fiu":
        raise DataError(
            f"{file.filename}: {key!r} has shape {held.shape} and type {held.dtype}, but numbers along {n_axes} axes are "
            f"needed. {how_to_get}"
        )
    return held


def stored_rows(
    path: Path,
    key: str,
    how_to_get: str,
    before: int = 0,
    after: int = 0,
    n_repeats: int | None = None,
    change: Callable[[FloatArray], FloatArray] | None = None,
) -> OnDisk:
    """Rows of an array in an HDF5 file, which stay there until they are asked for.

    Parameters
    ----------
    path : Path
        The file.
    key : str
        Name of an array of shape (n_rows, n_voxels), or of shape (n_repeats, n_rows, n_voxels).
    how_to_get : str
        Last sentence of the errors.
    before, after : int
        Rows of NaN to put at the edges, where a release has cut them off.
    n_repeats : int, optional
        How many repeats the array has; they are averaged. None for an array without.
    change : callable, optional
        What is done to all rows of a recording together, such as cleaning: takes and returns an array of shape
        (n_rows, n_voxels). One recording is then in memory beside what is read.

    Returns
    -------
    OnDisk
        Shape (before + n_rows + after, n_voxels).
    """
    with hdf5(path, how_to_get) as file:
        *recordings, n_rows, n_voxels = hdf5_array(file, key, 2 if n_repeats is None else 3, how_to_get).shape
    if recordings not in ([], [n_repeats]):
        raise DataError(f"{path}: {key!r} has {recordings[0]} recordings, but {n_repeats} are declared. {how_to_get}")

    def read(rows: slice, into: FloatArray) -> None:
        """Write rows into a float32 array in C order; beside it, little is in memory."""
        held = slice(max(rows.start, before), min(rows.stop, before + n_rows))
        into[: max(0, held.start - rows.start)] = np.nan
        into[max(0, held.stop - rows.start) :] = np.nan
        if held.stop <= held.start:
            return
        own = into[held.start - rows.start : held.stop - rows.start]
        wanted = slice(held.start - before, held.stop - before)
        with hdf5(path, how_to_get) as file:
            if change is not None:
                own[:] = _changed(file[key], change, n_repeats)[wanted]
            elif n_repeats is None:
                file[key].read_direct(own, np.s_[wanted])
            else:
                _mean_of_repeats(file[key], wanted, own)

    return OnDisk((before + n_rows + after, n_voxels), read)


def require_shape(
    path: Path, story: str, found: tuple[int, ...], n_rows: Mapping[str, int], n_voxels: int, how_to_get: str
) -> None:
    """Raise DataError if an array of shape (n_rows, n_voxels) is not what is declared of a story.

    Parameters
    ----------
    path : Path
        Where it was found, for the message.
    story : str
        Which story it should be of.
    found : (int, int)
        Its shape.
    n_rows : mapping of str to int
        Rows by story: another one may be as long, and the files may have changed places.
    n_voxels : int
        Columns of the subject.
    how_to_get : str
        Last sentence of the error.
    """
    rows, columns = found
    if rows != n_rows[story]:
        as_long = [other for other, length in n_rows.items() if length == rows]
        swapped = f" So many has {' or '.join(as_long)}: were stories swapped?" if as_long else ""
        raise DataError(
            f"{path}: story {story!r} has {rows} rows, but {n_rows[story]} are declared.{swapped} It is of another story or "
            f"version. {how_to_get}"
        )
    if columns != n_voxels:
        raise DataError(
            f"{path}: {columns} voxels, but {n_voxels} are declared: it is of another subject or version. {how_to_get}"
        )


def published_ceilings(path: Path, n_voxels: int, how_to_get: str) -> tuple[FloatArray, int]:
    """Read a file of one published ceiling per voxel, and leave out what no correlation can be.

    Returns
    -------
    ceiling : array of shape (n_voxels,)
        NaN where the file has a value above 1 or below -1.
    n_impossible : int
        How many these are.

    Raises
    ------
    DataError
        If the file is not there, damaged or of another number of voxels.
    """
    held = npy(path, how_to_get, n_axes=1)
    if len(held) != n_voxels:
        raise DataError(f"{path}: ceilings of {len(held)} voxels, but {n_voxels} are declared. {how_to_get}")
    impossible = np.abs(held) > 1
    return np.where(impossible, np.nan, held), int(impossible.sum())


def _changed(array: h5py.Dataset, change: Callable[[FloatArray], FloatArray], n_repeats: int | None) -> FloatArray:
    """All rows after a change, or the mean over repeats after the change of each."""
    if n_repeats is None:
        return change(array[:])
    total: FloatArray = sum((change(array[at]) for at in range(n_repeats)), np.zeros(array.shape[1:]))
    return total / n_repeats


def _mean_of_repeats(array: h5py.Dataset, rows: slice, into: FloatArray) -> None:
    step = max(1, NUMBERS_AT_ONCE // max(1, array.shape[0] * array.shape[2]))
    for first in range(rows.start, rows.stop, step):
        last = min(first + step, rows.stop)
        np.mean(array[:, first:last], axis=0, out=into[first - rows.start : last - rows.start])


def npy(path: Path, how_to_get: str, n_axes: int | None = None) -> np.ndarray[Any, Any]:
    """Map an array of a ``.npy`` file into memory; objects are never unpickled.

    Raises
    ------
    DataError
        If the file is missing, a pointer, truncated, no array of plain values, or of other axes.
    """
    require_file(path, how_to_get)
    try:
        held: np.ndarray[Any, Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise DataError(
            f"{path} of {path.stat().st_size} bytes is truncated or no array of plain numbers ({error}). Remove it and fetch "
            f"it again. {how_to_get}"
        ) from None
    if n_axes is not None and held.ndim != n_axes:
        raise DataError(f"{path} has shape {held.shape}, but {n_axes} axes are needed. {how_to_get}")
    return held


def nifti(path: Path, how_to_get: str) -> tuple[FloatArray, FloatArray, float | None]:
    """Read a NIfTI image.

    Parameters
    ----------
    path : Path
        ``.nii`` or ``.nii.gz``.
    how_to_get : str
        Last sentence of the errors.

    Returns
    -------
    values : array of float32 of shape (x, y, z) or (x, y, z, n_trs)
    affine : array of shape (4, 4)
        Voxel indices to millimetres.
    tr_s : float or None
        Seconds per TR that the header states, where there are TRs.

    Raises
    ------
    DataError
        If the file is missing, a pointer, no NIfTI or truncated.
    """
    import zlib

    import nibabel

    require_file(path, how_to_get)
    try:
        image: Any = nibabel.load(path)
        values = np.asarray(image.dataobj, np.float32)
    except (nibabel.filebasedimages.ImageFileError, OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(
            f"{path} of {path.stat().st_size} bytes is truncated or no NIfTI ({str(error).splitlines()[0]}). Remove it and "
            f"fetch it again. {how_to_get}"
        ) from None
    zooms = image.header.get_zooms()
    milliseconds = image.header.get_xyzt_units()[1] == "msec"
    tr_s = None if values.ndim < 4 else float(zooms[3]) / (1000 if milliseconds else 1)
    return values, np.asarray(image.affine), tr_s


def gifti(path: Path, how_to_get: str) -> FloatArray:
    """Read the responses of one hemisphere from a GIfTI file.

    Parameters
    ----------
    path : Path
        ``.func.gii``, an array per TR.
    how_to_get : str
        Last sentence of the errors.

    Returns
    -------
    array of float32 of shape (n_trs, n_vertices)

    Raises
    ------
    DataError
        If the file is missing, a pointer, no GIfTI or truncated, or its arrays are not of one length.
    """
    import zlib
    from xml.parsers.expat import ExpatError

    import nibabel

    require_file(path, how_to_get)
    try:
        image: Any = nibabel.load(path)
        lengths = {len(one.data) for one in image.darrays}
    except (
        nibabel.filebasedimages.ImageFileError,
        ExpatError,
        OSError,
        EOFError,
        ValueError,
        AttributeError,
        zlib.error,
    ) as error:
        raise DataError(
            f"{path} of {path.stat().st_size} bytes is truncated or no GIfTI ({str(error).splitlines()[0]}). Remove it and "
            f"fetch it again. {how_to_get}"
        ) from None
    if len(lengths) != 1:
        raise DataError(
            f"{path} has {len(image.darrays)} arrays of {sorted(lengths)} vertices, but one length is needed. {how_to_get}"
        )
    return np.stack([one.data for one in image.darrays]).astype(np.float32, copy=False)
