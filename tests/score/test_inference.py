import itertools
from dataclasses import asdict

import numpy as np
import pytest
from scipy.stats import kstest, permutation_test, ttest_1samp, ttest_rel, wilcoxon
from scipy.stats import t as student

from brainexp.score import inference
from brainexp.score.inference import (
    adjusted,
    bootstrap_interval,
    equivalence_p,
    paired_tests,
    rank_biserial,
    sign_flip_p,
    t_interval,
    unbiasing,
)

MARGIN = 0.01


@pytest.fixture
def pair(rng):
    first = rng.normal(0.2, 0.05, 9)
    return first, first - rng.normal(0.01, 0.02, 9)


def by_brute_force(difference):
    flips = np.array(list(itertools.product([-1, 1], repeat=len(difference))))
    return np.mean(np.abs(flips @ difference) >= np.abs(difference.sum()) - 1e-12)


# sign flips


@pytest.mark.parametrize("n_subjects", [3, 4, 9, 12])
def test_sign_flips_are_all_counted(n_subjects, rng):
    difference = rng.normal(0.3, 1.0, n_subjects)

    p = sign_flip_p(difference, rng)

    assert p == by_brute_force(difference)
    other = permutation_test((difference,), np.sum, permutation_type="samples", n_resamples=np.inf)
    assert p == pytest.approx(min(1.0, other.pvalue))


def test_ties_count_as_at_least_as_far(rng):
    difference = np.array([0.1, 0.2, 0.3, -0.3, 0.6])  # sums of such numbers differ in their last digit by order

    assert sign_flip_p(difference, rng) == by_brute_force(difference)


def test_the_least_p_is_that_of_all_differences_on_one_side(rng):
    assert sign_flip_p(np.array([0.1, 0.3, 0.2, 0.5, 0.1]), rng) == 2 / 2**5
    assert sign_flip_p(-np.array([0.1, 0.3, 0.2, 0.5, 0.1]), rng) == 2 / 2**5


def test_random_flips_of_many_subjects_agree_with_all_of_them(rng, monkeypatch):
    difference = rng.normal(0.35, 1.0, 21)

    drawn = sign_flip_p(difference, rng)
    monkeypatch.setattr(inference, "MAX_EXACT_SUBJECTS", 21)
    exact = sign_flip_p(difference, rng)

    assert drawn == pytest.approx(exact, abs=4 * np.sqrt(exact / inference.SIGN_FLIPS))
    assert drawn != exact


def test_random_flips_never_give_zero(rng):
    assert sign_flip_p(np.ones(40) + rng.normal(0, 0.01, 40), rng) == 1 / (inference.SIGN_FLIPS + 1)


def test_sign_flips_keep_their_level_and_find_what_is_there(rng):
    skewed = rng.exponential(size=(2000, 8)) * rng.choice([-1, 1], (2000, 8))  # symmetric, far from normal

    def share(shift):
        return np.mean([sign_flip_p(one + shift, rng) <= 0.05 for one in skewed])

    assert 0.03 < share(0.0) <= 0.05 + 2 * np.sqrt(0.05 / 2000)
    assert share(2.0) > 0.8


# intervals and tests


def test_tests_are_those_of_scipy_on_the_pairs(pair, rng):
    first, second = pair

    found = paired_tests(first, second, MARGIN, 0.95, rng)

    theirs = ttest_rel(first, second)
    assert found.n_subjects == 9
    assert found.difference == pytest.approx(np.mean(first) - np.mean(second))
    assert found.t == pytest.approx(theirs.statistic)
    assert found.p_t == pytest.approx(theirs.pvalue)
    assert (found.ci_low, found.ci_high) == pytest.approx(tuple(theirs.confidence_interval(0.95)))
    assert found.p_wilcoxon == pytest.approx(wilcoxon(first, second).pvalue)
    assert found.remark == ""


def test_wilcoxon_is_exact_for_few_subjects(rng):
    difference = rng.normal(0.3, 1, 7)
    ranks = np.abs(difference).argsort().argsort() + 1.0

    found = paired_tests(difference, np.zeros(7), MARGIN, 0.95, rng)

    assert found.p_wilcoxon == pytest.approx(by_brute_force(ranks * np.sign(difference)))


def test_the_other_way_round_only_signs_change(pair, rng):
    first, second = pair

    there = paired_tests(first, second, MARGIN, 0.95, np.random.default_rng(1))
    back = paired_tests(second, first, MARGIN, 0.95, np.random.default_rng(1))

    for name in ("p_t", "p_wilcoxon", "p_sign_flip", "p_equivalence"):
        assert getattr(there, name) == pytest.approx(getattr(back, name))
    for name in ("difference", "t", "d_z", "g_z", "rank_biserial"):
        assert getattr(there, name) == pytest.approx(-getattr(back, name))
    assert there.ci_low == pytest.approx(-back.ci_high)


