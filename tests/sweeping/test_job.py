"""A job runs once, is found again, and keeps its error."""

import json
import threading

import pytest

from brainexp.errors import ConfigError
from brainexp.identity import config_hash
from brainexp.report.sweep import failures, records
from brainexp.sweeping.job import attempt
from brainexp.sweeping.ledger import Ledger
from tests.sweeping.test_ledger import CONFIG, put


@pytest.fixture
def config(tmp_path):
    return CONFIG | {"sweep": {"resume": True, "finished": str(tmp_path / "finished")}}


@pytest.fixture
def ran(tmp_path, config):
    """Runs jobs that leave a result; lists their folders."""
    made = []

    def run(config, folder):
        made.append(folder)
        put(folder, config)
        Ledger(tmp_path / "finished").enter(config, folder, f"run {len(made)}")

    run.made = made
    return run


def job(config, folder, run, overrides=("seed=0",)):
    return attempt(lambda: config, folder, "a-b-c", overrides, run)


def fail(config, folder):
    raise ConfigError("no such thing")


def test_a_job_runs_and_leaves_its_result(tmp_path, config, ran):
    outcome = job(config, tmp_path / "0", ran)

    assert outcome.kind == "ran"
    assert [one["folder"] for one in records(tmp_path)] == [str(tmp_path / "0")]


def test_what_has_finished_is_not_run_again_but_pointed_to(tmp_path, config, ran):
    job(config, tmp_path / "one" / "0", ran)

    outcome = job(config, tmp_path / "two" / "3", ran)

    assert outcome.kind == "same"
    assert ran.made == [tmp_path / "one" / "0"]
    assert json.loads((tmp_path / "two" / "3" / "same.json").read_text()) == {
        "folder": str(tmp_path / "one" / "0"), "run_id": "run 1", "config_hash": config_hash(config),
    }  # fmt: skip
    assert [one["folder"] for one in records(tmp_path / "two")] == [str(tmp_path / "one" / "0")]


def test_another_commit_is_told_of(tmp_path, config, ran):
    job(config, tmp_path / "one" / "0", ran)

    assert "(made by commit abc, this is " in job(config, tmp_path / "two" / "0", ran).words


def test_a_job_of_the_same_folder_points_nowhere(tmp_path, config, ran):
    job(config, tmp_path / "0", ran)

    assert job(config, tmp_path / "0", ran).kind == "same"
    assert not (tmp_path / "0" / "same.json").exists()


def test_it_is_run_again_where_that_is_asked_for(tmp_path, config, ran):
    job(config, tmp_path / "one" / "0", ran)

    config["sweep"]["resume"] = False

    assert job(config, tmp_path / "two" / "0", ran).kind == "ran"
    assert len(ran.made) == 2


def test_an_error_is_kept_with_its_trace_and_goes_no_further(tmp_path, config):
    outcome = job(config, tmp_path / "0", fail, ["model=gpt2"])

    assert (outcome.kind, outcome.words) == ("failed", "ConfigError: no such thing")
    (failed,) = failures(tmp_path)
    assert failed["error"] == "ConfigError: no such thing"
    assert failed["overrides"] == ["model=gpt2"]
    assert "in fail" in failed["trace"]
    assert failed["folder"] == str(tmp_path / "0")
    assert records(tmp_path) == []


def test_an_error_of_composition_is_kept_too(tmp_path):
    def compose():
        raise ConfigError("model.path is missing")

    outcome = attempt(compose, tmp_path / "0", "a-b-c", [], fail)

    assert outcome.words == "ConfigError: model.path is missing"
    assert len(failures(tmp_path)) == 1


def test_a_later_success_clears_the_error(tmp_path, config, ran):
    job(config, tmp_path / "0", fail)
    assert failures(tmp_path)

    put(tmp_path / "elsewhere", config)
    Ledger(tmp_path / "finished").enter(config, tmp_path / "elsewhere", None)
    job(config, tmp_path / "0", ran)

    assert failures(tmp_path) == []


def test_a_failed_attempt_hides_an_older_result_in_its_folder(tmp_path, config, ran):
    job(config, tmp_path / "0", ran)

    job(config | {"seed": 1}, tmp_path / "0", fail)

    assert records(tmp_path) == []
    assert len(failures(tmp_path)) == 1


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_a_wish_to_stop_is_no_failure_of_the_job(tmp_path, config, stop):
    def run(config, folder):
        raise stop

    with pytest.raises(stop):
        job(config, tmp_path / "0", run)

    assert failures(tmp_path) == []


def test_two_launches_do_not_run_one_config_at_once(tmp_path, config, ran):
    running, go_on = threading.Event(), threading.Event()

    def slow(config, folder):
        running.set()
        assert go_on.wait(60)
        ran(config, folder)

    first = threading.Thread(target=job, args=(config, tmp_path / "one" / "0", slow))
    first.start()
    assert running.wait(60)
    second = threading.Thread(target=job, args=(config, tmp_path / "two" / "0", ran))
    second.start()
    second.join(0.5)
    assert second.is_alive()  # it waits

    go_on.set()
    first.join(60)
    second.join(60)

    assert ran.made == [tmp_path / "one" / "0"]
    assert (tmp_path / "two" / "0" / "same.json").is_file()


def test_a_result_that_is_gone_is_told_of(tmp_path, config, ran, caplog):
    job(config, tmp_path / "one" / "0", ran)
    job(config, tmp_path / "two" / "0", ran)

    (tmp_path / "one" / "0" / "result.json").unlink()

    assert records(tmp_path / "two") == []
    assert "whose result is gone" in caplog.text
