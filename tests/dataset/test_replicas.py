"""A replica of each full layout goes through the whole program, and what was planted in it is found."""

import json

import numpy as np
import pytest

from brainexp.cli import execute
from tests.dataset.replicas import REPLICAS, RESPONDS, WITH_REPEATS, declare


@pytest.fixture(params=WITH_REPEATS)
def name(request, monkeypatch):
    declare(request.param, monkeypatch)
    return request.param


def whole_run(composed, name, root, folder, *options):
    """As ``python -m brainexp dataset=<name>`` with a small model."""
    words = [
        f"dataset={name}", f"dataset.root={root}", "model=tiny_xs", "model.context_words=4", "baselines=[word_rate]",
        "partition.spaces=[]", "split.folds=3", "encoder.alphas=[10,1000,100000]", "scoring.permutations=50",
        "ceiling.bootstraps=0", "tracking.uri=null", *options,
    ]  # fmt: skip
    return execute(composed(*words), folder)


def test_what_was_planted_is_found_and_files_are_written(name, composed, tmp_path, capsys):
    root = REPLICAS[name][0](tmp_path / "data")

    result = whole_run(composed, name, root, tmp_path / "run", "ceiling.method=repeats", "dataset.trim_start_s=20.045")

    responds = np.tile(RESPONDS, 2)
    assert result.per_voxel["r"][responds].mean() > 0.4
    assert abs(result.per_voxel["r"][~responds].mean()) < 0.12
    assert result.per_voxel["ceiling"][responds].mean() > 0.6
    assert len(result.tables["clocks"]) == len(REPLICAS[name][2].get("TRIGGERS", {1: 1, 2: 2, 3: 3, 4: 4}))
    record = json.loads((tmp_path / "run" / "result.json").read_text())
    assert record["subjects"] == list(REPLICAS[name][2]["N_VOXELS"])
    assert (tmp_path / "run" / "clocks.parquet").is_file()
    assert (tmp_path / "run" / "figures" / "clocks.png").is_file()
    assert (tmp_path / "run" / "maps").is_dir() == (
        name == "lebel2023"
    )  # nobody knows the places of the other's voxels
    assert "words and TRs" in capsys.readouterr().out


def test_nothing_is_found_when_every_recording_is_that_of_the_next_story(name, composed, tmp_path):
    root = REPLICAS[name][0](tmp_path / "data", swapped=True)

    result = whole_run(composed, name, root, tmp_path / "run", "report.figures=false")

    assert abs(result.per_voxel["r"].mean()) < 0.12
