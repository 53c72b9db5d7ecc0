import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn.metrics import r2_score

from brainexp.score.correlation import pearson_r, r_squared, standardised


def pair(n_trs: int = 50, n_voxels: int = 7) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    observed = rng.standard_normal((n_trs, n_voxels))
    return observed, observed * np.linspace(-1, 1, n_voxels) + rng.standard_normal((n_trs, n_voxels))


@pytest.mark.parametrize("offset", [0.0, 1e5])
@pytest.mark.parametrize("scale", [1.0, 1e-6])
def test_pearson_r_equals_scipys(offset, scale):
    observed, predicted = pair()
    expected = [pearsonr(observed[:, voxel], predicted[:, voxel])[0] for voxel in range(7)]

    r = pearson_r(observed + offset, predicted * scale)

    np.testing.assert_allclose(r, expected, atol=1e-9)


def test_r_squared_equals_scikit_learns():
    observed, predicted = pair()

    r2 = r_squared(observed + 3, predicted + 3)

    np.testing.assert_allclose(r2, r2_score(observed + 3, predicted + 3, multioutput="raw_values"), atol=1e-12)


def test_r_ignores_scale_and_offset_and_r_squared_does_not():
    observed, predicted = pair()

    np.testing.assert_allclose(pearson_r(observed, 5 * predicted + 2), pearson_r(observed, predicted), atol=1e-12)
    assert (r_squared(observed, 5 * predicted + 2) < r_squared(observed, predicted)).all()


def test_a_prediction_and_its_negative_have_opposite_r_and_the_best_is_one():
    observed, predicted = pair()

    np.testing.assert_allclose(pearson_r(observed, -predicted), -pearson_r(observed, predicted), atol=1e-12)
    np.testing.assert_allclose(pearson_r(observed, observed), 1, atol=1e-12)
    np.testing.assert_allclose(r_squared(observed, observed), 1, atol=1e-12)


def test_the_mean_explains_no_variance_and_a_worse_prediction_less_than_none():
    observed, _ = pair()
    mean = np.broadcast_to(observed.mean(axis=0), observed.shape)

    np.testing.assert_allclose(r_squared(observed, mean), 0, atol=1e-12)
    assert (r_squared(observed, -observed) < 0).all()


def test_standardised_columns_have_mean_zero_and_sum_of_squares_one():
    observed, _ = pair()

    scaled = standardised(observed * 40 - 7)

    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose((scaled**2).sum(axis=0), 1, atol=1e-12)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6, -1e-6])
@pytest.mark.parametrize("n_trs", [3, 37, 50])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_constant_column_has_no_r_whichever_side_it_is_on(value, n_trs, dtype):
    observed, predicted = (values.astype(dtype) for values in pair(n_trs))
    constant = observed.copy()
    constant[:, 2] = value

    for r in (pearson_r(constant, predicted), pearson_r(predicted, constant)):
        assert np.isnan(r).tolist() == [voxel == 2 for voxel in range(7)]


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6])
@pytest.mark.parametrize("n_trs", [3, 37, 50])
def test_a_constant_column_has_no_r_squared(value, n_trs):
    observed, predicted = pair(n_trs)
    observed[:, 2] = value

    r2 = r_squared(observed, predicted)

    assert np.isnan(r2).tolist() == [voxel == 2 for voxel in range(7)]


def test_a_constant_prediction_has_an_r_squared_though_no_r():
    observed, predicted = pair()
    predicted[:, 2] = 0.5

    assert np.isnan(pearson_r(observed, predicted)[2])
    assert np.isfinite(r_squared(observed, predicted)).all()


def test_nan_stays_in_its_voxel():
    observed, predicted = pair()
    broken = observed.copy()
    broken[4, 1] = np.nan

    for score in (pearson_r, r_squared):
        found = score(broken, predicted)
        assert np.isnan(found).tolist() == [voxel == 1 for voxel in range(7)]
        np.testing.assert_allclose(np.delete(found, 1), np.delete(score(observed, predicted), 1))
