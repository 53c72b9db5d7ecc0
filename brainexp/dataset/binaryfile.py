"""Read HDF5, NumPy, NIfTI and GIfTI files that datasets come in, or say what is wrong with them."""

from __future__ import annotations

import re
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
#: In which a GIfTI file says how large it is.
HEAD_BYTES = 2**16


@contextmanager
def hdf5(path: Path, how_to_get: str, begins_with: bytes = HDF5_SIGNATURE) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading.

    Parameters
    ----------
    path : Path
        The file.
    how_to_get : str
        Last sentence of the errors.
    begins_with : bytes
        First bytes of a good file, where HDF5 stands behind a header of another kind.

    Raises
    ------
    DataError
        If it is missing, a pointer, no HDF5 or truncated, or breaks off while it is read.
    """
    import h5py

    require_file(path, how_to_get)
    with path.open("rb") as file:
        head = file.read(len(begins_with))
    if head != begins_with:
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
    only_first: bool = False,
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
    only_first : bool
        Take the first repeat instead of the mean.

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
                own[:] = _changed(file[key], change, 1 if only_first and n_repeats else n_repeats)[wanted]
            elif n_repeats is None:
                file[key].read_direct(own, np.s_[wanted])
            elif only_first:
                file[key].read_direct(own, np.s_[0, wanted])
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
    return values, np.asarray(image.affine), None if values.ndim < 4 else _header_tr_s(image)


def nifti_tr_s(path: Path, how_to_get: str) -> float:
    """Seconds per TR as the header of a NIfTI image states them; the values stay unread. Errors as of `nifti`."""
    nifti_shape(path, how_to_get)
    return _header_tr_s(_nifti_image(path, how_to_get))


def nifti_shape(path: Path, how_to_get: str) -> tuple[int, int, int, int]:
    """Shape (x, y, z, n_trs) of a recording as its header has it; raise DataError as `nifti`, and if it has no TRs."""
    shape = tuple(int(size) for size in _nifti_image(path, how_to_get).shape)
    if len(shape) != 4:
        raise DataError(f"{path} has shape {shape}, but a volume per TR is needed. {how_to_get}")
    return shape


def _header_tr_s(image: Any) -> float:
    milliseconds = image.header.get_xyzt_units()[1] == "msec"
    return float(image.header.get_zooms()[3]) / (1000 if milliseconds else 1)


def _nifti_image(path: Path, how_to_get: str) -> Any:
    import nibabel

    require_file(path, how_to_get)
    try:
        return nibabel.load(path)
    except (nibabel.filebasedimages.ImageFileError, OSError, EOFError, ValueError) as error:
        raise DataError(
            f"{path} of {path.stat().st_size} bytes is truncated or no NIfTI ({str(error).splitlines()[0]}). Remove it and "
            f"fetch it again. {how_to_get}"
        ) from None


def stored_voxels(
    path: Path,
    mask: np.ndarray[Any, np.dtype[np.bool_]],
    affine: FloatArray,
    how_to_get: str,
    change: Callable[[FloatArray], FloatArray] | None = None,
) -> OnDisk:
    """Voxels of a mask in a NIfTI recording, which stay there until they are asked for.

    Parameters
    ----------
    path : Path
        ``.nii`` or ``.nii.gz``, a volume per TR.
    mask : array of bool of shape (x, y, z)
        Which voxels, in C order.
    affine : array of shape (4, 4)
        Of the mask. A recording on another grid is brought to it by linear interpolation.
    how_to_get : str
        Last sentence of the errors.
    change : callable, optional
        What is done to all rows together; takes and returns an array of shape (n_trs, n_voxels).

    Returns
    -------
    OnDisk
        Shape (n_trs, voxels of the mask). One recording is in memory beside what is read.

    Raises
    ------
    DataError
        If the file is missing, a pointer, no NIfTI or has no TRs; when rows are read, if it is truncated.
    """
    n_trs = nifti_shape(path, how_to_get)[3]

    def read(rows: slice, into: FloatArray) -> None:
        values, own_affine, _ = nifti(path, how_to_get)
        if values.shape[:3] != mask.shape or not np.allclose(own_affine, affine):
            values = _on_grid(values, own_affine, mask.shape, affine)
        found = np.ascontiguousarray(values[mask].T)
        into[:] = (found if change is None else change(found))[rows]

    return OnDisk((n_trs, int(mask.sum())), read)


def _on_grid(values: FloatArray, own: FloatArray, shape: tuple[int, ...], affine: FloatArray) -> FloatArray:
    import nibabel
    from nilearn.image import resample_img

    image = nibabel.Nifti1Image(values, own)  # type: ignore[no-untyped-call]
    moved = resample_img(
        image, target_affine=affine, target_shape=shape, interpolation="linear", force_resample=True, copy_header=True
    )
    return np.asarray(moved.dataobj, np.float32)


def stored_vertices(
    paths: tuple[Path, Path], how_to_get: str, change: Callable[[FloatArray], FloatArray] | None = None
) -> OnDisk:
    """Responses of both hemispheres in GIfTI files, which stay there until they are asked for.

    Parameters
    ----------
    paths : (Path, Path)
        ``.func.gii`` of the left and the right hemisphere, an array per TR.
    how_to_get : str
        Last sentence of the errors.
    change : callable, optional
        What is done to all rows of a hemisphere together; takes and returns an array of shape (n_trs, n_vertices).

    Returns
    -------
    OnDisk
        Shape (n_trs, vertices of the left hemisphere + vertices of the right one). One hemisphere is in memory beside what
        is read.

    Raises
    ------
    DataError
        If a file is missing, a pointer or no GIfTI, or the hemispheres have not as many TRs; when rows are read, if it is
        truncated.
    """
    sizes = [gifti_shape(path, how_to_get) for path in paths]
    (n_left, left), (n_right, right) = sizes
    if n_left != n_right:
        raise DataError(
            f"{paths[0]} has {n_left} TRs, but {paths[1].name} has {n_right}: hemispheres are of different recordings. "
            f"{how_to_get}"
        )

    def read(rows: slice, into: FloatArray) -> None:
        for path, size, columns in zip(paths, sizes, (slice(0, left), slice(left, left + right)), strict=True):
            arrays = _gifti_arrays(path, how_to_get)
            if (len(arrays), len(arrays[0])) != size:
                raise DataError(
                    f"{path} holds {len(arrays)} arrays of {len(arrays[0])} vertices, but its header says {size[0]} of "
                    f"{size[1]}: it is truncated or damaged. Remove it and fetch it again. {how_to_get}"
                )
            if change is not None:
                into[:, columns] = change(np.stack(arrays).astype(np.float32, copy=False))[rows]
                continue
            for at, array in enumerate(arrays[rows]):
                into[at, columns] = array

    return OnDisk((n_left, left + right), read)


def gifti_shape(path: Path, how_to_get: str) -> tuple[int, int]:
    """Return arrays and vertices of a GIfTI file, as its header has them, without reading it.

    Raises
    ------
    DataError
        If the file is missing, a pointer or no GIfTI.
    """
    require_file(path, how_to_get)
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    n_arrays = re.search(rb'NumberOfDataArrays="(\d+)"', head)
    n_vertices = re.search(rb'<DataArray[^>]*Dim0="(\d+)"', head)
    if n_arrays is None or n_vertices is None:
        raise DataError(
            f"{path} is no GIfTI file of responses: it begins with {head[:8]!r}. Remove it and fetch it again. {how_to_get}"
        )
    return int(n_arrays[1]), int(n_vertices[1])


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
    return np.stack(_gifti_arrays(path, how_to_get)).astype(np.float32, copy=False)


def _gifti_arrays(path: Path, how_to_get: str) -> list[FloatArray]:
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
    return [one.data for one in image.darrays]
