"""What is recorded in MLflow. The only module that imports it."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brainexp.cache import digest
from brainexp.environment import public
from brainexp.errors import ConfigError
from brainexp.result import Result
from brainexp.settings import decisive, leaves

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger(__name__)

SQLITE = "sqlite:///"
#: MLflow truncates longer values without a word.
MAX_PARAM = 6000
MAX_TAG = 8000


@dataclass(frozen=True)
class Record:
    """What records a result: called with it, and with the folder whose files are recorded beside it.

    Parameters
    ----------
    run_id : str or None
        Id of the open run; None where nothing is recorded.
    log : callable
        Takes the result and the folder.
    """

    run_id: str | None
    log: Callable[[Result, Path], None]

    def __call__(self, result: Result, folder: Path) -> None:
        """Record what was found."""
        self.log(result, folder)


@dataclass(frozen=True)
class Tracking:
    """Where runs are recorded.

    Parameters
    ----------
    uri : str or None
        Any MLflow tracking URI; None records nothing.
    experiment : str
        The MLflow experiment.
    run_name : str or None
        None for "model-compression-dataset".
    """

    uri: str | None = None
    experiment: str = "brainexp"
    run_name: str | None = None


def config_hash(config: Mapping[str, Any]) -> str:
    """Digest of what decides a run's numbers: the config without tracking, the cache's folder and report."""
    return digest(decisive(config))


@contextmanager
def tracked(
    tracking: Tracking, config: Mapping[str, Any], environment: Mapping[str, Any], run_name: str
) -> Iterator[Record]:
    """Open a run, yield what records its result, and close it as finished, failed or killed.

    Parameters
    ----------
    tracking : Tracking
        Where to record.
    config : mapping
        The resolved config; its leaves become parameters.
    environment : mapping
        Versions and commit; they become tags.
    run_name : str
        Used where the tracking names none.

    Yields
    ------
    callable
        Takes the result and the folder whose files are recorded beside it.

    Raises
    ------
    ConfigError
        If the tracking store cannot be reached.
    """
    if tracking.uri is None:
        yield Record(None, _record_nothing)
        return
    client, experiment_id = _client(tracking)
    run_id = client.create_run(
        experiment_id, run_name=tracking.run_name or run_name, tags=_tags(config, environment)
    ).info.run_id
    try:
        _log_params(client, run_id, config)
        yield Record(run_id, lambda result, folder: _log_result(client, run_id, result, folder))
    except BaseException as error:
        client.set_tag(run_id, "brainexp.error", f"{type(error).__name__}: {error}"[:MAX_TAG])
        client.set_terminated(run_id, "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        raise
    client.set_terminated(run_id, "FINISHED")


def mark(tracking: Tracking, run_id: str | None, tags: Mapping[str, str]) -> None:
    """Put tags on a run; nothing where nothing is recorded."""
    if run_id is not None:
        client, _ = _client(tracking)
        for name, value in tags.items():
            client.set_tag(run_id, name, value[:MAX_TAG])


def restore(tracking: Tracking, run_id: str, folder: Path) -> None:
    """Download the files of a run into a folder.

    Raises
    ------
    ConfigError
        If the tracker holds no such run.
    """
    from mlflow.exceptions import MlflowException

    assert tracking.uri is not None
    if tracking.uri.startswith(SQLITE) and not Path(tracking.uri.removeprefix(SQLITE)).is_file():
        raise ConfigError(
            f"there is no run {run_id}: tracking.uri={tracking.uri} names no database that is there. Give the one "
            "in which the run was recorded: tracking.uri=..."
        )
    client, _ = _client(tracking)
    try:
        client.get_run(run_id)
        client.download_artifacts(run_id, "", str(folder))
    except MlflowException as error:
        reason = str(error).split("\n")[0]
        raise ConfigError(
            f"run {run_id} cannot be read from tracking.uri={tracking.uri}: {reason} Give the tracker in which it was "
            "recorded: tracking.uri=..."
        ) from error


def _record_nothing(result: Result, folder: Path) -> None:
    """Stand in where tracking.uri is null."""


def _client(tracking: Tracking) -> tuple[MlflowClient, str]:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from filelock import FileLock
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    for chatty in ("alembic", "mlflow.store.db.utils"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    assert tracking.uri is not None
    if not tracking.uri.startswith(SQLITE):
        try:
            client = MlflowClient(tracking.uri)
            return client, _experiment(client, tracking.experiment, None)
        except MlflowException as error:
            reason = str(error).split("\n")[0]
            raise ConfigError(
                f"tracking.uri={tracking.uri} cannot be used: {reason} Start the server, correct the address, or give "
                "tracking.uri=null to record nothing."
            ) from error
    database = Path(tracking.uri.removeprefix(SQLITE)).absolute()
    database.parent.mkdir(parents=True, exist_ok=True)
    # Jobs that start together must not create the schema twice: that breaks the database for good.
    with FileLock(f"{database}.lock"):
        client = MlflowClient(f"{SQLITE}{database}")
        # Without a location of their own, artifacts would go to wherever the first run was started.
        artifacts = database.parent / "mlartifacts" / tracking.experiment
        return client, _experiment(client, tracking.experiment, artifacts.as_uri())


def _experiment(client: MlflowClient, name: str, artifact_location: str | None) -> str:
    known = client.get_experiment_by_name(name)
    if known is not None:
        return str(known.experiment_id)
    return str(client.create_experiment(name, artifact_location=artifact_location))


def _tags(config: Mapping[str, Any], environment: Mapping[str, Any]) -> dict[str, str]:
    components = ("dataset", "model", "compression", "prompt", "encoder")
    return {
        "brainexp.config_hash": config_hash(config),
        "brainexp.version": str(environment["brainexp"]),
        "brainexp.git_commit": str(environment["git_commit"]),
        **{f"brainexp.{name}": str(config[name]["name"]) for name in components},
        **{f"version.{name}": str(number) for name, number in environment["packages"].items()},
    }


def _log_params(client: MlflowClient, run_id: str, config: Mapping[str, Any]) -> None:
    from mlflow.entities import Param

    params = []
    for key, value in leaves(config):
        text = str(public(value))
        params.append(Param(key, text if len(text) <= MAX_PARAM else "too long for MLflow: see result.json"))
    client.log_batch(run_id, params=params)


def _log_result(client: MlflowClient, run_id: str, result: Result, folder: Path) -> None:
    from mlflow.entities import Metric

    now_ms = int(time.time() * 1000)
    metrics = [Metric(_allowed(name), value, now_ms, 0) for name, value in result.metrics.items()]
    for name, curve in result.curves.items():
        steps = result.layers if len(result.layers) == len(curve) else range(len(curve))
        metrics += [Metric(_allowed(name), value, now_ms, layer) for layer, value in zip(steps, curve, strict=True)]
    for first in range(0, len(metrics), 1000):  # the most that one call takes
        client.log_batch(run_id, metrics=metrics[first : first + 1000])
    if result.compression:  # known only when the checkpoint is: it may be quantized already
        client.set_tag(run_id, "brainexp.compression", result.compression)
    shown = result.scores.astype({"layer": "float64"})
    client.log_table(run_id, shown, "scores.json")
    for made in sorted(folder.iterdir()):
        if made.name.startswith("."):
            continue
        if made.is_dir():
            client.log_artifacts(run_id, str(made), made.name)
        else:
            client.log_artifact(run_id, str(made))


def _allowed(name: str) -> str:
    """MLflow takes letters, digits and a few marks in a metric's name; an ROI's name may have others."""
    return "".join(mark if mark.isalnum() or mark in "_-. :/" else "_" for mark in name)
