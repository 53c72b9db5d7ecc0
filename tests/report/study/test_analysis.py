import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control, ttest_rel, wilcoxon

from brainexp.report.study.analysis import analysed
from brainexp.report.study.launch import read_study
from brainexp.score.pareto import pareto_front
from tests.report.study.conftest import LEVELS, SIZES, SUBJECTS, leave


@pytest.fixture(scope="module")
def analysis(grid, tmp_path_factory):
    return analysed(read_study([grid]), tmp_path_factory.mktemp("pooled"))


def section(analysis, name):
    (found,) = [one for one in analysis.sections if one.name == name]
    return found


def table(analysis, name):
    (found,) = [one for part in analysis.sections for one in part.tables if one.name == name]
    return found.frame


def chosen(grid, job, roi="all", layer=None):
    scores = pd.read_parquet(grid / str(job) / "scores.parquet")
    at = scores.layer.isna() if layer is None else (scores.layer == layer).fillna(False)
    return scores[(scores.source == "model") & at & (scores.roi == roi)].set_index("subject").r


def holm(p):
    order = np.argsort(p)
    steps = np.maximum.accumulate(np.array(p)[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(steps, 1)
    return adjusted


def test_the_table_of_models_has_means_over_subjects(analysis, grid):
    frame = table(analysis, "scale")

    assert frame.model.tolist() == [name.replace("-", "_") for name in SIZES]
    assert frame.parameters.tolist() == list(SIZES.values())
    for row, job in zip(frame.itertuples(), (0, 3, 6, 9), strict=True):
        r = chosen(grid, job)
        assert row.r == pytest.approx(r.mean())
        assert row.r_se == pytest.approx(r.std(ddof=1) / np.sqrt(len(SUBJECTS)))
        assert row.layer == 1
    assert frame.family.unique().tolist() == ["tiny"]


def test_models_are_compared_in_pairs_as_scipy_does(analysis, grid):
    frame = table(analysis, "model_tests")

    assert len(frame) == 6
    assert frame.pair.tolist()[0] == "tiny_3M − tiny_1M"
    jobs = {name.replace("-", "_"): 3 * number for number, name in enumerate(SIZES)}
    for row in frame.itertuples():
        larger, smaller = (chosen(grid, jobs[name]) for name in row.pair.split(" − "))
        tested = ttest_rel(larger, smaller)
        assert row.difference == pytest.approx((larger - smaller).mean())
        assert (row.t, row.p_t, row.df) == (pytest.approx(tested.statistic), pytest.approx(tested.pvalue), 6)
        assert row.p_wilcoxon == pytest.approx(wilcoxon(larger - smaller).pvalue)
        assert [row.ci_low, row.ci_high] == pytest.approx(list(tested.confidence_interval(0.95)))
        lower, upper = (
            ttest_rel(larger + shift, smaller, alternative=side).pvalue
            for shift, side in ((0.01, "greater"), (-0.01, "less"))
        )
        assert row.p_equivalence == pytest.approx(max(lower, upper))
    assert frame.p_t_adjusted.tolist() == pytest.approx(holm(frame.p_t))


def test_compressions_are_compared_with_their_own_twins_at_both_layers(analysis, grid):
    frame = table(analysis, "compression_tests")

    assert frame["at"].tolist().count("own") == frame["at"].tolist().count("same") == 4
    assert frame.layer.dropna().tolist() == [1] * 4
    jobs = {"tiny_1M": (0, 1), "tiny_10M": (6, 7), "tiny_30M": (9, 10)}
    for model, (whole, rtn) in jobs.items():
        for at, layer in (("own", None), ("same", 1)):
            (row,) = frame[(frame.pair == f"{model} · rtn − {model} · none") & (frame["at"] == at)].itertuples()
            tested = ttest_rel(chosen(grid, rtn, layer=layer), chosen(grid, whole, layer=layer))
            assert (row.t, row.p_t) == (pytest.approx(tested.statistic), pytest.approx(tested.pvalue))
            assert row.verdict == "equivalent"
    (damaged,) = frame[(frame.pair == "tiny_30M · magnitude − tiny_30M · none") & (frame["at"] == "own")].itertuples()
    assert damaged.verdict == "different"
    assert damaged.difference == pytest.approx(-0.05, abs=0.005)
    own = frame[frame["at"] == "own"]
    assert own.p_t_adjusted.tolist() == pytest.approx(holm(own.p_t))  # comparisons of models are in no family of these
    in_rois = table(analysis, "compression_tests_rois")
    assert set(in_rois.roi) == {"A1", "IFG"}


def test_multiplicity_is_the_one_that_was_configured(tmp_path):
    scoring = {"equivalence_margin": 0.01, "multiplicity": "bh"}
    for number, model in enumerate(SIZES):
        leave(tmp_path / str(number), model, scoring=scoring)
    (tmp_path / "work").mkdir()

    frame = table(analysed(read_study([tmp_path]), tmp_path / "work"), "model_tests")

    assert frame.p_t_adjusted.tolist() == pytest.approx(false_discovery_control(frame.p_t))


def test_sentences_tell_what_the_tests_show_with_their_numbers(analysis):
    said = {claim.text.split(":")[0]: claim for claim in section(analysis, "compression").claims}

    kept = said["tiny_1M · rtn ≈ tiny_1M · none"]
    lost = said["tiny_30M · magnitude < tiny_30M · none"]
    assert (kept.verdict, lost.verdict) == ("equivalent", "different")
    row = (
        table(analysis, "compression_tests")
        .query("pair == 'tiny_30M · magnitude − tiny_30M · none' and at == 'own'")
        .iloc[0]
    )
    assert f"Δr = {row.difference:+.3f}" in lost.text
    assert f"t(6) = {row.t:.2f}" in lost.text
    assert section(analysis, "compression").remarks == (
        "Compressions against their twins — own layer: 3 equivalent, 1 different, of 4; "
        "same layer: 3 equivalent, 1 different, of 4.",
    )


def test_saturation_is_claimed_of_the_planted_curve(analysis):
    (claim,) = [one for one in section(analysis, "scale").claims if one.text.startswith("tiny: ")]
    fit = section(analysis, "scale").figures["scale"]["scale_fit"].iloc[0]

    assert "and saturates" in claim.text
    assert fit.limit_low < fit.limit < fit.limit_high
    assert fit.limit == pytest.approx(0.20, abs=0.02)
    assert fit.n_subjects == len(SUBJECTS)


def test_models_that_do_not_grow_have_no_limit(tmp_path):
    for number, (model, level) in enumerate(LEVELS.items()):
        leave(tmp_path / str(number), model, loss=level - 0.15)
    (tmp_path / "work").mkdir()

    scale = section(analysed(read_study([tmp_path]), tmp_path / "work"), "scale")

    (claim,) = [one for one in scale.claims if one.text.startswith("tiny: ")]
    assert claim.verdict == "undecided"
    assert "A limit is not identifiable: " in claim.text


def test_the_front_is_that_of_weights_at_their_bits(analysis):
    rows = section(analysis, "costs").figures["pareto"]["pareto"]

    assert rows[rows.name == "tiny_30M · rtn"].megabytes.tolist() == pytest.approx([3e7 * 4.25 / 8e6])
    assert rows.front.tolist() == pareto_front(rows.megabytes.to_numpy(), rows.r.to_numpy()).tolist()
    assert "tiny_1M · rtn" in rows[rows.front]["name"].tolist()
    assert "tiny_30M · magnitude" not in rows[rows.front]["name"].tolist()


def test_probes_have_scores_changes_and_verdicts(analysis):
    probes = table(analysis, "probes")
    lost = table(analysis, "dissociation")

    assert set(probes.competence) == {"syntax", "semantics"}
    assert probes[probes.run == "tiny_1M-rtn-made"].score.mean() == pytest.approx(0.7, abs=0.01)
    assert set(lost[lost.pair == "tiny_30M · rtn"].verdict) == {"dissociated"}
    (told,) = [one for one in section(analysis, "probes").remarks if one.startswith("tiny_30M · rtn")]
    assert "falls while r stays equivalent" in told
    assert table(analysis, "winning_rates")["all"].between(0, 1).all()


def test_holes_are_counted(analysis):
    assert analysis.holes == "4 of 12 jobs are missing from what follows: 2 never started, 1 failed, 1 unfinished."


def test_a_job_per_subject_makes_one_condition(tmp_path):
    whole, by_subject = tmp_path / "whole", tmp_path / "by_subject"
    number = 0
    for at, (model, method) in enumerate([("tiny-1M", "none"), ("tiny-1M", "rtn"), ("tiny-3M", "none")]):
        leave(whole / str(at), model, method)
        everybody = pd.read_parquet(whole / str(at) / "scores.parquet")
        for who in SUBJECTS:
            leave(by_subject / str(number), model, method, subjects=(who,), asked=[who])
            everybody[everybody.subject == who].to_parquet(by_subject / str(number) / "scores.parquet")
            number += 1
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()

    one, other = (analysed(read_study([folder]), tmp_path / work) for folder, work in ((whole, "a"), (by_subject, "b")))

    assert len(other.runs) == 3
    for name in ("model_tests", "compression_tests", "compression_tests_rois"):
        numbers = ["difference", "t", "p_t", "p_t_adjusted", "p_equivalence", "n_subjects"]
        pd.testing.assert_frame_equal(table(one, name)[numbers], table(other, name)[numbers])
    columns = ["r", "r_se", "n_subjects", "untrained_r", "layer"]
    pd.testing.assert_frame_equal(table(one, "scale")[columns], table(other, "scale")[columns])
    assert other.remarks[0].startswith("Jobs that differ in subjects alone are taken together: tiny_1M-none-made, ")


def test_a_subject_who_is_in_two_jobs_counts_once(tmp_path):
    leave(tmp_path / "F" / "0", "tiny-1M", subjects=("s1", "s2"), asked=["s1", "s2"])
    leave(tmp_path / "F" / "1", "tiny-1M", subjects=("s2", "s3"), asked=["s2", "s3"], seed=5)
    (tmp_path / "work").mkdir()

    found = analysed(read_study([tmp_path / "F"]), tmp_path / "work")

    assert table(found, "scale").n_subjects.tolist() == [3]
    assert "tiny_1M-none-made: s2 is in several jobs; the first counts." in found.remarks
    scores = pd.read_parquet(tmp_path / "work" / "0" / "scores.parquet")
    first = pd.read_parquet(tmp_path / "F" / "0" / "scores.parquet")
    pd.testing.assert_series_equal(
        scores[scores.subject == "s2"].r.reset_index(drop=True), first[first.subject == "s2"].r.reset_index(drop=True)
    )


def test_runs_of_other_subjects_are_paired_on_the_common_ones_and_it_is_said(tmp_path):
    leave(tmp_path / "F" / "0", "tiny-1M")
    leave(tmp_path / "F" / "1", "tiny-1M", "rtn", subjects=SUBJECTS[:5], asked=list(SUBJECTS[:5]), loss=0.01)
    (tmp_path / "work").mkdir()

    found = analysed(read_study([tmp_path / "F"]), tmp_path / "work")

    frame = table(found, "compression_tests")
    whole, some = (chosen(tmp_path / "F", job) for job in (0, 1))
    assert set(frame.n_subjects) == {5}
    own = frame[frame["at"] == "own"].iloc[0]
    assert own.p_t == pytest.approx(ttest_rel(some, whole[some.index]).pvalue)
    assert (
        "tiny_1M-rtn-made and tiny_1M-none-made are compared over the 5 subjects whom both have, without s6, s7."
        in found.remarks
    )


def test_what_does_not_apply_is_left_out_with_a_reason(tmp_path):
    leave(tmp_path / "alone", "tiny-1M", n_layers=1, own_layer=0, subjects=("s1",))
    (tmp_path / "work").mkdir()

    found = analysed(read_study([tmp_path / "alone"]), tmp_path / "work")

    left_out = {name: reason for part in found.sections for name, reason in part.left_out.items()}
    assert set(left_out) == {
        "scale", "model_differences", "compression_differences", "bits", "layers", "dissociation", "pareto",
    }  # fmt: skip
    assert left_out["dissociation"] == "the runs were asked no probes: give probe=[flash_holmes]"
    assert (
        left_out["model_differences"] == "nothing was tested, which takes two runs with three subjects whom both have"
    )
    assert [name for part in found.sections for name in part.figures] == ["rois"]
    assert table(found, "scale").r.tolist() == pytest.approx([chosen(tmp_path, "alone").mean()])
