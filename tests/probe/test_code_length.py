import numpy as np
import pytest

from brainexp.probe.code_length import code_length, compression
from brainexp.probe.linear import Training, losses, trained

HOW = Training()


def halves(features, labels):
    half = len(labels) // 2
    return (features[None, :half], labels[:half]), (features[None, half:], labels[half:])


def test_labels_that_features_do_not_tell_cost_what_even_labels_cost(rng):
    labels = rng.integers(4, size=1600)

    bits = code_length(*halves(np.zeros((1600, 3), np.float32), labels), 4, HOW, (0, 1))

    np.testing.assert_allclose(bits, 800 * 2, rtol=0.02)  # two bits each; nats would be 1,109
    np.testing.assert_allclose(compression(bits, 800, 4), 1, rtol=0.02)


def test_labels_that_features_tell_cost_less_the_sooner_they_are_told(rng):
    labels = rng.integers(2, size=1600)
    signs = (2.0 * labels - 1)[:, None]
    clear = (signs + 0.1 * rng.standard_normal((1600, 3))).astype(np.float32)
    faint = (signs + 2.0 * rng.standard_normal((1600, 3))).astype(np.float32)

    of_clear = code_length(*halves(clear, labels), 2, HOW, (0,))[0, 0]
    of_faint = code_length(*halves(faint, labels), 2, HOW, (0,))[0, 0]

    assert of_clear < of_faint < 800
    assert compression(np.array([of_clear]), 800, 2)[0] > 2


def test_the_code_is_that_of_voita_and_titov_step_by_step(rng):
    labels = rng.integers(2, size=80)
    features = (labels[:, None] + rng.standard_normal((80, 3))).astype(np.float32)
    (x, y), (x_dev, y_dev) = halves(features, labels)

    expected = 2 * 1.0  # of 40 samples 1/16 are the first two; they are sent evenly
    for known, stop in ((2, 5), (5, 10), (10, 20), (20, 40)):
        probe = trained((x[:, :known], y[None, :known]), (x_dev, y_dev[None]), 2, HOW, (7,))
        expected += losses(probe.scores(x[:, known:stop])[0, 0], y[known:stop]).sum()

    assert code_length((x, y), (x_dev, y_dev), 2, HOW, (7,))[0, 0] == pytest.approx(expected)
