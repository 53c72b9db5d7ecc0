"""Small results on disk, under the digest of what made them."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from brainexp.cache.digest import digest

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Notes:
    """Values that JSON can hold, a file each, so that a killed job resumes behind the last one.

    Parameters
    ----------
    root : Path
        Where the files live.
    """

    root: Path

    def kept(self, key: Mapping[str, Any], compute: Callable[[], Any]) -> Any:
        """Return what was computed before for the same key, or compute and keep it.

        Parameters
        ----------
        key : mapping
            What decides the value, JSON-like.
        compute : callable
            Returns the value, JSON-like; NaN is allowed.
        """
        name = digest(key)
        file = self.root / name[:2] / f"{name}.json"
        if file.is_file():
            try:
                return json.loads(file.read_text(encoding="utf-8"))["value"]
            except (ValueError, KeyError, TypeError) as error:
                log.warning("%s is broken (%s); its value is computed again.", file, error)
        value = compute()
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_name(f".unfinished-{file.name}-{uuid4().hex}")
        try:
            temporary.write_text(json.dumps({"key": key, "value": value}, indent=1), encoding="utf-8")
            temporary.rename(file)
        finally:
            temporary.unlink(missing_ok=True)
        return value
