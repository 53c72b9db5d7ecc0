import json

import pytest

from brainexp.report.__main__ import main
from brainexp.tracking import Tracking, close_sweep, log_folder, open_sweep
from tests.report.study.conftest import launch, leave


@pytest.fixture
def tracking(tmp_path):
    return Tracking(uri=f"sqlite:///{tmp_path}/mlflow.db")


def names(tracking, run_id, folder=None):
    from mlflow import MlflowClient

    return {one.path for one in MlflowClient(tracking.uri).list_artifacts(run_id, folder)}


def child(tracking, parent, folder):
    """A finished run of the sweep, with its files."""
    from mlflow import MlflowClient

    from brainexp.tracking.store import opened

    run_id = opened(tracking).run_of(
        folder.name, folder.name, {"mlflow.parentRunId": parent, "brainexp.kind": "run"}, 0
    )
    log_folder(tracking, run_id, folder)
    MlflowClient(tracking.uri).set_terminated(run_id)
    return run_id


def test_the_report_is_added_to_the_sweeps_run(tmp_path, tracking, capsys):
    parent = open_sweep(tracking, "made", "", {"brainexp.sweep": "x", "brainexp.study": "made"})
    launch(tmp_path / "F", {"model": "tiny-1M"})
    told = json.loads((tmp_path / "F" / "sweep.json").read_text())
    told |= {"run_id": parent, "tracking_uri": tracking.uri, "experiment": tracking.experiment}
    (tmp_path / "F" / "sweep.json").write_text(json.dumps(told))
    leave(tmp_path / "F" / "0", "tiny-1M")

    assert main([f"folder={tmp_path / 'F'}"]) == 0

    assert names(tracking, parent) == {"report"}
    assert {"report/report.html", "report/tables", "report/figures", "report/data"} <= names(tracking, parent, "report")
    assert f"added to run        {parent} in {tracking.uri}" in capsys.readouterr().out


def test_a_study_that_was_launched_elsewhere_is_brought_here_from_the_tracker(tmp_path, tracking, monkeypatch, capsys):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    parent = open_sweep(tracking, "made", "", {"brainexp.sweep": "x", "brainexp.study": "made"})
    for name, model in (("a", "tiny-1M"), ("b", "tiny-3M")):
        leave(tmp_path / "elsewhere" / name, model)
        child(tracking, parent, tmp_path / "elsewhere" / name)
    close_sweep(tracking, parent, "FINISHED", None)

    assert main(["study=made", f"tracking.uri={tracking.uri}"]) == 0

    assert "different: tiny_3M > tiny_1M: r is different" in capsys.readouterr().out
    place = tmp_path / "here" / "outputs" / "studies" / "made" / f"from-tracker-{parent[:8]}"
    assert (place / "report" / "report.html").is_file()
    assert "report" in names(tracking, parent)
    assert main(["study=made", f"tracking.uri={tracking.uri}"]) == 0  # from what is here now


def test_a_study_that_nobody_knows_is_refused(tmp_path, tracking, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    open_sweep(tracking, "made", "", {"brainexp.sweep": "x", "brainexp.study": "made"})  # without runs

    assert main(["study=made", f"tracking.uri={tracking.uri}"]) == 1

    assert f"nor in the tracker {tracking.uri}. Studies here: none." in capsys.readouterr().err
