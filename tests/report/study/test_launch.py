import json
import shutil

import pytest

from brainexp.errors import ConfigError
from brainexp.report.study.launch import expected_jobs, known_studies, newest_launch, read_study
from tests.report.study.conftest import launch, leave


def test_every_cell_of_the_grid_is_told_and_what_became_of_it(grid):
    study = read_study([grid])

    assert len(study.runs) == 8
    assert study.jobs.status.tolist() == [
        "finished", "finished", "never started", "finished", "failed", "unfinished", "finished", "finished",
        "never started", "finished", "finished", "finished",
    ]  # fmt: skip
    assert study.jobs.overrides[4] == "model=tiny-3M compression=rtn +study=made"
    assert study.jobs.error[4] == "ConfigError: group_size=128 does not divide 64"
    assert (study.name, study.title, study.question) == ("made", "Sizes & <bits>", "Does r fall?")


def test_jobs_are_those_that_hydra_unfolds(tmp_path):
    launch(tmp_path, {"model": "a,b", "compression.bits": "choice(3,4)"})

    assert expected_jobs(tmp_path) == [
        [f"model={model}", f"compression.bits={bits}", "+study=made"] for model in "ab" for bits in (3, 4)
    ]
    assert expected_jobs(tmp_path / "other") == []


def test_a_second_launch_fills_the_holes_of_the_first(grid, tmp_path):
    launch(tmp_path, {"model": "tiny-3M", "compression": "rtn,magnitude"})
    leave(tmp_path / "0", "tiny-3M", "rtn", seed=1, probes=0.2)

    study = read_study([grid, tmp_path])

    assert study.jobs.status[4] == "finished in another folder"
    assert study.jobs.status[5] == "unfinished"
    assert study.jobs.status.iloc[-1] == "never started"
    assert len(study.runs) == 9


def test_jobs_that_had_finished_before_count_and_one_whose_result_is_gone_does_not(tmp_path):
    launch(tmp_path / "F", {"model": "tiny-1M,tiny-3M,tiny-10M"})
    leave(tmp_path / "before" / "0", "tiny-1M")
    leave(tmp_path / "before" / "1", "tiny-3M")
    for number in (0, 1):
        (tmp_path / "F" / str(number)).mkdir()
        told = {"folder": str(tmp_path / "before" / str(number)), "run_id": None, "config_hash": "x"}
        (tmp_path / "F" / str(number) / "same.json").write_text(json.dumps(told))
    shutil.rmtree(tmp_path / "before" / "1")

    study = read_study([tmp_path / "F"])

    assert study.jobs.status.tolist() == ["finished before", "finished before, and gone", "never started"]
    assert [run["folder"] for run in study.runs] == [str(tmp_path / "before" / "0")]


def test_a_run_that_is_there_twice_counts_once(grid, tmp_path):
    leave(tmp_path / "0", "tiny-1M", probes=0.0)

    study = read_study([grid, tmp_path])

    assert len(study.runs) == 8
    assert study.remarks == (f"{tmp_path / '0'} repeats a run that is there already, and is left out.",)


def test_a_single_run_is_a_study_of_one(tmp_path):
    leave(tmp_path / "alone", "tiny-1M")

    study = read_study([tmp_path / "alone"])

    assert len(study.runs) == 1
    assert study.name == "alone"
    assert study.jobs.status.tolist() == ["finished"]


def test_a_folder_that_is_not_there_is_refused_with_what_is(grid, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    with pytest.raises(ConfigError) as error:
        read_study([grid.parent / "2027"])

    assert str(error.value) == (
        f"folder={grid.parent / '2027'} is not there. Sweeps and runs nearby: {grid}. Studies here: none."
    )


def test_a_folder_without_runs_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()

    with pytest.raises(
        ConfigError, match=r"empty holds no runs\. There is no sweep in .* either\. Studies here: none\."
    ):
        read_study([tmp_path / "empty"])


def test_a_study_of_which_everything_failed_says_what(tmp_path):
    launch(tmp_path, {"model": "a,b"})
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "failed.json").write_text(json.dumps({"name": "a", "error": "ModelError: no a", "overrides": []}))

    with pytest.raises(ConfigError, match=r"no run has finished in .* What failed: ModelError: no a"):
        read_study([tmp_path])


def test_the_newest_launch_of_a_study_is_taken(tmp_path):
    for date in ("2026-01-02", "2026-01-10", "2026-01-09"):
        launch(tmp_path / "scale" / date, {"model": "a,b"})
    (tmp_path / "scale" / "2026-02-01").mkdir()  # nothing in it
    (tmp_path / "other").mkdir()

    assert newest_launch("scale", tmp_path) == tmp_path / "scale" / "2026-01-10"
    assert newest_launch("scales", tmp_path) is None
    assert known_studies(tmp_path) == ["scale"]
