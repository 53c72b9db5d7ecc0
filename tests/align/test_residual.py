import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from brainexp.align.residual import residual

N_TRS = 80
TRAIN = np.r_[0:30, 45:80]
TEST = np.r_[30:45]


def recording(scale=(1.0, 1.0, 1.0)):
    """Responses of six voxels that follow three regressors of the given scales."""
    rng = np.random.default_rng(5)
    nuisance = rng.standard_normal((N_TRS, 3)) * scale + np.array(scale)
    own = rng.standard_normal((N_TRS, 6))
    return own + nuisance / np.array(scale) @ rng.standard_normal((3, 6)) + 100.0, nuisance, own


@pytest.mark.parametrize("scale", [(1.0, 1.0, 1.0), (1e-6, 1.0, 1e6)])
def test_residual_equals_a_linear_regression_of_the_training_rows(scale):
    responses, nuisance, _ = recording(scale)
    scaled = nuisance / np.array(scale)
    regression = LinearRegression().fit(scaled[TRAIN], responses[TRAIN])

    found = residual(responses, nuisance, TRAIN)

    np.testing.assert_allclose(found, responses - regression.predict(scaled), atol=1e-8)


def test_residual_on_training_rows_has_no_mean_and_no_linear_trace_of_the_nuisance():
    responses, nuisance, _ = recording()

    found = residual(responses, nuisance, TRAIN)

    np.testing.assert_allclose(found[TRAIN].mean(axis=0), 0, atol=1e-10)
    np.testing.assert_allclose(nuisance[TRAIN].T @ found[TRAIN], 0, atol=1e-9)


def test_a_planted_nuisance_is_gone_from_held_out_rows_and_was_there_before():
    responses, nuisance, own = recording()

    found = residual(responses, nuisance, TRAIN)

    before = [np.corrcoef(responses[TEST, voxel], own[TEST, voxel])[0, 1] for voxel in range(6)]
    after = [np.corrcoef(found[TEST, voxel], own[TEST, voxel])[0, 1] for voxel in range(6)]
    assert min(after) > 0.9
    assert np.mean(before) < 0.8


def test_held_out_responses_change_only_their_own_residual():
    responses, nuisance, _ = recording()
    changed = responses.copy()
    changed[TEST] += np.random.default_rng(6).standard_normal((len(TEST), 6)) * 1e3

    before, after = residual(responses, nuisance, TRAIN), residual(changed, nuisance, TRAIN)

    np.testing.assert_array_equal(after[TRAIN], before[TRAIN])
    np.testing.assert_allclose(after[TEST] - before[TEST], changed[TEST] - responses[TEST], atol=1e-9)


def test_learning_on_all_rows_would_let_held_out_responses_leak():
    responses, nuisance, _ = recording()
    changed = responses.copy()
    changed[TEST] += np.random.default_rng(6).standard_normal((len(TEST), 6)) * 1e3
    everything = np.arange(N_TRS)

    before, after = residual(responses, nuisance, everything), residual(changed, nuisance, everything)

    assert np.abs(after[TRAIN] - before[TRAIN]).min(axis=1).max() > 1.0


def test_a_voxel_with_nan_stays_nan_and_leaves_the_others_alone():
    responses, nuisance, _ = recording()
    broken = responses.copy()
    broken[3, 2] = np.nan

    found = residual(broken, nuisance, TRAIN)

    others = [0, 1, 3, 4, 5]
    assert np.isnan(found[:, 2]).all()
    np.testing.assert_allclose(found[:, others], residual(responses, nuisance, TRAIN)[:, others], atol=1e-10)


@pytest.mark.parametrize("height", [1.0, 50.0])
def test_a_regressor_that_is_zero_on_the_training_rows_removes_nothing(height):
    responses, nuisance, _ = recording()
    spike = np.zeros((N_TRS, 1))
    spike[TEST[4]] = height

    found = residual(responses, np.hstack([nuisance, spike]), TRAIN)

    np.testing.assert_allclose(found, residual(responses, nuisance, TRAIN), atol=1e-9)


def test_twice_the_same_regressor_removes_no_more_than_one():
    responses, nuisance, _ = recording()

    found = residual(responses, np.hstack([nuisance, nuisance]), TRAIN)

    np.testing.assert_allclose(found, residual(responses, nuisance, TRAIN), atol=1e-8)
