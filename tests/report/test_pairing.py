import json

import numpy as np
import pandas as pd
import pytest

from brainexp.cli import show_sweep
from brainexp.report.pairing import (
    forest,
    job_comparisons,
    model_comparisons,
    reference,
    twin_comparisons,
    unlike,
)
from brainexp.report.sweep import records
from brainexp.result import SCORE_COLUMNS

SUBJECTS = [f"s{number}" for number in range(9)]
ROIS = ("A1", "IFG", "all")
PERSON = np.random.default_rng(1).normal(0.2, 0.05, (len(ROIS), len(SUBJECTS)))


def job(folder, name, loss, own_layer=1, chosen=1, n_layers=3, seed=0, **changes):
    """Leave what a job leaves: its r lies below the reference's by ``loss`` at layer 1, and at its own layer by less."""
    rng = np.random.default_rng(seed)
    rows = []
    for layer in (*range(n_layers), pd.NA):
        drop = loss if (own_layer if layer is pd.NA else layer) == 1 else 0.1 * loss
        for roi, person in zip(ROIS, PERSON, strict=True):
            noise = rng.normal(0, 0.002, len(SUBJECTS))
            rows += [
                ("model", who, layer, roi, 5, 5, r, 0.2, 0.0, 0.05, 0.5, 5, 0.2, 0.01, 0.48, 0.52)
                for who, r in zip(SUBJECTS, person - drop + noise, strict=True)
            ]
    compression = name.split("-")[1]
    config = {
        "dataset": {"name": "synthetic", "seed": 0},
        "model": {"path": name.split("-")[0]},
        "compression": {"name": compression},
        "split": {"by": "auto", "folds": 5, "gap_trs": None, "layer_choice": "model"},
        "scoring": {"equivalence_margin": 0.01},
        "encoder": {"nuisance": []},
        "seed": 0,
    }
    for key, value in changes.pop("config", {}).items():
        section, option = key.split(".")
        config[section][option] = value
    metrics = {"layer/chosen": float(chosen), "alignment/r": 0.2, "compression/parameters": 1e6}
    record = {"name": name, "config": config, "metrics": metrics, "subjects": SUBJECTS} | changes
    number = len(list(folder.glob("[0-9]*")))
    (folder / str(number)).mkdir()
    pd.DataFrame(rows, columns=list(SCORE_COLUMNS)).astype({"layer": "Int64"}).to_parquet(
        folder / str(number) / "scores.parquet"
    )
    (folder / str(number) / "result.json").write_text(json.dumps(record))


def one_row(comparisons, source, roi, layer):
    at = comparisons.layer.isna() if layer is None else (comparisons.layer == layer).fillna(False)
    (found,) = comparisons[at & (comparisons.source == source) & (comparisons.roi == roi)].itertuples()
    return found


@pytest.fixture
def sweep(tmp_path):
    job(tmp_path, "gpt2-none-x", 0.0, seed=1)
    job(tmp_path, "gpt2-awq-x", 0.001, seed=2)
    job(tmp_path, "gpt2-rtn-x", 0.05, own_layer=2, seed=3)
    return tmp_path


def test_compression_that_preserves_alignment_is_equivalent_and_one_that_does_not_is_not(sweep):
    comparisons, remarks = job_comparisons(records(sweep))

    assert remarks == []
    kept, damaged = (one_row(comparisons, name, "all", 1) for name in ("gpt2-awq-x", "gpt2-rtn-x"))
    assert kept.p_equivalence_adjusted < 0.001
    assert damaged.p_equivalence_adjusted > 0.999
    assert damaged.p_t_adjusted < 0.001
    assert damaged.difference == pytest.approx(-0.05, abs=0.003)
    assert set(comparisons.reference) == {"gpt2-none-x"}


def test_only_the_same_layer_shows_damage_that_another_layer_makes_up_for(sweep):
    comparisons, _ = job_comparisons(records(sweep))

    own, same = (one_row(comparisons, "gpt2-rtn-x", "IFG", layer) for layer in (None, 1))

    assert own.p_equivalence < 0.05
    assert own.difference == pytest.approx(-0.005, abs=0.003)
    assert same.difference == pytest.approx(-0.05, abs=0.003)


def test_layer_rules_are_families_of_their_own(sweep):
    comparisons, _ = job_comparisons(records(sweep))

    assert comparisons.groupby("family").size().to_dict() == {
        "jobs, own layer × ROIs": 4,
        "jobs, own layer, all voxels": 2,
        "jobs, same layer × ROIs": 4,
        "jobs, same layer, all voxels": 2,
    }


