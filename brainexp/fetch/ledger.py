"""Which files were fetched: a line each, in a file beside them."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict, dataclass
from pathlib import Path

from brainexp.fetch.stores import RemoteFile

LEDGER = ".brainexp-fetch.jsonl"


@dataclass(frozen=True)
class Entry:
    """A file as it was when it was fetched."""

    path: str
    url: str
    size: int
    digest: str | None
    mtime_ns: int


class Ledger:
    """What was fetched into a folder.

    Parameters
    ----------
    folder : Path
        Of a dataset.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = folder / LEDGER
        self._lock = threading.Lock()

    def entries(self) -> dict[str, Entry]:
        """By path; of several lines on a file the last counts, and a line cut off by a crash none."""
        if not self._file.exists():
            return {}
        found = {}
        for line in self._file.read_text(encoding="utf-8").splitlines():
            try:
                entry = Entry(**json.loads(line))
            except (ValueError, TypeError):
                continue
            found[entry.path] = entry
        return found

    def add(self, file: RemoteFile) -> None:
        """Note that a file was fetched, now that it is there."""
        state = (self.folder / file.path).stat()
        entry = Entry(file.path, file.url, state.st_size, file.digest, state.st_mtime_ns)
        with self._lock, self._file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(asdict(entry)) + "\n")
