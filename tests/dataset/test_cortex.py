import numpy as np
import pytest

from brainexp.dataset import cortex

KEPT = slice(10, 110)


def test_the_response_peaks_after_five_seconds_and_undershoots_later():
    response = cortex.haemodynamic_response(np.array([0.0, 0.5]), tr_s=0.5)

    np.testing.assert_array_equal(response.argmax(axis=0) * 0.5, [5.0, 5.5])
    assert response[:, 0].argmin() * 0.5 == pytest.approx(15, abs=1)
    assert response[0, 0] == 0


def test_convolution_is_that_of_numpy_and_never_looks_ahead(rng):
    courses, taps = rng.standard_normal((30, 3)), rng.standard_normal((40, 3))

    found = cortex.convolved(courses, taps)

    for column in range(3):
        np.testing.assert_allclose(found[:, column], np.convolve(courses[:, column], taps[:, column])[:30])


def test_autoregressive_noise_has_the_variance_and_the_autocorrelation_that_are_claimed(rng):
    noise = cortex.autoregressive(120, 4000, 0.6, rng)
    within = noise[KEPT].var(axis=0).mean()

    assert noise.var() == pytest.approx(1, abs=0.02)
    assert np.mean(noise[1:] * noise[:-1]) == pytest.approx(0.6, abs=0.02)
    assert within == pytest.approx(cortex.autoregressive_variance(KEPT, 0.6), abs=0.01)
    assert cortex.autoregressive_variance(KEPT, 0.0) == pytest.approx(0.99)


def test_drift_is_slow_and_exactly_scaled(rng):
    slow = cortex.drift(120, KEPT, 50, 2.0, rng)

    np.testing.assert_allclose(slow[KEPT].mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(slow[KEPT].var(axis=0), 1)
    assert np.abs(np.diff(slow, axis=0)).max() < 0.25


def test_movement_is_centred_and_shows_with_the_variance_asked_for(rng):
    movements = [cortex.motion(120, KEPT, rng) for _ in range(3)]
    variance = np.array([0.0, 0.1, 0.5])
    weights = cortex.motion_weights(movements, [KEPT] * 3, variance, rng)

    np.testing.assert_allclose(movements[0][KEPT].mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(
        cortex.mean_variance([one @ weights for one in movements], [KEPT] * 3), variance, atol=1e-12
    )


def test_noise_has_the_variance_that_is_expected_of_it(rng):
    movement = cortex.motion(120, KEPT, rng)
    share = np.repeat([0.0, 0.6], 3000)
    weights = cortex.motion_weights([movement], [KEPT], 0.2 * (1 - share), rng)
    tuning = cortex.Tuning(np.zeros((1, 6000)), share, np.zeros(6000), weights)
    kinds = cortex.Noise(autoregression=0.5, drift=0.3, motion=0.2)

    found = cortex.noise(KEPT, movement, tuning, kinds, 2.0, rng)[KEPT].var(axis=0)
    expected = cortex.noise_variance(KEPT, movement, tuning, kinds)

    np.testing.assert_allclose(expected, 1 - share)
    assert found[:3000].mean() == pytest.approx(1.0, abs=0.01)
    assert found[3000:].mean() == pytest.approx(0.4, abs=0.01)
