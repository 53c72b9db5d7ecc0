"""Find the record of a run: in its folder, or in the tracker."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brainexp.environment import PACKAGES_FILE
from brainexp.errors import ConfigError
from brainexp.report.files import RESULT
from brainexp.tracking import Tracking, restore

#: What a job of a sweep leaves that had finished before: where its files are.
SAME = "same.json"
FORMS = "Give a run's folder, its result.json, or the id of an MLflow run."


@dataclass(frozen=True)
class Recorded:
    """A run as it was recorded.

    Parameters
    ----------
    named : str
        Its folder, or its id in the tracker.
    folder : Path
        Where its files are, or have been brought to.
    content : mapping
        Of ``result.json``.
    """

    named: str
    folder: Path
    content: Mapping[str, Any]

    @property
    def environment(self) -> Mapping[str, Any]:
        """On what it was made."""
        told: Mapping[str, Any] = self.content.get("environment") or {}
        return told

    @property
    def provenance(self) -> Mapping[str, Any]:
        """From what its numbers came; empty if an earlier version has recorded it."""
        told: Mapping[str, Any] = self.content.get("provenance") or {}
        return told

    @property
    def directory(self) -> Path | None:
        """Where it was started: to which its relative paths belong."""
        told = self.environment.get("working_directory")
        return None if told is None else Path(told)

    def packages(self) -> dict[str, str]:
        """Versions of all packages that were installed, or of the few that earlier versions have recorded."""
        listed = self.folder / PACKAGES_FILE
        if listed.is_file():
            pairs = (line.partition("==") for line in listed.read_text(encoding="utf-8").splitlines())
            return {name: number for name, _, number in pairs if name}
        told = self.environment.get("packages") or {}
        return {name: number for name, number in told.items() if number is not None}


def found(named: str, tracking: Tracking, scratch: Path) -> Recorded:
    """Read the record of a run.

    Parameters
    ----------
    named : str
        A run's folder, a ``result.json``, or the id of an MLflow run.
    tracking : Tracking
        Where runs are recorded.
    scratch : Path
        An empty folder, for what the tracker holds.

    Raises
    ------
    ConfigError
        If there is no such run, or it has left no result.
    """
    place = Path(named).expanduser()
    if place.is_dir():
        folder = _folder(place).absolute()
        return Recorded(str(folder), folder, _read(folder / RESULT))
    if place.is_file():
        return Recorded(str(place.absolute().parent), place.absolute().parent, _read(place))
    if "/" in named or tracking.uri is None:
        raise ConfigError(f"{named}: there is no such folder or file. {FORMS}")
    restore(tracking, named, scratch)
    if not (scratch / RESULT).is_file():
        raise ConfigError(f"run {named} has left no {RESULT}, so it did not finish. {FORMS}")
    return Recorded(named, scratch, _read(scratch / RESULT))


def _folder(place: Path) -> Path:
    if (place / RESULT).is_file():
        return place
    if (place / SAME).is_file():
        return Path(json.loads((place / SAME).read_text(encoding="utf-8"))["folder"])
    jobs = sorted(path.parent.name for path in place.glob(f"*/{RESULT}"))
    if jobs:
        raise ConfigError(f"{place} is the folder of a sweep. Give one of its runs: {place / jobs[0]}, …")
    raise ConfigError(f"{place} holds no {RESULT}, so no run has finished there. {FORMS}")


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file} cannot be read as the record of a run: {error}. {FORMS}") from error
    if not isinstance(content, dict) or not {"config", "metrics"} <= content.keys():
        raise ConfigError(f"{file} is no record of a run: it has no config or no metrics. {FORMS}")
    return content
