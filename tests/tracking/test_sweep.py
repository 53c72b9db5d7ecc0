"""A sweep's own run in a local MLflow store, and what is found through it."""

import json
from contextlib import suppress

import pytest

from brainexp.tracking import (
    PARENT,
    Tracking,
    close_sweep,
    config_hash,
    finished_run,
    log_folder,
    open_sweep,
    restore,
    study_runs,
    tracked,
)
from tests.tracking.examples import CONFIG, ENVIRONMENT

TAGS = {"brainexp.sweep": "d1", "brainexp.study": "scale"}


def job(tracking, name, config=CONFIG):
    with tracked(tracking, config, ENVIRONMENT, name) as record:
        pass
    return record.run_id


def test_jobs_are_children_of_their_sweep(tracking, client, monkeypatch, tmp_path):
    parent = open_sweep(tracking, "scale", "over **models**", TAGS)
    monkeypatch.setenv(PARENT, parent)
    child = job(tracking, "a")
    (tmp_path / "F" / "0").mkdir(parents=True)
    (tmp_path / "F" / "sweep.png").write_text("drawn")
    (tmp_path / "F" / "0" / "result.json").write_text("{}")

    close_sweep(tracking, parent, "FINISHED", tmp_path / "F")

    found = client.get_run(parent)
    assert found.info.status == "FINISHED"
    assert found.data.tags["brainexp.kind"] == "sweep"
    assert found.data.tags["mlflow.note.content"] == "over **models**"
    assert client.get_run(child).data.tags["mlflow.parentRunId"] == parent
    assert {one.path for one in client.list_artifacts(parent)} == {"sweep.png", "same.json"}


def test_a_sweep_that_was_begun_before_is_continued_and_another_is_not(tracking, client):
    first = open_sweep(tracking, "scale", "", TAGS)
    close_sweep(tracking, first, "KILLED", None)

    again = open_sweep(tracking, "scale", "", TAGS)
    other = open_sweep(tracking, "scale", "", TAGS | {"brainexp.sweep": "d2"})

    assert again == first
    assert client.get_run(first).info.status == "RUNNING"
    assert other != first


def test_a_study_is_the_finished_runs_of_its_newest_sweep_and_those_that_had_finished_before(
    tracking, monkeypatch, tmp_path
):
    elsewhere = job(tracking, "had finished before")
    old = open_sweep(tracking, "scale", "", TAGS)
    monkeypatch.setenv(PARENT, old)
    job(tracking, "of the old sweep")
    new = open_sweep(tracking, "scale", "", TAGS | {"brainexp.sweep": "d2"})
    monkeypatch.setenv(PARENT, new)
    child = job(tracking, "of the new sweep")
    with pytest.raises(ZeroDivisionError), tracked(tracking, CONFIG, ENVIRONMENT, "failed"):
        raise ZeroDivisionError
    for number, run_id in enumerate((elsewhere, None, "in another store")):
        (tmp_path / "F" / str(number)).mkdir(parents=True)
        (tmp_path / "F" / str(number) / "same.json").write_text(json.dumps({"run_id": run_id}))
    close_sweep(tracking, new, "FINISHED", tmp_path / "F")

    assert study_runs(tracking, "scale") == [elsewhere, child]
    assert study_runs(tracking, "compression") == []


def test_only_a_finished_run_counts_as_finished(tracking, client):
    hashed = config_hash(CONFIG)
    with suppress(ZeroDivisionError), tracked(tracking, CONFIG, ENVIRONMENT, "x") as record:
        assert client.get_run(record.run_id).data.tags["brainexp.config_hash"] == hashed
        assert finished_run(tracking, hashed) is None  # it runs
        1 / 0  # noqa: B018

    assert client.get_run(record.run_id).info.status == "FAILED"
    assert finished_run(tracking, hashed) is None
    finished = job(tracking, "x")
    assert finished_run(tracking, hashed) == finished
    assert finished_run(tracking, "0" * 64) is None


def test_files_come_back_as_they_went_and_others_stay(tracking, tmp_path):
    run_id = job(tracking, "x")
    (tmp_path / "made" / "maps").mkdir(parents=True)
    (tmp_path / "made" / "result.json").write_text("{}")
    (tmp_path / "made" / "maps" / "r.nii.gz").write_bytes(b"\x00\x01")
    (tmp_path / "made" / ".hydra").mkdir()
    log_folder(tracking, run_id, tmp_path / "made")
    log_folder(tracking, run_id, tmp_path / "made", "report")
    (tmp_path / "back" / "maps").mkdir(parents=True)
    (tmp_path / "back" / "brainexp.log").write_text("mine")

    restore(tracking, run_id, tmp_path / "back")

    assert {str(path.relative_to(tmp_path / "back")) for path in (tmp_path / "back").rglob("*") if path.is_file()} == {
        "brainexp.log",
        "result.json",
        "maps/r.nii.gz",
        "report/result.json",
        "report/maps/r.nii.gz",
    }
    assert (tmp_path / "back" / "maps" / "r.nii.gz").read_bytes() == b"\x00\x01"


@pytest.mark.parametrize("options", [{"uri": None}, {"uri": "http://127.0.0.1:9", "offline": True}])
def test_without_a_store_nothing_is_asked_and_nothing_found(options, tmp_path):
    tracking = Tracking(**options)

    assert open_sweep(tracking, "scale", "", TAGS) is None
    close_sweep(tracking, None, "FINISHED", tmp_path)
    log_folder(tracking, None, tmp_path, "report")
    assert finished_run(tracking, "0" * 64) is None
    assert study_runs(tracking, "scale") == []
    with tracked(tracking, CONFIG, ENVIRONMENT, "x") as record:
        assert record.run_id is None