def test_the_reference_is_the_uncompressed_twin_else_the_first(tmp_path):
    job(tmp_path, "gpt2-awq-x", 0)
    job(tmp_path, "bert-none-x", 0)
    job(tmp_path, "bert-awq-x", 0)
    job(tmp_path, "gpt2-none-x", 0)
    job(tmp_path, "t5-awq-x", 0)
    runs = records(tmp_path)

    assert [reference(at, runs) for at in range(5)] == [3, 0, 1, 0, 0]


def test_of_several_uncompressed_twins_it_is_the_one_most_alike(tmp_path):
    for compression in ("none", "awq"):
        for choice in ("model", "voxel"):
            job(tmp_path, f"gpt2-{compression}-x", 0, config={"split.layer_choice": choice})
    runs = records(tmp_path)

    assert [reference(at, runs) for at in range(4)] == [0, 0, 0, 1]


def test_it_is_of_the_same_data_where_there_is_one(tmp_path):
    for seed in (0, 1):
        for model in ("gpt2", "bert"):
            job(tmp_path, f"{model}-none-x", 0, config={"dataset.seed": seed})
    runs = records(tmp_path)

    assert [reference(at, runs) for at in range(4)] == [0, 0, 0, 2]


def test_of_many_reasons_three_are_given(tmp_path):
    job(tmp_path, "gpt2-none-x", 0)
    job(
        tmp_path,
        "gpt2-none-x",
        0,
        config={"dataset.a": 1, "dataset.b": 1, "dataset.c": 1, "dataset.d": 1, "split.folds": 3},
    )

    assert unlike(*records(tmp_path)) == (
        "split.folds: 5 and 3; dataset.a: None and 1; dataset.b: None and 1; and 2 more"
    )


def test_models_of_other_depth_are_compared_at_their_own_layers_only(tmp_path):
    job(tmp_path, "gpt2-none-x", 0)
    job(tmp_path, "bert-none-x", 0, n_layers=4, seed=1)

    comparisons, remarks = job_comparisons(records(tmp_path))

    assert comparisons.layer.isna().all()
    assert remarks == ["bert-none-x has 4 layers and gpt2-none-x 3: they are compared at their own layers only."]


@pytest.mark.parametrize("n_layers", [2, 3])
def test_where_blocks_were_dropped_the_same_number_is_not_the_same_layer(tmp_path, n_layers):
    metrics = {"layer/chosen": 1.0, "alignment/r": 0.2, "compression/blocks_dropped": 1.0}
    job(tmp_path, "gpt2-none-x", 0)
    job(tmp_path, "gpt2-layer_drop-x", 0.05, n_layers=n_layers, seed=1, metrics=metrics)

    comparisons, remarks = job_comparisons(records(tmp_path))

    assert set(comparisons.source) == {"gpt2-layer_drop-x"}
    assert comparisons.layer.isna().all()
    assert remarks == [
        "gpt2-layer_drop-x is compared with gpt2-none-x at their own layers only, since compression dropped 1 and 0 blocks: "
        "layers of one number are not of the same block."
    ]


def test_two_jobs_that_dropped_the_same_blocks_are_compared_at_the_same_layer(tmp_path):
    metrics = {"layer/chosen": 1.0, "alignment/r": 0.2, "compression/blocks_dropped": 1.0}
    job(tmp_path, "gpt2-layer_drop-x", 0, metrics=metrics)
    job(tmp_path, "bert-layer_drop-x", 0.05, seed=1, metrics=metrics)

    comparisons, _ = job_comparisons(records(tmp_path))

    assert comparisons.layer.notna().any()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"config": {"dataset.seed": 1}}, "dataset.seed: 1 and 0"),
        ({"config": {"split.folds": 3}}, "split.folds: 3 and 5"),
        ({"config": {"encoder.nuisance": ["motion"]}}, "encoder.nuisance: ['motion'] and []"),
        ({"subjects": ["a", "b"]}, "subjects: a, b and s0, s1, s2, s3, s4, s5, s6, s7, s8"),
    ],
)
def test_what_cannot_be_paired_is_said_and_not_compared(tmp_path, changes, words):
    job(tmp_path, "gpt2-none-x", 0)
    job(tmp_path, "gpt2-awq-x", 0, **changes)

    comparisons, remarks = job_comparisons(records(tmp_path))

    assert comparisons.empty
    assert remarks == [f"gpt2-awq-x is not compared with gpt2-none-x: they differ in {words}."]


def test_another_layer_choice_or_name_of_a_recording_forbids_nothing(tmp_path):
    job(tmp_path, "gpt2-none-x", 0)
    job(tmp_path, "gpt2-none-x", 0, config={"split.layer_choice": "voxel"})
    runs = records(tmp_path)

    assert unlike(*runs) == ""


