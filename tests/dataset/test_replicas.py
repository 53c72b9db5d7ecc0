"""A replica of each full layout goes through the whole program, and what was planted in it is found."""

import json

import numpy as np
import pytest

from brainexp.cli import execute
from tests.dataset.replicas import REPLICAS, columns, declare

#: What a run of each dataset is told beside: how ceilings are known, and what is read.
OPTIONS = {
    "lebel2023": ["ceiling.method=repeats", "dataset.trim_start_s=20.045"],
    "deniz2019": ["ceiling.method=repeats"],
    "narratives": ["ceiling.method=inter_subject", "dataset.stories=[21styear,black]", "split.by=block"],
    "little_prince": ["ceiling.method=inter_subject"],
    "harry_potter": ["ceiling.method=cross_subject"],
    "alice_ds002322": ["ceiling.method=inter_subject", "dataset.columns=spheres", "split.by=block"],
}
N_STORIES = {
    "lebel2023": 4,
    "deniz2019": 11,
    "narratives": 2,
    "little_prince": 9,
    "harry_potter": 4,
    "alice_ds002322": 1,
}
#: Datasets whose figures and maps are made: their subjects have places in common. Volumes, which are slow, are drawn elsewhere.
DRAWN = {"lebel2023", "deniz2019", "narratives"}


@pytest.fixture(params=OPTIONS)
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

    drawn = name in DRAWN
    result = whole_run(composed, name, root, tmp_path / "run", *OPTIONS[name], f"report.figures={str(drawn).lower()}")

    responds, noise = columns(name)
    assert result.per_voxel["r"][responds].mean() > 0.4
    assert abs(result.per_voxel["r"][noise].mean()) < 0.12
    # Of single recordings that share 60 % of their variance, or of a regression from one other person.
    assert result.per_voxel["ceiling"][responds].mean() > (0.6 if "ceiling.method=repeats" in OPTIONS[name] else 0.3)
    record = json.loads((tmp_path / "run" / "result.json").read_text())
    assert len(record["subjects"]) == 2
    assert len(result.tables["clocks"]) == N_STORIES[name]
    assert (tmp_path / "run" / "clocks.parquet").is_file()
    assert (tmp_path / "run" / "figures" / "clocks.png").is_file() == drawn
    maps = tmp_path / "run" / "maps"
    assert maps.is_dir() == drawn
    if drawn:
        assert [path for path in maps.iterdir() if path.name.startswith("mean_r")]
    assert "words and TRs" in capsys.readouterr().out


def test_nothing_is_found_when_every_recording_is_that_of_the_next_story(name, composed, tmp_path):
    root = REPLICAS[name][0](tmp_path / "data", swapped=True)

    result = whole_run(composed, name, root, tmp_path / "run", "report.figures=false", *OPTIONS[name][1:])

    assert abs(result.per_voxel["r"][np.logical_or(*columns(name))].mean()) < 0.12
