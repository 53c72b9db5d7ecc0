"""What a run needs is reckoned before it starts; what does not fit is refused with a way out."""

import dataclasses
import json
import re
import subprocess
import sys

import pytest

from brainexp.errors import ConfigError
from brainexp.experiment import Experiment
from brainexp.preflight import (
    GB,
    Resources,
    disk_free,
    estimate_table,
    estimated,
    memory_available,
    multiplication_rate,
    require_fits,
)


@pytest.fixture
def experiment(composed, small_run):
    return Experiment.from_config(composed(*small_run))


def test_more_voxels_stories_and_layers_need_more(composed):
    def needed(*overrides):
        return estimated(Experiment.from_config(composed(*overrides)))

    base = needed()
    for more in ("dataset.n_voxels=20000", "dataset.n_stories=40", "model=tiny_l", "dataset.n_subjects=9"):
        other = needed(more)
        assert other.memory_bytes > base.memory_bytes
        assert sum(other.multiplications.values()) > sum(base.multiplications.values())
    assert needed("dataset.n_stories=40").disk_bytes > 3 * base.disk_bytes * 0.5


def test_fewer_voxels_at_a_time_need_less_memory_and_no_less_work(composed):
    wide = estimated(Experiment.from_config(composed("dataset.n_voxels=25000")))
    narrow = estimated(Experiment.from_config(composed("dataset.n_voxels=25000", "encoder.voxels_per_batch=500")))

    assert narrow.memory_bytes < wide.memory_bytes
    assert narrow.multiplications == wide.multiplications


def test_too_much_memory_is_refused_with_what_to_change(experiment, tmp_path):
    estimate = estimated(experiment)

    require_fits(estimate, Resources(memory_gb=2 * estimate.memory_bytes / GB), tmp_path)
    with pytest.raises(ConfigError, match=r"would need about .* of memory, but .* may be used\.") as refused:
        require_fits(estimate, Resources(memory_gb=0.1), tmp_path)
    for way_out in ("dataset.subjects", "encoder.voxels_per_batch", "resources.check=false"):
        assert way_out in str(refused.value)
    require_fits(estimate, Resources(memory_gb=0.1, check=False), tmp_path)


def test_too_little_disk_is_refused(experiment, tmp_path):
    estimate = dataclasses.replace(estimated(experiment), disk={"features in the cache": 1e18, "readouts": 1e18})

    with pytest.raises(ConfigError, match=r"would write about .*, but .* are free at"):
        require_fits(estimate, Resources(), tmp_path / "not" / "yet" / "there")


def test_what_there_is_is_measured(tmp_path):
    assert memory_available() > 0
    assert disk_free(tmp_path / "absent") == disk_free(tmp_path)
    assert multiplication_rate(0.01) > 1e8


def test_memory_must_be_positive():
    with pytest.raises(ConfigError, match="memory_gb must be positive or null, got 0"):
        Resources(memory_gb=0)


def test_the_table_shows_what_is_needed_and_what_there_is(experiment, tmp_path):
    from rich.console import Console

    console = Console(record=True, width=100)
    console.print(estimate_table(estimated(experiment), tmp_path))
    shown = console.export_text()

    for row in ("memory", "disk", "time"):
        assert re.search(rf"{row}.*\d", shown)


@pytest.mark.slow
@pytest.mark.parametrize("voxels", [2000, 12000])
def test_the_estimate_of_memory_is_near_what_a_run_takes(composed, tmp_path, voxels):
    overrides = [
        f"dataset.n_voxels={voxels}",
        "dataset.n_subjects=2",
        "dataset.n_stories=6",
        "dataset.words_per_story=1500",
        "scoring.permutations=100",
        "baselines=[word_rate]",
        "report.figures=false",
        "partition.spaces=[]",
    ]
    reckoned = estimated(Experiment.from_config(composed(*overrides))).memory_bytes
    done = subprocess.run(
        [sys.executable, "-m", "brainexp", *overrides, "tracking.uri=null", f"hydra.run.dir={tmp_path}/run"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    taken = json.loads((tmp_path / "run" / "result.json").read_text())["metrics"]["memory/peak_bytes"]

    assert 0.5 < reckoned / taken < 2.5


def test_responses_that_stay_on_disk_need_memory_once(composed):
    """Of a real subject of 84 stories, about 10 GB: they are in memory once, and a declared test story is no copy of all."""
    from brainexp.dataset.lebel2023 import Lebel2023

    class OnShelf(Lebel2023):
        def chosen_subjects(self):
            return ("UTS03",)

    shelf = OnShelf(subjects="UTS03")
    experiment = dataclasses.replace(
        Experiment.from_config(composed("baselines=[]", "partition.spaces=[]")), dataset=shelf
    )
    memory = estimated(experiment).memory

    n_rows = sum(n_trs - 15 for n_trs in shelf.facts().n_trs.values())
    once = 4 * n_rows * 95_556
    assert memory["responses of all subjects"] == once
    assert memory["responses of one subject, being read"] < 0.03 * once
    assert memory["training rows, predictions and held-out rows"] < 0.03 * once
    by_run = dataclasses.replace(experiment, split=dataclasses.replace(experiment.split, by="run"))
    assert estimated(by_run).memory["training rows, predictions and held-out rows"] == 3 * once
