"""Read the files that datasets come in, or say what is wrong with them."""

from __future__ import annotations

import ast
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from brainexp.containers import FloatArray, Stimulus
from brainexp.errors import DataError

#: Names of a folder, and characters of a cell, that a message shows.
MOST_SHOWN = 12
MOST_CHARACTERS = 40
#: Marks of silence and breath in aligned transcripts; they are not words.
NON_SPEECH = frozenset({"", "sp", "sil", "br", "lg", "ls", "ns", "sl", "cg", "ig", "sentence_start", "sentence_end"})
#: The same in words, for the facts of a dataset.
WORDS = (
    "every interval of the word tier, contractions whole and with the marks that are written on them; no words are "
    f"intervals that are empty or hold, in braces or not and in any case, {', '.join(sorted(NON_SPEECH - {''}))}"
)


def require_folder(folder: Path | None, what: str, how_to_get: str) -> Path:
    """Return an existing folder, or raise DataError with how to get it."""
    if folder is None or not folder.is_dir():
        where = "dataset.root is not set" if folder is None else f"there is no folder {folder}"
        raise DataError(f"{what}: {where}. {how_to_get}")
    return folder


def require_file(path: Path, how_to_get: str) -> Path:
    """Return a file with content of its own.

    Parameters
    ----------
    path : Path
        Which one.
    how_to_get : str
        Last sentence of the errors.

    Raises
    ------
    DataError
        If it is missing, empty, or stands for content that git-annex or git-lfs has not fetched: a link to nowhere, or a
        small text with the content's name.
    """
    if path.is_symlink() and not path.exists():
        if "annex" in str(path.readlink()):
            raise _not_fetched(path)
        raise DataError(f"{path} links to {path.readlink()}, which is not there. {how_to_get}")
    if not path.is_file():
        raise DataError(f"missing file {path}. {how_to_get}{_beside(path)}")
    with path.open("rb") as file:
        head = file.read(200)
    if not head:
        raise DataError(f"{path} is empty: its download broke off. Remove it and fetch it again. {how_to_get}")
    if b"annex/objects" in head or head.startswith(b"version https://git-lfs"):
        raise _not_fetched(path)
    return path


def _not_fetched(path: Path) -> DataError:
    return DataError(f"{path} is a pointer of git-annex or git-lfs, not the data. Fetch it: datalad get {path.name}")


def _beside(path: Path) -> str:
    """What is there instead: the nearest folder that exists, or files of the same kind."""
    folder = next(one for one in path.parents if one.is_dir())
    if folder != path.parent:
        return f" There is no folder {path.parent}."
    alike = sorted(one.name for one in folder.iterdir() if one.suffix == path.suffix and not one.name.startswith("."))
    shown = ", ".join(alike[:MOST_SHOWN]) + (", …" if len(alike) > MOST_SHOWN else "")
    return f" The folder has: {shown}." if alike else f" The folder has no {path.suffix} file."


def text_of(path: Path, how_to_get: str) -> str:
    """Read a text in UTF-8 (with or without a byte-order mark) or UTF-16 with one; line ends of Windows are taken.

    Raises
    ------
    DataError
        If the file is missing, a pointer or in another encoding.
    """
    content = require_file(path, how_to_get).read_bytes()
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(
            f"{path} is not UTF-8: byte {content[error.start]:#04x} in line {line}. Save it as UTF-8, for instance with "
            f"iconv -f latin1 -t utf-8, or fetch it again. {how_to_get}"
        ) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def json_of(path: Path, how_to_get: str) -> dict[str, Any]:
    """Read a JSON object, or raise DataError with the line that is damaged."""
    try:
        held = json.loads(text_of(path, how_to_get))
    except json.JSONDecodeError as error:
        raise DataError(f"{path} is damaged: {error}. {how_to_get}") from None
    if not isinstance(held, dict):
        raise DataError(f"{path} holds a {type(held).__name__}, but names with values are needed. {how_to_get}")
    return held


