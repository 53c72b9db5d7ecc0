"""Jobs side by side on one machine, and one file for all of them."""

import pickle
import subprocess
import sys

import pytest

from brainexp.experiment import Experiment, run
from brainexp.tracking import Tracking
from brainexp.tracking.store import opened
from tests.tracking.examples import counted


@pytest.mark.slow
def test_sixteen_jobs_that_start_together_on_a_fresh_sqlite_file_lose_nothing(module_run, tmp_path):
    result = run(Experiment.from_config(module_run))
    (tmp_path / "result.pickle").write_bytes(pickle.dumps((module_run, result)))
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    words = [sys.executable, "-m", "tests.services.job", str(tmp_path / "result.pickle"), str(tmp_path / "jobs"), uri]

    jobs = [
        subprocess.Popen([*words, str(number), str(number + 1)], stderr=subprocess.PIPE, text=True)
        for number in range(16)
    ]
    told = [job.communicate()[1] for job in jobs]

    assert [words[-1000:] for job, words in zip(jobs, told, strict=True) if job.returncode] == []
    store = opened(Tracking(uri=uri))
    n_metrics = len({name.replace("+", "_") for name in [*result.metrics, *result.curves]})
    count = counted(store.client)
    assert (count["runs"], count["finished"], count["metrics"]) == (16, 16, 16 * n_metrics)
    for one in store.with_tags({"brainexp.kind": "run"}):
        assert one.data.metrics["alignment/r"] == int(one.data.params["seed"]) / 1000
        assert len(store.client.get_metric_history(one.info.run_id, "layer/r")) == len(result.layers)
        assert "result.json" in {file.path for file in store.client.list_artifacts(one.info.run_id)}
