"""Reports in which a stimulus computer noted the scanner's triggers."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from brainexp.align.audit import with_missing
from brainexp.containers import Timing
from brainexp.dataset.textfile import require_file, text_of
from brainexp.errors import DataError

#: Lines that say that a TR began.
TRIGGERS = ("init-trigger", "trigger")
SUFFIX = ".report"


def trigger_timing(reports: Path, story: str, unreported_trs: int, how_to_get: str) -> Timing:
    """Read when TRs began from a story's report: lines such as ``1.982462 trigger``.

    Missing triggers are put in (see `brainexp.align.audit.with_missing`) and told in the run's remarks.

    Parameters
    ----------
    reports : Path
        Folder, or ``.zip``, with a file ``<story>.report``.
    story : str
        Which story.
    unreported_trs : int
        TRs that were recorded after the last one in the report.
    how_to_get : str
        Last sentence of the errors.

    Returns
    -------
    Timing
        In seconds from the start of the sound.

    Raises
    ------
    DataError
        If there is no such report, a line is not understood, or the start of the sound or triggers are lacking.
    """
    path = reports / f"{story}{SUFFIX}"
    text = _member(reports, path.name, how_to_get) if reports.suffix == ".zip" else text_of(path, how_to_get)
    trigger_s, start_s = [], None
    for number, line in enumerate(text.splitlines(), 1):
        time, _, label = line.strip().partition(" ")
        if not time:
            continue
        try:
            at_s = float(time)
        except ValueError:
            raise DataError(
                f"{path}, line {number}: {line.strip()!r} is not a time in seconds and what happened. {how_to_get}"
            ) from None
        if label.strip() in TRIGGERS:
            trigger_s.append(at_s)
        elif label.strip() == "sound-start":
            start_s = at_s
    if start_s is None or len(trigger_s) < 2 or not (np.diff(trigger_s) > 0).all():
        raise DataError(
            f"{path} has {len(trigger_s)} triggers and {'no' if start_s is None else 'a'} line 'sound-start', but that line "
            f"and two or more rising triggers are needed. {how_to_get}"
        )
    filled, missing = with_missing(np.array(trigger_s) - start_s)
    return Timing(trigger_s=filled, missing=missing, unreported_trs=unreported_trs)


def _member(archive: Path, name: str, how_to_get: str) -> str:
    """Text of a file in a zip, in whatever folder it lies there."""
    require_file(archive, how_to_get)
    try:
        with zipfile.ZipFile(archive) as held:
            found = [one for one in held.namelist() if one.rpartition("/")[2] == name]
            if not found:
                raise DataError(f"{archive} has no file {name}. {how_to_get}")
            return held.read(found[0]).decode("utf-8")
    except (zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise DataError(f"{archive} is damaged: {error}. Fetch it again. {how_to_get}") from None