def list_of(cell: str, where: str) -> list[Any]:
    """Read a table's cell that holds a Python list, such as ``"['so', 'I']"``; never evaluates anything else.

    Parameters
    ----------
    cell : str
        What stands in the cell.
    where : str
        For the message, such as "words.tsv, line 3, column 'words_per_tr'".

    Raises
    ------
    DataError
        If it is no list of plain values.

    Examples
    --------
    >>> list_of("['so', 1.5]", "a.tsv, line 2")
    ['so', 1.5]
    """
    try:
        held = ast.literal_eval(cell)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        held = None
    if not isinstance(held, list):
        shown = cell if len(cell) <= MOST_CHARACTERS else f"{cell[:MOST_CHARACTERS]}…"
        raise DataError(f"{where}: a Python list such as ['a', 'b'] is needed, not {shown!r}. Fetch the file again.")
    return held


def numeric_table(path: Path, shape: tuple[int, int], how_to_get: str) -> FloatArray:
    """Read a whitespace-separated table of numbers.

    Parameters
    ----------
    path : Path
        Text file, one row per line.
    shape : (int, int)
        Rows and columns that it must have.
    how_to_get : str
        Last sentence of the errors.

    Returns
    -------
    array of float64 of that shape

    Raises
    ------
    DataError
        If the file is missing, a pointer, not numeric or of another shape.
    """
    require_file(path, how_to_get)
    try:
        table = np.loadtxt(path, ndmin=2)
    except ValueError as error:
        raise DataError(f"{path} is damaged: {error}. {how_to_get}") from None
    if table.shape != shape:
        raise DataError(
            f"{path} has {table.shape[0]} rows and {table.shape[1]} columns, but {shape[0]} and {shape[1]} are "
            f"declared: it is truncated or of another version. {how_to_get}"
        )
    return table


def words_of_textgrid(
    path: Path, story: str, tier: str | None, how_to_get: str, spelling: Callable[[str], str] = str.strip
) -> Stimulus:
    """Read the words of a Praat TextGrid.

    Parameters
    ----------
    path : Path
        The TextGrid.
    story : str
        Name of the story.
    tier : str or None
        Name of the tier that holds words; None for the only one.
    how_to_get : str
        Last sentence of the errors.
    spelling : callable
        Makes a word of what is written in an interval; nothing of what is none.

    Returns
    -------
    Stimulus
        Without marks of silence and breath (`NON_SPEECH`, also in braces and in capitals); blanks around words removed.

    Raises
    ------
    DataError
        If the file is missing or damaged, or has no such tier or no word in it.
    """
    import textgrid

    text = text_of(path, how_to_get)
    with tempfile.NamedTemporaryFile(
        "w", suffix=".TextGrid", encoding="utf-8", newline="\n"
    ) as plain:  # it reads files only
        plain.write(text)
        plain.flush()
        try:
            grid = textgrid.TextGrid()
            grid.read(plain.name, encoding="utf-8")
        except (ValueError, IndexError, AttributeError, TypeError, EOFError, textgrid.textgrid.TextGridError) as error:
            raise DataError(f"{path} is damaged: {error}. {how_to_get}") from None
    tiers = {held.name: held for held in grid.tiers}
    if tier is None and len(tiers) != 1:
        raise DataError(f"{path} needs a single tier of words, but it has: {', '.join(tiers)}. {how_to_get}")
    tier = next(iter(tiers)) if tier is None else tier
    if tier not in tiers:
        raise DataError(f"{path} has no tier {tier!r}; it has: {', '.join(tiers)}. {how_to_get}")
    spoken = [
        interval for interval in tiers[tier] if spelling(interval.mark).lower().strip("{}").strip() not in NON_SPEECH
    ]
    if not spoken:
        raise DataError(f"{path}: tier {tier!r} has {len(tiers[tier])} intervals, but no word. {how_to_get}")
    return Stimulus(
        story=story,
        units=tuple(spelling(interval.mark) for interval in spoken),
        onset_s=np.array([float(interval.minTime) for interval in spoken]),
        offset_s=np.array([float(interval.maxTime) for interval in spoken]),
    )
