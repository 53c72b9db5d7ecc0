"""What is in a cache, whether it is whole, and what may go."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from brainexp.cache.digest import digest
from brainexp.cache.entry import ENTRY
from brainexp.cache.folders import checked_folder
from brainexp.cache.lock import UNFINISHED, lock_file
from brainexp.cache.store import checked

#: Where features and compressed checkpoints are, in the folder of the cache.
FEATURES, CHECKPOINTS = "features", "checkpoints"
#: An entry is a folder named by a digest, in a folder named by its first two digits, and holds nothing but ``entry.json``
#: and layers, or what a checkpoint is made of. Nothing else is ever touched.
ENTRY_NAME = re.compile(r"[0-9a-f]{64}")
UNFINISHED_NAME = re.compile(rf"{re.escape(UNFINISHED)}([0-9a-f]{{64}})-[0-9a-f]{{32}}")
FILE_NAMES = {
    FEATURES: re.compile(rf"layer_\d{{3,}}\.npy|{re.escape(ENTRY)}"),
    CHECKPOINTS: re.compile(r"[\w.-]+\.(safetensors|json|txt|model|jinja|yaml|bpe|tiktoken)"),
}


@dataclass(frozen=True)
class Entry:
    """One story's features on disk, or a compressed checkpoint, as the list shows them.

    Parameters
    ----------
    folder : Path
        Where they are.
    n_bytes : int
        What the folder holds.
    used : float
        When they were last read or made, in seconds since 1970.
    told : mapping
        Content of its ``entry.json``; empty where that cannot be read.
    """

    folder: Path
    n_bytes: int
    used: float
    told: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """`FEATURES` or `CHECKPOINTS`."""
        return kind_of(self.folder)

    @property
    def model(self) -> str:
        """Path of the model, or its name where it has none; untrained twins with their seed."""
        options = self._about("model")
        name = str(options.get("path", options.get("name", "?")))
        return f"{name} (random, seed {options.get('seed')})" if options.get("weights") == "random" else name

    @property
    def story(self) -> str:
        """Name of the story, of the first dataset that had it."""
        return str(self.told.get("about", {}).get("story", "?"))

    @property
    def compression(self) -> str:
        """Name of the compression."""
        return str(self._about("compression").get("name", "?"))

    @property
    def prompt(self) -> str:
        """Name of the prompt."""
        return str(self._about("prompt").get("name", "?"))

    @property
    def options(self) -> dict[str, Any]:
        """Every option that decided the values, by dotted name, and in what they are stored."""
        key = {part: values for part, values in self.told.get("key", {}).items() if isinstance(values, Mapping)}
        options = {f"{part}.{name}": value for part, values in key.items() for name, value in values.items()}
        return {**options, "stored as": self.told.get("dtype", "?")}

    @property
    def told_options(self) -> str:
        """Options of the compression, in words."""
        given = self._about("compression").items()
        return ", ".join(f"{name}={json.dumps(value)}" for name, value in given if name != "name" and value is not None)

    @property
    def n_words(self) -> int:
        """Units of the story."""
        return int(self.told.get("shape", (0, 0, 0))[1])

    def _about(self, part: str) -> Mapping[str, Any]:
        found = self.told.get("about", {}).get(part, {})
        return found if isinstance(found, Mapping) else {}


def kind_of(folder: Path) -> str:
    """`FEATURES` or `CHECKPOINTS`, by where an entry is."""
    return CHECKPOINTS if folder.parent.parent.name == CHECKPOINTS else FEATURES


def entries(root: Path) -> list[Entry]:
    """Every entry below a folder of features or checkpoints, the one used last first; broken ones too."""
    found = [_entry(folder) for folder in root.glob("??/*") if _is_ours(folder, ENTRY_NAME)]
    return sorted(found, key=lambda entry: entry.used, reverse=True)


def sets(found: Sequence[Entry]) -> list[tuple[list[Entry], str]]:
    """Put stories together that the same options made.

    Returns
    -------
    list of (list of Entry, str)
        Entries of each set, and its options as far as they tell it from other sets of the same names.
    """
    made: dict[str, list[Entry]] = {}
    for entry in found:
        made.setdefault(digest([entry.model, entry.options]), []).append(entry)
    alike: dict[tuple[str, str, str], list[list[Entry]]] = {}
    for one in made.values():
        alike.setdefault((one[0].model, one[0].compression, one[0].prompt), []).append(one)
    return [
        (one, _differing(one[0].options, [other[0].options for other in of_same_names]))
        for of_same_names in alike.values()
        for one in of_same_names
    ]


def _differing(options: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> str:
    told = {name: value for name, value in options.items() if name not in ("model.identity", "stored as")}
    differing = [
        f"{name.removeprefix('model.')}={value}"
        for name, value in told.items()
        if any(other.get(name) != value for other in others)
    ]
    same = [other for other in others if all(other.get(name) == value for name, value in told.items())]
    if len({other.get("model.identity") for other in same}) > 1:
        differing.append(f"weights {str(options.get('model.identity'))[:8]}")
    return ", ".join(differing)


def unfinished(root: Path) -> list[Entry]:
    """What jobs are filling right now, or were when they were killed."""
    return [_entry(folder) for folder in root.glob(f"??/{UNFINISHED}*") if _is_ours(folder, UNFINISHED_NAME)]


def abandoned(entry: Entry) -> bool:
    """Whether the job that was filling an unfinished entry is gone: its lock ended with it."""
    from filelock import FileLock, Timeout

    found = UNFINISHED_NAME.fullmatch(entry.folder.name)
    assert found is not None  # as `unfinished` returns them
    try:
        with FileLock(lock_file(entry.folder.parent / found[1]), timeout=0, mode=0o666):
            return True
    except (Timeout, OSError):  # held; or no locks here, and then nobody knows
        return False


def fault(entry: Entry) -> str | None:
    """Return what is wrong with an entry, after reading all of it, or None."""
    try:
        (checked if entry.kind == FEATURES else checked_folder)(entry.folder)
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"{type(error).__name__}: {error}" if isinstance(error, KeyError) else str(error)
    return None


def to_go(
    found: Sequence[Entry], *, model: str | None = None, unused_s: float | None = None, max_bytes: int | None = None
) -> list[Entry]:
    """Choose entries to prune.

    Parameters
    ----------
    found : sequence of Entry
        All of them.
    model : str or None
        Only those whose model matches this pattern, in which ``*`` stands for anything.
    unused_s : float or None
        Only those not read for longer, in seconds.
    max_bytes : int or None
        Of those chosen so far, the least recently used go until all entries together take no more than this; all go
        where it is None.

    Returns
    -------
    list of Entry
        The least recently used first.
    """
    now = time.time()
    chosen = [
        entry
        for entry in sorted(found, key=lambda entry: entry.used)
        if (model is None or fnmatchcase(entry.model, model)) and (unused_s is None or now - entry.used > unused_s)
    ]
    if max_bytes is None:
        return chosen
    total = sum(entry.n_bytes for entry in found)
    going = []
    for entry in chosen:
        if total <= max_bytes:
            break
        going.append(entry)
        total -= entry.n_bytes
    return going


def _is_ours(folder: Path, name: re.Pattern[str]) -> bool:
    found = name.fullmatch(folder.name)
    return (
        found is not None
        and folder.parent.name == found[found.re.groups][:2]
        and folder.is_dir()
        and not folder.is_symlink()
        and all(FILE_NAMES[kind_of(folder)].fullmatch(file.name) and file.is_file() for file in _files(folder))
    )


def _entry(folder: Path) -> Entry:
    about = folder / ENTRY
    try:
        told = json.loads(about.read_text())
        used = about.stat().st_mtime
    except (OSError, ValueError):
        told, used = {}, folder.stat().st_mtime
    n_bytes = sum(file.stat().st_size for file in _files(folder))
    return Entry(folder, n_bytes, used, told if isinstance(told, dict) else {})


def _files(folder: Path) -> Iterator[Path]:
    """Everything in a folder; checkpoints may have folders of chat templates."""
    return (one for one in folder.rglob("*") if kind_of(folder) == FEATURES or not one.is_dir())
