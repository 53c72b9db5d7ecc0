import numpy as np
import pytest

from brainexp.score.saturation import EXPONENTS, profile, quadratic, saturating, saturation

SIZES = np.array([1e8, 5e8, 1.5e9, 3e9, 7e9, 1.4e10])


def people(curve, noise, n_subjects=9, seed=0):
    rng = np.random.default_rng(seed)
    person = rng.normal(0, 0.05, (n_subjects, 1))
    return curve + person + rng.normal(0, noise, (n_subjects, len(curve)))


def test_a_planted_limit_is_found_within_its_interval():
    curve = saturating(SIZES / SIZES[0], 0.30, 0.15, 0.8)
    r = people(curve, 0.003)

    found = saturation(SIZES, r, 0.95, np.random.default_rng(0))

    truth = r.mean() - curve.mean() + 0.30  # of these people
    assert found.reason == ""
    assert found.limit == pytest.approx(truth, abs=0.01)
    assert found.limit_low < truth < found.limit_high
    assert found.exponent == pytest.approx(0.8, abs=0.2)
    assert found.curve(SIZES) == pytest.approx(r.mean(axis=0), abs=0.005)
    assert found.p_bend < 0.001


def test_a_flat_curve_has_no_limit():
    found = saturation(SIZES, people(np.full(6, 0.3), 0.01), 0.95, np.random.default_rng(0))

    assert found.reason.startswith("r does not grow with size (p = 0.")
    assert np.isnan(found.limit)
    assert found.slope_low < 0 < found.slope_high


def test_a_straight_line_over_log_size_is_a_line():
    line = 0.1 + 0.05 * np.log10(SIZES / SIZES[0])
    r = people(line, 0.005)

    found = saturation(SIZES, r, 0.95, np.random.default_rng(0))

    assert found.reason.startswith("a straight line over log size does as well (p of a bend = ")
    assert found.slope == pytest.approx(0.05, abs=0.005)
    assert found.line(SIZES) == pytest.approx(r.mean(axis=0), abs=0.005)


@pytest.mark.parametrize("curve", [np.zeros(6), 0.05 * np.log10(SIZES / SIZES[0])], ids=["flat", "line"])
def test_limits_that_are_not_there_are_seen_no_more_often_than_the_level_allows(curve):
    claimed = [
        saturation(SIZES, people(curve, 0.01, seed=seed), 0.95, np.random.default_rng(0)).reason == ""
        for seed in range(200)
    ]

    assert np.mean(claimed) <= 0.09  # 5 % and three standard errors


def test_three_sizes_are_too_few_and_two_subjects_too():
    r = people(saturating(SIZES / SIZES[0], 0.3, 0.2, 1.0), 0.001)

    three = saturation(SIZES[:3], r[:, :3], 0.95, np.random.default_rng(0))
    two = saturation(SIZES, r[:2], 0.95, np.random.default_rng(0))

    assert three.reason == "a curve with a limit takes at least 4 sizes (here: 3)"
    assert three.slope > 0
    assert two.reason == "it takes 3 subjects with every model and 2 sizes"
    assert np.isnan(two.slope)


def test_subjects_with_a_gap_are_left_out():
    r = people(saturating(SIZES / SIZES[0], 0.3, 0.15, 0.8), 0.003)
    holed = np.vstack([r, [[np.nan, 9, 9, 9, 9, 9]]])

    assert saturation(SIZES, holed, 0.95, np.random.default_rng(0)) == saturation(
        SIZES, r, 0.95, np.random.default_rng(0)
    )


def test_growth_that_gets_faster_has_no_limit():
    r = people(0.1 + 0.001 * (SIZES / SIZES[0]) ** 0.8, 0.001)

    assert "a straight line" in saturation(SIZES, r, 0.95, np.random.default_rng(0)).reason


def test_the_profile_finds_what_a_search_over_all_three_parameters_finds():
    from scipy.optimize import curve_fit

    ratio = SIZES / SIZES[0]
    r = people(saturating(ratio, 0.3, 0.15, 0.8), 0.003).mean(axis=0)

    limit, height, at = (one[0] for one in profile(ratio, r[None]))
    searched, _ = curve_fit(saturating, ratio, r, [0.3, 0.1, 1.0])

    assert [limit, height, EXPONENTS[at]] == pytest.approx(searched, rel=0.02)


def test_the_contrast_of_a_bend_sees_neither_mean_nor_slope():
    x = np.log10(SIZES)

    assert quadratic(x) @ np.ones(6) == pytest.approx(0, abs=1e-9)
    assert quadratic(x) @ x == pytest.approx(0, abs=1e-8)
    assert quadratic(x) @ x**2 > 0
