"""Features on disk, one file per layer, under the digest of what made them."""

from __future__ import annotations

import errno
import json
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np

from brainexp.cache.digest import digest, file_digest
from brainexp.cache.entry import ENTRY, intact, put_in_place
from brainexp.cache.lock import alone, under_way
from brainexp.containers import FloatArray, IntArray, Layers
from brainexp.errors import ConfigError

log = logging.getLogger(__name__)

#: Takes unit indices of shape (n,) and their features of shape (n_layers, n, n_dims).
Write = Callable[[IntArray, FloatArray], None]
Found = tuple[Layers, dict[str, float]]


def default_cache_dir() -> Path:
    """The folder named by ``BRAINEXP_CACHE``, else ``~/.cache/brainexp``."""
    return Path(os.environ.get("BRAINEXP_CACHE", "~/.cache/brainexp")).expanduser()


@dataclass(frozen=True)
class ArrayCache:
    """Features on disk, each story's under the digest of what made it.

    An entry is a folder with ``layer_000.npy`` and so on, and ``entry.json``: what made it, the files' digests, facts
    measured on the way. It is filled under a temporary name and renamed, so a killed job leaves no half of one. One job
    at a time computes an entry, the others wait for it; the lock is the operating system's, so it ends with its holder.

    Parameters
    ----------
    root : Path
        Where the entries live.
    dtype : {"float32", "float16"}
        In which values are stored. Half the room; values are rounded to 11 binary digits (relative error up to 0.0005),
        and those above 65,504 are refused. The two do not stand for each other.
    """

    root: Path
    dtype: Literal["float32", "float16"] = "float32"

    def folder(self, key: Mapping[str, Any]) -> Path:
        """Where the entry of a key lives."""
        name = entry_name(key, self.dtype)
        return self.root / name[:2] / name

    def get(self, key: Mapping[str, Any]) -> Found | None:
        """Return an entry's layers and its facts, or None when it must be computed.

        Every file is checked against its digest; a broken entry is removed with a warning.
        """
        folder = self.folder(key)
        entry = intact(folder, checked, "computed")
        return None if entry is None else (layers(folder, entry["shape"]), entry["facts"])

    def get_or_put(
        self,
        key: Mapping[str, Any],
        shape: tuple[int, int, int],
        fill: Callable[[Write], dict[str, float]],
        about: Mapping[str, Any],
    ) -> Found:
        """Return an entry, computed here if no other job has done so or is doing so.

        Parameters
        ----------
        key : mapping
            What decides the features, JSON-like.
        shape : tuple of int
            Layers, units and dims.
        fill : callable
            Calls what it is given with unit indices of shape (n,) and their features of shape (n_layers, n, n_dims),
            until all are written; returns facts to keep beside them.
        about : mapping
            What a reader of the list wants to know and the key does not tell, JSON-like: model, story.

        Raises
        ------
        ConfigError
            If a value is too large for float16, or the disk is full.
        """
        found = self.get(key)
        if found is None:
            with alone(self.folder(key), f"features of story {about.get('story')!r}"):
                found = self.get(key)  # of the job that was waited for
                if found is None:
                    found = self._put(key, shape, fill, about)
        return found

    def _put(
        self,
        key: Mapping[str, Any],
        shape: tuple[int, int, int],
        fill: Callable[[Write], dict[str, float]],
        about: Mapping[str, Any],
    ) -> Found:
        folder = self.folder(key)
        with under_way(folder) as temporary:
            files = [temporary / name for name in layer_names(shape[0])]
            arrays = [self._new(file, shape[1:]) for file in files]
            facts = fill(self._writer(arrays))
            for array in arrays:
                array.flush()
            del arrays
            entry = {
                "key": key,
                "about": about,
                "dtype": self.dtype,
                "shape": shape,
                "made": datetime.now(UTC).isoformat(timespec="seconds"),
                # Read once, while its pages are still in memory; words are written in any order, so not before.
                "sha256": {file.name: file_digest(file) for file in files},
                "facts": facts,
            }
            put_in_place(temporary, folder, entry, lambda: self.get(key) is not None)
        log.info("computed features of story %r", about.get("story"))
        return layers(folder, shape), facts

    def _new(self, file: Path, shape: tuple[int, ...]) -> Any:
        array = np.lib.format.open_memmap(file, mode="w+", dtype=self.dtype, shape=shape)
        if hasattr(os, "posix_fallocate"):  # else a disk that fills up later kills the process without a word
            with file.open("r+b") as opened:
                try:
                    os.posix_fallocate(opened.fileno(), 0, file.stat().st_size)
                except OSError as error:
                    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                        return array  # the file system cannot promise room
                    raise ConfigError(
                        f"{self.root} is full: no room for {file.stat().st_size:,} bytes of a layer. Give cache.dir= a "
                        "folder on a larger disk, or make room with python -m brainexp.cache prune"
                    ) from error
        return array

    def _writer(self, arrays: list[FloatArray]) -> Write:
        largest = float(np.finfo(self.dtype).max)

        def write(at: IntArray, values: FloatArray) -> None:
            for layer, (array, found) in enumerate(zip(arrays, values, strict=True)):
                if self.dtype == "float16" and (reached := np.abs(found).max()) > largest:
                    raise ConfigError(
                        f"cache.dtype=float16 holds values up to {largest:,.0f}, but features of layer {layer} reach "
                        f"{reached:,.0f}. Give cache.dtype=float32."
                    )
                array[at] = found

        return write


def entry_name(key: Mapping[str, Any], dtype: str) -> str:
    """Digest of what decides the stored values."""
    return digest({"key": key, "dtype": dtype})


def layer_names(n_layers: int) -> list[str]:
    """Names of the files of an entry.

    >>> layer_names(2)
    ['layer_000.npy', 'layer_001.npy']
    """
    return [f"layer_{layer:03d}.npy" for layer in range(n_layers)]


def layers(folder: Path, shape: tuple[int, int, int]) -> Layers:
    """Layers of an entry that is known to be whole."""
    n_layers, n_units, n_dims = shape
    return Layers(tuple(folder / name for name in layer_names(n_layers)), n_units, n_dims)


def checked(folder: Path) -> dict[str, Any]:
    """Return what an entry says of itself, after reading every file of it.

    Raises
    ------
    OSError, ValueError, KeyError or TypeError
        If the entry is not what was written.
    """
    entry: dict[str, Any] = json.loads((folder / ENTRY).read_text())
    if entry_name(entry["key"], entry["dtype"]) != folder.name:
        raise ValueError("what made it has another digest than its folder's name")
    if list(entry["sha256"]) != layer_names(entry["shape"][0]):
        raise ValueError("it does not have a file for each layer")
    for name, recorded in entry["sha256"].items():
        if file_digest(folder / name) != recorded:
            raise ValueError(f"the digest of {name} differs from the recorded one")
    if not isinstance(entry["facts"], dict):
        raise TypeError("its facts are no mapping")
    return entry
