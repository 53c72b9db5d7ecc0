"""Runs that waited in their folders, brought into a local store."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from uuid import uuid4

import pytest

from brainexp.cli import execute
from brainexp.errors import DataError
from brainexp.sync import main
from brainexp.tracking import sync
from brainexp.tracking.record import Record, log_params
from tests.tracking.examples import counted


@pytest.fixture(scope="module")
def offline_run(module_run, tmp_path_factory):
    """Folder of a run with tracking.offline=true, and its result."""
    folder = tmp_path_factory.mktemp("offline") / "run"
    config = module_run
    config["tracking"] |= {"uri": "http://127.0.0.1:9", "offline": True}
    config["report"]["figures"] = True
    return folder, execute(config, folder)


@pytest.fixture
def waiting(offline_run, tmp_path):
    """Put copies of the run, each with an identity of its own, into a folder."""

    outputs = tmp_path / "outputs"

    def copied(*names):
        for name in names:
            shutil.copytree(offline_run[0], outputs / name)
            replace(Record.load(outputs / name), id=uuid4().hex).save(outputs / name)
        return outputs

    return copied


def sweep_of(folder, n_jobs, **told):
    for number in range(n_jobs):
        assert (folder / str(number)).is_dir()
    told = {"study": "scale", "title": "Scale", "question": None, "overrides": ["model=a,b"], "run_id": None, **told}
    (folder / "sweep.json").write_text(json.dumps(told))
    (folder / "sweep.png").write_bytes(b"drawn")


def children(client, parent):
    experiment = client.get_experiment_by_name("brainexp")
    return client.search_runs([experiment.experiment_id], f"tags.`mlflow.parentRunId` = '{parent}'")


def test_an_offline_run_asks_no_store_and_arrives_whole(offline_run, waiting, tracking, client):
    folder, result = offline_run
    assert Record.load(folder).run_id is None

    (done,) = sync(tracking, waiting("run") / "run")

    found = client.get_run(done.run_id)
    record = Record.load(folder)
    assert done.what == "uploaded"
    assert found.info.status == "FINISHED"
    assert (found.info.start_time, found.info.end_time) == (record.started_ms, record.ended_ms)
    assert found.data.params == record.params
    assert {name.replace("+", "_") for name in [*result.metrics, *result.curves]} == set(found.data.metrics)
    assert found.data.metrics["alignment/r"] == result.metrics["alignment/r"]
    assert [point.step for point in client.get_metric_history(done.run_id, "layer/r")] == [0, 1, 2]
    assert {one.path for one in client.list_artifacts(done.run_id)} >= {
        "result.json",
        "figures",
        "scores.csv",
        "config.yaml",
    }
    assert "tracking.json" not in {one.path for one in client.list_artifacts(done.run_id)}


def test_a_second_sync_sends_nothing(waiting, tracking, client, monkeypatch):
    folder = waiting("0", "1")
    sweep_of(folder, 2)
    first = list(sync(tracking, folder))

    def refuse(*given, **options):
        raise AssertionError("sent again")

    for sending in (
        "log_batch",
        "log_artifact",
        "log_artifacts",
        "create_run",
        "update_run",
        "set_terminated",
        "set_tag",
    ):
        monkeypatch.setattr(f"mlflow.MlflowClient.{sending}", refuse)
    second = list(sync(tracking, folder))

    assert [one.what for one in first] == ["uploaded"] * 2
    assert [(one.what, one.run_id) for one in second] == [("there already", one.run_id) for one in first]


def test_what_is_there_half_is_completed_and_not_doubled(waiting, tracking, client, store):
    folder = waiting("run") / "run"
    record = Record.load(folder)
    run_id = store.run_of(record.id, record.name, record.tags, record.started_ms)
    log_params(store, run_id, dict(list(record.params.items())[:3]))
    store.client.log_metric(run_id, "layer/r", record.points[0].value, record.ended_ms)

    (done,) = sync(tracking, folder)

    assert (done.what, done.run_id) == ("completed", run_id)
    assert client.get_run(run_id).info.status == "FINISHED"
    assert counted(client)["runs"] == 1


def test_a_sweep_arrives_with_its_parent(waiting, tracking, client):
    folder = waiting("0", "1", "10")
    sweep_of(folder, 2)
    (folder / "2").mkdir()
    (folder / "2" / "failed.json").write_text("{}")

    done = list(sync(tracking, folder))

    (parent,) = {client.get_run(one.run_id).data.tags["mlflow.parentRunId"] for one in done}
    assert [one.folder.name for one in done] == ["0", "1", "10"]
    assert {one.info.run_id for one in children(client, parent)} == {one.run_id for one in done}
    found = client.get_run(parent)
    assert found.data.tags["brainexp.kind"] == "sweep"
    assert found.data.tags["brainexp.study"] == "scale"
    assert found.info.status == "FAILED"  # a job has failed
    assert {one.path for one in client.list_artifacts(parent)} == {"sweep.json", "sweep.png", "same.json"}


def test_jobs_of_a_sweep_may_come_one_by_one_and_its_parent_is_one(waiting, tracking, client):
    folder = waiting("0", "1")
    sweep_of(folder, 2)

    (first,) = sync(tracking, folder / "0")
    done = list(sync(tracking, folder))

    assert [one.what for one in done] == ["there already", "uploaded"]
    assert done[0].run_id == first.run_id
    assert counted(client)["runs"] == 3


def test_a_job_that_had_finished_before_is_brought_along(waiting, tracking, client):
    folder = waiting("earlier", "F/0")
    (folder / "F" / "1").mkdir()
    told = {"folder": str(folder / "earlier"), "run_id": None, "config_hash": "x"}
    (folder / "F" / "1" / "same.json").write_text(json.dumps(told))
    sweep_of(folder / "F", 2)

    (job,) = sync(tracking, folder / "F")

    from brainexp.tracking import study_runs

    assert len(study_runs(tracking, "scale")) == 2
    assert job.run_id in study_runs(tracking, "scale")


def test_the_run_of_a_live_sweep_is_found_again(waiting, tracking, client):
    from brainexp.tracking import open_sweep

    parent = open_sweep(tracking, "scale", "", {"brainexp.sweep": "of the launch"})
    folder = waiting("0")
    sweep_of(folder, 1, run_id=parent)

    (done,) = sync(tracking, folder)

    assert client.get_run(done.run_id).data.tags["mlflow.parentRunId"] == parent
    assert client.get_run(parent).info.status == "FINISHED"


def test_the_same_folder_synced_by_several_at_once_is_there_once(waiting, tracking, client):
    folder = waiting("0", "1")
    sweep_of(folder, 2)
    words = [sys.executable, "-m", "brainexp.sync", str(folder), f"tracking.uri={tracking.uri}"]

    jobs = [subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    told = [job.communicate() for job in jobs]

    assert [job.returncode for job in jobs] == [0, 0, 0], told
    assert counted(client)["runs"] == 3
    assert sum(out.count("uploaded      ") for out, _ in told) == 2


def test_the_command_says_what_it_did(waiting, tracking, capsys):
    folder = waiting("run")

    code = main([str(folder), f"tracking.uri={tracking.uri}", "tracking.experiment=mine"])

    assert code == 0
    assert f"1 uploaded in {tracking.uri}, experiment mine" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["nowhere"], "there is no folder nowhere"),
        (["{folder}"], "holds no tracking.json, so there is nothing to record"),
        (["{folder}", "model=gpt2"], "model=gpt2 is neither a folder nor an option of tracking"),
        (["tracking.uri=x"], "no folder is given"),
        (["{folder}", "tracking.uri=null"], "tracking.uri=null records nothing"),
        (["{folder}", "tracking.url=x"], "there is no option 'tracking.url'"),
    ],
)
def test_a_mistake_is_answered_in_words(words, answer, tmp_path, capsys):
    assert main([word.format(folder=tmp_path) for word in words]) == 1
    assert answer in capsys.readouterr().err


def test_a_record_that_cannot_be_read_is_named(waiting, tracking):
    folder = waiting("run") / "run"
    (folder / "tracking.json").write_text("{")

    with pytest.raises(DataError, match="tracking.json is no record of a run"):
        list(sync(tracking, folder))
