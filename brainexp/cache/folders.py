"""Whole folders on disk, such as checkpoints, each under the digest of what made it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from brainexp.cache.digest import digest, file_digest
from brainexp.cache.entry import ENTRY, intact, put_in_place
from brainexp.cache.lock import alone, under_way

#: Takes an empty folder and fills it; returns facts to keep beside it.
Fill = Callable[[Path], dict[str, float]]


@dataclass(frozen=True)
class FolderCache:
    """Folders that are filled once, each with an ``entry.json``: what made it, the files' digests, facts.

    As in `ArrayCache`, a folder is filled under a temporary name and renamed, and one job at a time does so.

    Parameters
    ----------
    root : Path
        Where the entries live.
    """

    root: Path

    def folder(self, key: Mapping[str, Any]) -> Path:
        """Where the entry of a key lives."""
        name = digest(key)
        return self.root / name[:2] / name

    def get(self, key: Mapping[str, Any]) -> tuple[Path, dict[str, float]] | None:
        """Return an entry's folder and its facts, or None when it must be made.

        Every file is checked against its digest; a broken entry is removed with a warning.
        """
        folder = self.folder(key)
        entry = intact(folder, checked_folder, "made")
        return None if entry is None else (folder, entry["facts"])

    def get_or_put(
        self, key: Mapping[str, Any], fill: Fill, about: Mapping[str, Any], what: str
    ) -> tuple[Path, dict[str, float]]:
        """Return an entry, made here if no other job has done so or is doing so.

        Parameters
        ----------
        key : mapping
            What decides the content, JSON-like.
        fill : callable
            Fills an empty folder and returns facts; nothing is kept where it raises.
        about : mapping
            What a reader of the list wants to know, JSON-like.
        what : str
            What is made, for jobs that wait.
        """
        found = self.get(key)
        if found is None:
            with alone(self.folder(key), what):
                found = self.get(key) or self._put(key, fill, about)  # of the job that was waited for
        return found

    def _put(self, key: Mapping[str, Any], fill: Fill, about: Mapping[str, Any]) -> tuple[Path, dict[str, float]]:
        folder = self.folder(key)
        with under_way(folder) as temporary:
            facts = fill(temporary)
            entry = {
                "key": key,
                "about": about,
                "made": datetime.now(UTC).isoformat(timespec="seconds"),
                "sha256": {name: file_digest(temporary / name) for name in file_names(temporary)},
                "facts": facts,
            }
            put_in_place(temporary, folder, entry, lambda: self.get(key) is not None)
        return folder, facts


def file_names(folder: Path) -> list[str]:
    """Names of all files of an entry but ``entry.json``, relative to its folder."""
    files = (file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
    return sorted(name for name in files if name != ENTRY)


def checked_folder(folder: Path) -> dict[str, Any]:
    """Return what an entry says of itself, after reading every file of it.

    Raises
    ------
    OSError, ValueError, KeyError or TypeError
        If the entry is not what was written.
    """
    entry: dict[str, Any] = json.loads((folder / ENTRY).read_text())
    if digest(entry["key"]) != folder.name:
        raise ValueError("what made it has another digest than its folder's name")
    if sorted(entry["sha256"]) != file_names(folder):
        raise ValueError("it does not have the files that were written")
    for name, recorded in entry["sha256"].items():
        if file_digest(folder / name) != recorded:
            raise ValueError(f"the digest of {name} differs from the recorded one")
    if not isinstance(entry["facts"], dict):
        raise TypeError("its facts are no mapping")
    return entry
