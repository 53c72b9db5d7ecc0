"""Read the files that datasets come in, or say what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from brainexp.containers import FloatArray, Stimulus
from brainexp.errors import DataError

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
    """Return a file with content of its own, or raise DataError with how to get it."""
    if not path.is_file():
        raise DataError(f"missing file {path}. {how_to_get}")
    with path.open("rb") as file:
        head = file.read(200)
    if b"annex/objects" in head or head.startswith(b"version https://git-lfs"):
        raise DataError(f"{path} is a pointer of git-annex or git-lfs, not the data. Fetch it: datalad get {path.name}")
    return path


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


def words_of_textgrid(path: Path, story: str, tier: str, how_to_get: str) -> Stimulus:
    """Read the words of a Praat TextGrid.

    Parameters
    ----------
    path : Path
        The TextGrid.
    story : str
        Name of the story.
    tier : str
        Name of the tier that holds words.
    how_to_get : str
        Last sentence of the errors.

    Returns
    -------
    Stimulus
        Without marks of silence and breath (`NON_SPEECH`, also in braces and in capitals); blanks around words removed.

    Raises
    ------
    DataError
        If the file is missing or damaged, or has no such tier.
    """
    import textgrid

    require_file(path, how_to_get)
    try:
        grid = textgrid.TextGrid.fromFile(str(path))
    except (ValueError, IndexError, AttributeError, TypeError) as error:
        raise DataError(f"{path} is damaged: {error}. {how_to_get}") from None
    tiers = {held.name: held for held in grid.tiers}
    if tier not in tiers:
        raise DataError(f"{path} has no tier {tier!r}; it has: {', '.join(tiers)}. {how_to_get}")
    spoken = [
        interval for interval in tiers[tier] if interval.mark.lower().strip().strip("{}").strip() not in NON_SPEECH
    ]
    return Stimulus(
        story=story,
        units=tuple(interval.mark.strip() for interval in spoken),
        onset_s=np.array([float(interval.minTime) for interval in spoken]),
        offset_s=np.array([float(interval.maxTime) for interval in spoken]),
    )
