import json

import pytest
from rich.console import Console

from brainexp.report.sweep import job_names, records, scale_curve, sweep_table


def run(size, r, path):
    return {
        "name": "local-none-alice",
        "config": {"model": {"path": path, "context_words": 20}, "tracking": {"run_name": path}},
        "metrics": {
            "compression/parameters": size, "alignment/r": r, "alignment/r_se": 0.01, "alignment/r_norm": None,
            "alignment/IFG/r": r / 2, "baseline/untrained/r": 0.1, "layer/chosen": 2.0,
        },
    }  # fmt: skip


@pytest.fixture
def runs():
    return [run(4e6, 0.3, "large"), run(1e6, 0.2, "small")]


def test_records_are_those_of_finished_jobs_in_the_order_of_the_jobs(tmp_path):
    for job in (0, 2, 10):
        (tmp_path / str(job)).mkdir()
        (tmp_path / str(job) / "result.json").write_text(json.dumps({"job": job}))
    (tmp_path / "1").mkdir()

    assert [one["job"] for one in records(tmp_path)] == [0, 2, 10]
    assert [one["folder"] for one in records(tmp_path)] == [str(tmp_path / job) for job in ("0", "2", "10")]


def test_the_table_shows_what_differs_and_not_what_does_not(runs):
    console = Console(width=150, record=True)

    console.print(sweep_table(runs))

    text = console.export_text()
    assert "model.path" in text
    assert "context_words" not in text
    assert "run_name" not in text
    assert "4,000,000" in text
    assert "0.300" in text
    assert "–" in text


def test_names_that_differ_are_enough(runs):
    console = Console(width=150, record=True)

    console.print(
        sweep_table([{**one, "name": name} for one, name in zip(runs, ("gpt2-none-x", "bert-none-x"), strict=True)])
    )

    text = console.export_text()
    assert "gpt2-none-x" in text
    assert "model.path" not in text


def test_the_curve_goes_from_small_to_large(runs):
    figure = scale_curve(runs)

    (panel,) = figure.axes
    by_label = {line.get_label(): list(line.get_ydata()) for line in panel.lines}
    assert by_label["all voxels"] == [0.2, 0.3]
    assert by_label["IFG"] == [0.1, 0.15]
    assert by_label["untrained, all voxels"] == [0.1, 0.1]


def test_there_is_no_curve_of_one_size(runs):
    assert scale_curve(runs[:1]) is None


def test_jobs_are_named_by_what_tells_them_apart(runs):
    other = [{**one, "name": name} for one, name in zip(runs, ("gpt2-none-x", "bert-none-x"), strict=True)]

    assert job_names(runs) == ["path=large", "path=small"]
    assert job_names(other) == ["gpt2-none-x", "bert-none-x"]
    assert job_names([*other, runs[0] | {"name": "bert-none-x"}]) == [
        "gpt2-none-x, path=large", "bert-none-x, path=small", "bert-none-x, path=large",
    ]  # fmt: skip


def test_options_of_one_last_name_are_told_apart_by_their_group(runs):
    for number, one in enumerate(runs):
        one["config"]["dataset"] = {"path": number}

    assert job_names(runs) == ["model.path=large, dataset.path=0", "model.path=small, dataset.path=1"]
