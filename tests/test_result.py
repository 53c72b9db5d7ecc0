import dataclasses

import numpy as np
import pandas as pd
import pytest

from brainexp.containers import Space
from brainexp.evaluation import Evaluation
from brainexp.result import (
    SCORE_COLUMNS,
    Voxels,
    alignment_metrics,
    chosen_layers,
    layer_curves,
    normalised_intervals,
    score_table,
)

#: Two voxels of Ada, four of Bob; Bob's first is unscorable, Ada's second and Bob's last have hardly a ceiling.
TEST_R = np.array([[0.1, 0.3, np.nan, 0.2, 0.4, 0.6], [0.5, 0.7, np.nan, 0.0, -0.2, 0.2]])
CHOSEN_R = np.array([0.5, 0.7, np.nan, 0.2, 0.4, 0.6])
CEILING = np.array([0.5, 0.01, 0.8, 0.4, 0.8, np.nan])
VALIDATION_R = TEST_R / 2
LAYER = np.array([[1, 1, -1, 0, 0, 0], [1, 1, -1, 0, 0, 1]])


def space(n_voxels: int, **rois: list[int]) -> Space:
    columns = {name: np.array(at) for name, at in rois.items()}
    return Space(kind="rois", n_voxels=n_voxels, rois=columns, coordinates_mm=np.zeros((n_voxels, 3)))


@pytest.fixture
def voxels() -> Voxels:
    return Voxels(
        subjects=("ada", "bob"),
        spaces={"ada": space(2, A1=[0], IFG=[1]), "bob": space(4, A1=[0, 3], IFG=[1, 2])},
        owner=np.array([0, 0, 1, 1, 1, 1]),
        ceiling=CEILING,
        ceiling_floor=0.05,
    )


@pytest.fixture
def evaluation() -> Evaluation:
    return Evaluation(
        validation_r=VALIDATION_R,
        test_r=TEST_R,
        test_r2=TEST_R**2,
        layer=LAYER,
        penalty=np.ones((2, 1, 6)),
        r=CHOSEN_R,
        r2=CHOSEN_R**2,
        predicted=[],
        numbers=(0, 1),
    )


def row(table: pd.DataFrame, subject: str, layer: int | None, roi: str) -> pd.Series:
    of_layer = table.layer.isna() if layer is None else (table.layer == layer).fillna(False)
    found = table[of_layer & (table.subject == subject) & (table.roi == roi)]
    assert len(found) == 1
    return found.iloc[0]


def test_the_table_has_a_row_per_subject_layer_and_roi_and_one_set_for_the_chosen_layer(evaluation, voxels):
    table = score_table("model", evaluation, voxels)

    assert tuple(table.columns) == SCORE_COLUMNS
    assert len(table) == 2 * 3 * 3  # subjects, two layers and the chosen one, two ROIs and all voxels
    assert table.layer.isna().sum() == 6
    assert table.layer.dtype == "Int64"
    assert set(table.roi) == {"A1", "IFG", "all"}
    assert (table.source == "model").all()


@pytest.mark.parametrize(
    ("subject", "layer", "roi", "n_voxels", "n_scored", "r"),
    [
        ("ada", 0, "all", 2, 2, 0.2),
        ("ada", 1, "all", 2, 2, 0.6),
        ("ada", None, "all", 2, 2, 0.6),
        ("bob", 0, "all", 4, 3, 0.4),
        ("bob", 1, "all", 4, 3, 0.0),
        ("bob", None, "all", 4, 3, 0.4),
        ("bob", 0, "A1", 2, 1, 0.6),
        ("bob", 1, "IFG", 2, 2, -0.1),
        ("ada", 1, "IFG", 1, 1, 0.7),
    ],
)
def test_rows_hold_the_means_of_the_voxels_that_were_scored(
    evaluation, voxels, subject, layer, roi, n_voxels, n_scored, r
):
    found = row(score_table("model", evaluation, voxels), subject, layer, roi)

    assert (found.n_voxels, found.n_scored) == (n_voxels, n_scored)
    assert found.r == pytest.approx(r)


