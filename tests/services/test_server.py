"""Many jobs, one tracking server on PostgreSQL: nothing is lost, and nothing is there twice."""

import json
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

import pytest

from brainexp.tracking import Tracking, open_sweep, sync
from brainexp.tracking.store import opened

pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.allow_hosts(["127.0.0.1"])]

N_JOBS = 16
#: How long the server is away, in seconds.
AWAY_S = 35


@pytest.fixture
def start():
    """Start a job; none outlives the test."""
    jobs = []

    def started(result_file, folder, uri, first, stop, patience_s=240, **environment):
        words = [
            sys.executable,
            "-m",
            "tests.services.job",
            *map(str, (result_file, folder, uri, first, stop, patience_s)),
        ]
        jobs.append(subprocess.Popen(words, env={**os.environ, **environment}, stderr=subprocess.PIPE, text=True))
        return jobs[-1]

    yield started
    for job in jobs:
        job.kill()


def end(jobs):
    """Wait for jobs, none of which may fail; return what they told."""
    told = [job.communicate(timeout=900)[1] for job in jobs]
    assert [(job.returncode, words[-2000:]) for job, words in zip(jobs, told, strict=True) if job.returncode] == []
    return "".join(told)


def wait_until_recording(folder, jobs):
    """Wait until a job has begun to record what it found."""
    while not any(folder.glob("*/tracking.json")):
        assert any(job.poll() is None for job in jobs), end(jobs)
        time.sleep(0.1)


def recorded(uri):
    """Runs of the experiment but sweeps, by their seed."""
    store = opened(Tracking(uri=uri))
    runs = list(store.with_tags({"brainexp.kind": "run"}))
    return store, {int(run.data.params["seed"]): run for run in runs}, len(runs)


def require_whole(uri, result_file, numbers, folder):
    """Every run is there once, with all that it found and all its files."""
    _, result = pickle.loads(result_file.read_bytes())
    names = {name.replace("+", "_") for name in [*result.metrics, *result.curves]}
    assert len(names) > 300
    store, runs, n_runs = recorded(uri)
    assert sorted(runs) == list(numbers)
    assert n_runs == len(runs)
    for number, run in runs.items():
        assert run.info.status == "FINISHED"
        assert set(run.data.metrics) == names
        assert run.data.metrics["alignment/r"] == pytest.approx(number / 1000)
        record = json.loads((folder / str(number) / "tracking.json").read_text())
        assert run.data.params == record["params"]
        assert record["tags"].items() <= run.data.tags.items()
        assert {one.dataset.name for one in run.inputs.dataset_inputs} == {"synthetic", "xs"}
        curve = store.client.get_metric_history(run.info.run_id, "layer/r")
        assert [point.step for point in curve] == list(result.layers)
        files = {one.path for one in store.client.list_artifacts(run.info.run_id)}
        local = {path.name for path in (folder / str(number)).iterdir() if not path.name.startswith(".")}
        assert files == (local - {"tracking.json"}) | {"scores.csv", "config.yaml"}
        place = store.client.download_artifacts(run.info.run_id, "result.json")
        assert json.loads(Path(place).read_text())["config"]["seed"] == number


def test_sixteen_jobs_that_start_together_on_a_fresh_database_lose_nothing(start, server, finished_run, tmp_path):
    end([start(finished_run, tmp_path, server.uri, number, number + 1) for number in range(N_JOBS)])

    require_whole(server.uri, finished_run, range(N_JOBS), tmp_path)


def test_a_server_that_is_killed_and_comes_back_loses_nothing(start, server, finished_run, tmp_path):
    jobs = [start(finished_run, tmp_path, server.uri, 5 * number, 5 * number + 5) for number in range(4)]
    wait_until_recording(tmp_path, jobs)

    server.kill()
    time.sleep(AWAY_S)
    assert any(job.poll() is None for job in jobs)
    server.start()
    told = end(jobs)

    assert "the tracking store does not answer" in told
    require_whole(server.uri, finished_run, range(20), tmp_path)


def test_a_database_that_is_killed_and_comes_back_loses_nothing(start, server, database, finished_run, tmp_path):
    jobs = [start(finished_run, tmp_path, server.uri, 3 * number, 3 * number + 3) for number in range(2)]
    wait_until_recording(tmp_path, jobs)

    database.kill()
    time.sleep(5)
    database.start()
    end(jobs)

    require_whole(server.uri, finished_run, range(6), tmp_path)


def test_runs_of_a_server_that_stays_away_are_kept_and_synced_later(start, server, finished_run, tmp_path):
    parent = open_sweep(Tracking(uri=server.uri), "scale", "", {"brainexp.sweep": "x", "brainexp.study": "scale"})
    told = {"study": "scale", "overrides": ["x"], "run_id": parent}
    (tmp_path / "sweep.json").write_text(json.dumps(told))
    job = start(finished_run, tmp_path, server.uri, 0, 1, 3, BRAINEXP_PARENT_RUN_ID=parent)
    while not recorded(server.uri)[2]:
        assert job.poll() is None
    server.kill()

    told = end([job])

    assert (tmp_path / "0" / "result.json").is_file()
    server.start()
    if "The result is written but not recorded" in told:  # else it was faster than the kill
        assert f"python -m brainexp.sync {tmp_path}/0 tracking.uri={server.uri}" in told
    done = list(sync(Tracking(uri=server.uri), tmp_path))
    assert [one.what for one in done] in (["completed"], ["there already"])
    require_whole(server.uri, finished_run, [0], tmp_path)
    assert recorded(server.uri)[1][0].data.tags["mlflow.parentRunId"] == parent


def test_offline_runs_arrive_over_the_network(server, finished_run, tmp_path):
    import dataclasses

    from brainexp.report.files import write
    from brainexp.tracking import tracked

    config, result = pickle.loads(finished_run.read_bytes())
    for number in range(3):
        found = dataclasses.replace(result, metrics={**result.metrics, "alignment/r": number / 1000})
        own = {**config, "seed": number, "report": {"figures": False}}
        environment = {"brainexp": "0", "git_commit": None, "packages": {}}
        offline = Tracking(uri="http://127.0.0.1:9", offline=True)
        with tracked(offline, own, environment, "xs · none · synthetic · all") as record:
            write(found, tmp_path / str(number), "x", own, environment)
            record(found, tmp_path / str(number))

    first = list(sync(Tracking(uri=server.uri), tmp_path))
    second = list(sync(Tracking(uri=server.uri), tmp_path))

    assert [one.what for one in first] == ["uploaded"] * 3
    assert [(one.what, one.run_id) for one in second] == [("there already", one.run_id) for one in first]
    require_whole(server.uri, finished_run, range(3), tmp_path)
