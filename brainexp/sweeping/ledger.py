"""Which configs have finished, and where their results are: a file per config, named by its digest."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brainexp.cache.lock import held
from brainexp.identity import config_hash, inputs_hash
from brainexp.report.files import RESULT, write_json

if TYPE_CHECKING:
    from brainexp.tracking import Tracking

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Finished:
    """A run that has finished.

    Parameters
    ----------
    folder : Path
        Where its files are.
    run_id : str or None
        Its run in the tracker.
    config_hash : str
        Digest of its config (`brainexp.identity.config_hash`).
    git_commit : str or None
        Of the program that made it.
    """

    folder: Path
    run_id: str | None
    config_hash: str
    git_commit: str | None


@dataclass(frozen=True)
class Ledger:
    """The configs that have finished.

    Parameters
    ----------
    root : Path
        Folder of the entries, and of a lock per config that is running.
    """

    root: Path

    def find(self, config: Mapping[str, Any]) -> Finished | None:
        """Return the run of a config if it has finished and its result is still what the config asks for."""
        entry = self.root / f"{config_hash(config)}.json"
        try:
            told = json.loads(entry.read_text(encoding="utf-8"))
            folder, run_id = Path(told["folder"]), told["run_id"]
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            log.warning("%s cannot be read (%s); its config is run again.", entry, error)
            return None
        return finished(folder, run_id, config)

    def enter(self, config: Mapping[str, Any], folder: Path, run_id: str | None) -> None:
        """Note that a run has finished; its result is in a folder."""
        result = json.loads((folder / RESULT).read_text(encoding="utf-8"))
        environment = result["environment"]
        told = {
            "folder": str(folder.absolute()),
            "run_id": run_id,
            "name": result["name"],
            "version": environment["brainexp"],
            "git_commit": environment["git_commit"],
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        write_json(self.root / f"{config_hash(config)}.json", told)

    def adopted(self, config: Mapping[str, Any], folder: Path) -> Finished | None:
        """Enter the result that a job left in its own folder before it was killed, and return it; None if there is none."""
        found = finished(folder, None, config)
        if found is not None:
            log.warning("%s was written by a job that was killed before its end; the tracker may not have it.", folder)
            self.enter(config, folder, None)
        return found

    def restored(self, config: Mapping[str, Any], tracking: Tracking) -> Finished | None:
        """Download the result of a config that has finished according to the tracker, enter and return it."""
        from brainexp.tracking import finished_run, restore

        name = config_hash(config)
        run_id = finished_run(tracking, name)
        if run_id is None:
            return None
        folder, partial = self.root / name, self.root / f".{name}"
        for old in (folder, partial):
            shutil.rmtree(old, ignore_errors=True)
        restore(tracking, run_id, partial)
        if finished(partial, run_id, config) is None:
            shutil.rmtree(partial)
            return None
        partial.rename(folder)
        self.enter(config, folder, run_id)
        return finished(folder.absolute(), run_id, config)

    def alone(self, config: Mapping[str, Any], name: str) -> AbstractContextManager[bool]:
        """Hold the lock of a config, so that no two launches run it at the same time; wait for another holder."""
        return held(self.root / f"{config_hash(config)}.lock", name)


def finished(folder: Path, run_id: str | None, config: Mapping[str, Any]) -> Finished | None:
    """Return the run whose files are in a folder, if it is one of this config, on the same files, with all it asks for.

    Parameters
    ----------
    folder : Path
        Of the run; its ``result.json`` says what it was.
    run_id : str or None
        In the tracker.
    config : mapping
        What is to be run.
    """
    if not (folder / RESULT).is_file():
        return None
    result = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    if result.get("config_hash") != config_hash(config):
        return None
    if result.get("inputs_hash") != inputs_hash(config):
        log.warning("files that the config names have changed since %s was made; it is run again.", folder)
        return None
    if not _as_complete(result["config"], config):
        log.info("%s has no readout or no figures, which are asked for; it is run again.", folder)
        return None
    return Finished(folder, run_id, result["config_hash"], result["environment"]["git_commit"])


def _as_complete(found: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    """Whether a run left all files that are asked for; they decide no number, so the digest does not know of them."""
    readouts = asked["readout"] in (None, found["readout"])
    return readouts and (found["report"]["figures"] or not asked["report"]["figures"])
