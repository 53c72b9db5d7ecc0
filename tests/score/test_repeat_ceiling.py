from itertools import combinations

import numpy as np
import pytest
from scipy.stats import pearsonr, zscore

from brainexp.score.ceiling import (
    SIGNAL_SHARES,
    best_r,
    explainable_variance,
    ncsnr,
    repeat_ceiling,
    share_of_ncsnr,
    signal_share_draws,
    split_half_reliability,
)
from brainexp.score.ceiling.repeats import MOST_SPLITS, halves


def repeated(share, n_repeats=5, n_trs=4000, n_voxels=40, seed=0):
    """The same signal of the given share of variance in each repeat, under noise of its own."""
    rng = np.random.default_rng(seed)
    signal = rng.standard_normal((n_trs, n_voxels))
    noise = rng.standard_normal((n_repeats, n_trs, n_voxels))
    return np.sqrt(share) * signal + np.sqrt(1 - share) * noise


@pytest.mark.parametrize("share", [0.1, 0.3, 0.8, 1.0])
@pytest.mark.parametrize("n_repeats", [2, 5])
def test_the_planted_ceiling_is_found(share, n_repeats):
    found = repeat_ceiling(repeated(share, n_repeats))

    np.testing.assert_allclose(found.mean(), np.sqrt(share), atol=0.01)


def test_it_equals_the_equations_of_schoppe_written_out_for_one_voxel():
    one = repeated(0.4, n_repeats=3, n_trs=50, n_voxels=1)
    total_power = np.mean([np.var(repeat) for repeat in one])
    signal_power = (3 * np.var(one.mean(axis=0)) - total_power) / 2
    noise_to_signal = total_power / signal_power - 1  # of one recording
    expected = 1 / np.sqrt(1 + noise_to_signal)

    assert repeat_ceiling(one)[0] == pytest.approx(expected)


def test_scale_and_offset_of_the_recordings_do_not_matter():
    repeats = repeated(0.4, n_trs=100)

    np.testing.assert_allclose(repeat_ceiling(1000 * repeats + 3), repeat_ceiling(repeats), rtol=1e-9)


def test_without_positive_signal_power_nothing_is_known():
    repeats = repeated(0.5, n_trs=60, n_voxels=4)
    repeats[1, :, 0] = -repeats[0, :, 0]
    repeats[2:, :, 0] = 0.0
    repeats[:, :, 1] = 7.0
    repeats[0, 0, 2] = np.nan

    found = repeat_ceiling(repeats)

    np.testing.assert_array_equal(np.isnan(found), [True, True, True, False])


@pytest.mark.parametrize("averaged", [1, 4])
def test_cc_max_of_a_mean_is_that_of_schoppe_and_no_model_of_the_signal_exceeds_it(averaged):
    share, n_trs = 0.2, 200_000
    rng = np.random.default_rng(0)
    signal = np.sqrt(share) * rng.standard_normal(n_trs)
    mean = signal + np.sqrt(1 - share) * rng.standard_normal((averaged, n_trs)).mean(axis=0)
    signal_power, total_power = share, 1.0
    of_schoppe = 1 / np.sqrt(1 + (total_power / signal_power - 1) / averaged)

    assert best_r(np.array([share]), averaged)[0] == pytest.approx(of_schoppe)
    assert pearsonr(signal, mean)[0] == pytest.approx(of_schoppe, abs=0.005)
    found = repeat_ceiling(repeated(share, n_trs=3000), averaged)
    assert np.mean(found) == pytest.approx(of_schoppe, abs=0.02)


def test_explainable_variance_equals_the_formula_of_voxelwise_tutorials():
    repeats = repeated(0.3, n_repeats=4, n_trs=70, n_voxels=6) * np.array([1.0, 5.0, 2.0, 0.1])[:, None, None]
    scaled = zscore(repeats, axis=1)
    uncorrected = scaled.mean(axis=0).var(axis=0, ddof=1) / scaled.var(axis=1, ddof=1).mean(axis=0)

    np.testing.assert_allclose(explainable_variance(repeats, bias_correction=False), uncorrected)
    np.testing.assert_allclose(explainable_variance(repeats), uncorrected - (1 - uncorrected) / 3)


def test_without_correction_noise_of_n_repeats_looks_like_a_share_of_one_in_n():
    noise = repeated(0.0, n_repeats=4)

    assert explainable_variance(noise, bias_correction=False).mean() == pytest.approx(1 / 4, abs=0.01)
    assert explainable_variance(noise).mean() == pytest.approx(0.0, abs=0.01)


@pytest.mark.parametrize("n_repeats", [2, 4, 5])
def test_split_half_equals_a_loop_over_all_splits(n_repeats):
    repeats = repeated(0.4, n_repeats=n_repeats, n_trs=80, n_voxels=3)
    size = n_repeats // 2
    expected = []
    for voxel in range(3):
        r = [
            pearsonr(repeats[list(one), :, voxel].mean(axis=0), repeats[list(other), :, voxel].mean(axis=0))[0]
            for one in combinations(range(n_repeats), size)
            for other in combinations(range(n_repeats), size)
            if not set(one) & set(other)
        ]
        c = np.mean(r)
        expected.append(2 * c / (1 + c))

    np.testing.assert_allclose(split_half_reliability(repeats), expected)