def test_r_norm_is_nan_under_the_floor_and_means_leave_such_voxels_out(evaluation, voxels):
    table = score_table("model", evaluation, voxels)

    assert np.isnan(row(table, "ada", None, "IFG").r_norm)
    assert np.isnan(row(table, "bob", None, "A1").r_norm)
    assert row(table, "ada", None, "all").r_norm == pytest.approx(0.5 / 0.5)
    assert row(table, "bob", None, "all").r_norm == pytest.approx((0.2 / 0.4 + 0.4 / 0.8) / 2)


def test_r2_and_validation_r_are_averaged_alike(evaluation, voxels):
    found = row(score_table("model", evaluation, voxels), "bob", 0, "all")

    assert found.r2 == pytest.approx((0.04 + 0.16 + 0.36) / 3)
    assert found.validation_r == pytest.approx(0.2)


def test_validation_r_at_the_chosen_layer_is_that_of_the_layer_of_each_fold(evaluation, voxels):
    found = row(score_table("model", evaluation, voxels), "bob", None, "all")

    last_voxel = (0.6 / 2 + 0.2 / 2) / 2  # layer 0 in one fold, layer 1 in the other
    assert found.validation_r == pytest.approx((0.1 + 0.2 + last_voxel) / 3)


def test_subjects_weigh_alike_however_many_voxels_each_has(evaluation, voxels):
    metrics = alignment_metrics(score_table("model", evaluation, voxels))

    assert metrics["alignment/r"] == pytest.approx((0.6 + 0.4) / 2)
    assert metrics["alignment/r"] != pytest.approx(np.nanmean(CHOSEN_R))
    assert metrics["alignment/r_se"] == pytest.approx(np.std([0.6, 0.4], ddof=1) / np.sqrt(2))
    assert metrics["alignment/r_norm"] == pytest.approx((1.0 + 0.5) / 2)
    assert metrics["alignment/r2"] == pytest.approx(((0.25 + 0.49) / 2 + (0.04 + 0.16 + 0.36) / 3) / 2)


def test_metrics_name_the_roi_and_the_baseline(evaluation, voxels):
    table = pd.concat([score_table(source, evaluation, voxels) for source in ("model", "word_rate")])

    metrics = alignment_metrics(table)

    measures = ("r", "r_norm", "r_norm_ratio_of_means", "r2", "r_se")
    prefixes = [f"{group}{roi}" for group in ("alignment", "baseline/word_rate") for roi in ("", "/A1", "/IFG")]
    ceilings = {f"alignment{roi}/ceiling" for roi in ("", "/A1", "/IFG")}  # one per voxel, whatever predicts it
    assert set(metrics) == {f"{prefix}/{measure}" for prefix in prefixes for measure in measures} | ceilings
    assert metrics["alignment/IFG/r"] == pytest.approx((0.7 + 0.3) / 2)


def test_a_subject_without_a_scored_voxel_is_left_out_of_mean_and_standard_error_alike():
    rows = [
        ("model", name, pd.NA, "all", 1, 1, r, r, r, r, 1.0, 1, r, 0.1, 0.9, 1.1)
        for name, r in zip("abc", (0.2, 0.4, np.nan), strict=True)
    ]
    table = pd.DataFrame(rows, columns=list(SCORE_COLUMNS)).astype({"layer": "Int64"})

    metrics = alignment_metrics(table)

    assert metrics["alignment/r"] == pytest.approx(0.3)
    assert metrics["alignment/r_se"] == pytest.approx(np.std([0.2, 0.4], ddof=1) / np.sqrt(2))


def test_a_single_subject_has_no_standard_error(evaluation, voxels):
    table = score_table("model", evaluation, voxels)

    metrics = alignment_metrics(table[table.subject == "ada"])

    assert metrics["alignment/r"] == pytest.approx(0.6)
    assert np.isnan(metrics["alignment/r_se"])


def test_curves_are_means_over_subjects_by_layer(evaluation, voxels):
    curves = layer_curves(score_table("model", evaluation, voxels))

    assert curves["layer/r"] == pytest.approx([(0.2 + 0.4) / 2, (0.6 + 0.0) / 2])
    assert curves["layer/validation_r"] == pytest.approx([0.15, 0.15])
    assert curves["layer/A1/r"] == pytest.approx([(0.1 + 0.6) / 2, (0.5 + 0.2) / 2])
    assert curves["layer/IFG/r_norm"] == pytest.approx([(0.2 / 0.4 + 0.4 / 0.8) / 2, (0.0 - 0.2 / 0.8) / 2])
    assert len(curves) == 3 * 3


