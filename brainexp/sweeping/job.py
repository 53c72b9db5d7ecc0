"""One job of a sweep: not run again where it has finished before, and its error kept where it fails."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from brainexp.environment import git_commit
from brainexp.report.files import FAILED, SAME, write_json
from brainexp.sweeping.ledger import Finished, Ledger

if TYPE_CHECKING:
    from brainexp.tracking import Tracking

log = logging.getLogger(__name__)

Config = dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Parameters
    ----------
    kind : {"ran", "same", "failed"}
        It ran here, had finished before, or failed.
    words : str
        Where the result is, or the error.
    """

    kind: Literal["ran", "same", "failed"]
    words: str


def attempt(
    compose: Callable[[], Config],
    folder: Path,
    name: str,
    overrides: Sequence[str],
    run: Callable[[Config, Path], object],
) -> Outcome:
    """Run a job of a sweep unless it has finished before; an error is kept and does not stop other jobs.

    Parameters
    ----------
    compose : callable
        Gives the config, as plain values.
    folder : Path
        Of the job. It holds ``result.json`` afterwards, ``same.json`` if the config had finished before, or ``failed.json``.
    name : str
        Of the run.
    overrides : sequence of str
        What tells the job from others.
    run : callable
        Runs the config, leaves its files in the folder and enters it as finished.
    """
    try:
        outcome = _attempted(compose(), folder, name, run)
    except Exception as error:
        log.info("the job failed", exc_info=True)
        words = f"{type(error).__name__}: {error}"
        told = {"name": name, "error": words, "trace": traceback.format_exc(), "overrides": list(overrides)}
        write_json(folder / FAILED, told)
        return Outcome("failed", words)
    (folder / FAILED).unlink(missing_ok=True)
    return outcome


def _attempted(config: Config, folder: Path, name: str, run: Callable[[Config, Path], object]) -> Outcome:
    from brainexp.registry import validated
    from brainexp.settings import Sweep
    from brainexp.tracking import Tracking

    settings = validated(Sweep, config["sweep"], "sweep")
    tracking = validated(Tracking, config["tracking"], "tracking")
    ledger = Ledger(Path(settings.finished))
    with ledger.alone(config, name):
        before = _finished_before(ledger, config, folder, tracking) if settings.resume else None
        if before is None:
            (folder / SAME).unlink(missing_ok=True)
            run(config, folder)
            return Outcome("ran", str(folder))
    if before.folder != folder:
        told = {"folder": str(before.folder), "run_id": before.run_id, "config_hash": before.config_hash}
        write_json(folder / SAME, told)
    return Outcome("same", f"{before.folder}{_other_commit(before)}")


def _finished_before(ledger: Ledger, config: Config, folder: Path, tracking: Tracking) -> Finished | None:
    return ledger.find(config) or ledger.adopted(config, folder) or ledger.restored(config, tracking)


def _other_commit(before: Finished) -> str:
    """Say so where another commit of the program made a result; the version is the same."""
    now = git_commit(Path(__file__).parent)
    return "" if before.git_commit == now else f" (made by commit {before.git_commit}, this is {now})"