def test_spearman_brown_takes_the_reliability_of_all_repeats_down_to_one():
    repeats = repeated(0.3, n_repeats=6, n_trs=100)
    of_all = split_half_reliability(repeats)
    of_one = signal_share_draws(repeats, "split_half")[0]

    np.testing.assert_allclose(of_all, 6 * of_one / (1 + 5 * of_one))


def test_of_many_repeats_some_balanced_splits_are_made_always_the_same():
    splits = halves(21)

    assert splits.shape == (MOST_SPLITS, 2, 21)
    np.testing.assert_allclose(splits.sum(axis=2), 1)
    assert not (splits[:, 0] * splits[:, 1]).any()
    assert len(np.unique(splits[:, 0], axis=0)) > MOST_SPLITS - 3
    np.testing.assert_array_equal(halves(21), splits)
    assert len(halves(6)) == 10
    assert len(halves(5)) == 15


def test_ncsnr_equals_the_recipe_of_the_natural_scenes_dataset():
    repeats = repeated(0.3, n_repeats=3, n_trs=500, n_voxels=5) * np.array([1.0, 40.0, 3.0])[:, None, None]
    scaled = zscore(repeats, axis=1)  # per session
    noise_variance = scaled.var(axis=0, ddof=1).mean(axis=0)
    signal_variance = np.maximum(1 - noise_variance, 0)
    expected = np.sqrt(signal_variance) / np.sqrt(noise_variance)

    np.testing.assert_allclose(ncsnr(repeats), expected)


def test_ncsnr_without_standardising_sessions_would_come_out_too_low():
    repeats = repeated(0.3, n_repeats=3, n_trs=2000) * np.array([1.0, 4.0, 0.3])[:, None, None]
    raw = signal_share_draws(repeats, "repeats")[0]

    assert ncsnr(repeats).mean() == pytest.approx(np.sqrt(0.3 / 0.7), abs=0.02)
    assert np.sqrt(raw / (1 - raw)).mean() < 0.8 * np.sqrt(0.3 / 0.7)


@pytest.mark.parametrize("averaged", [1, 3])
def test_the_noise_ceiling_of_ncsnr_is_cc_max_squared(averaged):
    share = np.array([0.1, 0.5, 0.9])
    ratio = np.sqrt(share / (1 - share))

    np.testing.assert_allclose(share_of_ncsnr(ratio, averaged), best_r(share, averaged) ** 2)
    assert share_of_ncsnr(np.zeros(1), averaged)[0] == 0


@pytest.mark.parametrize("method", SIGNAL_SHARES)
@pytest.mark.parametrize("share", [0.0, 0.1, 0.4])
def test_every_estimate_is_without_bias_over_seeds(method, share):
    """Within four standard errors of the planted share, which is 0 for noise."""
    found = np.array([signal_share_draws(repeated(share, 4, 150, 20, seed), method)[0] for seed in range(20)]).ravel()
    # r of short halves is biased towards 0 by a fraction of about (1 - r²) / 2T.
    assert found.mean() == pytest.approx(share, abs=4 * found.std() / np.sqrt(found.size) + 0.5 * share / 150)


def test_in_the_limit_all_estimates_agree():
    repeats = repeated(0.35, n_trs=100_000, n_voxels=2)
    found = [best_r(signal_share_draws(repeats, method)[0]) for method in SIGNAL_SHARES]

    np.testing.assert_allclose(found, np.sqrt(0.35), atol=0.005)


@pytest.mark.parametrize("method", SIGNAL_SHARES)
def test_repeats_whose_rows_are_shuffled_have_no_ceiling(method):
    rng = np.random.default_rng(1)
    shuffled = np.stack([rng.permutation(one, axis=0) for one in repeated(0.6, n_trs=1000)])

    share = signal_share_draws(shuffled, method)[0]

    assert abs(share.mean()) < 0.01
    assert np.isnan(best_r(share)).mean() > 0.2


@pytest.mark.parametrize("method", SIGNAL_SHARES)
def test_rows_that_are_drawn_twice_count_twice(method):
    repeats = repeated(0.3, n_repeats=4, n_trs=60, n_voxels=3)
    counts = np.random.default_rng(0).integers(0, 3, size=(2, 60))

    found = signal_share_draws(repeats, method, counts.astype(float))

    for drawn, count in zip(found, counts, strict=True):
        np.testing.assert_allclose(drawn, signal_share_draws(np.repeat(repeats, count, axis=1), method)[0])


def test_voxels_do_not_depend_on_each_other(monkeypatch):
    repeats = repeated(0.3, n_trs=50, n_voxels=7)
    whole = [signal_share_draws(repeats, method) for method in SIGNAL_SHARES]
    monkeypatch.setattr("brainexp.score.ceiling.repeats.VOXELS_AT_ONCE", 3)

    for method, expected in zip(SIGNAL_SHARES, whole, strict=True):
        np.testing.assert_allclose(signal_share_draws(repeats, method), expected)
    assert split_half_reliability(repeats).shape == (7,)
