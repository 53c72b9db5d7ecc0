import json

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from brainexp.report.sweep import cost_curve, cost_rows, job_names, records, scale_curve, sweep_table


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


BITS = {"none": 16.0, "awq": 4.5, "rtn": 4.25, "wanda": 9.0}


def compressed_run(model, method, r, perplexity=9.0, **compression):
    return {
        "name": f"{model}-{method}-synthetic",
        "config": {"model": {"path": model}, "compression": {"name": method, **compression}},
        "metrics": {
            "compression/parameters": 1e6, "compression/bits_per_weight": BITS[method], "compression/bytes": 2e6,
            "compression/bits_per_linear_weight": BITS[method] / 2, "compression/perplexity": perplexity,
            "alignment/r": r, "alignment/r_se": 0.01, "layer/chosen": 2.0, "probe/words/f1": r / 2,
        },
    }  # fmt: skip


def one_test(source, reference, p_t, p_equivalence, layer=None, roi="all"):
    return {
        "source": f"{source}-synthetic", "reference": f"{reference}-synthetic", "roi": roi, "layer": layer,
        "p_t_adjusted": p_t, "p_equivalence_adjusted": p_equivalence, "confidence": 0.95,
    }  # fmt: skip


@pytest.fixture
def compressions():
    runs = [
        compressed_run("small", "none", 0.20), compressed_run("small", "awq", 0.19), compressed_run("small", "rtn", 0.1),
        compressed_run("small", "wanda", 0.18), compressed_run("large", "none", 0.3), compressed_run("large", "awq", 0.29),
    ]  # fmt: skip
    comparisons = pd.DataFrame(
        [
            one_test("small-awq", "small-none", 0.01, 0.001),  # small, but certain: both
            one_test("small-awq", "small-none", 0.01, 0.9, layer=2),
            one_test("small-awq", "small-none", 0.01, 0.9, roi="IFG"),
            one_test("small-rtn", "small-none", 0.001, 1.0),
            one_test("small-wanda", "small-none", 0.3, 0.2),
            one_test("large-none", "small-none", 0.001, 1.0),
            one_test("large-awq", "large-none", np.nan, np.nan),
        ]
    )
    return runs, comparisons.astype({"layer": "Int64"})


def test_what_models_cost_stands_beside_what_they_are_worth(compressions):
    rows = cost_rows(*compressions)

    assert list(rows.model) == ["small"] * 4 + ["large"] * 2
    assert list(rows.compression) == ["none", "awq", "rtn", "wanda", "none", "awq"]
    assert list(rows.verdict) == ["uncompressed", "equivalent", "different", "undecided", "uncompressed", "untested"]
    assert list(rows.bits_per_weight) == [16, 4.5, 4.25, 9, 16, 4.5]
    assert list(rows.megabytes) == [2.0] * 6
    assert list(rows["probe/words/f1"]) == [0.1, 0.095, 0.05, 0.09, 0.15, 0.145]


def test_a_job_is_judged_by_its_uncompressed_twin_alone(compressions):
    runs, comparisons = compressions
    comparisons["reference"] = "large-none-synthetic"  # as where the twin is not in the sweep

    assert set(cost_rows(runs[:4], comparisons).verdict) == {"uncompressed", "untested"}


def test_the_file_on_disk_is_what_a_model_weighs_where_it_is_known(compressions):
    runs, comparisons = compressions
    runs[1]["metrics"]["compression/disk_bytes"] = 5e5

    assert list(cost_rows(runs, comparisons).megabytes) == [2, 0.5, 2, 2, 2, 2]


def test_options_that_tell_methods_apart_are_named(compressions):
    runs, comparisons = compressions
    twice = [*runs, compressed_run("small", "rtn", 0.15, bits=8), compressed_run("small", "rtn", 0.15, bits=4)]

    assert list(cost_rows(twice, comparisons).compression)[-2:] == ["rtn bits=8", "rtn bits=4"]


def test_the_figure_has_a_column_per_model_and_a_row_per_measure(compressions):
    rows = cost_rows(*compressions)

    figure = cost_curve(rows, margin=0.02)

    small, large, probe, _ = figure.axes
    assert [panel.get_title() for panel in (small, large)] == ["small", "large"]
    assert [panel.get_ylabel() for panel in (small, probe)] == ["r on held-out rows", "words/f1"]
    labels = {text.get_text() for text in small.texts} - {""}
    assert labels == {"awq", "rtn", "wanda"}
    (band,) = small.patches
    assert (band.get_y(), band.get_height()) == pytest.approx((0.18, 0.04))
    marked = {
        (line.get_marker(), line.get_fillstyle()): line.get_ydata().tolist()
        for line in small.lines
        if len(line.get_xdata()) == 1
    }
    assert marked == {("s", "full"): [0.2], ("o", "full"): [0.19], ("X", "full"): [0.1], ("o", "none"): [0.18]}
    best = next(line for line in small.lines if line.get_color() == "0.3")
    assert best.get_ydata().tolist() == [0.1, 0.19, 0.19, 0.2]  # the best with at most so many bits
    assert not probe.patches


def test_labels_cover_neither_each_other_nor_leave_the_panel():
    rng = np.random.default_rng(0)
    names = [f"method_{number}" for number in range(12)]
    rows = pd.DataFrame(
        {
            "model": "m", "compression": ["none", *names], "r": [0.2, *(0.15 + 0.01 * rng.random(12))],
            "bits_per_weight": [16.0, *(4 + rng.random(12))], "verdict": ["uncompressed", *(["equivalent"] * 12)],
        }
    )  # fmt: skip

    figure = cost_curve(rows)

    figure.set_dpi(150)  # as it is saved
    figure.draw_without_rendering()
    (panel,) = figure.axes
    boxes = [text.get_window_extent() for text in panel.texts if text.get_text()]
    assert len(boxes) == 12
    inside = panel.get_window_extent()
    assert all(inside.x0 <= box.x0 and box.x1 <= inside.x1 for box in boxes)
    assert not any(one.overlaps(other) for at, one in enumerate(boxes) for other in boxes[:at])


def test_there_is_no_figure_where_nothing_differs_in_bits(compressions):
    runs, comparisons = compressions

    assert cost_curve(cost_rows([runs[0], runs[4]], comparisons)) is None


def test_the_curve_over_size_is_of_uncompressed_models(compressions):
    runs, _ = compressions
    runs[4]["metrics"]["compression/parameters"] = 4e6

    (panel,) = scale_curve(runs).axes

    assert list(next(line for line in panel.lines if line.get_label() == "all voxels").get_ydata()) == [0.2, 0.3]


def test_the_table_of_compressions_has_bits_megabytes_and_perplexity(compressions):
    console = Console(width=110, record=True)

    console.print(sweep_table(compressions[0]))

    text = console.export_text()
    assert "small-rtn-synthetic   │  1,000,000 │ 0.100 │ 4.25 │  2 │   9 │" in text
