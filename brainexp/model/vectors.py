"""Files of word vectors, as word2vec, GloVe and fastText write them, read without keeping them in memory."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, cast

import numpy as np

from brainexp.containers import FloatArray
from brainexp.errors import DataError, ModelError

GZIP_MAGIC = b"\x1f\x8b"
#: A longer line is no line of text.
LONGEST_LINE = 1 << 20
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Layout:
    """How a file of word vectors is written.

    Parameters
    ----------
    binary : bool
        A word, a blank and the numbers as little-endian float32; else a line of text per word.
    n_dims : int
        Numbers per word.
    n_words : int or None
        How many words the first line promises; None where there is no such line, as in files of GloVe.
    """

    binary: bool
    n_dims: int
    n_words: int | None


def layout(path: Path, kind: Literal["auto", "text", "binary"]) -> Layout:
    """Look at the first lines of a file.

    Raises
    ------
    ModelError
        If the file is not there.
    DataError
        If it holds no word vectors.
    """
    if not path.is_file():
        raise ModelError(f"model.path={path}: there is no such file. Give a file of word vectors, text or binary.")
    with opened(path) as file:
        first = file.readline(LONGEST_LINE).split()
        promised = len(first) == 2 and all(part.isdigit() for part in first)
        n_dims = int(first[1]) if promised else len(first) - 1
        head = file.readline(LONGEST_LINE) if promised else b" ".join(first)
    if kind == "text" or (kind == "auto" and _is_line(head, n_dims)):
        if not _is_line(head, n_dims):
            raise DataError(f"{path}: its first word has no {n_dims} numbers, so it is no text file of word vectors.")
        return Layout(binary=False, n_dims=n_dims, n_words=int(first[0]) if promised else None)
    if not promised or n_dims < 1:
        raise DataError(
            f"{path} begins with {first[:2]}, neither a word and its numbers nor how many words and numbers there are. "
            "Give a file that word2vec, GloVe or fastText wrote, as it is or compressed with gzip."
        )
    return Layout(binary=True, n_dims=n_dims, n_words=int(first[0]))


def vectors(path: Path, written: Layout, wanted: Iterable[str]) -> dict[str, FloatArray]:
    """Go through a file once and keep the vectors of some words.

    Parameters
    ----------
    path : Path
        The file.
    written : Layout
        As `layout` returns it.
    wanted : iterable of str
        Words, as the file writes them.

    Returns
    -------
    dict of str to array of float32 of shape (n_dims,)
        Of the wanted words that the file has; of a word that it has twice, the first.

    Raises
    ------
    DataError
        If the file is broken at a wanted word, or ends too early.
    """
    names = {word.encode(): word for word in wanted}
    found: dict[str, FloatArray] = {}
    with opened(path) as file:
        if written.n_words is not None:
            file.readline()
        entries = _binary_entries(file, written) if written.binary else _lines(file)
        place = 0
        for place, (name, numbers) in enumerate(entries, start=1):
            word = names.get(name)
            if word is None or word in found:
                continue
            vector = np.frombuffer(numbers, "<f4") if written.binary else _parsed(numbers, written.n_dims)
            if vector is None:  # the first part of a word that has blanks
                continue
            if len(vector) != written.n_dims or not np.isfinite(vector).all():
                raise DataError(f"{path}: word {place} ({word!r}) has no {written.n_dims} finite numbers. Get it anew.")
            found[word] = vector.astype(np.float32)
    if written.n_words is not None and place < written.n_words:
        raise DataError(
            f"{path} ends after {place:,} of {written.n_words:,} words: its download was cut off. Get it anew."
        )
    return found


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file, unpacking it on the way if it is compressed with gzip, whatever its name."""
    with path.open("rb") as file:
        packed = file.read(2) == GZIP_MAGIC
        file.seek(0)
        if not packed:
            yield file
            return
        try:
            with gzip.open(file) as unpacked:
                yield cast("BinaryIO", unpacked)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise DataError(f"{path} cannot be unpacked ({error}): its download was cut off. Get it anew.") from error


def _is_line(line: bytes, n_dims: int) -> bool:
    parts = line.split()
    try:
        return n_dims >= 1 and len([float(part) for part in parts[1:]]) == n_dims
    except ValueError:
        return False


def _lines(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    for line in file:
        name, _, numbers = line.partition(b" ")
        yield name, numbers


def _parsed(numbers: bytes, n_dims: int) -> FloatArray | None:
    parts = numbers.split()
    if len(parts) > n_dims:
        return None
    try:
        return np.array([float(part) for part in parts])
    except ValueError:
        return np.array([])


def _binary_entries(file: BinaryIO, written: Layout) -> Iterator[tuple[bytes, bytes]]:
    width = 4 * written.n_dims
    read, at = b"", 0
    for _ in range(written.n_words or 0):
        blank = read.find(b" ", at)
        while blank < 0 or len(read) < blank + 1 + width:
            more = file.read(CHUNK_BYTES)
            if not more:
                return
            read, at = read[at:] + more, 0
            blank = read.find(b" ")
        yield read[at:blank].lstrip(b"\n"), read[blank + 1 : blank + 1 + width]  # some writers end a line after numbers
        at = blank + 1 + width
