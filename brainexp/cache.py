"""Files that are computed once: content-addressed, written whole or not at all, checked when read."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from brainexp.containers import FloatArray

log = logging.getLogger(__name__)


def digest(value: Any) -> str:
    """SHA-256 of a JSON-like value; the order of keys does not matter."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def default_cache_dir() -> Path:
    """The folder named by ``BRAINEXP_CACHE``, else ``~/.cache/brainexp``."""
    return Path(os.environ.get("BRAINEXP_CACHE", "~/.cache/brainexp")).expanduser()


@dataclass(frozen=True)
class ArrayCache:
    """Arrays on disk, each under the digest of what made it.

    An entry is a folder with ``values.npy`` and ``entry.json`` (what made it, the file's digest, facts measured on the
    way). It is filled under a temporary name and renamed, so a killed job leaves no half of one.

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

    def get(self, key: Mapping[str, Any]) -> tuple[FloatArray, dict[str, float]] | None:
        """Return a read-only memory map of an entry's array and its facts, or None when it must be computed.

        A broken entry is removed with a warning.
        """
        folder = self.folder(key)
        if not folder.is_dir():
            return None
        try:
            entry = json.loads((folder / "entry.json").read_text())
            if file_digest(folder / "values.npy") != entry["sha256"]:
                raise ValueError("the file's digest differs from the recorded one")
            return np.load(folder / "values.npy", mmap_mode="r"), entry["facts"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("cache entry %s is broken (%s); it is computed again.", folder, error)
            shutil.rmtree(folder)
            return None

    def put(
        self,
        key: Mapping[str, Any],
        shape: tuple[int, ...],
        fill: Callable[[FloatArray], dict[str, float]],
    ) -> tuple[FloatArray, dict[str, float]]:
        """Compute an entry in place and return it as ``get`` does.

        Parameters
        ----------
        key : mapping
            What decides the array, JSON-like.
        shape : tuple of int
            Its shape; the dtype is float32.
        fill : callable
            Writes the array that it is given, and returns facts to keep beside it.
        """
        folder = self.folder(key)
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = folder.parent / f".partial-{uuid4().hex}"  # not mkdtemp: others who share the cache must read it
        temporary.mkdir()
        try:
            values = np.lib.format.open_memmap(temporary / "values.npy", mode="w+", dtype=np.float32, shape=shape)
            facts = fill(values)
            values.flush()
            del values
            entry = {"key": key, "sha256": file_digest(temporary / "values.npy"), "facts": facts}
            (temporary / "entry.json").write_text(json.dumps(entry, indent=1))
            try:
                temporary.rename(folder)
            except OSError:  # an entry is there: another job's, as good as ours, or a broken one, which get removes
                if self.get(key) is None:
                    temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        stored = self.get(key)
        assert stored is not None  # renamed above, or by the other job
        return stored
