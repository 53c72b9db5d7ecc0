"""Two runs' files held against each other: what is the same, what is near, what differs, and where."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from brainexp.composition import Experiment
from brainexp.experiment import run
from brainexp.report.files import write
from brainexp.reproduce.comparison import (
    DIFFERS,
    EXCLUDED,
    IDENTICAL,
    OTHER_BITS,
    STAGES,
    UNKNOWN,
    WITHIN,
    arrays_compared,
    compared,
    excluded,
    stage_of,
    worst,
)


def nth(at):
    return f"number {at[0]}"


def of_arrays(then, now, tolerance=1e-6):
    return arrays_compared("encoding", "x", np.asarray(then), np.asarray(now), tolerance, nth)


def test_equal_arrays_are_identical_and_nan_equals_nan():
    assert of_arrays([1.0, np.nan], [1.0, np.nan]).verdict == IDENTICAL


def test_one_bit_is_enough_not_to_be_identical():
    found = of_arrays([0.5], [np.nextafter(0.5, 1)])

    assert found.verdict == WITHIN
    assert 0 < found.largest < 1e-15


@pytest.mark.parametrize(("off", "verdict"), [(9e-7, WITHIN), (2e-6, DIFFERS), (1e-3, DIFFERS)])
def test_the_tolerance_is_absolute_below_one(off, verdict):
    found = of_arrays([0.25, 0.5], [0.25, 0.5 + off])

    assert found.verdict == verdict
    assert found.largest == pytest.approx(off)
    assert found.where.startswith("number 1: 0.5, now 0.50")


@pytest.mark.parametrize(("off", "verdict"), [(5e-4, WITHIN), (2e-3, DIFFERS)])
def test_the_tolerance_is_relative_above_one(off, verdict):
    assert of_arrays([1000.0], [1000.0 + off]).verdict == verdict


def test_a_number_that_became_nan_differs_however_large_the_tolerance():
    for then, now in (([1.0, np.nan], [1.0, 2.0]), ([1.0, 2.0], [1.0, np.nan]), ([np.inf], [1.0])):
        found = of_arrays(then, now, tolerance=0.9)
        assert (found.verdict, found.largest) == (DIFFERS, None)


def test_whole_numbers_and_words_must_be_the_same():
    assert of_arrays([100_000_000], [100_000_001]).verdict == DIFFERS
    assert of_arrays([3], [3]).verdict == IDENTICAL
    assert of_arrays(["a", "b"], ["a", "c"]).where == "number 1: b, now c"
    assert of_arrays([True], [False]).verdict == DIFFERS


def test_other_shapes_differ():
    assert of_arrays([1.0, 2.0], [1.0]).where == "shape (2,), now (1,)"


def test_the_worst_verdict_counts():
    assert worst([IDENTICAL, WITHIN, DIFFERS]) == DIFFERS
    assert worst([IDENTICAL, UNKNOWN, OTHER_BITS]) == OTHER_BITS
    assert worst([]) == IDENTICAL


def test_time_and_memory_are_not_compared_and_nothing_else():
    for name in (
        "time/load_s",
        "memory/peak_bytes",
        "features/seconds",
        "compression/seconds",
        "features/peak_gpu_memory_bytes",
    ):
        assert excluded(name)
    for name in ("alignment/r", "features/words", "compression/bytes", "probe/word_length/r", "compression/perplexity"):
        assert not excluded(name)
    assert len(EXCLUDED) == len(set(EXCLUDED))


@pytest.mark.parametrize(
    ("name", "stage"),
    [
        ("alignment/LPTL/r", "encoding"),
        ("alignment/ceiling", "ceiling"),
        ("alignment/LPTL/ceiling", "ceiling"),
        ("alignment/r_norm_low", "statistics"),
        ("alignment/significant_fraction", "statistics"),
        ("layer/chosen", "encoding"),
        ("baseline/word_rate/r", "baselines"),
        ("baseline_word_rate_r", "baselines"),
        ("partition_unique_model", "partition"),
        ("partition/model/r2", "partition"),
        ("partition", "partition"),
        ("probe/word_length/r_low", "probes"),
        ("probe_flash_holmes_tasks", "probes"),
        ("compression/perplexity", "compression"),
        ("features/words", "features"),
        ("ceiling_low", "ceiling"),
        ("r_norm", "encoding"),
        ("penalty", "encoding"),
        ("clocks", "data"),
        ("comparisons", "statistics"),
        ("p", "statistics"),
    ],
)
def test_every_name_belongs_to_a_stage(name, stage):
    assert stage_of(name) == stage
    assert stage in STAGES


@pytest.fixture
def runs(composed, small_run, tmp_path):
    """Folders of a run and of its copy, which a test changes."""
    config = composed(*small_run, "readout=npz")
    write(run(Experiment.from_config(config)), tmp_path / "one", "a", config, {})
    shutil.copytree(tmp_path / "one", tmp_path / "other")
    return tmp_path / "one", tmp_path / "other"


def change_record(folder, change):
    record = json.loads((folder / "result.json").read_text())
    change(record)
    (folder / "result.json").write_text(json.dumps(record))


def test_a_copy_is_identical_in_every_stage(runs):
    found = compared(*runs)

    assert found.verdict == IDENTICAL
    assert found.first is None
    assert {one.stage for one in found.findings} == {*STAGES} - {"probes"}


def test_a_metric_that_differs_by_a_thousandth_fails(runs):
    change_record(
        runs[1], lambda record: record["metrics"].update({"alignment/r": record["metrics"]["alignment/r"] + 1e-3})
    )

    found = compared(*runs)

    assert not found.reproduced
    assert (found.first.stage, found.first.what) == ("encoding", "metrics")
    assert found.first.where.startswith("alignment/r: ")
    assert found.first.largest == pytest.approx(1e-3)
    assert compared(*runs, tolerance=1e-2).reproduced


def test_a_metric_that_became_null_fails(runs):
    change_record(runs[1], lambda record: record["metrics"].update({"alignment/r": None}))

    assert not compared(*runs, tolerance=0.9).reproduced


def test_time_may_differ(runs):
    change_record(runs[1], lambda record: record["metrics"].update({"time/load_s": 1e6, "memory/peak_bytes": 1.0}))

    assert compared(*runs).verdict == IDENTICAL


def test_what_is_no_longer_there_fails_and_what_is_new_does_not(runs):
    change_record(runs[1], lambda record: record["metrics"].update({"alignment/new": 1.0}))
    assert compared(*runs).verdict == IDENTICAL

    change_record(runs[1], lambda record: record["metrics"].pop("alignment/r2"))
    (runs[1] / "comparisons.parquet").unlink()

    found = compared(*runs)

    assert not found.reproduced
    assert {one.where for one in found.findings if one.verdict == DIFFERS} == {
        "no longer there: alignment/r2",
        "no longer there: comparisons.parquet",
    }


def test_a_voxel_that_differs_is_named_with_its_subject(runs):
    with np.load(runs[1] / "voxels.npz") as held:
        arrays = {name: held[name].copy() for name in held.files}
    last = len(arrays["r"]) - 1
    arrays["r"][last] += 0.01
    np.savez_compressed(runs[1] / "voxels.npz", **arrays)

    found = compared(*runs)

    assert (found.first.stage, found.first.what) == ("encoding", "voxels.npz: r")
    assert found.first.where.startswith(f"voxel {(last + 1) // 2 - 1} of p2: ")


def test_a_row_that_differs_is_named_in_words(runs):
    scores = pd.read_parquet(runs[1] / "scores.parquet")
    at = scores.index[(scores.source == "word_rate") & (scores.roi == "A1") & (scores.subject == "p2")][0]
    scores.loc[at, "r2"] -= 0.1
    scores.to_parquet(runs[1] / "scores.parquet", index=False)

    found = compared(*runs)

    assert [one.stage for one in found.findings if one.verdict != IDENTICAL] == ["baselines"]
    assert found.first.where.startswith("r2 of word_rate · p2 · ")
    assert "A1" in found.first.where


def test_a_readout_that_differs_is_found(runs):
    file = runs[1] / "readouts" / "p1.npz"
    with np.load(file) as held:
        arrays = {name: held[name].copy() for name in held.files}
    arrays["weights"][0, 1, 2] += 1
    np.savez(file, **arrays)

    found = compared(*runs)

    assert (found.first.stage, found.first.what) == ("readout", "readouts/p1.npz")
    assert found.first.where.startswith("weights[0, 1, 2]")


def test_digests_locate_but_do_not_decide(runs):
    def changed(record):
        record["provenance"]["data"]["responses"]["p2"] = "x"
        record["provenance"]["features"]["layers"][1] = "y"

    change_record(runs[1], changed)

    found = compared(*runs)

    assert found.verdict == IDENTICAL
    assert (found.first.stage, found.first.what, found.first.verdict) == ("data", "responses", OTHER_BITS)
    assert found.first.where == "1 of 2: p2"
    assert [one.where for one in found.of("features") if one.verdict == OTHER_BITS] == ["1 of 3: 1"]


def test_rounding_in_an_earlier_stage_is_not_where_to_look_first(runs):
    def changed(record):
        record["metrics"]["features/words"] *= 1 + 1e-9
        record["metrics"]["alignment/r"] += 1e-3

    before = compared(*runs)
    change_record(runs[1], changed)
    found = compared(*runs)

    assert before.first is None
    assert [one.verdict for one in found.of("features") if one.what == "metrics"] == [WITHIN]
    assert found.first.stage == "encoding"
    change_record(
        runs[1], lambda record: record["metrics"].update(json.loads((runs[0] / "result.json").read_text())["metrics"])
    )
    change_record(
        runs[1], lambda record: record["metrics"].update({"alignment/r": record["metrics"]["alignment/r"] + 1e-9})
    )
    assert (compared(*runs).verdict, compared(*runs).first.stage) == (WITHIN, "encoding")


def test_a_record_without_digests_is_compared_by_its_numbers(runs):
    change_record(runs[0], lambda record: record.pop("provenance"))

    found = compared(*runs)

    assert found.verdict == IDENTICAL
    assert {one.verdict for one in found.of("seeds")} == {UNKNOWN}
