import numpy as np
import pandas as pd
import pytest

from brainexp.align.delay import delayed


@pytest.mark.parametrize("delays", [[0], [1], [1, 2, 3, 4], [4, 0, 2], [0, 30]])
def test_delays_equal_a_pandas_shift_filled_with_zeros(delays):
    features = np.random.default_rng(0).standard_normal((20, 3))
    frame = pd.DataFrame(features)
    expected = np.hstack([frame.shift(delay).fillna(0.0).to_numpy() for delay in delays])

    found = delayed(features, delays)

    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("delay", [1, 2, 7, 19])
def test_delay_moves_rows_and_never_wraps(delay):
    features = np.zeros((20, 1))
    features[-delay:] = 1e6  # would come round to the start

    found = delayed(features, [delay])

    assert not found.any()


@pytest.mark.parametrize("delay", [20, 21, 500])
def test_a_delay_as_long_as_the_run_leaves_nothing(delay):
    found = delayed(np.ones((20, 2)), [delay])

    np.testing.assert_array_equal(found, np.zeros((20, 2)))


def test_a_row_depends_on_no_later_row():
    rng = np.random.default_rng(1)
    features = rng.standard_normal((30, 4))
    changed = features.copy()
    changed[15:] = rng.standard_normal((15, 4))

    before, after = delayed(features, [0, 1, 5]), delayed(changed, [0, 1, 5])

    np.testing.assert_array_equal(after[:15], before[:15])
    assert (after[20:] != before[20:]).all()


def test_delays_come_in_the_order_given_with_all_features_of_each_together():
    features = np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])

    found = delayed(features, [1, 0])

    np.testing.assert_array_equal(found, [[0, 0, 1, 10], [1, 10, 2, 20], [2, 20, 3, 30]])


def test_delay_leaves_its_input_as_it_was_and_keeps_its_dtype():
    features = np.arange(6, dtype=np.float32).reshape(3, 2)
    kept = features.copy()

    found = delayed(features, [0, 1])
    found[:] = -1

    np.testing.assert_array_equal(features, kept)
    assert found.dtype == np.float32