def test_pairs_matter(pair, rng):
    first, second = pair

    paired = paired_tests(first, second, MARGIN, 0.95, rng)
    mixed = paired_tests(first, rng.permutation(second), MARGIN, 0.95, rng)

    assert mixed.difference == pytest.approx(paired.difference)
    assert mixed.p_t > 2 * paired.p_t


def coverage(interval, n_subjects, n_times, draw):
    covered = [low <= 0 <= high for low, high in (interval(draw(n_subjects)) for _ in range(n_times))]
    return np.mean(covered)


def test_the_t_interval_covers_what_it_says(rng):
    for confidence in (0.9, 0.95):
        covered = coverage(lambda one, level=confidence: t_interval(one, level), 9, 1500, rng.standard_normal)
        assert covered == pytest.approx(confidence, abs=4 * np.sqrt(confidence * (1 - confidence) / 1500))


def test_the_bootstrap_covers_nearly_what_it_says_of_forty_and_less_of_nine(rng):
    def interval(one):
        return bootstrap_interval(one, 0.95, rng)

    of_forty = coverage(interval, 40, 400, rng.standard_normal)
    of_nine = coverage(interval, 9, 400, rng.standard_normal)

    assert of_forty == pytest.approx(0.94, abs=0.03)
    assert 0.86 < of_nine < 0.93


@pytest.mark.slow
def test_of_skewed_differences_the_bootstrap_misses_less_on_one_side_only():
    """Exponential differences of thirty subjects: what the t interval misses is nearly all on the one side."""
    rng = np.random.default_rng(0)
    draws = rng.exponential(size=(4000, 30)) - 1
    by_t = np.array([t_interval(one, 0.95) for one in draws])
    by_bootstrap = np.array([bootstrap_interval(one, 0.95, rng) for one in draws])

    def one_sidedness(intervals):
        above, below = np.mean(intervals[:, 0] > 0), np.mean(intervals[:, 1] < 0)
        return below / above

    assert one_sidedness(by_bootstrap) < 0.7 * one_sidedness(by_t)
    assert np.mean((by_bootstrap[:, 0] <= 0) & (by_bootstrap[:, 1] >= 0)) > 0.91


# equivalence


def test_equivalence_is_two_one_sided_t_tests(pair, rng):
    difference = pair[0] - pair[1]

    p = equivalence_p(difference, MARGIN)

    above = ttest_1samp(difference, -MARGIN, alternative="greater").pvalue
    below = ttest_1samp(difference, MARGIN, alternative="less").pvalue
    assert p == pytest.approx(max(above, below))


def test_equivalence_is_significant_exactly_where_the_narrow_interval_lies_within_the_margin(rng):
    agreed = []
    for _ in range(300):
        difference = rng.normal(0.003, 0.012, 10)
        found = paired_tests(difference, np.zeros(10), MARGIN, 0.95, rng)
        within = found.equivalence_low > -MARGIN and found.equivalence_high < MARGIN
        assert within == (found.p_equivalence < 0.05)
        agreed.append(within)

    assert 0.2 < np.mean(agreed) < 0.9  # both cases occurred


@pytest.mark.parametrize("side", [-1, 1])
def test_at_the_margin_equivalence_is_claimed_as_often_as_promised(rng, side):
    differences = rng.normal(side * MARGIN, 0.005, (4000, 9))

    share = np.mean([equivalence_p(one, MARGIN) < 0.05 for one in differences])

    assert share == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 / 4000))


@pytest.mark.parametrize(("mean", "least", "most"), [(0.0, 0.9, 1.0), (0.015, 0.0, 0.005)])
def test_within_the_margin_equivalence_is_found_and_beyond_it_is_not(rng, mean, least, most):
    differences = rng.normal(mean, 0.008, (1000, 9))

    assert least <= np.mean([equivalence_p(one, MARGIN) < 0.05 for one in differences]) <= most


def test_a_large_p_of_a_difference_is_no_equivalence(rng):
    noisy = rng.normal(0, 0.1, 5)

    found = paired_tests(noisy, np.zeros(5), MARGIN, 0.95, rng)

    assert found.p_t > 0.05
    assert found.p_equivalence > 0.3


# effect sizes


def test_g_is_unbiased_where_d_is_not(rng):
    samples = rng.normal(0.5, 1.0, (40_000, 6))
    d_z = samples.mean(axis=1) / samples.std(axis=1, ddof=1)

    assert np.mean(d_z) * unbiasing(5) == pytest.approx(0.5, abs=0.015)
    assert np.mean(d_z) > 0.56


def test_the_correction_is_close_to_its_usual_approximation():
    for degrees in (4, 8, 26):
        assert unbiasing(degrees) == pytest.approx(1 - 3 / (4 * degrees - 1), abs=0.003)


def test_d_is_t_over_the_root_of_n(pair, rng):
    found = paired_tests(*pair, MARGIN, 0.95, rng)

    assert found.d_z == pytest.approx(found.t / 3)
    assert found.g_z == pytest.approx(found.d_z * unbiasing(8))


