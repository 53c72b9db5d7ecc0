import numpy as np
import pytest
from scipy.stats import pearsonr

from brainexp.score.ceiling import inter_subject_correlation, normalised, others_mean, ratio_of_means


def heard_together(share: float, n_subjects: int = 6, n_trs: int = 3000, n_voxels: int = 4) -> np.ndarray:
    """A common signal of the given share of variance, and noise of everyone's own."""
    rng = np.random.default_rng(0)
    signal = rng.standard_normal((n_trs, n_voxels))
    noise = rng.standard_normal((n_subjects, n_trs, n_voxels))
    return np.sqrt(share) * signal + np.sqrt(1 - share) * noise


def test_inter_subject_correlation_equals_a_naive_loop_over_subjects_and_voxels():
    responses = heard_together(0.4, n_subjects=4, n_trs=60, n_voxels=3)
    expected = np.empty((4, 3))
    for voxel in range(3):
        scaled = [(one - one.mean()) / one.std() for one in responses[:, :, voxel]]
        for subject in range(4):
            others = np.mean([one for at, one in enumerate(scaled) if at != subject], axis=0)
            expected[subject, voxel] = pearsonr(scaled[subject], others)[0]

    found = inter_subject_correlation(responses)

    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_scale_and_offset_of_a_subject_do_not_matter():
    responses = heard_together(0.4, n_subjects=3, n_trs=60)
    rescaled = responses * np.array([1.0, 1000.0, 0.001])[:, None, None] + np.array([0.0, 5e3, -2.0])[:, None, None]

    found = inter_subject_correlation(rescaled)

    np.testing.assert_allclose(found, inter_subject_correlation(responses), atol=1e-9)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5])
def test_a_planted_share_of_signal_gives_the_r_that_it_allows(share):
    # r of a subject with the mean of five others: share / sqrt(share + (1 - share) / 5)
    expected = share / np.sqrt(share + (1 - share) / 5)

    found = inter_subject_correlation(heard_together(share))

    np.testing.assert_allclose(found, expected, atol=0.07)
    assert found.mean() <= np.sqrt(share) + 0.03  # never above the ceiling proper


def test_subjects_who_respond_alike_correlate_perfectly():
    found = inter_subject_correlation(heard_together(1.0, n_subjects=3, n_trs=40))

    np.testing.assert_allclose(found, 1)


def test_normalised_divides_by_the_ceiling():
    found = normalised(np.array([0.1, -0.2, 0.6]), np.array([0.5, 0.8, 0.4]), floor=0.05)

    np.testing.assert_allclose(found, [0.2, -0.25, 1.5])


def test_normalised_is_nan_below_the_floor_and_kept_at_it():
    found = normalised(np.full(5, 0.1), np.array([0.0, -0.3, 0.0499, 0.05, np.nan]), floor=0.05)

    np.testing.assert_allclose(found, [np.nan, np.nan, np.nan, 2.0, np.nan])


def test_a_ceiling_of_zero_allows_no_ratio_whatever_the_floor():
    found = normalised(np.array([0.1, 0.1]), np.array([0.0, 0.5]), floor=0.0)

    np.testing.assert_allclose(found, [np.nan, 0.2])


def test_ratio_of_means_is_the_quotient_of_two_means_over_the_same_voxels():
    r = np.array([0.1, 0.3, 0.9, np.nan, 0.2])
    ceiling = np.array([0.4, 0.6, 0.01, 0.5, np.nan])

    assert ratio_of_means(r, ceiling, 0.05) == pytest.approx(0.2 / 0.5)
    assert np.isnan(ratio_of_means(r, np.full(5, np.nan), 0.05))
    np.testing.assert_allclose(ratio_of_means(r, np.stack([ceiling, 2 * ceiling]), 0.05), [0.4, 0.2])


def test_the_mean_of_ratios_is_drawn_up_by_ceilings_that_are_ill_known_and_the_ratio_of_means_is_not():
    rng = np.random.default_rng(0)
    known_ill = np.clip(0.3 + 0.1 * rng.standard_normal(5000), 0.06, None)

    assert normalised(np.full(5000, 0.15), known_ill, 0.05).mean() > 0.56
    assert ratio_of_means(np.full(5000, 0.15), known_ill, 0.05) == pytest.approx(0.5, abs=0.01)


def test_the_others_mean_leaves_the_subject_out_and_weighs_all_alike():
    responses = heard_together(0.4, n_subjects=3, n_trs=50) * np.array([1.0, 100.0, 3.0])[:, None, None]
    scaled = (responses - responses.mean(axis=1, keepdims=True)) / responses.std(axis=1, keepdims=True)

    np.testing.assert_allclose(others_mean(responses)[1], (scaled[0] + scaled[2]) / 2)
