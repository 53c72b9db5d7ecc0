"""What tells two things apart: SHA-256 of values and of files."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any


def digest(value: Any) -> str:
    """SHA-256 of a JSON-like value; the order of keys does not matter."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def source_digest(path: Path) -> str:
    """SHA-256 of a file that others write, such as weights; read once as long as size and time of change stay."""
    told = path.stat()
    return _source_digest(path.absolute(), told.st_size, told.st_mtime_ns, told.st_ino)


@lru_cache(maxsize=4096)
def _source_digest(path: Path, *_: int) -> str:
    return file_digest(path)
