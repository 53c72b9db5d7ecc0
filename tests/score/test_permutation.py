import numpy as np
import pytest
from scipy.signal import lfilter
from scipy.stats import false_discovery_control, kstest, pearsonr

from brainexp.errors import ConfigError
from brainexp.score import permutation
from brainexp.score.permutation import (
    VOXELS_AT_ONCE,
    BlockOrders,
    block_permutation_p,
    circular_shift_p,
    false_discovery_q,
)


def smooth(n_trs: int, n_voxels: int, rng: np.random.Generator, autoregression: float = 0.8) -> np.ndarray:
    return lfilter([1.0], [1.0, -autoregression], rng.standard_normal((n_trs + 50, n_voxels)), axis=0)[50:]


def null_p(block_trs: int) -> np.ndarray:
    """P values of autocorrelated predictions of unrelated autocorrelated responses, in three folds."""
    rng = np.random.default_rng(0)
    observed, predicted = ([smooth(150, 1000, rng) for _ in range(3)] for _ in range(2))
    return block_permutation_p(observed, predicted, 199, block_trs, rng)


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """Q by its definition: the least, over all p at least as high, of n p / rank."""
    ranked = np.sort(p)
    rank = np.arange(1, len(p) + 1)
    return np.array([(len(p) * ranked[ranked >= one] / rank[ranked >= one]).min() for one in p])


def test_p_of_autocorrelated_noise_is_nearly_uniform_when_blocks_are_permuted():
    p = null_p(block_trs=15)

    assert np.mean(p < 0.05) < 0.09
    assert np.mean(p < 0.05) > 0.02
    np.testing.assert_allclose(np.quantile(p, [0.25, 0.5, 0.75]), [0.25, 0.5, 0.75], atol=0.08)


def test_p_of_autocorrelated_noise_is_too_low_when_single_trs_are_permuted():
    p = null_p(block_trs=1)

    assert np.mean(p < 0.05) > 0.15


def test_a_planted_signal_has_a_small_p_and_its_negative_a_large_one():
    rng = np.random.default_rng(1)
    observed = [smooth(120, 4, rng) for _ in range(3)]
    predicted = [fold + smooth(120, 4, rng) for fold in observed]

    p = block_permutation_p(observed, predicted, 199, 10, rng)
    p_of_negative = block_permutation_p(observed, [-fold for fold in predicted], 199, 10, rng)

    assert (p <= 0.01).all()
    assert (p_of_negative >= 0.99).all()


def test_p_is_never_zero_and_never_above_one():
    rng = np.random.default_rng(2)
    observed = [rng.standard_normal((100, 20))]
    predicted = [observed[0] * np.repeat([1.0, -1.0], 10)]

    p = block_permutation_p(observed, predicted, 19, 10, rng)

    np.testing.assert_allclose(p, np.repeat([1 / 20, 1.0], 10))


def rearranged(orders: BlockOrders) -> list[np.ndarray]:
    """Rows of the prediction in each permutation, by its definition."""
    length, n_trs = orders.n_trs // orders.n_blocks, orders.n_trs
    found = []
    for phase, order in zip(orders.phase, orders.order, strict=True):
        rows = np.roll(np.arange(n_trs), -orders.starts[phase])
        blocks = [rows[block * length : (block + 1) * length] for block in range(orders.n_blocks)]
        found.append(np.concatenate([*(blocks[block] for block in order), rows[orders.n_blocks * length :]]))
    return found


def mean_r(observed: list[np.ndarray], predicted: list[np.ndarray], voxel: int) -> float:
    pairs = zip(observed, predicted, strict=True)
    return np.mean([pearsonr(target[:, voxel], guess[:, voxel])[0] for target, guess in pairs])


def test_p_counts_permutations_at_least_as_high_by_a_naive_loop():
    rng = np.random.default_rng(3)
    observed, predicted = ([smooth(n_trs, 3, rng) for n_trs in (40, 61, 7)] for _ in range(2))

    p = block_permutation_p(observed, predicted, 300, 10, np.random.default_rng(9))

    again = np.random.default_rng(9)
    rows = [rearranged(BlockOrders.drawn(n_trs, 300, 10, again)) for n_trs in (40, 61, 7)]
    for voxel in range(3):
        actual = mean_r(observed, predicted, voxel)
        null = [
            mean_r(observed, [guess[at] for guess, at in zip(predicted, one, strict=True)], voxel)
            for one in zip(*rows, strict=True)
        ]
        assert p[voxel] == (np.sum(np.array(null) >= actual) + 1) / 301


@pytest.mark.parametrize("n_trs", [7, 40, 61, 299])
def test_a_permutation_has_each_tr_once_and_its_blocks_whole(n_trs):
    orders = BlockOrders.drawn(n_trs, 50, 10, np.random.default_rng(0))

    for rows in rearranged(orders):
        assert sorted(rows) == list(range(n_trs))
        breaks = np.sum((np.diff(rows) != 1) & (np.diff(rows) != 1 - n_trs))
        assert breaks <= orders.n_blocks


