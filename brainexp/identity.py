"""Which runs are the same: digests of what decides a run's numbers, and of the files that it read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from brainexp import __version__
from brainexp.cache import digest
from brainexp.settings import decisive


def config_hash(config: Mapping[str, Any]) -> str:
    """Digest of what decides a run's numbers: the options that do, and the versions of the program and of its plugins.

    A commit is not part of it: between two versions it is for the reader to know whether a change matters.
    """
    plugins = {one.dist.name: one.dist.version for one in entry_points(group="brainexp.plugins") if one.dist}
    return digest({"options": decisive(config), "version": __version__, "plugins": plugins})


def inputs_hash(config: Mapping[str, Any]) -> str:
    """Digest of the files and folders that the options name: names, sizes, times of change; of the hub's models, commits.

    Content is not read: that would take as long as some runs do.
    """
    named = {f"{key} {value}": _stamps(path) for key, value in _texts(config) if (path := _there(value)) is not None}
    return digest({"files": named, "commit": _hub_commit(config.get("model", {}))})


def _texts(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in decisive(config).items():
        yield from ((key, one) for one in (value if isinstance(value, list) else [value]) if isinstance(one, str))


def _there(text: str) -> Path | None:
    """Return what a text names on this disk, if anything; of a pattern such as "masks/{subject}.nii", the folder."""
    given, is_pattern, _ = text.partition("{")
    path = Path(given).expanduser()
    path = path.parent if is_pattern and not given.endswith("/") else path
    try:
        return path if given and path.exists() else None
    except (OSError, ValueError):  # too long, or with signs that no name has
        return None


def _stamps(path: Path) -> list[tuple[str, int, int]]:
    """Name, size in bytes and time of change of each file at or below a path."""
    files = sorted(_files(path)) if path.is_dir() else [path]
    found = [(file, _stat(file)) for file in files]
    return [(os.path.relpath(file, path), told.st_size, told.st_mtime_ns) for file, told in found]


def _files(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder, followlinks=True):
        yield from (Path(parent, name) for name in names)


def _stat(file: Path) -> os.stat_result:
    try:
        return file.stat()
    except FileNotFoundError:  # a link to what was not fetched: the link itself says which content it stands for
        return file.lstat()


def _hub_commit(model: Mapping[str, Any]) -> str | None:
    """Commit to which a branch or tag of a model on the hub points here; None for files of one's own, or none fetched."""
    from huggingface_hub.constants import HF_HUB_CACHE

    path, revision = str(model.get("path")), str(model.get("revision") or "main")
    reference = Path(HF_HUB_CACHE, f"models--{path.replace('/', '--')}", "refs", revision)
    return reference.read_text().strip() if path.count("/") == 1 and reference.is_file() else None
