import numpy as np
import pytest
from scipy.fft import dct
from scipy.signal import lfilter
from scipy.special import eval_legendre
from scipy.stats import pearsonr
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold

from brainexp.align.baseline import autocorrelation, position, word_rate
from brainexp.align.fold import folds_of_blocks, folds_of_runs
from brainexp.containers import Clock


def smooth_noise(n_trs: int, n_voxels: int, rng: np.random.Generator) -> np.ndarray:
    """Autoregressive noise, slow enough that neighbours tell of each other."""
    return lfilter([1.0], [1.0, -0.95], rng.standard_normal((n_trs + 100, n_voxels)), axis=0)[100:]


def held_out_r(features: np.ndarray, responses: np.ndarray, splits) -> float:
    """Mean r over folds and voxels of scikit-learn's ridge."""
    scores = []
    for train, test in splits:
        predicted = Ridge(alpha=1.0).fit(features[train], responses[train]).predict(features[test])
        scores += [pearsonr(responses[test, voxel], predicted[:, voxel])[0] for voxel in range(responses.shape[1])]
    return float(np.mean(scores))


def test_word_rate_counts_the_words_of_each_tr():
    clock = Clock(start_s=5.0, tr_s=2.0, n_trs=30)
    times_s = np.sort(np.random.default_rng(0).uniform(0.0, 70.0, 200))
    expected, _ = np.histogram(times_s, bins=clock.start_s + clock.tr_s * np.arange(clock.n_trs + 1))

    rate = word_rate(times_s, clock)

    np.testing.assert_array_equal(rate, expected[:, None])


def test_position_is_legendre_polynomials_of_time_without_the_constant():
    time = np.linspace(-1, 1, 50)
    expected = np.column_stack([eval_legendre(degree, time) for degree in (1, 2, 3, 4)])

    found = position(50)

    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert position(50, n_terms=2).shape == (50, 2)


@pytest.mark.parametrize(("n_trs", "period_trs"), [(60, 10), (61, 7), (33, 10)])
def test_autocorrelation_is_the_slow_part_of_the_cosine_basis(n_trs, period_trs):
    n_terms = 2 * n_trs // period_trs
    basis = dct(np.eye(n_trs), type=2, axis=0, norm=None).T / 2  # column k: cos(pi k (t + 1/2) / n)

    found = autocorrelation(n_trs, period_trs)

    np.testing.assert_allclose(found, basis[:, 1 : n_terms + 1], atol=1e-10)


def test_the_fastest_course_of_autocorrelation_has_the_period_given_and_no_faster_one_is_there():
    found = autocorrelation(200, period_trs=10)

    fastest = np.fft.rfft(found[:, -1])
    assert np.abs(fastest).argmax() == 200 // 10
    assert found.shape == (200, 40)


def test_autocorrelation_predicts_smooth_noise_under_a_shuffled_split():
    rng = np.random.default_rng(1)
    responses = smooth_noise(400, 12, rng)
    features = autocorrelation(400)

    r = held_out_r(features, responses, KFold(5, shuffle=True, random_state=0).split(features))

    assert r > 0.8


def test_autocorrelation_predicts_nothing_of_the_same_noise_when_blocks_with_a_gap_are_held_out():
    rng = np.random.default_rng(1)
    responses = smooth_noise(400, 12, rng)
    features = autocorrelation(400)

    r = held_out_r(features, responses, [(fold.train, fold.test) for fold in folds_of_blocks((400,), 5, gap_trs=10)])

    assert abs(r) < 0.15


def test_autocorrelation_predicts_nothing_of_runs_with_noise_of_their_own():
    rng = np.random.default_rng(2)
    responses = np.vstack([smooth_noise(120, 12, rng) for _ in range(5)])
    features = np.vstack([autocorrelation(120) for _ in range(5)])

    r = held_out_r(features, responses, [(fold.train, fold.test) for fold in folds_of_runs((120,) * 5, 5)])

    assert abs(r) < 0.15
