import numpy as np
import pytest
from scipy.signal import detrend

from brainexp.align.trend import without_trend


def test_order_one_is_scipys_linear_detrending(rng):
    values = rng.standard_normal((50, 3)) + np.arange(50)[:, None]

    np.testing.assert_allclose(without_trend(values, 1), detrend(values, axis=0), atol=1e-10)


@pytest.mark.parametrize("order", [0, 2, 5])
def test_polynomials_up_to_the_order_vanish_and_higher_ones_do_not(order):
    time = np.linspace(-1, 1, 200)[:, None]

    assert np.abs(without_trend(time**order + 3, order)).max() < 1e-10
    assert np.abs(without_trend(time ** (order + 1), order)).max() > 1e-3
