"""What entries of the cache have in common: a folder that is whole or not there, checked when it is read."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from brainexp.cache.lock import remove
from brainexp.environment import made_with

log = logging.getLogger(__name__)

#: What an entry says of itself.
ENTRY = "entry.json"


def intact(folder: Path, check: Callable[[Path], dict[str, Any]], done: str) -> dict[str, Any] | None:
    """Return what an entry says of itself, or None when it must be made; a broken one is removed with a warning.

    Parameters
    ----------
    folder : Path
        The entry, which need not be there.
    check : callable
        Returns what the entry says after reading every file; raises OSError, ValueError, KeyError or TypeError if it is not
        what was written.
    done : str
        What will be done again, such as "computed".
    """
    if not folder.is_dir():
        return None
    try:
        entry = check(folder)
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("cache entry %s is broken (%s); it is %s again.", folder, error, done)
        remove(folder)
        return None
    with suppress(OSError):  # another's cache, which may be read and not written
        os.utime(folder / ENTRY)  # last use, by which prune chooses
    return entry


def stored_entry(folder: Path) -> dict[str, Any] | None:
    """Return what an entry says of itself, unchecked; None where there is none that can be read."""
    try:
        entry: dict[str, Any] = json.loads((folder / ENTRY).read_text())
    except (OSError, ValueError):
        return None
    return entry


def put_in_place(temporary: Path, folder: Path, entry: Mapping[str, Any], is_there: Callable[[], bool]) -> None:
    """Write what a filled folder says of itself, and give it its name.

    Parameters
    ----------
    temporary : Path
        The filled folder.
    folder : Path
        Its name.
    entry : mapping
        JSON-like.
    is_there : callable
        Whether there is an intact entry of that name.
    """
    (temporary / ENTRY).write_text(json.dumps({**entry, "made_with": made_with()}, indent=1))
    try:
        temporary.rename(folder)
    except OSError:  # only where the file system knows no locks: another job's entry is as good as ours
        if not is_there():
            temporary.rename(folder)
