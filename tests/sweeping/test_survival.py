"""Sweeps that fail, are killed, interrupted or started twice: nothing is lost, and nothing is run twice."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from brainexp.report.sweep import failures, records

#: Metrics that depend on the machine's moment.
COSTS = ("seconds", "per_second", "peak_memory_bytes", "_s", "peak_bytes")


def start(folder, *words, **environment):
    return subprocess.Popen(
        [sys.executable, "-m", "brainexp", "--multirun", *words],
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def sweep(folder, *words, **environment):
    job = start(folder, *words, **environment)
    out, err = job.communicate(timeout=900)
    return subprocess.CompletedProcess(job.args, job.returncode, out, err)


def wait_for(found, process, seconds=300):
    end = time.monotonic() + seconds
    while not found():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)


def numbers(runs):
    """Scores of runs by what tells them apart, without what depends on the machine's moment."""
    return {
        (run["config"]["model"]["context_words"], run["config"]["model"]["path"]): {
            name: value for name, value in run["metrics"].items() if not name.endswith(COSTS)
        }
        for run in runs
    }


def tracked(tmp_path, **tags):
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("brainexp").experiment_id])
    return [run for run in runs if all(run.data.tags.get(f"brainexp.{name}") == value for name, value in tags.items())]


def test_the_same_command_runs_only_what_failed(tmp_path, small_run, checkpoints):
    paths = [checkpoints["gpt2"], tmp_path / "absent", checkpoints["llama"]]
    words = [*small_run[:2], f"model.path={','.join(map(str, paths))}", *small_run[3:]]

    first = sweep(tmp_path, *words, "hydra.sweep.dir=one")

    assert first.returncode == 1
    assert "job 2 of 3" in first.stdout
    assert "1 failed" in first.stdout
    assert "Give the same command again: what has finished is not run again." in first.stdout
    assert [one["config"]["model"]["path"] for one in records(tmp_path / "one")] == [str(paths[0]), str(paths[2])]
    (failed,) = failures(tmp_path / "one")
    assert failed["error"].startswith("ModelError: ")
    assert failed["overrides"] == [f"model.path={paths[1]}"]
    (parent,) = tracked(tmp_path, kind="sweep")
    assert parent.info.status == "FAILED"

    shutil.copytree(checkpoints["gpt2"], paths[1])
    second = sweep(tmp_path, *words, "hydra.sweep.dir=two")

    assert second.returncode == 0, second.stderr
    assert second.stdout.count("finished before     ") == 2
    assert [path.parent.name for path in tmp_path.glob("two/*/result.json")] == ["1"]
    assert [one["config"]["model"]["path"] for one in records(tmp_path / "two")] == [str(path) for path in paths]
    (parent,) = tracked(tmp_path, kind="sweep")
    assert parent.info.status == "FINISHED"
    children = tracked(tmp_path, kind="run")
    assert sorted(run.info.status for run in children) == ["FAILED", "FINISHED", "FINISHED", "FINISHED"]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}


def test_two_launches_at_once_share_the_work(tmp_path, small_run):
    words = [*small_run, "model.context_words=2,5"]

    launches = [start(tmp_path, *words, f"hydra.sweep.dir={name}") for name in ("one", "two")]
    told = [one.communicate(timeout=600) for one in launches]

    assert [one.returncode for one in launches] == [0, 0], told
    assert len(list(tmp_path.glob("*/*/result.json"))) == 2
    assert len(list(tmp_path.glob("*/*/same.json"))) == 2
    assert numbers(records(tmp_path / "one")) == numbers(records(tmp_path / "two"))
    assert [run.info.status for run in tracked(tmp_path, kind="run")] == ["FINISHED"] * 2


@pytest.mark.slow
def test_a_sweep_that_is_killed_goes_on_where_it_was(tmp_path, small_run):
    words = [*small_run, "model.context_words=2,3,4,5"]
    killed = start(tmp_path, *words, "hydra.sweep.dir=killed")
    wait_for((tmp_path / "killed" / "2" / ".hydra").is_dir, killed)  # two jobs have finished, the third has begun
    killed.kill()
    killed.communicate()
    n_finished = len(list((tmp_path / "finished").glob("*.json")))
    assert 2 <= n_finished < 4

    resumed = sweep(tmp_path, *words, "hydra.sweep.dir=resumed")
    whole = sweep(tmp_path, *words, "hydra.sweep.dir=whole", f"sweep.finished={tmp_path}/apart", "tracking.uri=null")

    assert (resumed.returncode, whole.returncode) == (0, 0), resumed.stderr + whole.stderr
    assert len(list(tmp_path.glob("resumed/*/same.json"))) >= n_finished
    assert len(list(tmp_path.glob("whole/*/result.json"))) == 4
    assert numbers(records(tmp_path / "resumed")) == numbers(records(tmp_path / "whole"))
    made = [json.loads(path.read_text())["config_hash"] for path in tmp_path.glob("[kr]*/*/result.json")]
    assert len(made) == len(set(made)) == 4  # no job ran twice
    assert len(tracked(tmp_path, kind="sweep")) == 1
    left = [run for run in tracked(tmp_path, kind="run") if run.info.status != "FINISHED"]
    assert len(tracked(tmp_path, kind="run")) - len(left) == 4
    assert len(left) <= 1  # the one that was killed


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_sweep_that_is_told_to_stop_closes_what_it_opened(tmp_path, small_run, number):
    words = [*small_run, "model.context_words=2,3", "scoring.permutations=2000000", "hydra.sweep.dir=sweep"]
    stopped = start(tmp_path, *words)
    wait_for((tmp_path / "sweep" / "sweep.json").is_file, stopped)  # the database is there
    wait_for(lambda: len(tracked(tmp_path, kind="run")) == 1, stopped)

    stopped.send_signal(number)
    out, err = stopped.communicate(timeout=300)

    assert stopped.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[number], err
    assert "interrupted; nothing half-written is left" in err
    assert "2 of 2 jobs have not ended" in out
    assert [run.info.status for run in tracked(tmp_path, kind="sweep") + tracked(tmp_path, kind="run")] == [
        "KILLED"
    ] * 2
    assert not list(tmp_path.glob("sweep/*/result.json"))


