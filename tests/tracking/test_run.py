"""A run in a local MLflow store, read back."""

import json
import subprocess
import sys

import pytest
from mlflow import MlflowClient

from brainexp.cli import execute
from brainexp.errors import ConfigError
from brainexp.tracking import Tracking, config_hash, tracked
from tests.tracking.examples import CONFIG, ENVIRONMENT


def only_run(client):
    experiment = client.get_experiment_by_name("brainexp")
    (found,) = client.search_runs([experiment.experiment_id])
    return found


@pytest.fixture
def config(composed, small_run):
    return composed(*small_run)


def test_a_run_leaves_parameters_metrics_curves_tables_and_files(config, client, tmp_path):
    result = execute(config, tmp_path / "run")

    found = only_run(client)
    assert found.info.status == "FINISHED"
    assert found.info.run_name == "gpt2 · none · passage · all"
    assert found.data.params["compression"] == "none"
    assert found.data.params["context_words"] == "20"
    assert found.data.metrics["alignment/r"] == pytest.approx(result.metrics["alignment/r"])
    history = client.get_metric_history(found.info.run_id, "layer/r")
    assert [point.step for point in history] == [0, 1, 2]
    assert [point.value for point in history] == pytest.approx(result.curves["layer/r"])
    kept = {item.path for item in client.list_artifacts(found.info.run_id)}
    assert {"result.json", "scores.parquet", "comparisons.parquet", "voxels.npz", "scores.csv", "config.yaml"} <= kept
    assert found.data.tags["brainexp.config_hash"] == config_hash(config)


def test_figures_and_maps_are_recorded(config, client, tmp_path):
    config["report"]["figures"] = True

    execute(config, tmp_path / "run")

    run_id = only_run(client).info.run_id
    assert {item.path for item in client.list_artifacts(run_id, "figures")} == {
        "figures/brain.html", "figures/brain.png", "figures/clocks.png", "figures/layer_curve.png",
        "figures/partition.png", "figures/roi_bars.png",
    }  # fmt: skip
    assert "maps/mean_r.nii.gz" in {item.path for item in client.list_artifacts(run_id, "maps")}


def test_artifacts_lie_beside_the_database_wherever_the_run_started(config, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    execute(config, tmp_path / "run")

    assert list((tmp_path / "mlartifacts" / "brainexp").glob("*/artifacts/result.json"))
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_failed_run_is_marked_with_its_error_and_leaves_no_result(config, client, tmp_path):
    config["split"]["folds"] = 9

    with pytest.raises(ConfigError):
        execute(config, tmp_path / "run")

    found = only_run(client)
    assert found.info.status == "FAILED"
    assert found.data.tags["brainexp.error"].startswith("ConfigError: split.folds=9, but there are only 8 runs")
    assert not list((tmp_path / "run").glob("*"))


def test_an_interrupted_run_is_marked_as_killed(config, client, tmp_path, monkeypatch):
    def interrupt(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("brainexp.experiment.evaluated", interrupt)

    with pytest.raises(KeyboardInterrupt):
        execute(config, tmp_path / "run")

    assert only_run(client).info.status == "KILLED"
    assert not list((tmp_path / "run").glob("*"))


def test_nothing_is_recorded_where_no_uri_is_given(config, tmp_path):
    config["tracking"]["uri"] = None

    execute(config, tmp_path / "run")

    assert not list(tmp_path.rglob("*.db"))
    assert (tmp_path / "run" / "result.json").is_file()


def test_the_hash_ignores_where_things_are_kept_and_nothing_else(config):
    moved = json.loads(json.dumps(config))
    moved["tracking"]["experiment"] = "other"
    moved["cache"]["dir"] = "elsewhere"
    changed = json.loads(json.dumps(config))
    changed["seed"] = 1
    rounded = json.loads(json.dumps(config))
    rounded["cache"]["dtype"] = "float16"

    assert config_hash(moved) == config_hash(config)
    assert config_hash(changed) != config_hash(config)
    assert config_hash(rounded) != config_hash(config)


def test_a_server_that_is_not_there_is_an_error_in_words(config):
    with (
        pytest.raises(ConfigError, match=r"tracking.uri=http://127.0.0.1:9 cannot be used: .*tracking.uri=null"),
        tracked(Tracking(uri="http://127.0.0.1:9", patience_s=0), config, ENVIRONMENT, "x"),
    ):
        pass


def test_jobs_that_start_together_do_not_break_a_fresh_database(tmp_path):
    code = (
        "from brainexp.tracking import Tracking, tracked\n"
        f"with tracked(Tracking(uri='sqlite:///{tmp_path}/mlflow.db'), {CONFIG!r}, {ENVIRONMENT!r}, 'x'): pass\n"
    )
    jobs = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) for _ in range(4)]

    errors = [job.communicate()[1].decode() for job in jobs]
    failures = [words for job, words in zip(jobs, errors, strict=True) if job.returncode != 0]

    assert failures == []
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    experiment = client.get_experiment_by_name("brainexp")
    assert len(client.search_runs([experiment.experiment_id])) == 4
