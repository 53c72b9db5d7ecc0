import numpy as np
import pytest
from scipy.signal import lfilter
from scipy.stats import pearsonr

from brainexp.score.ceiling import (
    basic_interval,
    best_r,
    block_weights,
    quantiles,
    signal_share_draws,
    spread,
    weighted_r,
)


def smooth(rng, n_trs, n_voxels, autoregression):
    shocks = rng.standard_normal((n_trs, n_voxels))
    shocks[1:] *= np.sqrt(1 - autoregression**2)
    return lfilter([1.0], [1.0, -autoregression], shocks, axis=0)


def test_every_draw_has_as_many_rows_and_every_row_comes_alike():
    weights = block_weights(53, 8, 4000, np.random.default_rng(0))

    assert weights.shape == (4000, 53)
    np.testing.assert_array_equal(weights.sum(axis=1), 53)
    np.testing.assert_allclose(weights.mean(axis=0), 1, atol=0.1)


def test_rows_come_in_blocks():
    together = block_weights(100, 10, 3000, np.random.default_rng(0))
    alone = block_weights(100, 1, 3000, np.random.default_rng(0))

    assert np.corrcoef(together[:, 40], together[:, 41])[0, 1] == pytest.approx(0.9, abs=0.03)
    assert abs(np.corrcoef(together[:, 40], together[:, 55])[0, 1]) < 0.15
    assert abs(np.corrcoef(alone[:, 40], alone[:, 41])[0, 1]) < 0.06


def test_too_few_blocks_are_refused():
    with pytest.raises(ValueError, match="30 TRs are fewer than 4 blocks of 8 TRs"):
        block_weights(30, 8, 10, np.random.default_rng(0))


def test_blocks_give_the_standard_error_of_a_mean_of_smooth_noise_and_single_rows_do_not():
    rng = np.random.default_rng(1)
    many = smooth(rng, 400, 500, 0.7)
    truth = many.mean(axis=0).std()
    blocks, rows = (np.mean((block_weights(400, size, 300, rng) @ many[:, :60] / 400).std(axis=0)) for size in (20, 1))

    assert blocks == pytest.approx(truth, rel=0.15)
    assert rows < 0.6 * truth


def test_weighted_r_equals_pearsonr_of_rows_repeated_by_their_weight():
    rng = np.random.default_rng(2)
    observed, predicted = rng.standard_normal((2, 30, 4)) * 50 + 1e4
    counts = rng.integers(0, 4, size=(3, 30))

    found = weighted_r(observed, predicted, counts.astype(float))

    for draw, count in enumerate(counts):
        for voxel in range(4):
            pair = (np.repeat(one[:, voxel], count) for one in (observed, predicted))
            assert found[draw, voxel] == pytest.approx(pearsonr(*pair)[0])


def test_weighted_r_of_a_constant_or_of_nan_is_nan():
    rng = np.random.default_rng(3)
    observed, predicted = rng.standard_normal((2, 30, 4))
    observed[:, 0] = 3.0
    predicted[:, 1] = 0.1
    observed[4, 2] = np.nan

    found = weighted_r(observed, predicted, np.ones((2, 30)))

    np.testing.assert_array_equal(np.isnan(found), [[True, True, True, False]] * 2)


def test_quantiles_and_spread_are_numpys_where_draws_are_known():
    rng = np.random.default_rng(4)
    draws = rng.standard_normal((101, 9))
    draws[rng.random(draws.shape) < 0.3] = np.nan

    np.testing.assert_allclose(quantiles(draws, (0.1, 0.5, 0.975)), np.nanquantile(draws, (0.1, 0.5, 0.975), axis=0))
    error, low, high = spread(draws)
    np.testing.assert_allclose(error, np.nanstd(draws, axis=0, ddof=1))
    np.testing.assert_allclose([low, high], np.nanquantile(draws, (0.025, 0.975), axis=0))


def test_where_most_draws_are_unknown_so_is_the_spread():
    draws = np.random.default_rng(5).standard_normal((10, 3))
    draws[:6, 0] = np.nan
    draws[:5, 1] = np.nan

    for found in spread(draws):
        np.testing.assert_array_equal(np.isnan(found), [True, False, False])
    for found in spread(np.empty((0, 2))):
        assert np.isnan(found).all()


def test_voxels_beyond_the_first_chunk_have_their_own_spread(monkeypatch):
    draws = np.random.default_rng(6).standard_normal((20, 7))
    whole = spread(draws)
    monkeypatch.setattr("brainexp.score.ceiling.bootstrap.VOXELS_AT_ONCE", 3)

    np.testing.assert_array_equal(spread(draws), whole)


def test_the_basic_interval_mirrors_the_draws_and_so_takes_off_their_bias():
    draws = 1.0 + np.linspace(-0.1, 0.3, 1001)  # too high by 0.1 on average

    low, high = basic_interval(1.0, draws)

    assert low == pytest.approx(0.71)
    assert high == pytest.approx(1.09)
    assert np.isnan(basic_interval(1.0, np.empty(0))).all()


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_intervals_cover_the_planted_ceiling_of_voxels_and_of_their_mean(share):
    """Nominally 95 % of the time; blocks of a single run of 300 TRs promise a little too much."""
    voxels, means, percentile_of_means = [], [], []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        signal = smooth(rng, 300, 40, 0.4)
        repeats = np.stack([np.sqrt(share) * signal + np.sqrt(1 - share) * smooth(rng, 300, 40, 0.4) for _ in range(4)])
        weights = np.vstack([np.ones(300), block_weights(300, 10, 200, rng)])
        r = best_r(signal_share_draws(repeats, "repeats", weights))
        _, low, high = spread(r[1:])
        voxels.append(np.mean((low <= np.sqrt(share)) & (np.sqrt(share) <= high)))
        mean = r.mean(axis=1)
        low, high = basic_interval(mean[0], mean[1:])
        means.append(low <= np.sqrt(share) <= high)
        _, low, high = spread(mean[1:, None])
        percentile_of_means.append(low[0] <= np.sqrt(share) <= high[0])

    assert 0.88 < np.mean(voxels) < 0.97
    assert 0.85 < np.mean(means) < 0.99
    assert np.mean(percentile_of_means) < np.mean(means)  # why means have the basic interval