@pytest.mark.slow
def test_jobs_side_by_side_compute_features_once_and_are_all_recorded(tmp_path, small_run):
    from brainexp.cache import upkeep

    words = [*small_run, "seed=1,2,3,4", "hydra/launcher=local", "hydra.launcher.n_jobs=4", "hydra.sweep.dir=sweep"]

    done = sweep(tmp_path, *words, BRAINEXP_CACHE=str(tmp_path / "cache"))

    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("sweep/*/result.json"))) == 4
    logs = [path.read_text() for path in tmp_path.glob("sweep/*/brainexp.log")]
    stories = {entry.told["about"]["story"] for entry in upkeep.entries(tmp_path / "cache" / "features")}
    computed = sum(text.count("computed features of") for text in logs)
    assert computed == len(stories) > 1
    (parent,) = tracked(tmp_path, kind="sweep")
    children = tracked(tmp_path, kind="run")
    assert [run.info.status for run in (parent, *children)] == ["FINISHED"] * 5
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}


@pytest.mark.slow
def test_a_job_that_a_scheduler_stops_is_queued_again_and_ends_as_if_undisturbed(tmp_path, small_run):
    words = [*small_run, "model.context_words=2,5", "scoring.permutations=100000"]
    launch = start(tmp_path, *words, "hydra.sweep.dir=sweep", "hydra/launcher=submitit_local")
    submitted = tmp_path / "sweep" / ".submitit"
    wait_for((tmp_path / "sweep" / "sweep.json").is_file, launch)  # the database is there
    wait_for(lambda: len(tracked(tmp_path, kind="run")) == 2, launch)  # both have begun
    (log,) = [path for path in submitted.glob("*/*_log.out") if "job 1 of 2" in path.read_text()]

    os.kill(worker(int(log.parent.name)), signal.SIGUSR2)
    out, err = launch.communicate(timeout=600)

    assert launch.returncode == 0, out + err
    assert "Requeued job" in log.read_text()
    assert log.read_text().count("job 1 of 2") == 2  # it started again
    whole = sweep(tmp_path, *words, "hydra.sweep.dir=whole", f"sweep.finished={tmp_path}/apart", "tracking.uri=null")
    assert whole.returncode == 0, whole.stderr
    assert len(records(tmp_path / "sweep")) == 2
    assert numbers(records(tmp_path / "sweep")) == numbers(records(tmp_path / "whole"))
    assert sorted(run.info.status for run in tracked(tmp_path, kind="run")) == ["FINISHED", "FINISHED", "KILLED"]


def worker(controller):
    """Number of the process that runs a job of submitit's local executor."""
    (child,) = Path(f"/proc/{controller}/task/{controller}/children").read_text().split()
    return int(child)


@pytest.mark.slow
def test_synthetic_s1_runs_from_stories_to_tests(tmp_path):
    done = sweep(tmp_path, "+study=synthetic_s1", "hydra.sweep.dir=s1")

    assert done.returncode == 0, done.stderr
    runs = records(tmp_path / "s1")
    assert len(runs) == 21
    r = {run["name"].rpartition("-")[0]: run["metrics"]["alignment/r"] for run in runs}
    untrained = {run["name"].partition("-")[0]: run["metrics"]["baseline/untrained/r"] for run in runs}
    for model in ("tiny_xs", "tiny_s", "tiny_m"):
        assert r[f"{model}-none"] > untrained[model] + 0.02
        assert abs(r[f"{model}-smoothquant8"] - r[f"{model}-none"]) < 0.01
    assert {path.name for path in (tmp_path / "s1").iterdir()} >= {
        "sweep.json", "comparisons.csv", "compression.csv", "dissociation.csv", "winning_rates.csv", "sweep.png",
    }  # fmt: skip

    again = sweep(tmp_path, "+study=synthetic_s1", "hydra.sweep.dir=again")

    assert again.returncode == 0, again.stderr
    assert not list(tmp_path.glob("again/*/result.json"))
    assert numbers(records(tmp_path / "again")) == numbers(runs)