def test_too_few_subjects_are_said_and_a_copy_too(tmp_path):
    job(tmp_path, "gpt2-none-x", 0)
    job(tmp_path, "gpt2-awq-x", 0)  # the same random numbers: a copy
    comparisons, remarks = job_comparisons(records(tmp_path))
    assert comparisons.p_t.isna().all()
    assert remarks == [
        "Jobs against their reference: the difference is the same in every subject: without spread there is no test."
    ]

    for path in tmp_path.glob("*/scores.parquet"):
        scores = pd.read_parquet(path)
        scores[scores.subject.isin(SUBJECTS[:2])].to_parquet(path)
    _, remarks = job_comparisons(records(tmp_path))
    assert remarks == ["Jobs against their reference: no test with fewer than 3 subjects (here: 2)."]


def test_the_forest_has_each_difference_within_its_intervals_and_the_margin_shaded(sweep):
    comparisons, _ = job_comparisons(records(sweep))

    figure = forest(comparisons)

    own, same = figure.axes
    assert [label.get_text() for label in own.get_yticklabels()] == ["A1", "IFG", "all voxels"]
    for panel, layer in ((own, None), (same, 1)):
        points = {line.get_label(): line for line in panel.lines if line.get_marker() == "o"}
        assert list(points) == ["gpt2-awq-x − gpt2-none-x", "gpt2-rtn-x − gpt2-none-x"]
        for source in ("gpt2-awq-x", "gpt2-rtn-x"):
            drawn = points[f"{source} − gpt2-none-x"].get_xdata()
            expected = [one_row(comparisons, source, roi, layer).difference for roi in ROIS]
            np.testing.assert_allclose(drawn, expected)
        (shade,) = panel.patches
        assert (shade.get_x(), shade.get_width()) == pytest.approx((-0.01, 0.02))
    wide, narrow = own.collections[:2]
    for wide_ends, narrow_ends in zip(wide.get_segments(), narrow.get_segments(), strict=True):
        assert wide_ends[0][0] < narrow_ends[0][0] < narrow_ends[1][0] < wide_ends[1][0]


def test_a_sweep_ends_with_table_file_and_figure(sweep, capsys):
    show_sweep(sweep)

    shown = capsys.readouterr().out
    assert "jobs against their reference: minus gpt2-none-x" in shown
    assert "0/2/0 of 2" in shown  # lower in both ROIs at the same layer
    assert len(pd.read_csv(sweep / "comparisons.csv")) == 12
    assert (sweep / "comparisons.png").read_bytes()[:4] == b"\x89PNG"


def test_a_single_job_is_compared_with_nothing(tmp_path, capsys):
    job(tmp_path, "gpt2-none-x", 0)

    show_sweep(tmp_path)

    assert not (tmp_path / "comparisons.csv").exists()
    assert "reference" not in capsys.readouterr().out


def test_jobs_of_other_subjects_are_compared_over_the_common_ones(tmp_path):
    job(tmp_path, "gpt2-none-x", 0, seed=1)
    job(tmp_path, "gpt2-awq-x", 0.02, seed=2, subjects=SUBJECTS[2:])
    scores = pd.read_parquet(tmp_path / "1" / "scores.parquet")
    scores[scores.subject.isin(SUBJECTS[2:])].to_parquet(tmp_path / "1" / "scores.parquet")

    comparisons, remarks = job_comparisons(records(tmp_path))

    assert set(comparisons.n_subjects) == {7}
    assert remarks == ["gpt2-awq-x and gpt2-none-x are compared over the 7 subjects whom both have, without s0, s1."]


def test_compressions_and_models_are_families_of_their_own(sweep):
    job(sweep, "bert-none-x", 0.03, seed=4)
    job(sweep, "bert-awq-x", 0.03, seed=5)
    runs = records(sweep)

    twins, _ = twin_comparisons(runs)
    models, _ = model_comparisons(runs)

    assert set(zip(twins.source, twins.reference, strict=True)) == {
        ("gpt2-awq-x", "gpt2-none-x"), ("gpt2-rtn-x", "gpt2-none-x"), ("bert-awq-x", "bert-none-x"),
    }  # fmt: skip
    assert set(zip(models.source, models.reference, strict=True)) == {("bert-none-x", "gpt2-none-x")}
    assert models.layer.isna().all()  # layers of two networks are not the same
    own = one_row(twins, "gpt2-rtn-x", "all", None)
    jobs = job_comparisons(runs)[0]
    assert own.p_t == one_row(jobs, "gpt2-rtn-x", "all", None).p_t
    assert own.p_t_adjusted == pytest.approx(3 * own.p_t)  # the least of three
    assert (jobs.family == "jobs, own layer, all voxels").sum() == 4
    assert (twins.family == "compressions, own layer, all voxels").sum() == 3


def test_a_compressed_run_without_its_twin_is_compared_with_nothing(tmp_path):
    job(tmp_path, "gpt2-none-x", 0, seed=1)
    job(tmp_path, "bert-awq-x", 0, seed=2)

    assert twin_comparisons(records(tmp_path))[0].empty