def test_rank_biserial_is_one_where_all_speak_for_the_first_and_follows_from_wilcoxons_sum(rng):
    difference = rng.normal(0.2, 1, 11)
    for_the_first = wilcoxon(difference, alternative="greater").statistic

    assert rank_biserial(difference) == pytest.approx(2 * for_the_first / (11 * 12 / 2) - 1)
    assert rank_biserial(np.abs(difference)) == 1.0
    assert rank_biserial(np.array([0.0, 0.0, -2.0, 2.0])) == 0.0


# what cannot be tested


@pytest.mark.parametrize("n_subjects", [0, 1, 2])
def test_fewer_than_three_subjects_are_not_tested(n_subjects, rng):
    found = asdict(paired_tests(np.full(n_subjects, 0.3), np.full(n_subjects, 0.1), MARGIN, 0.95, rng))

    assert found.pop("remark") == f"no test with fewer than 3 subjects (here: {n_subjects})"
    assert found.pop("n_subjects") == n_subjects
    difference = found.pop("difference")
    assert difference == pytest.approx(0.2) if n_subjects else np.isnan(difference)
    assert np.isnan(list(found.values())).all()


def test_differences_without_spread_are_not_tested(rng):
    found = paired_tests(np.full(9, 0.25), np.full(9, 0.25), MARGIN, 0.95, rng)

    assert found.difference == 0.0
    assert np.isnan([found.p_t, found.p_sign_flip, found.p_equivalence, found.bootstrap_low]).all()
    assert found.remark == "the difference is the same in every subject: without spread there is no test"


def test_a_subject_without_one_of_the_values_is_left_out(pair, rng):
    first, second = pair
    known = paired_tests(first[2:], second[2:], MARGIN, 0.95, np.random.default_rng(0))
    first[0], second[1] = np.nan, np.nan

    assert paired_tests(first, second, MARGIN, 0.95, np.random.default_rng(0)) == known


@pytest.mark.parametrize("difference", [[0.0, 0.0, 0.1], [0.1, 0.1, 0.100001], [-1.0, 1.0, 0.0], [0.0] * 8 + [1.0]])
def test_awkward_differences_give_numbers_without_a_warning(difference, rng):
    found = paired_tests(np.array(difference), np.zeros(len(difference)), MARGIN, 0.95, rng)

    numbers = [value for name, value in asdict(found).items() if name not in ("remark",)]
    assert np.isfinite(numbers).all()
    assert all(0 < getattr(found, name) <= 1 for name in ("p_t", "p_wilcoxon", "p_sign_flip", "p_equivalence"))


# families


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("holm", [0.06, 0.04, 0.06, 0.06]),  # p.adjust of R 4
        ("bh", [0.04, 0.04, 0.04, 0.04]),
        ("by", [0.0833333333, 0.0833333333, 0.0833333333, 0.0833333333]),
    ],
)
def test_adjusted_p_are_those_of_r(method, expected):
    np.testing.assert_allclose(adjusted([0.04, 0.01, 0.02, 0.03], method), expected)


def test_holm_is_its_definition(rng):
    p = rng.uniform(size=30) ** 3
    rank = {one: at for at, one in enumerate(np.sort(p))}

    expected = [min(1.0, max((30 - rank[other]) * other for other in p if other <= one)) for one in p]

    np.testing.assert_allclose(adjusted(p, "holm"), expected)


@pytest.mark.parametrize("method", ["holm", "bh", "by"])
def test_nan_is_not_counted_and_a_single_test_stays_as_it_is(method):
    np.testing.assert_allclose(adjusted([0.03, np.nan], method), [0.03, np.nan])
    assert np.isnan(adjusted([np.nan, np.nan], method)).all()
    assert adjusted([], method).shape == (0,)


@pytest.mark.parametrize("method", ["holm", "bh", "by"])
def test_a_family_without_effects_rarely_has_a_false_claim_and_one_with_effects_has_true_ones(method, rng):
    p_of_families = student.sf(rng.standard_t(8, (2000, 11)), 8)

    any_claim = np.mean([(adjusted(p, method) < 0.05).any() for p in p_of_families])
    unadjusted = np.mean((p_of_families < 0.05).any(axis=1))
    planted = [adjusted(np.r_[1e-5, p], method)[0] < 0.05 for p in p_of_families]

    assert any_claim < 0.065
    assert unadjusted > 0.35
    assert np.mean(planted) == 1.0


@pytest.mark.parametrize("n_seeds", [1000, pytest.param(20_000, marks=pytest.mark.slow)])
def test_p_of_sign_flips_is_uniform_where_conditions_are_alike(n_seeds):
    rng = np.random.default_rng(4)

    p = [sign_flip_p(one, rng) for one in rng.normal(0, 0.02, (n_seeds, 12))]

    assert kstest(p, "uniform").pvalue > 0.05


def test_with_more_of_one_condition_in_each_subject_p_is_not_uniform(rng):
    p = [sign_flip_p(one, rng) for one in rng.normal(0.01, 0.02, (300, 12))]

    assert kstest(p, "uniform").pvalue < 1e-6
