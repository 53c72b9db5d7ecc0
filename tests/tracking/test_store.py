"""A store that is away, overloaded or locked."""

import logging
import sqlite3
import threading
import time
from pathlib import Path

import pytest
import requests
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED, RESOURCE_DOES_NOT_EXIST, TEMPORARILY_UNAVAILABLE
from sqlalchemy.exc import OperationalError

from brainexp.errors import ConfigError
from brainexp.tracking import Tracking
from brainexp.tracking.store import MAX_TAG, opened, patiently, shortened

AWAY = "API request to http://x/api failed with exception Connection refused"


def http_error(status):
    response = requests.Response()
    response.status_code = status
    return requests.HTTPError("no", response=response)


PASSING = [
    (MlflowException(AWAY), True),
    (MlflowException("database is locked", error_code=TEMPORARILY_UNAVAILABLE), False),
    (OperationalError("SELECT 1", {}, Exception("database is locked")), False),
    (requests.ConnectionError("refused"), True),
    (requests.Timeout("slow"), True),
    (http_error(503), True),
    (http_error(429), True),
]
LASTING = [
    (MlflowException("Detected out-of-date database schema"), False),
    (MlflowException("no such run", error_code=RESOURCE_DOES_NOT_EXIST), True),
    (MlflowException("Invalid Host header", error_code=PERMISSION_DENIED), True),
    (http_error(403), True),
    (OperationalError("SELECT 1", {}, Exception("unable to open database file")), False),
    (ValueError("a mistake of ours"), True),
]


class Failing:
    """A request that fails so often, then succeeds."""

    def __init__(self, error, times):
        self.error, self.times, self.asked = error, times, 0

    def __call__(self):
        self.asked += 1
        if self.asked <= self.times:
            raise self.error
        return "answer"


@pytest.mark.parametrize(("error", "remote"), PASSING)
def test_what_passes_is_waited_for_and_told_once(error, remote, caplog):
    request = Failing(error, 3)

    assert patiently(30.0, remote, request) == "answer"

    assert request.asked == 4
    (told,) = [one for one in caplog.records if one.levelno == logging.WARNING]
    assert "the tracking store does not answer; trying again for 30 s" in told.getMessage()


@pytest.mark.parametrize(("error", "remote"), LASTING)
def test_what_lasts_is_raised_at_once(error, remote):
    request = Failing(error, 1)

    with pytest.raises(type(error)):
        patiently(30.0, remote, request)

    assert request.asked == 1


def test_patience_ends():
    request = Failing(requests.ConnectionError("refused"), 1000)

    began = time.monotonic()
    with pytest.raises(requests.ConnectionError):
        patiently(1.5, True, request)

    assert 1.0 < time.monotonic() - began < 15.0
    assert request.asked > 1


def test_a_run_whose_making_was_not_answered_is_found_and_not_made_again(store, monkeypatch):
    real, lost = store.client.create_run, []

    def answer_lost(*given, **options):
        run = real(*given, **options)
        if not lost:
            lost.append(run.info.run_id)
            raise requests.ConnectionError("the connection broke after the run was made")
        return run

    monkeypatch.setattr(store.client, "create_run", answer_lost)
    patient = type(store)(store.client, store.experiment_id, True, 30.0)

    run_id = patient.run_of("r1", "x", {}, 0)

    assert [run_id] == lost
    assert len(list(patient.with_tags({"brainexp.record": "r1"}))) == 1
    assert patient.run_of("r1", "x", {}, 0) == run_id
    assert patient.run_of("r2", "x", {}, 0) != run_id


def test_a_database_that_another_program_holds_is_waited_for(tracking, store, monkeypatch):
    """MLflow itself gives up after 20 seconds; here it waits a moment only, so that the test does not take as long."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    def hasty(connection, cursor, statement, *others):
        if "busy_timeout" in statement:
            cursor.execute("PRAGMA busy_timeout = 100")

    event.listen(Engine, "after_cursor_execute", hasty)
    run_id = store.run_of("r1", "x", {}, 0)
    held = sqlite3.connect(tracking.uri.removeprefix("sqlite:///"), check_same_thread=False, isolation_level=None)
    held.execute("BEGIN EXCLUSIVE")
    release = threading.Timer(3.0, lambda: held.execute("COMMIT"))
    release.start()
    try:
        with pytest.raises(MlflowException, match="locked"):
            store.ask(store.client.log_metric, run_id, "a", 1.0)
        type(store)(store.client, store.experiment_id, False, 60.0).ask(store.client.log_metric, run_id, "a", 1.0)
    finally:
        release.join()
        held.close()
        event.remove(Engine, "after_cursor_execute", hasty)

    assert store.client.get_run(run_id).data.metrics == {"a": 1.0}


def test_runs_are_found_beyond_the_first_page(store):
    for number in range(5):
        store.run_of(str(number), "x", {"kind": "many"}, number)
    real = store.client.search_runs

    def in_pages(experiments, condition, page_token=None):
        return real(experiments, condition, max_results=2, page_token=page_token)

    store.client.search_runs = in_pages

    assert len(list(store.with_tags({"kind": "many"}))) == 5


def test_a_file_that_is_no_database_is_an_error_in_words(tmp_path):
    (tmp_path / "mlflow.db").write_text("not a database, though long enough to be one" * 100)

    with pytest.raises(ConfigError, match="cannot be used: .*file is not a database.*tracking.offline=true"):
        opened(Tracking(uri=f"sqlite:///{tmp_path}/mlflow.db", patience_s=0))


def test_a_database_alone_is_refused_and_its_password_not_shown():
    with pytest.raises(
        ConfigError, match=r"tracking.uri=postgresql\+psycopg://\*\*\*@db/mlflow is a database.*tracking.uri=http"
    ) as raised:
        opened(Tracking(uri="postgresql+psycopg://me:secret@db/mlflow"))

    assert "secret" not in str(raised.value)


def test_patience_is_not_negative():
    with pytest.raises(ConfigError, match="patience_s must be 0 or more, in seconds, got -1"):
        Tracking(patience_s=-1)


@pytest.mark.parametrize(
    ("options", "way"),
    [
        ({"uri": None}, None),
        ({"uri": "sqlite:///outputs/mlflow.db"}, "mlflow ui --backend-store-uri sqlite:///outputs/mlflow.db"),
        (
            {"uri": "http://me:secret@host:5000"},
            "http://host:5000/#/experiments (model training, brainexp, view brainexp)",
        ),
        ({"uri": "http://h", "offline": True}, "once recorded: python -m brainexp.sync run tracking.uri=http://h"),
    ],
)
def test_a_run_ends_with_where_to_look(options, way):
    assert Tracking(**options).way_to(Path("run")) == way


def test_long_texts_say_that_something_was_left_out():
    assert shortened("x" * MAX_TAG) == "x" * MAX_TAG
    cut = shortened("x" * (MAX_TAG + 1))
    assert len(cut) == MAX_TAG
    assert cut.endswith(f"x … ({MAX_TAG + 1} characters)")
