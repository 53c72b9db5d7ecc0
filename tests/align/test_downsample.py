import math

import numpy as np
import pandas as pd
import pytest

from brainexp.align.downsample import DOWNSAMPLERS, LANCZOS_LOBES, lanczos, last, mean, total
from brainexp.containers import Clock

CLOCK = Clock(start_s=-3.0, tr_s=1.5, n_trs=12)  # ends at 15 s


def words_s(n_words: int = 40) -> np.ndarray:
    """Uneven word times inside the recording, with a silence that leaves some TRs empty."""
    times = np.sort(np.random.default_rng(3).uniform(CLOCK.start_s, CLOCK.end_s, n_words))
    return times[(times < 4.0) | (times > 8.0)]


def tr_of(times_s: np.ndarray) -> np.ndarray:
    return np.array([math.floor((time_s - CLOCK.start_s) / CLOCK.tr_s) for time_s in times_s])


def naive_lanczos_weight(distance: float) -> float:
    if abs(distance) >= LANCZOS_LOBES:
        return 0.0
    if distance == 0:
        return 1.0
    angle = math.pi * distance
    return (math.sin(angle) / angle) * (math.sin(angle / 3) / (angle / 3))


def grouped(features: np.ndarray, times_s: np.ndarray, how: str) -> np.ndarray:
    """Aggregate with pandas: rows of empty TRs are zero."""
    by_tr = pd.DataFrame(features).groupby(tr_of(times_s)).agg(how)
    return by_tr.reindex(range(CLOCK.n_trs), fill_value=0.0).to_numpy()


def test_lanczos_equals_a_naive_double_loop():
    times_s = words_s()
    expected = np.zeros((CLOCK.n_trs, len(times_s)))
    for tr in range(CLOCK.n_trs):
        middle_s = CLOCK.start_s + (tr + 0.5) * CLOCK.tr_s
        for word, time_s in enumerate(times_s):
            expected[tr, word] = naive_lanczos_weight((middle_s - time_s) / CLOCK.tr_s)

    weights = lanczos(times_s, CLOCK)

    np.testing.assert_allclose(weights, expected, atol=1e-12)


def test_lanczos_gives_a_word_in_the_middle_of_a_tr_to_that_tr_alone():
    weights = lanczos(CLOCK.midpoints_s(), CLOCK)

    np.testing.assert_allclose(weights, np.eye(CLOCK.n_trs), atol=1e-12)


def test_lanczos_sees_words_fewer_than_three_trs_away_and_no_others():
    times_s = words_s()
    distance = np.abs(CLOCK.midpoints_s()[:, None] - times_s) / CLOCK.tr_s

    weights = lanczos(times_s, CLOCK)

    assert (weights[distance >= LANCZOS_LOBES] == 0).all()
    assert (np.abs(weights[(distance > 2) & (distance < LANCZOS_LOBES)]) > 0).any()


def test_lanczos_grows_with_the_word_rate():
    times_s = words_s()
    twice_s = np.repeat(times_s, 2)
    ones = np.ones(len(times_s))

    at_single_rate = lanczos(times_s, CLOCK) @ ones
    at_double_rate = lanczos(twice_s, CLOCK) @ np.repeat(ones, 2)

    np.testing.assert_allclose(at_double_rate, 2 * at_single_rate, atol=1e-12)


@pytest.mark.parametrize("name", DOWNSAMPLERS)
def test_every_method_has_a_row_per_tr_and_a_column_per_word(name):
    times_s = words_s()

    weights = DOWNSAMPLERS[name](times_s, CLOCK)

    assert weights.shape == (CLOCK.n_trs, len(times_s))
    assert np.isfinite(weights).all()


@pytest.mark.parametrize("name", DOWNSAMPLERS)
def test_every_method_depends_on_the_distance_of_word_and_recording_only(name):
    times_s = words_s()
    later = Clock(start_s=CLOCK.start_s + 64.0, tr_s=CLOCK.tr_s, n_trs=CLOCK.n_trs)

    here, there = DOWNSAMPLERS[name](times_s, CLOCK), DOWNSAMPLERS[name](times_s + 64.0, later)

    np.testing.assert_allclose(there, here, atol=1e-9)


@pytest.mark.parametrize("name", ["mean", "sum", "last"])
def test_words_outside_the_recording_have_no_weight(name):
    outside_s = np.array([CLOCK.start_s - 0.1, CLOCK.end_s + 0.1])

    weights = DOWNSAMPLERS[name](outside_s, CLOCK)

    assert not weights.any()


@pytest.mark.parametrize(("name", "how"), [("sum", "sum"), ("mean", "mean"), ("last", "last")])
def test_methods_that_count_by_tr_equal_a_pandas_group_by(name, how):
    times_s = words_s()
    features = np.random.default_rng(4).standard_normal((len(times_s), 3))

    found = DOWNSAMPLERS[name](times_s, CLOCK) @ features

    np.testing.assert_allclose(found, grouped(features, times_s, how), atol=1e-12)


def test_every_word_is_summed_exactly_once():
    weights = total(words_s(), CLOCK)

    np.testing.assert_array_equal(weights.sum(axis=0), 1)


def test_a_word_on_the_boundary_of_two_trs_belongs_to_the_later_one():
    weights = total(np.array([CLOCK.start_s + 2 * CLOCK.tr_s]), CLOCK)

    assert np.flatnonzero(weights).tolist() == [2]


@pytest.mark.parametrize("method", [mean, last])
def test_a_constant_feature_stays_constant_where_there_are_words_and_is_zero_elsewhere(method):
    times_s = words_s()
    has_words = np.isin(np.arange(CLOCK.n_trs), tr_of(times_s))

    found = method(times_s, CLOCK) @ np.full((len(times_s), 1), 7.5)

    np.testing.assert_allclose(found[has_words], 7.5)
    assert (found[~has_words] == 0).all()
    assert 0 < has_words.sum() < CLOCK.n_trs


def test_last_takes_the_last_of_words_that_share_a_time():
    weights = last(np.array([0.1, 0.1, 0.1]), CLOCK)

    np.testing.assert_array_equal(weights[tr_of(np.array([0.1]))[0]], [0, 0, 1])
