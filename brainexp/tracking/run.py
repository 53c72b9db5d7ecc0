"""One run: opened before it starts, told its result, closed as finished, failed or killed."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

from brainexp.composition import Experiment
from brainexp.environment import without_credentials
from brainexp.identity import config_hash
from brainexp.result import Result
from brainexp.tracking.files import send
from brainexp.tracking.record import RECORD_FILE, Record, log_params, log_values
from brainexp.tracking.shown import columns, inputs, points, tags_of_config, tags_of_result
from brainexp.tracking.store import PARENT, Store, Tracking, opened, shortened

log = logging.getLogger(__name__)

#: How long a store is asked to close a run that failed, in seconds: the error is not to wait.
PATIENCE_OF_FAILURE_S = 10.0


class Recorder:
    """Takes the result of a run and the folder of its files, once.

    Parameters
    ----------
    tracking : Tracking
        Where to record.
    config : mapping
        The resolved config.
    record : Record
        What is known before the run.
    store : Store or None
        None where no store is asked.
    """

    def __init__(self, tracking: Tracking, config: Mapping[str, Any], record: Record, store: Store | None) -> None:
        self._tracking, self._config, self._record, self._store = tracking, config, record, store
        self._folder: Path | None = None
        self._lost = False

    @property
    def run_id(self) -> str | None:
        """Of the run in the store; None where no store is asked."""
        return self._record.run_id

    def __call__(self, result: Result, folder: Path) -> None:
        """Record a result; where the store has gone away meanwhile, say how it can be recorded later."""
        if self._tracking.uri is None:
            return
        experiment, label = Experiment.from_config(self._config), self._record.tags["brainexp.label"]
        record = replace(
            self._record,
            ended_ms=now_ms(),
            tags={**self._record.tags, **tags_of_result(result, experiment, label)},
            points=tuple(points(result)),
            inputs=inputs(experiment, label),
        )
        record.save(folder)
        if self._store is None or self.run_id is None:
            return
        self._folder = folder
        with self._surviving():
            complete(self._store, self.run_id, record, folder)

    def finish(self) -> None:
        """Close the run as finished, unless its result was not recorded."""
        with self._surviving():
            if self._store is not None and self.run_id is not None and not self._lost:
                self._store.ask(self._store.client.set_terminated, self.run_id, "FINISHED")

    @contextmanager
    def _surviving(self) -> Iterator[None]:
        """Tell of an error instead of raising it, where there is a result: hours of work must not end with it."""
        try:
            yield
        except Exception as error:
            if self._folder is None:
                raise
            self._lost = True
            log.debug("the result was not recorded", exc_info=True)
            uri, reason = without_credentials(self._tracking.uri or ""), str(error).strip().split("\n")[0]
            log.error(
                "The result is written but not recorded in %s (%s). Record it when that is mended: python -m brainexp.sync "
                "%s tracking.uri=%s",
                *(uri, reason, self._folder, uri),
            )


def complete(store: Store, run_id: str, record: Record, folder: Path) -> None:
    """Tell the store all of a run but that it is finished; what it knows already is not doubled."""
    log_params(store, run_id, record.params)
    log_values(store, run_id, record)
    send(store, run_id, [path for path in sorted(folder.iterdir()) if path.name != RECORD_FILE])
    with TemporaryDirectory() as place:
        write_previews(folder, Path(place))
        send(store, run_id, sorted(Path(place).iterdir()))


def write_previews(folder: Path, place: Path) -> None:
    """Write, of what MLflow cannot show, what it can: scores as a table, and the config as text."""
    import pandas as pd
    import yaml

    if (folder / "scores.parquet").is_file():
        pd.read_parquet(folder / "scores.parquet").to_csv(place / "scores.csv", index=False)
    if (folder / "result.json").is_file():
        config = json.loads((folder / "result.json").read_text(encoding="utf-8"))["config"]
        (place / "config.yaml").write_text(
            yaml.safe_dump(config, sort_keys=False, allow_unicode=True), encoding="utf-8"
        )


@contextmanager
def tracked(
    tracking: Tracking,
    config: Mapping[str, Any],
    environment: Mapping[str, Any],
    run_name: str,
    overrides: Sequence[str] = (),
) -> Iterator[Recorder]:
    """Open a run, yield what records its result, and close it as finished, failed or killed.

    The run is a child of the one that the environment variable `PARENT` names.

    Parameters
    ----------
    tracking : Tracking
        Where to record.
    config : mapping
        The resolved config.
    environment : mapping
        Versions and commit; they become tags.
    run_name : str
        The run's label; also its name where the tracking names none.
    overrides : sequence of str
        What the user, or the sweep, asked for, such as "encoder.alphas=[1,10]"; each such option becomes a parameter.

    Yields
    ------
    Recorder

    Raises
    ------
    ConfigError
        If the tracking store cannot be reached.
    """
    tags = {"brainexp.kind": "run", "brainexp.label": run_name} if tracking.uri is not None else {}
    if tags:
        tags |= tags_of_config(config, environment) | {"brainexp.config_hash": config_hash(config)}
    record = Record(
        id=uuid4().hex,
        name=tracking.run_name or run_name,
        started_ms=now_ms(),
        ended_ms=0,
        params=columns(config, run_name, overrides) if tags else {},
        tags={name: shortened(value) for name, value in tags.items()},
    )
    if not tracking.live:
        yield Recorder(tracking, config, record, None)
        return
    with _open_run(tracking, record) as (store, run_id):
        recorder = Recorder(tracking, config, replace(record, run_id=run_id), store)
        yield recorder
        recorder.finish()


@contextmanager
def _open_run(tracking: Tracking, record: Record) -> Iterator[tuple[Store, str]]:
    """Make a run, and close it where an error comes through."""
    store = opened(tracking)
    parent = os.environ.get(PARENT)
    tags = {**record.tags, **({"mlflow.parentRunId": parent} if parent else {})}
    run_id = store.run_of(record.id, record.name, tags, record.started_ms)
    try:
        log_params(store, run_id, record.params)
        yield store, run_id
    except BaseException as error:
        _close_failed(store, run_id, error)
        raise


def _close_failed(store: Store, run_id: str, error: BaseException) -> None:
    status = (
        "FAILED" if isinstance(error, Exception) else "KILLED"
    )  # Ctrl-C, or a scheduler that wants the machine back
    hasty = replace(store, patience_s=min(store.patience_s, PATIENCE_OF_FAILURE_S))
    try:
        hasty.ask(hasty.client.set_tag, run_id, "brainexp.error", shortened(f"{type(error).__name__}: {error}"))
        hasty.ask(hasty.client.set_terminated, run_id, status)
    except Exception as another:  # the first error is the one to be told
        log.warning("run %s could not be marked as %s: %s", run_id, status, another)


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return int(time.time() * 1000)
