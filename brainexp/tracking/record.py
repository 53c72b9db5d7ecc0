"""All that a store is told of a run, in a form that can wait in a file until there is a store."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from brainexp.errors import DataError
from brainexp.tracking.store import Store

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

#: In the folder of a run.
RECORD_FILE = "tracking.json"
#: The most that one request takes.
MAX_METRICS = 1000
MAX_PARAMS = 100
#: Longest digest of what was read.
MAX_DIGEST = 36


@dataclass(frozen=True)
class Point:
    """One value of a metric.

    Parameters
    ----------
    name : str
    value : float
        May be NaN.
    step : int
        A layer for curves over layers, else 0.
    """

    name: str
    value: float
    step: int = 0


@dataclass(frozen=True)
class Record:
    """A run as the store shows it.

    Parameters
    ----------
    id : str
        Its own, the same in every store.
    name : str
        For people.
    started_ms, ended_ms : int
        Since the epoch; metrics have the time of the end.
    params, tags : mapping of str to str
        By name.
    points : tuple of Point
        Metrics.
    inputs : tuple of mapping of str to str
        What was read: ``name``, ``context`` ("dataset" or "model"), ``source``, ``digest`` and what else is known.
    run_id : str or None
        In the store that it was meant for; None where it was not reached.
    """

    id: str
    name: str
    started_ms: int
    ended_ms: int
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    points: tuple[Point, ...] = ()
    inputs: tuple[Mapping[str, str], ...] = ()
    run_id: str | None = None

    def save(self, folder: Path) -> None:
        """Write it into a folder, whole or not at all."""
        told = asdict(self) | {"points": [[one.name, _written(one.value), one.step] for one in self.points]}
        partial = folder / f".{RECORD_FILE}-{uuid4().hex}"
        try:
            partial.write_text(json.dumps(told, indent=1, ensure_ascii=False, allow_nan=False), encoding="utf-8")
            partial.replace(folder / RECORD_FILE)
        finally:
            partial.unlink(missing_ok=True)

    @classmethod
    def load(cls, folder: Path) -> Record:
        """Read it from a folder; raise DataError if it is not one."""
        file = folder / RECORD_FILE
        try:
            told = json.loads(file.read_text(encoding="utf-8"))
            points = tuple(Point(name, float(value), step) for name, value, step in told.pop("points"))
            return cls(**told | {"points": points, "inputs": tuple(told["inputs"])})
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise DataError(f"{file} is no record of a run ({error}). Runs with tracking.uri write it.") from error


def log_params(store: Store, run_id: str, params: Mapping[str, str]) -> None:
    """Tell the store the columns of a run; the same may be told twice."""
    from mlflow.entities import Param

    told = [Param(name, value) for name, value in params.items()]
    for first in range(0, len(told), MAX_PARAMS):
        store.ask(store.client.log_batch, run_id, params=told[first : first + MAX_PARAMS])


def log_values(store: Store, run_id: str, record: Record) -> None:
    """Tell the store tags, metrics and inputs; the same may be told twice and is there once."""
    from mlflow.entities import Metric, RunTag

    store.ask(store.client.log_batch, run_id, tags=[RunTag(name, value) for name, value in record.tags.items()])
    metrics = [Metric(one.name, one.value, record.ended_ms, one.step) for one in record.points]
    for first in range(0, len(metrics), MAX_METRICS):
        store.ask(store.client.log_batch, run_id, metrics=metrics[first : first + MAX_METRICS])
    if record.inputs:
        store.ask(store.client.log_inputs, run_id, [_input(**one) for one in record.inputs])


def _input(name: str, context: str, source: str, digest: str, **facts: str) -> DatasetInput:
    """Describe what was read, for the panel that MLflow calls datasets."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    remote = source.startswith("http")
    told = json.dumps({"url" if remote else "uri": source})
    dataset = Dataset(name, digest[:MAX_DIGEST], "http" if remote else "local", told)
    tags = {"mlflow.data.context": context, **facts}
    return DatasetInput(dataset, [InputTag(key, value) for key, value in tags.items()])


def _written(value: float) -> float | str:
    """JSON has no NaN and no infinity; as words they can be read back."""
    return value if math.isfinite(value) else str(value)
