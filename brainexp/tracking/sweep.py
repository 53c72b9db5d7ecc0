"""A sweep is a run too, the parent of its jobs' runs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal
from uuid import uuid4

from brainexp.tracking.files import send
from brainexp.tracking.store import Store, Tracking, opened, shortened

if TYPE_CHECKING:
    from mlflow.entities import Run

#: Artifact of a sweep's run: ids of runs that had finished before and were not run again.
SAME = "same.json"


def open_sweep(tracking: Tracking, name: str, note: str, tags: Mapping[str, str]) -> str | None:
    """Return the id of a sweep's run: of the one with the same tag ``brainexp.sweep``, else of a new one.

    Parameters
    ----------
    tracking : Tracking
        Where to record.
    name : str
        What it is called.
    note : str
        Its description, in Markdown.
    tags : mapping of str to str
        With ``brainexp.sweep``, a digest of what was asked for, and ``brainexp.study`` where it is one.

    Returns
    -------
    str or None
        None where nothing is recorded, or not yet.
    """
    if not tracking.live:
        return None
    store = opened(tracking)
    before = next(sweeps_like(store, tags), None)
    if before is None:
        return sweep_run(store, name, note, tags)
    store.ask(store.client.update_run, before.info.run_id, "RUNNING")
    return str(before.info.run_id)


def sweeps_like(store: Store, tags: Mapping[str, str]) -> Iterator[Run]:
    """Yield the runs of sweeps that were asked for the same, newest first."""
    return store.with_tags({"brainexp.kind": "sweep", "brainexp.sweep": tags["brainexp.sweep"]})


def sweep_run(store: Store, name: str, note: str, tags: Mapping[str, str]) -> str:
    """Make a sweep's run (see `open_sweep`), and return its id."""
    told = {**tags, "brainexp.kind": "sweep", "mlflow.note.content": shortened(note)}
    return store.run_of(uuid4().hex, name, told, int(time.time() * 1000))


def close_sweep(
    tracking: Tracking, run_id: str | None, status: Literal["FINISHED", "FAILED", "KILLED"], folder: Path | None
) -> None:
    """End a sweep's run, with the files of its folder (not those of its jobs' folders).

    Parameters
    ----------
    tracking : Tracking
        Where it is recorded.
    run_id : str or None
        None does nothing.
    status : {"FINISHED", "FAILED", "KILLED"}
    folder : Path or None
        Of the sweep; ids of runs that its jobs found finished are kept too.
    """
    if not tracking.live or run_id is None:
        return
    store = opened(tracking)
    if folder is not None:
        told = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob(f"*/{SAME}"))]
        end_sweep(store, run_id, folder, [one["run_id"] for one in told if one["run_id"] is not None])
    store.ask(store.client.set_terminated, run_id, status)


def end_sweep(store: Store, run_id: str, folder: Path, same: Sequence[str]) -> None:
    """Send what a sweep's folder holds beside its jobs' folders, and the ids of runs that had finished before."""
    send(store, run_id, sorted(path for path in folder.iterdir() if path.is_file()))
    with TemporaryDirectory() as made:
        (Path(made) / SAME).write_text(json.dumps({"runs": [*same]}))
        send(store, run_id, [Path(made) / SAME])


def study_sweep(tracking: Tracking, study: str) -> str | None:
    """Return the id of the run of a study's newest sweep; None where there is no such study, or no store."""
    if not tracking.live:
        return None
    parent = _newest(opened(tracking), study)
    return None if parent is None else str(parent.info.run_id)


def study_runs(tracking: Tracking, study: str) -> list[str]:
    """Return the ids of the finished runs of a study's newest sweep, those among them that had finished before.

    Returns
    -------
    list of str
        In the order in which they were started; empty where there is no such study, or no store.
    """
    if not tracking.live:
        return []
    store = opened(tracking)
    parent = _newest(store, study)
    if parent is None:
        return []
    children = list(store.with_tags({"mlflow.parentRunId": str(parent.info.run_id)}, finished=True))
    known = {one.info.run_id for one in children}
    before = [one for one in _same(store, parent) if one not in known]
    runs = [*children, *(store.finished(before) if before else ())]
    return [str(one.info.run_id) for one in sorted(runs, key=lambda one: int(one.info.start_time))]


def _newest(store: Store, study: str) -> Run | None:
    return next(store.with_tags({"brainexp.kind": "sweep", "brainexp.study": study}), None)


def _same(store: Store, parent: Run) -> list[str]:
    run_id = parent.info.run_id
    if SAME not in {one.path for one in store.ask(store.client.list_artifacts, run_id)}:
        return []
    with TemporaryDirectory() as place:
        file = store.ask(store.client.download_artifacts, run_id, SAME, place)
        return [str(one) for one in json.loads(Path(file).read_text())["runs"]]