def test_baselines_have_no_curves(evaluation, voxels):
    assert layer_curves(score_table("word_rate", evaluation, voxels)) == {}


def test_the_chosen_layer_is_the_commonest_and_unscorable_voxels_do_not_count(evaluation):
    scorable = [True, True, False, False, False, True]

    assert chosen_layers(evaluation, scorable) == {
        "layer/chosen": 1.0,
        "layer/chosen_min": 0.0,
        "layer/chosen_max": 1.0,
    }


def test_voxels_normalise_by_the_ceiling_of_their_own(voxels):
    found = voxels.normalised(np.full(6, 0.2))

    np.testing.assert_allclose(found, [0.4, np.nan, 0.25, 0.5, 0.25, np.nan])


def test_ratio_of_means_and_the_number_of_normalised_voxels_leave_out_voxels_under_the_floor(evaluation, voxels):
    found = row(score_table("model", evaluation, voxels), "bob", None, "all")

    assert found.n_normalised == 2
    assert found.r_norm_ratio_of_means == pytest.approx((0.2 + 0.4) / (0.4 + 0.8))
    assert row(score_table("model", evaluation, voxels), "ada", None, "IFG").n_normalised == 0
    assert np.isnan(row(score_table("model", evaluation, voxels), "ada", None, "IFG").r_norm_ratio_of_means)


def drawn(voxels: Voxels, ceilings: np.ndarray | None, n_draws: int = 500) -> Voxels:
    subjects = np.random.default_rng(0).integers(len(voxels.subjects), size=(n_draws, len(voxels.subjects)))
    return dataclasses.replace(voxels, ceiling_draws=ceilings, subject_draws=subjects)


def test_areas_of_an_roi_count_alike_where_asked_for(evaluation, voxels):
    """Bob's region has an area of one voxel and one of three, one of which is not scored."""
    areas = (np.array([3]), np.array([0, 1, 2]))
    whole = space(4, IFG=[0, 1, 2, 3])
    spaces = {**voxels.spaces, "bob": dataclasses.replace(whole, areas={"IFG": areas})}

    by_area = row(score_table("model", evaluation, dataclasses.replace(voxels, spaces=spaces)), "bob", None, "IFG")
    by_voxel = row(
        score_table("model", evaluation, dataclasses.replace(voxels, spaces={**spaces, "bob": whole})),
        "bob",
        None,
        "IFG",
    )

    assert by_area.r == pytest.approx((0.6 + (0.2 + 0.4) / 2) / 2)
    assert by_voxel.r == pytest.approx((0.2 + 0.4 + 0.6) / 3)
    assert by_area.r2 == pytest.approx((0.36 + (0.04 + 0.16) / 2) / 2)
    assert by_area.ceiling == pytest.approx((0.8 + 0.4 + 0.8) / 3)  # that of the first area is unknown
    assert by_area.r_norm == pytest.approx((0.2 / 0.4 + 0.4 / 0.8) / 2)
    assert (by_area.n_voxels, by_area.n_scored) == (by_voxel.n_voxels, by_voxel.n_scored) == (4, 3)


def test_equal_areas_give_the_mean_over_voxels(evaluation, voxels):
    whole = space(4, IFG=[1, 2])
    split = dataclasses.replace(whole, areas={"IFG": (np.array([1]), np.array([2]))})

    tables = [
        score_table("model", evaluation, dataclasses.replace(voxels, spaces={**voxels.spaces, "bob": one})).drop(
            columns="r_norm_ratio_of_means"  # a mean of ratios of areas is none of all voxels
        )
        for one in (whole, split)
    ]

    pd.testing.assert_frame_equal(*tables)


def test_without_draws_there_is_no_interval(evaluation, voxels):
    found = normalised_intervals(CHOSEN_R, voxels)

    ends = [f"r_norm{kind}_{end}" for kind in ("", "_ratio_of_means") for end in ("low", "high")]
    assert set(found) == {f"alignment/{roi}{end}" for roi in ("", "A1/", "IFG/") for end in ends}
    assert np.isnan(list(found.values())).all()
    assert np.isnan(row(score_table("model", evaluation, voxels), "bob", None, "all").ceiling_se)


