"""Records that wait in folders, brought into a store: each once, however often and by however many it is tried."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock

from brainexp.cache import digest
from brainexp.errors import DataError
from brainexp.tracking.record import RECORD_FILE, Record
from brainexp.tracking.run import complete
from brainexp.tracking.store import Store, Tracking, opened
from brainexp.tracking.sweep import SAME, end_sweep, sweep_run, sweeps_like

#: In the folder of a sweep, and of a job of it that failed.
SWEEP, FAILED = "sweep.json", "failed.json"


@dataclass(frozen=True)
class Synced:
    """What became of a folder.

    Parameters
    ----------
    folder : Path
        Of a run.
    run_id : str
        In the store.
    what : {"uploaded", "completed", "there already"}
        Whether it was new, had been begun, or needed nothing.
    """

    folder: Path
    run_id: str
    what: Literal["uploaded", "completed", "there already"]


def sync(tracking: Tracking, folder: Path) -> Iterator[Synced]:
    """Bring into a store what waits in a folder and below it: runs, and sweeps with their runs as children.

    Parameters
    ----------
    tracking : Tracking
        Where to; ``offline`` makes no difference here.
    folder : Path
        Of a run, of a sweep, or one that holds such folders.

    Yields
    ------
    Synced
        Of each run.

    Raises
    ------
    DataError
        If nothing waits there, or a record cannot be read.
    ConfigError
        If the store cannot be reached.
    """
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}.")
    runs = sorted((path.parent for path in folder.rglob(RECORD_FILE)), key=_by_number)
    jobs = [*runs, *(path.parent for path in folder.rglob(SAME))]
    sweeps = {job.parent for job in jobs if (job.parent / SWEEP).is_file()}
    if not runs and not sweeps:
        raise DataError(
            f"{folder} holds no {RECORD_FILE}, so there is nothing to record. Runs leave it in their folders where "
            "there is a tracking.uri, offline or not."
        )
    store = opened(replace(tracking, offline=False))
    for run in runs:
        if run.parent not in sweeps:
            yield _synced(store, run, None)
    for sweep in sorted(sweeps):
        yield from _sweep_synced(store, sweep, [run for run in runs if run.parent == sweep])


def _by_number(folder: Path) -> tuple[str, int, str]:
    return str(folder.parent), len(folder.name), folder.name


def _sweep_synced(store: Store, folder: Path, runs: list[Path]) -> Iterator[Synced]:
    """Sync jobs as children, also those that ran in another sweep's folder; then end the sweep's own run."""
    told = json.loads((folder / SWEEP).read_text(encoding="utf-8"))
    with FileLock(folder / ".sync.lock", mode=0o666):
        parent, ended = _parent(store, told)
    changed = not ended
    for run in runs:
        done = _synced(store, run, parent)
        changed |= done.what != "there already"
        yield done
    same = [_same_run(store, json.loads(path.read_text(encoding="utf-8"))) for path in sorted(folder.glob(f"*/{SAME}"))]
    if changed:
        end_sweep(store, parent, folder, [one for one in same if one is not None])
        status = "FAILED" if any(folder.glob(f"*/{FAILED}")) else "FINISHED"
        store.ask(store.client.set_terminated, parent, status)


def _parent(store: Store, told: Mapping[str, Any]) -> tuple[str, bool]:
    """Return the sweep's run, and whether it has ended: the one that it had from the start, if it is here, or is found."""
    study = {"brainexp.study": str(told["study"])} if told.get("study") else {}
    tags = told.get("tags") or {"brainexp.sweep": digest(told["overrides"]), **study}
    here = [store.runs(f"attributes.run_id = '{told['run_id']}'")] if told.get("run_id") else []
    before = next(chain(*here, sweeps_like(store, tags)), None)
    if before is not None:
        return str(before.info.run_id), before.info.status in ("FINISHED", "FAILED")
    words = (told.get("title"), told.get("question"), " ".join(told["overrides"]))
    note = "\n\n".join(str(one) for one in words if one)
    return sweep_run(store, told.get("study") or "sweep", note, tags), False


def _same_run(store: Store, told: Mapping[str, Any]) -> str | None:
    """Return the run of a job that had finished before, which may wait in its folder too."""
    folder = Path(told["folder"])
    if (folder / RECORD_FILE).is_file():
        return _synced(store, folder, None).run_id
    return str(told["run_id"]) if told.get("run_id") else None


def _synced(store: Store, folder: Path, parent: str | None) -> Synced:
    with FileLock(folder / ".sync.lock", mode=0o666):
        record = Record.load(folder)
        before = next(store.with_tags({"brainexp.record": record.id}), None)
        if before is not None and before.info.status == "FINISHED":
            if parent and "mlflow.parentRunId" not in before.data.tags:
                store.ask(store.client.set_tag, before.info.run_id, "mlflow.parentRunId", parent)
            return Synced(folder, str(before.info.run_id), "there already")
        tags = {**record.tags, **({"mlflow.parentRunId": parent} if parent else {})}
        run_id = store.run_of(record.id, record.name, tags, record.started_ms)
        complete(store, run_id, replace(record, tags=tags), folder)
        store.ask(store.client.set_terminated, run_id, "FINISHED", record.ended_ms)
        return Synced(folder, run_id, "uploaded" if before is None else "completed")
