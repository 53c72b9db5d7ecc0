import numpy as np
import pytest
from scipy.optimize import curve_fit

from brainexp.score.ceiling import extrapolated, saturating_fit

SIZES = np.arange(1.0, 8.0)


def rising(sizes, v0, tau0):
    return v0 * (1 - np.exp(-sizes / tau0))


def squared_error(values, v0, tau0):
    return ((rising(SIZES, v0, tau0) - values) ** 2).sum()


@pytest.mark.parametrize("v0", [0.1, 0.45, 0.9])
@pytest.mark.parametrize("tau0", [0.3, 1.0, 3.0, 6.0])
def test_a_curve_without_noise_is_found_again(v0, tau0):
    found_v0, found_tau0 = saturating_fit(SIZES, rising(SIZES, v0, tau0)[:, None])

    assert found_v0[0] == pytest.approx(v0, rel=1e-3)
    assert found_tau0[0] == pytest.approx(tau0, rel=5e-3)


def test_the_fit_is_that_of_curve_fit():
    rng = np.random.default_rng(0)
    truth = np.stack([rng.uniform(0.1, 0.6, 60), rng.uniform(0.5, 3.0, 60)])
    values = rising(SIZES[:, None], *truth) + 0.01 * rng.standard_normal((7, 60))

    v0, tau0 = saturating_fit(SIZES, values)

    for at in range(60):
        expected, _ = curve_fit(
            rising, SIZES, values[:, at], p0=truth[:, at], bounds=([0, 0.1], [1, 7]), ftol=1e-12, xtol=1e-12
        )
        ours, theirs = squared_error(values[:, at], v0[at], tau0[at]), squared_error(values[:, at], *expected)
        assert ours <= theirs * (1 + 1e-3) + 1e-12
        assert v0[at] == pytest.approx(expected[0], abs=2e-3)


def test_a_flat_curve_converges_to_its_mean():
    v0, _ = saturating_fit(SIZES, np.full((7, 1), 0.3))

    assert v0[0] == pytest.approx(0.3, abs=1e-4)


def test_a_curve_below_zero_has_a_plateau_of_zero():
    v0, _ = saturating_fit(SIZES, np.linspace(-0.01, -0.05, 7)[:, None])

    assert v0[0] == 0


@pytest.mark.parametrize(
    "values",
    [
        0.1 * SIZES,  # rises beyond 1
        0.001 * SIZES,  # rises without end in sight
        rising(SIZES, 0.4, 10.0),  # of which half has been seen
        np.where(SIZES == 3, np.nan, 0.3),
    ],
)
def test_what_does_not_converge_is_nan(values):
    v0, tau0 = saturating_fit(SIZES, np.column_stack([values, rising(SIZES, 0.4, 2.0)]))

    np.testing.assert_array_equal(np.isnan([v0, tau0]), [[True, False]] * 2)


def test_curves_do_not_depend_on_each_other(monkeypatch):
    values = rising(SIZES[:, None], 0.4, 1.5) + 0.02 * np.random.default_rng(1).standard_normal((7, 11))
    whole = saturating_fit(SIZES, values)
    monkeypatch.setattr("brainexp.score.ceiling.extrapolation.CURVES_AT_ONCE", 4)

    np.testing.assert_allclose(saturating_fit(SIZES, values), whole)


def subsets_scored(noise, n_voxels=30):
    rng = np.random.default_rng(2)
    sizes = np.repeat([1, 2, 3, 4], [4, 6, 4, 1])
    return sizes, rising(sizes[:, None], 0.5, 1.2) + noise * rng.standard_normal((15, n_voxels))


def test_the_median_over_drawn_subsets_finds_the_plateau():
    sizes, scores = subsets_scored(0.02)

    estimate, draws = extrapolated(sizes, scores, 100, np.random.default_rng(0))

    assert estimate.mean() == pytest.approx(0.5, abs=0.03)
    assert draws.shape == (100, 30)
    np.testing.assert_allclose(estimate, np.nanmedian(draws, axis=0))


def test_draws_vary_with_the_subsets_and_not_without_noise():
    spread = [np.nanstd(extrapolated(*subsets_scored(noise), 50, np.random.default_rng(0))[1]) for noise in (0.0, 0.02)]

    assert spread[0] < 1e-6
    assert spread[1] > 0.01


def test_without_draws_the_mean_of_each_size_is_fitted_once():
    sizes, scores = subsets_scored(0.02)
    means = np.stack([scores[sizes == size].mean(axis=0) for size in (1, 2, 3, 4)])

    estimate, draws = extrapolated(sizes, scores, 0, np.random.default_rng(0))

    np.testing.assert_array_equal(estimate, saturating_fit(np.arange(1.0, 5.0), means)[0])
    assert draws.shape == (0, 30)


def test_voxels_that_mostly_do_not_converge_have_no_estimate_and_are_nan_in_the_draws():
    sizes, scores = subsets_scored(0.001, n_voxels=2)
    scores[:, 1] = 0.24 * sizes

    estimate, draws = extrapolated(sizes, scores, 20, np.random.default_rng(0))

    np.testing.assert_array_equal(np.isnan(estimate), [False, True])
    assert np.isnan(draws[:, 1]).all()