def test_where_ceilings_are_certain_subjects_alone_make_the_interval(voxels):
    found = normalised_intervals(CHOSEN_R, drawn(voxels, None))

    # Ada has 1, Bob 0.5; drawn with replacement their mean lies between.
    assert found["alignment/r_norm_low"] == pytest.approx(0.5)
    assert found["alignment/r_norm_high"] == pytest.approx(1.0)


def test_subjects_and_ceilings_are_drawn_together(voxels):
    rng = np.random.default_rng(1)
    common = np.repeat(CEILING[None] * (1 + 0.1 * rng.standard_normal((500, 1))), 1, axis=0)
    both = drawn(voxels, common)
    by_hand = []
    for ceiling, subjects in zip(both.ceiling_draws, both.subject_draws, strict=True):
        usable = np.where(ceiling >= 0.05, ceiling, np.nan)
        per_subject = [np.nanmean((CHOSEN_R / usable)[voxels.owner == number]) for number in (0, 1)]
        by_hand.append(np.mean([per_subject[number] for number in subjects]))
    above, below = np.quantile(by_hand, [0.025, 0.975])

    found = normalised_intervals(CHOSEN_R, both)

    assert found["alignment/r_norm_low"] == pytest.approx(2 * 0.75 - below)
    assert found["alignment/r_norm_high"] == pytest.approx(2 * 0.75 - above)


def test_one_subject_has_an_interval_only_where_ceilings_are_drawn(voxels):
    ada = Voxels(("ada",), {"ada": voxels.spaces["ada"]}, np.zeros(2, dtype=int), CEILING[:2], 0.05)
    draws = 0.5 + 0.05 * np.random.default_rng(0).standard_normal((500, 2))

    assert np.isnan(normalised_intervals(CHOSEN_R[:2], drawn(ada, None))["alignment/r_norm_low"])
    found = normalised_intervals(CHOSEN_R[:2], drawn(ada, draws))
    assert 0.6 < found["alignment/A1/r_norm_low"] < 1.0 < found["alignment/A1/r_norm_high"] < 1.4


def test_the_spread_of_a_regions_mean_ceiling_is_that_of_the_mean_of_its_voxels(evaluation, voxels):
    rng = np.random.default_rng(2)
    alone = drawn(voxels, 0.5 + 0.1 * rng.standard_normal((500, 6)))

    found = row(score_table("model", evaluation, alone), "bob", None, "all")

    assert found.ceiling_se == pytest.approx(alone.ceiling_draws[:, 2:].mean(axis=1).std(ddof=1))
    assert found.ceiling_se == pytest.approx(0.1 / 2, rel=0.1)
    assert found.ceiling_low < found.ceiling_high


def test_intervals_of_normalised_r_cover_the_truth():
    """Twelve subjects with 30 voxels of one true ceiling, of which r reaches 0.4 on average, people differing."""
    covered = {"r_norm": [], "r_norm_ratio_of_means": []}
    for seed in range(300):
        rng = np.random.default_rng(seed)
        owner = np.repeat(np.arange(12), 30)
        truth = rng.uniform(0.3, 0.7, 360)
        # one noise of the estimate, and on it the noise of the draws
        ceiling = truth + 0.06 * rng.standard_normal(360)
        draws = ceiling + 0.06 * rng.standard_normal((200, 360))
        r = truth * (0.4 + 0.1 * rng.standard_normal(12))[owner] + 0.05 * rng.standard_normal(360)
        names = tuple(f"s{at}" for at in range(12))
        one = Voxels(
            names, {name: space(30) for name in names}, owner, ceiling, 0.05, draws, rng.integers(12, size=(200, 12))
        )
        found = normalised_intervals(r, one)
        for measure, hits in covered.items():
            hits.append(found[f"alignment/{measure}_low"] <= 0.4 <= found[f"alignment/{measure}_high"])

    assert 0.85 < np.mean(covered["r_norm"]) < 0.99
    assert 0.85 < np.mean(covered["r_norm_ratio_of_means"]) < 0.99
