import numpy as np
import pytest

from brainexp.score.ceiling import repeat_ceiling


def repeated(share, n_repeats=5, n_trs=4000, n_voxels=40):
    """The same signal of the given share of variance in each repeat, under noise of its own."""
    rng = np.random.default_rng(0)
    signal = rng.standard_normal((n_trs, n_voxels))
    noise = rng.standard_normal((n_repeats, n_trs, n_voxels))
    return np.sqrt(share) * signal + np.sqrt(1 - share) * noise


@pytest.mark.parametrize("share", [0.1, 0.3, 0.8, 1.0])
@pytest.mark.parametrize("n_repeats", [2, 5])
def test_the_planted_ceiling_is_found(share, n_repeats):
    found = repeat_ceiling(repeated(share, n_repeats))

    np.testing.assert_allclose(found.mean(), np.sqrt(share), atol=0.01)


def test_it_equals_the_equations_of_schoppe_written_out_for_one_voxel():
    one = repeated(0.4, n_repeats=3, n_trs=50, n_voxels=1)
    total_power = np.mean([np.var(repeat) for repeat in one])
    signal_power = (3 * np.var(one.mean(axis=0)) - total_power) / 2
    noise_to_signal = total_power / signal_power - 1  # of one recording
    expected = 1 / np.sqrt(1 + noise_to_signal)

    assert repeat_ceiling(one)[0] == pytest.approx(expected)


def test_scale_and_offset_of_the_recordings_do_not_matter():
    repeats = repeated(0.4, n_trs=100)

    np.testing.assert_allclose(repeat_ceiling(1000 * repeats + 3), repeat_ceiling(repeats), rtol=1e-9)


def test_without_positive_signal_power_nothing_is_known():
    repeats = repeated(0.5, n_trs=60, n_voxels=4)
    repeats[1, :, 0] = -repeats[0, :, 0]
    repeats[2:, :, 0] = 0.0
    repeats[:, :, 1] = 7.0
    repeats[0, 0, 2] = np.nan

    found = repeat_ceiling(repeats)

    np.testing.assert_array_equal(np.isnan(found), [True, True, True, False])
