import numpy as np
import pytest

from brainexp.score.similarity import linear_cka, relative_error, unbiased_linear_cka

BOTH = pytest.mark.parametrize("cka", [linear_cka, unbiased_linear_cka])


@pytest.fixture
def pair(rng):
    one = rng.standard_normal((60, 8))
    return one, one @ rng.standard_normal((8, 12)) + 0.5 * rng.standard_normal((60, 12))


def rotation(rng, n):
    return np.linalg.qr(rng.standard_normal((n, n)))[0]


def test_plain_cka_is_the_published_formula(pair):
    """‖Yᵀ X‖² / (‖Xᵀ X‖ ‖Yᵀ Y‖) of centred columns, and HSIC as a trace with a centring matrix."""
    x, y = pair
    centring = np.eye(60) - 1 / 60
    xc, yc = centring @ x, centring @ y

    def hsic(k, m):
        return np.trace(k @ centring @ m @ centring) / 59**2

    formula = np.linalg.norm(yc.T @ xc) ** 2 / (np.linalg.norm(xc.T @ xc) * np.linalg.norm(yc.T @ yc))
    by_hsic = hsic(x @ x.T, y @ y.T) / np.sqrt(hsic(x @ x.T, x @ x.T) * hsic(y @ y.T, y @ y.T))

    assert linear_cka(x, y) == pytest.approx(formula, rel=1e-12)
    assert linear_cka(x, y) == pytest.approx(by_hsic, rel=1e-12)


def test_unbiased_cka_averages_over_all_fours_of_units(rng):
    """Song et al. 2012, equation 5 sums over ordered fours of different units; its definition, in loops."""
    from itertools import permutations

    x, y = rng.standard_normal((7, 3)), rng.standard_normal((7, 2))
    y[:, 0] += x[:, 0]

    def hsic(k, m):
        fours = [
            k[i, j] * m[i, j] + k[i, j] * m[q, r] - 2 * k[i, j] * m[i, q] for i, j, q, r in permutations(range(7), 4)
        ]
        return np.mean(fours)

    k, m = x @ x.T, y @ y.T
    assert unbiased_linear_cka(x, y) == pytest.approx(hsic(k, m) / np.sqrt(hsic(k, k) * hsic(m, m)), rel=1e-10)


@BOTH
def test_it_is_one_for_itself_and_the_same_both_ways(cka, pair):
    assert cka(pair[0], pair[0]) == pytest.approx(1)
    assert cka(*pair) == pytest.approx(cka(*pair[::-1]))


@BOTH
def test_rotating_scaling_and_shifting_change_nothing(cka, pair, rng):
    x, y = pair

    moved = 3.0 * x @ rotation(rng, 8) + rng.standard_normal(8) * 100

    assert cka(moved, y) == pytest.approx(cka(x, y), rel=1e-9)


@BOTH
def test_an_arbitrary_linear_map_changes_it(cka, pair):
    x, y = pair

    stretched = x * np.array([20.0, *[1.0] * 7])

    assert abs(cka(stretched, y) - cka(x, y)) > 0.05


@BOTH
def test_it_falls_with_noise(cka, rng):
    x = rng.standard_normal((200, 10))
    noise = rng.standard_normal((200, 10))

    values = [cka(x, x + scale * noise) for scale in (0, 0.1, 0.5, 2, 10)]

    assert values == sorted(values, reverse=True)
    assert values[0] - values[-1] > 0.5


def test_of_unrelated_features_the_plain_one_is_high_and_the_unbiased_one_is_not(rng):
    drawn = [(rng.standard_normal((50, 400)), rng.standard_normal((50, 400))) for _ in range(20)]

    assert min(linear_cka(*one) for one in drawn) > 0.8
    assert abs(np.mean([unbiased_linear_cka(*one) for one in drawn])) < 0.02


def test_large_means_cost_no_digits(pair):
    x, y = (values.astype(np.float32) for values in pair)

    for cka in (linear_cka, unbiased_linear_cka):
        assert cka((x + 1000).astype(np.float64), y) == pytest.approx(cka(x, y), rel=1e-3)


@BOTH
def test_a_constant_is_like_nothing(cka, pair):
    assert np.isnan(cka(np.ones((60, 3)), pair[1]))


def test_relative_error_is_the_size_of_the_difference(pair, rng):
    x = pair[0]
    change = rng.standard_normal(x.shape)

    assert relative_error(x, x) == 0
    assert relative_error(x, 1.1 * x) == pytest.approx(0.1)
    assert relative_error(x, x + change) == pytest.approx(np.sqrt((change**2).sum() / (x**2).sum()))
    assert relative_error(x, 0 * x) == 1
    assert np.isnan(relative_error(0 * x, x))