def test_few_blocks_start_anywhere_and_many_at_some_places():
    rng = np.random.default_rng(0)

    assert len(BlockOrders.drawn(40, 10, 10, rng).starts) == 40
    assert 1 <= len(BlockOrders.drawn(900, 10, 10, rng).starts) < 10
    assert len(set(BlockOrders.drawn(40, 10, 10, rng).starts)) == 40


def test_every_shift_of_a_single_fold_is_counted_once():
    rng = np.random.default_rng(3)
    observed, predicted = ([smooth(60, 4, rng)] for _ in range(2))

    p = circular_shift_p(observed, predicted, 5000, 10, rng)

    for voxel in range(4):
        null = [mean_r(observed, [np.roll(predicted[0], shift, axis=0)], voxel) for shift in range(10, 51)]
        assert p[voxel] == (np.sum(np.array(null) >= mean_r(observed, predicted, voxel)) + 1) / 42


def test_every_pair_of_shifts_of_two_folds_is_counted_once_where_there_are_no_more_than_permutations():
    rng = np.random.default_rng(3)
    observed, predicted = ([smooth(n_trs, 2, rng) for n_trs in (24, 26)] for _ in range(2))

    p = circular_shift_p(observed, predicted, 35, 10, rng)

    for voxel in range(2):
        null = [
            mean_r(observed, [np.roll(guess, by, axis=0) for guess, by in zip(predicted, shifts, strict=True)], voxel)
            for shifts in np.ndindex(5, 7)
            for shifts in [np.array(shifts) + 10]
        ]
        assert p[voxel] == (np.sum(np.array(null) >= mean_r(observed, predicted, voxel)) + 1) / 36


def test_shifts_are_drawn_where_there_are_more_and_find_what_was_planted():
    rng = np.random.default_rng(1)
    observed = [smooth(120, 4, rng) for _ in range(3)]
    predicted = [fold + smooth(120, 4, rng) for fold in observed]

    p = circular_shift_p(observed, predicted, 199, 10, rng)
    p_of_negative = circular_shift_p(observed, [-fold for fold in predicted], 199, 10, rng)

    assert (p <= 0.01).all()
    assert (p_of_negative >= 0.99).all()
    np.testing.assert_allclose(p * 200, np.round(p * 200))


def test_in_a_short_fold_shifts_of_smooth_series_find_too_much_and_blocks_less():
    rng = np.random.default_rng(1)
    observed, predicted = ([smooth(60, 3000, rng)] for _ in range(2))

    by_shift = np.mean(circular_shift_p(observed, predicted, 999, 10, rng) <= 0.05)
    by_block = np.mean(block_permutation_p(observed, predicted, 999, 10, rng) <= 0.05)

    assert by_shift > 0.1
    assert by_block < 0.09


def test_a_fold_too_short_to_shift_is_refused():
    rng = np.random.default_rng(1)

    with pytest.raises(
        ConfigError,
        match=r"at least scoring.block_trs=10 TRs, but a held-out fold has only 19. Give scoring.block_trs=9 or less",
    ):
        circular_shift_p([rng.standard_normal((19, 2))], [rng.standard_normal((19, 2))], 99, 10, rng)


@pytest.mark.parametrize("autoregression", [0.0, 0.5])
@pytest.mark.parametrize("shuffle", [block_permutation_p, circular_shift_p])
def test_p_is_uniform_where_nothing_is_predicted(shuffle, autoregression):
    rng = np.random.default_rng(12)
    observed, predicted = ([smooth(200, 600, rng, autoregression) for _ in range(3)] for _ in range(2))

    p = shuffle(observed, predicted, 499, 20, rng)

    assert kstest(p, "uniform").pvalue > 0.05


