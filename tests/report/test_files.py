"""result.json, scores.parquet and voxels.npz are a contract."""

import json

import numpy as np
import pandas as pd
import pytest

from brainexp.comparison import COMPARISON_COLUMNS
from brainexp.errors import ConfigError
from brainexp.experiment import Experiment, run
from brainexp.report.files import require_unused, write
from brainexp.tracking import config_hash

CONTRACT = {
    "alignment/r", "alignment/r_norm", "alignment/r2", "alignment/r_se", "alignment/ceiling", "alignment/A1/ceiling", "alignment/A1/r", "alignment/A1/r_norm",
    "alignment/r_norm_low", "alignment/r_norm_high", "alignment/A1/r_norm_low", "alignment/A1/r_norm_high", "alignment/below_ceiling_floor",
    "alignment/r_norm_ratio_of_means", "alignment/r_norm_ratio_of_means_low", "alignment/A1/r_norm_ratio_of_means_high",
    "alignment/significant_fraction", "alignment/scored_voxels", "alignment/unscored_voxels",
    "layer/chosen", "layer/chosen_min", "layer/chosen_max", "baseline/word_rate/r", "baseline/word_rate/A1/r",
    "compression/bits_per_weight", "compression/bytes", "compression/sparsity", "compression/parameters",
    "probe/word_length/r_last", "probe/word_length/r_mean",
    "time/load_s", "time/features_s", "time/encode_s", "time/baselines_s", "time/significance_s", "time/probe_s",
    "memory/peak_bytes",
}  # fmt: skip


@pytest.fixture
def config(composed, small_run):
    return composed(*small_run, "probe=[word_length]")


@pytest.fixture
def result(config):
    return run(Experiment.from_config(config))


@pytest.fixture
def folder(result, config, tmp_path):
    write(result, tmp_path / "run", "a-b-c", config, {"brainexp": "x"})
    return tmp_path / "run"


def test_result_json_holds_every_metric_of_the_contract(folder, config):
    record = json.loads((folder / "result.json").read_text())

    assert record["name"] == "a-b-c"
    assert record.keys() == {
        "name",
        "compression",
        "metrics",
        "curves",
        "layers",
        "subjects",
        "remarks",
        "config",
        "config_hash",
        "inputs_hash",
        "label",
        "environment",
        "provenance",
    }
    assert record["metrics"].keys() >= CONTRACT
    assert all(value is None or isinstance(value, float) for value in record["metrics"].values())
    assert record["config"] == config
    assert record["config_hash"] == config_hash(config)
    assert record["provenance"].keys() == {"seeds", "files", "data", "model", "compression", "features"}
    assert record["subjects"] == ["p1", "p2"]


def test_attachments_lie_beside_the_result(result, config, tmp_path):
    write(result, tmp_path / "run", "a-b-c", config, {}, attachments={"environment.txt": "torch==2\n", "git.diff": "\udcff\n"})

    assert (tmp_path / "run" / "environment.txt").read_text() == "torch==2\n"
    assert (tmp_path / "run" / "git.diff").read_bytes() == b"\xff\n"


def test_passwords_in_addresses_are_not_written(result, config, tmp_path):
    config["tracking"]["uri"] = "https://me:hunter2@tracker:5000"

    write(result, tmp_path / "run", "a-b-c", config, {})

    text = (tmp_path / "run" / "result.json").read_text()
    assert "hunter2" not in text
    assert json.loads(text)["config"]["tracking"]["uri"] == "https://***@tracker:5000"


def test_curves_have_a_value_per_layer(folder):
    curves = json.loads((folder / "result.json").read_text())["curves"]

    assert {
        "layer/r",
        "layer/validation_r",
        "layer/A1/r",
        "layer/A1/validation_r",
        "probe/word_length/r",
    } <= curves.keys()
    assert {len(curve) for curve in curves.values()} == {3}


def test_scores_have_a_row_per_source_subject_layer_and_roi(folder):
    scores = pd.read_parquet(folder / "scores.parquet")

    assert list(scores.columns) == [
        "source",
        "subject",
        "layer",
        "roi",
        "n_voxels",
        "n_scored",
        "r",
        "r_norm",
        "r2",
        "validation_r",
        "ceiling",
        "n_normalised",
        "r_norm_ratio_of_means",
        "ceiling_se",
        "ceiling_low",
        "ceiling_high",
    ]
    model = scores[scores.source == "model"]
    assert len(model) == 2 * (3 + 1) * 5  # subjects, layers and the chosen one, regions and all voxels
    assert not model.duplicated(["subject", "layer", "roi"]).any()
    assert set(scores.source) == {"model", "word_rate"}


def test_comparisons_have_a_row_per_baseline_and_roi(folder, result):
    comparisons = pd.read_parquet(folder / "comparisons.parquet")

    assert tuple(comparisons.columns) == COMPARISON_COLUMNS
    assert len(comparisons) == 5
    assert set(comparisons.remark) == {"no test with fewer than 3 subjects (here: 2)"}
    of_all = comparisons[comparisons.roi == "all"].iloc[0]
    assert of_all.difference == pytest.approx(result.metrics["alignment/r"] - result.metrics["baseline/word_rate/r"])


def test_voxels_hold_what_the_design_names_for_every_column(folder, result):
    with np.load(folder / "voxels.npz", allow_pickle=False) as voxels:
        held = {name: voxels[name] for name in voxels.files}

    assert {
        "subject",
        "r",
        "r2",
        "ceiling",
        "ceiling_se",
        "ceiling_low",
        "ceiling_high",
        "r_norm",
        "p",
        "q",
        "layer",
        "penalty",
        "baseline_word_rate_r",
        *(f"partition_{one}_r2" for one in ("model", "low_level", "model+low_level")),
        *(f"partition_{kind}_{one}" for kind in ("unique", "product") for one in ("model", "low_level")),
        "partition_shared_model+low_level",
    } == held.keys()
    n_voxels = len(result.voxels.owner)
    assert {len(values) for values in held.values()} == {n_voxels}
    assert held["layer"].shape == held["penalty"].shape == (n_voxels, 3)  # one choice per fold
    np.testing.assert_allclose(held["r_norm"], held["r"] / np.where(held["ceiling"] > 0, held["ceiling"], np.nan))


def test_the_metric_is_the_mean_of_the_voxels(folder):
    record = json.loads((folder / "result.json").read_text())
    with np.load(folder / "voxels.npz") as voxels:
        mean = voxels["r"].mean()

    assert record["metrics"]["alignment/r"] == pytest.approx(mean, rel=1e-6)


def test_nothing_half_written_is_left_by_an_error(result, config, tmp_path, monkeypatch):
    monkeypatch.setattr("brainexp.report.files.np.savez_compressed", lambda *_, **__: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        write(result, tmp_path / "run", "a-b-c", config, {})

    assert list((tmp_path / "run").iterdir()) == []


def test_an_existing_result_is_not_overwritten(folder):
    with pytest.raises(
        ConfigError, match="already holds a result, which would be overwritten. Give another hydra.run.dir"
    ):
        require_unused(folder)
