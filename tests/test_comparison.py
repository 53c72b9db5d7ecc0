import dataclasses

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_rel

from brainexp.comparison import COMPARISON_COLUMNS, TESTS, against_baselines, compared, paired_rows
from brainexp.result import SCORE_COLUMNS, Result
from brainexp.score.inference import adjusted
from brainexp.settings import Scoring

SUBJECTS = tuple("abcdefghi")
GAIN = {"word_rate": {"A1": 0.0, "IFG": 0.05, "all": 0.025}, "untrained": {"A1": 0.03, "IFG": 0.03, "all": 0.03}}


def table(rows):
    return pd.DataFrame(rows, columns=list(SCORE_COLUMNS)).astype({"layer": "Int64"})


def rows_of(source, roi, r, subjects=SUBJECTS, layer=pd.NA):
    return [
        (source, who, layer, roi, 5, 5, one, 0.2, 0.0, 0.05, 0.5, 5, 0.2, 0.01, 0.48, 0.52)
        for who, one in zip(subjects, r, strict=True)
    ]


@pytest.fixture
def scores():
    rng = np.random.default_rng(1)
    rows = []
    for roi in ("A1", "IFG", "all"):
        person = rng.normal(0.2, 0.1, len(SUBJECTS))
        rows += rows_of("model", roi, person)
        rows += rows_of("model", roi, person + 0.5, layer=3)
        for name, gain in GAIN.items():
            rows += rows_of(name, roi, person - gain[roi] + rng.normal(0, 0.002, len(SUBJECTS)))
    return table(rows)


def row(comparisons, reference, roi):
    (found,) = comparisons[(comparisons.reference == reference) & (comparisons.roi == roi)].itertuples()
    return found


def test_each_baseline_is_compared_in_each_roi_at_the_chosen_layer(scores, rng):
    comparisons = against_baselines(scores, Scoring(), rng)

    assert tuple(comparisons.columns) == COMPARISON_COLUMNS
    assert list(zip(comparisons.reference, comparisons.roi, strict=True)) == [
        (name, roi) for name in GAIN for roi in ("A1", "IFG", "all")
    ]
    assert (comparisons.source == "model").all()
    assert comparisons.layer.isna().all()
    assert (comparisons.n_subjects == 9).all()
    for name, gain in GAIN.items():
        for roi, expected in gain.items():
            assert row(comparisons, name, roi).difference == pytest.approx(expected, abs=0.002)


def test_what_was_planted_is_found_and_what_was_not_is_equivalent(scores, rng):
    comparisons = against_baselines(scores, Scoring(), rng)

    planted, alike = row(comparisons, "word_rate", "IFG"), row(comparisons, "word_rate", "A1")
    assert planted.p_t_adjusted < 0.001
    assert planted.p_sign_flip == planted.p_wilcoxon == 2 / 2**9
    assert planted.p_equivalence > 0.999
    assert alike.p_sign_flip > 0.05
    assert alike.p_equivalence_adjusted < 0.001
    assert row(comparisons, "untrained", "A1").rank_biserial == 1.0


def test_subjects_are_paired_by_name_and_not_by_place(scores, rng):
    shuffled = scores.sample(frac=1, random_state=0).sort_values("roi", kind="stable")
    straight = against_baselines(scores, Scoring(), np.random.default_rng(0))

    mixed = against_baselines(shuffled, Scoring(), np.random.default_rng(0))

    for name in GAIN:
        assert row(mixed, name, "IFG").p_t == pytest.approx(row(straight, name, "IFG").p_t)


def test_all_rois_of_all_baselines_are_one_family_and_all_voxels_another(scores, rng):
    comparisons = against_baselines(scores, Scoring(multiplicity="bh"), rng)

    families = comparisons.groupby("family")
    assert {name: len(rows) for name, rows in families} == {"baselines × ROIs": 4, "baselines, all voxels": 2}
    for _, rows in families:
        for test in TESTS:
            np.testing.assert_allclose(rows[f"{test}_adjusted"], adjusted(rows[test], "bh"))


def test_scoring_decides_margin_confidence_and_multiplicity(scores):
    wide, narrow = (
        against_baselines(scores, scoring, np.random.default_rng(0))
        for scoring in (Scoring(equivalence_margin=0.1, confidence=0.99), Scoring(equivalence_margin=0.001))
    )

    assert (wide.margin == 0.1).all()
    assert (wide.p_equivalence < narrow.p_equivalence).all()
    assert (wide.ci_high - wide.ci_low > narrow.ci_high - narrow.ci_low).all()
    assert (wide.confidence == 0.99).all()


def test_a_subject_without_an_roi_or_without_r_is_left_out_there(scores, rng):
    bare = scores[~((scores.subject == "a") & (scores.roi == "A1"))].copy()
    bare.loc[(bare.subject == "b") & (bare.roi == "A1") & (bare.source == "word_rate"), "r"] = np.nan

    comparisons = against_baselines(bare, Scoring(), rng)

    assert row(comparisons, "word_rate", "A1").n_subjects == 7
    assert row(comparisons, "untrained", "A1").n_subjects == 8
    assert row(comparisons, "word_rate", "IFG").n_subjects == 9
    found = row(comparisons, "word_rate", "A1")
    kept = bare[bare.layer.isna() & (bare.roi == "A1") & ~bare.subject.isin(["a", "b"])]
    by_source = kept.pivot_table(index="subject", columns="source", values="r")
    assert found.p_t == pytest.approx(ttest_rel(by_source["model"], by_source["word_rate"]).pvalue)
    assert found.r - found.reference_r == pytest.approx(found.difference)


def test_two_subjects_are_told_that_there_is_no_test(scores, rng):
    few = scores[scores.subject.isin(["a", "b"])]
    result = Result(metrics={}, curves={}, scores=few, per_voxel={}, voxels=None, remarks=("before",))

    found = compared(result, Scoring(), rng)

    assert found.remarks == (
        "before",
        "The model is not tested against its baselines: that takes at least 3 subjects (here: 2).",
    )
    assert found.tables["comparisons"][[f"{test}_adjusted" for test in TESTS]].isna().all(axis=None)
    assert found.tables["comparisons"].difference.notna().all()
    assert set(found.tables["comparisons"].remark) == {"no test with fewer than 3 subjects (here: 2)"}


def test_without_baselines_there_is_an_empty_table_and_no_remark(scores, rng, tmp_path):
    result = Result(metrics={}, curves={}, scores=scores[scores.source == "model"], per_voxel={}, voxels=None)

    found = compared(result, Scoring(), rng)

    assert found.remarks == ()
    assert tuple(found.tables["comparisons"].columns) == COMPARISON_COLUMNS
    assert len(found.tables["comparisons"]) == 0
    found.tables["comparisons"].to_parquet(tmp_path / "empty.parquet")


def test_nothing_but_comparisons_and_remarks_is_changed(scores, rng):
    result = Result(metrics={"a": 1.0}, curves={}, scores=scores, per_voxel={}, voxels=None)

    found = compared(result, Scoring(), rng)

    for field in dataclasses.fields(Result):
        if field.name not in ("tables", "remarks"):
            assert getattr(found, field.name) is getattr(result, field.name)


def test_a_layer_is_named_where_both_are_scored_at_one(scores, rng):
    at_three = scores[(scores.layer == 3).fillna(False)]

    rows = paired_rows(at_three, at_three, ("x", "y", "jobs"), 3, Scoring(), rng)

    assert [one["layer"] for one in rows] == [3, 3, 3]
    assert {one["remark"] for one in rows} == {
        "the difference is the same in every subject: without spread there is no test"
    }