@pytest.mark.parametrize("n_seeds", [20, pytest.param(400, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("autoregression", "block_trs"), [(0.0, 10), (0.5, 20), (0.8, 60)])
def test_p_is_uniform_over_many_seeds(autoregression, block_trs, n_seeds):
    deviations = []
    for seed in range(n_seeds):
        rng = np.random.default_rng(seed)
        observed, predicted = ([smooth(300, 300, rng, autoregression) for _ in range(3)] for _ in range(2))
        deviations.append(kstest(block_permutation_p(observed, predicted, 999, block_trs, rng), "uniform").pvalue)

    assert np.mean(np.array(deviations) < 0.05) <= 0.15
    assert kstest(deviations, "uniform").pvalue > 0.001


def test_over_many_seeds_p_is_not_uniform_where_blocks_are_shorter_than_the_autocorrelation():
    deviations = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        observed, predicted = ([smooth(300, 300, rng) for _ in range(3)] for _ in range(2))
        deviations.append(kstest(block_permutation_p(observed, predicted, 999, 2, rng), "uniform").pvalue)

    assert np.mean(np.array(deviations) < 0.05) > 0.9


def test_p_does_not_depend_on_how_much_memory_there_is(monkeypatch):
    rng = np.random.default_rng(6)
    observed, predicted = ([smooth(60, 30, rng) for _ in range(2)] for _ in range(2))
    at_ease = block_permutation_p(observed, predicted, 99, 10, np.random.default_rng(0))

    monkeypatch.setattr(permutation, "TABLE_BYTES", 1)

    np.testing.assert_array_equal(block_permutation_p(observed, predicted, 99, 10, np.random.default_rng(0)), at_ease)


def test_nan_and_constant_voxels_have_no_p_and_leave_the_others_alone():
    rng = np.random.default_rng(4)
    observed, predicted = ([smooth(60, 5, rng) for _ in range(2)] for _ in range(2))
    whole = block_permutation_p(observed, predicted, 99, 10, np.random.default_rng(0))
    observed[1][3, 0] = np.nan
    predicted[0][:, 1] = np.nan
    predicted[1][:, 2] = 0.3

    p = block_permutation_p(observed, predicted, 99, 10, np.random.default_rng(0))

    assert np.isnan(p[:3]).all()
    np.testing.assert_array_equal(p[3:], whole[3:])


def test_the_same_random_numbers_give_the_same_p_and_others_do_not():
    rng = np.random.default_rng(5)
    observed, predicted = ([smooth(80, 30, rng)] for _ in range(2))

    first, again, other = (
        block_permutation_p(observed, predicted, 99, 10, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )

    np.testing.assert_array_equal(again, first)
    assert (other != first).any()


def test_p_of_a_voxel_does_not_depend_on_how_many_others_there_are():
    rng = np.random.default_rng(6)
    observed, predicted = ([smooth(40, VOXELS_AT_ONCE + 5, rng)] for _ in range(2))
    some = [0, 7, VOXELS_AT_ONCE - 1, VOXELS_AT_ONCE, VOXELS_AT_ONCE + 4]

    of_all = block_permutation_p(observed, predicted, 29, 8, np.random.default_rng(0))
    of_some = block_permutation_p([observed[0][:, some]], [predicted[0][:, some]], 29, 8, np.random.default_rng(0))

    np.testing.assert_allclose(of_all[some], of_some)


def test_folds_shorter_than_a_block_are_still_permuted():
    rng = np.random.default_rng(7)
    observed, predicted = ([smooth(6, 200, rng) for _ in range(4)] for _ in range(2))

    p = block_permutation_p(observed, predicted, 99, 10, rng)

    assert len(np.unique(p)) > 20


@pytest.mark.parametrize("n_voxels", [1, 2, 50])
def test_q_equals_scipys_and_the_definition(n_voxels):
    p = np.random.default_rng(8).uniform(size=n_voxels) ** 2

    q = false_discovery_q(p)

    np.testing.assert_allclose(q, false_discovery_control(p, method="bh"))
    np.testing.assert_allclose(q, benjamini_hochberg(p))


def test_q_under_any_dependence_is_higher_by_the_sum_of_inverse_ranks():
    p = np.random.default_rng(8).uniform(size=40) ** 3

    q = false_discovery_q(p, "by")

    np.testing.assert_allclose(q, np.minimum(benjamini_hochberg(p) * (1 / np.arange(1, 41)).sum(), 1))


def test_nan_has_no_q_and_is_not_counted():
    p = np.array([0.01, np.nan, 0.02, 0.5, np.nan])

    q = false_discovery_q(p)

    np.testing.assert_allclose(q, [0.03, np.nan, 0.03, 0.5, np.nan])


def test_where_nothing_has_a_p_nothing_has_a_q():
    q = false_discovery_q(np.full(3, np.nan))

    assert np.isnan(q).all()


def test_q_below_five_percent_is_rare_on_pure_noise_where_p_below_five_percent_is_the_rule():
    rng = np.random.default_rng(9)
    n_maps = 200

    p_of_maps = rng.uniform(size=(n_maps, 100))
    any_by_q = np.mean([(false_discovery_q(p) < 0.05).any() for p in p_of_maps])
    any_by_p = np.mean([(p < 0.05).any() for p in p_of_maps])

    assert any_by_q < 0.1
    assert any_by_p > 0.9


def test_voxels_of_white_noise_survive_neither_permutation_nor_correction():
    rng = np.random.default_rng(10)
    observed, predicted = ([rng.standard_normal((100, 200)) for _ in range(2)] for _ in range(2))

    q = false_discovery_q(block_permutation_p(observed, predicted, 999, 10, rng))

    assert (q < 0.05).sum() == 0


def test_false_discoveries_stay_a_small_share_beside_planted_signals():
    rng = np.random.default_rng(11)
    observed = [rng.standard_normal((100, 200)) for _ in range(2)]
    predicted = [rng.standard_normal((100, 200)) for _ in range(2)]
    for fold in range(2):
        predicted[fold][:, :50] += observed[fold][:, :50]

    found = false_discovery_q(block_permutation_p(observed, predicted, 999, 10, rng)) < 0.05

    assert found[:50].all()
    assert found[50:].sum() <= 8  # 5 % of some 53 are expected
