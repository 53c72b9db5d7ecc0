"""A tracking store: reached with patience, its schema made once, its runs found and made once."""

from __future__ import annotations

import getpass
import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from brainexp.environment import without_credentials
from brainexp.errors import ConfigError
from brainexp.tracking.view import VIEW, add_view

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from tenacity import RetryCallState

log = logging.getLogger(__name__)

Given = ParamSpec("Given")
Answer = TypeVar("Answer")

SQLITE = "sqlite:///"
#: Addresses of databases without a server for files.
DATABASES = ("postgresql", "mysql", "mssql")
#: Environment variable that tells a sweep's jobs which run is their parent's.
PARENT = "BRAINEXP_PARENT_RUN_ID"
#: Tag by which a run is found again, whatever became of the answer to the request that made it.
RECORD = "brainexp.record"
#: What databases say that are locked, starting or out of connections.
PASSING_WORDS = re.compile("locked|starting up|shutting down|too many|connection|timeout", re.IGNORECASE)
#: Runs that one search names; the condition of a search is sent in a request.
MAX_LISTED = 50
#: Longest that a store takes.
MAX_TAG = 8000


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
        None for a name that says what the run is.
    offline : bool
        Leave the record in the run's folder, for ``python -m brainexp.sync``; the store is not asked for anything.
    patience_s : float
        How long a store that does not answer is asked again, in seconds.
    """

    uri: str | None = None
    experiment: str = "brainexp"
    run_name: str | None = None
    offline: bool = False
    patience_s: float = 180.0

    def __post_init__(self) -> None:
        if not self.patience_s >= 0:
            raise ConfigError(f"tracking: patience_s must be 0 or more, in seconds, got {self.patience_s}")

    @property
    def live(self) -> bool:
        """Whether a store is asked."""
        return self.uri is not None and not self.offline

    def way_to(self, folder: Path) -> str | None:
        """Return where to look at recorded runs: a command or an address; None where nothing is recorded.

        Parameters
        ----------
        folder : Path
            Of a run, which waits there if nothing was sent.
        """
        if self.uri is None:
            return None
        if self.offline:
            return f"once recorded: python -m brainexp.sync {folder} tracking.uri={without_credentials(self.uri)}"
        if self.uri.startswith("http"):
            address = without_credentials(self.uri).replace("***@", "")  # a browser asks for the password itself
            return f"{address}/#/experiments (model training, {self.experiment}, view {VIEW})"
        return f"mlflow ui --backend-store-uri {self.uri}"


@dataclass(frozen=True, eq=False)
class Store:
    """A store that has been reached, and the experiment in it.

    Parameters
    ----------
    client : MlflowClient
        Requests go through `ask`.
    experiment_id : str
        Where runs are made and found.
    remote : bool
        Whether a server stands between.
    patience_s : float
        How long a request is repeated, in seconds.
    """

    client: MlflowClient
    experiment_id: str
    remote: bool
    patience_s: float

    def ask(self, request: Callable[Given, Answer], *given: Given.args, **options: Given.kwargs) -> Answer:
        """Make a request that may be made twice; repeat it while the store is away."""
        return patiently(self.patience_s, self.remote, request, *given, **options)

    def runs(self, condition: str) -> Iterator[Run]:
        """Yield the runs for which a condition of MLflow's search holds, newest first."""
        token: str | None = None
        while True:
            page = self.ask(self.client.search_runs, [self.experiment_id], condition, page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    def with_tags(self, tags: Mapping[str, str], *, finished: bool = False) -> Iterator[Run]:
        """Yield the runs with all these tags, newest first."""
        conditions = [f"tags.`{name}` = '{value}'" for name, value in tags.items()]
        return self.runs(" and ".join(conditions + ["attributes.status = 'FINISHED'"] * finished))

    def finished(self, run_ids: Sequence[str]) -> Iterator[Run]:
        """Yield those of some runs that are here and have finished."""
        for first in range(0, len(run_ids), MAX_LISTED):
            listed = ", ".join(f"'{one}'" for one in run_ids[first : first + MAX_LISTED])
            yield from self.runs(f"attributes.run_id IN ({listed}) and attributes.status = 'FINISHED'")

    def run_of(self, record_id: str, name: str, tags: Mapping[str, str], started_ms: int) -> str:
        """Return the id of a record's run, which is made if it is not there: once, even where the first answer got lost.

        Parameters
        ----------
        record_id : str
            By which it is known.
        name : str
        tags : mapping of str to str
            Of a new run.
        started_ms : int
            Since the epoch.
        """

        def found_or_made() -> str:
            known = self.client.search_runs([self.experiment_id], f"tags.`{RECORD}` = '{record_id}'")
            if known:
                return str(known[0].info.run_id)
            all_tags = {**_source(), **tags, RECORD: record_id}
            return str(self.client.create_run(self.experiment_id, started_ms, all_tags, run_name=name).info.run_id)

        return self.ask(found_or_made)


def opened(tracking: Tracking) -> Store:
    """Reach the store, and make schema and experiment where there are none.

    Raises
    ------
    ConfigError
        If it cannot be reached.
    """
    assert tracking.uri is not None
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    # Ours say what they wait for, and look before they repeat.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    from filelock import FileLock
    from mlflow import MlflowClient

    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # its errors reach us as exceptions
    if tracking.uri.startswith(DATABASES):
        raise ConfigError(
            f"tracking.uri={without_credentials(tracking.uri)} is a database, which has no place for files. Start a server "
            "over it (mlflow server --backend-store-uri ... --artifacts-destination FOLDER, see docs/tracker.md) and give "
            "its address: tracking.uri=http://HOST:5000."
        )
    if not tracking.uri.startswith(SQLITE):
        return _reached(tracking, lambda: MlflowClient(tracking.uri), None)
    database = Path(tracking.uri.removeprefix(SQLITE)).absolute()
    database.parent.mkdir(parents=True, exist_ok=True)
    # Without a location of their own, artifacts would go to wherever the first run was started.
    artifacts = (database.parent / "mlartifacts" / tracking.experiment).as_uri()
    # Jobs that start together must not create the schema twice: that breaks the database for good.
    with FileLock(f"{database}.lock", mode=0o666):
        return _reached(tracking, lambda: MlflowClient(f"{SQLITE}{database}"), artifacts)


def _reached(tracking: Tracking, connect: Callable[[], MlflowClient], artifacts: str | None) -> Store:
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    remote = artifacts is None
    try:
        client = patiently(tracking.patience_s, remote, connect)
        experiment_id = patiently(tracking.patience_s, remote, _experiment, client, tracking.experiment, artifacts)
    except (MlflowException, SQLAlchemyError) as error:
        reason = str(error).split("\n")[0]
        told = without_credentials(f"tracking.uri={tracking.uri} cannot be used: {reason}")
        raise ConfigError(
            f"{told} Start the server, correct the address, give tracking.offline=true to record in the run's folder for "
            "now, or tracking.uri=null to record nothing."
        ) from error
    return Store(client, experiment_id, remote, tracking.patience_s)


def _experiment(client: MlflowClient, name: str, artifacts: str | None) -> str:
    from mlflow.exceptions import MlflowException

    known = client.get_experiment_by_name(name)
    if known is None:
        try:
            client.create_experiment(name, artifact_location=artifacts)
        except MlflowException as error:
            if client.get_experiment_by_name(name) is None:  # else another job was faster
                raise error from None
        known = client.get_experiment_by_name(name)
        assert known is not None
    add_view(client, known.experiment_id, known.tags)
    return str(known.experiment_id)


def patiently(
    patience_s: float, remote: bool, request: Callable[Given, Answer], *given: Given.args, **options: Given.kwargs
) -> Answer:
    """Make a request, and repeat it while the reason why it fails is one that passes."""
    from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

    def tell(state: RetryCallState) -> None:
        if state.attempt_number == 1 and state.outcome is not None:
            reason = str(state.outcome.exception()).strip().split("\n")[0]
            log.warning("the tracking store does not answer; trying again for %.0f s (%s)", patience_s, reason)

    again = Retrying(
        retry=retry_if_exception(lambda error: _passes(error, remote)),
        stop=stop_after_delay(patience_s),
        wait=wait_random_exponential(multiplier=0.5, max=10.0),
        before_sleep=tell,
        reraise=True,
    )
    return again(request, *given, **options)


def _passes(error: BaseException, remote: bool) -> bool:
    """Whether a request may succeed later: the server is away or overloaded, or a database is locked."""
    import requests
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import OperationalError

    if isinstance(error, OperationalError):
        return PASSING_WORDS.search(str(error)) is not None
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return error.response.status_code >= 500 or error.response.status_code == 429
    if isinstance(error, (requests.ConnectionError, requests.Timeout)):
        return True
    if not isinstance(error, MlflowException):
        return False
    passing = ("TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED")
    return error.error_code in passing or (remote and error.error_code == "INTERNAL_ERROR")


def _source() -> dict[str, str]:
    """Tags that MLflow shows as the columns User and Source."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container may have no name for its user
        user = "unknown"
    return {"mlflow.user": user, "mlflow.source.name": "brainexp", "mlflow.source.type": "LOCAL"}


def shortened(text: str, longest: int = MAX_TAG) -> str:
    """Return a text that the store takes, saying so where something was left out."""
    if len(text) <= longest:
        return text
    told = f" … ({len(text)} characters)"
    return text[: longest - len(told)] + told
