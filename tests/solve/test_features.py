"""Kernels and rows of delayed features against features that are delayed row by row."""

import numpy as np
import pytest

from brainexp.solve.features import row_kernel, row_matrix, scaling
from tests.problems import explicit, space


def runs(seed, n_runs=3, n_dims=5):
    rng = np.random.default_rng(seed)
    return [
        rng.standard_normal((int(rng.integers(15, 30)), n_dims)) * 10.0 ** rng.uniform(-3, 3, n_dims) + 5
        for _ in range(n_runs)
    ]


def trimmed(seed):
    rng = np.random.default_rng([seed, 1])
    return [slice(int(rng.integers(0, 6)), int(rng.integers(9, 15))) for _ in range(3)]


CASES = [
    pytest.param(lambda: space(*runs(0, 1)), id="one run"),
    pytest.param(lambda: space(*runs(1, 1), delays=(1, 2, 3, 4)), id="delays"),
    pytest.param(lambda: space(*runs(2), delays=(0, 2, 7)), id="delays in several runs"),
    pytest.param(lambda: space(*runs(3), delays=(1, 2, 3), rows=trimmed(3)), id="trimmed"),
    pytest.param(lambda: space(*runs(4), delays=(3, 100), rows=trimmed(4)), id="a delay beyond the run"),
    pytest.param(lambda: space(*[run.astype(np.float32) for run in runs(5)], delays=(1, 2)), id="single precision"),
]


@pytest.mark.parametrize("made", CASES)
@pytest.mark.parametrize("seed", range(3))
def test_rows_and_kernel_are_those_of_features_delayed_one_by_one(made, seed):
    design = made()
    train = np.sort(np.random.default_rng(seed).permutation(design.n_rows)[: design.n_rows * 2 // 3])
    expected = explicit(design, train)

    rows, kernel = row_matrix(design, train, "cpu").numpy(), row_kernel(design, train, "cpu").numpy()

    np.testing.assert_allclose(rows, expected, atol=1e-9)
    np.testing.assert_allclose(kernel, expected @ expected.T, rtol=1e-9, atol=1e-8)


def test_what_lies_before_a_run_is_the_mean_of_the_training_rows():
    design = space(np.array([[10.0], [20.0], [30.0]]), np.array([[40.0], [0.0]]), delays=(1,))

    rows = row_matrix(design, np.array([0, 1, 2]), "cpu").numpy()

    scale = np.std([10, 20, 30])
    np.testing.assert_allclose(rows[:, 0], np.array([0.0, -10, 0, 0, 20]) / scale)


def test_mean_and_scale_are_those_of_the_training_rows_whatever_the_others_hold():
    design = space(np.random.default_rng(0).standard_normal((30, 4)), delays=(1, 2))
    train = np.arange(20)
    (changed,) = (run.copy() for run in design.runs)
    changed[20:] *= 1e6

    learned, other = scaling(design, train), scaling(space(changed, delays=(1, 2)), train)

    np.testing.assert_array_equal(learned.mean, other.mean)
    np.testing.assert_array_equal(learned.scale, other.scale)
    np.testing.assert_allclose(learned.mean, design.runs[0][:20].mean(axis=0))
    np.testing.assert_allclose(learned.scale, design.runs[0][:20].std(axis=0))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dimensions_that_are_constant_on_training_rows_are_left_out(dtype):
    features = np.random.default_rng(0).standard_normal((30, 5)).astype(dtype)
    features[:20, 1] = 0.1  # varies on rows that are not trained on
    features[:, 3] = 1e6

    assert scaling(space(features), np.arange(20)).varying.tolist() == [0, 2, 4]
    assert row_matrix(space(features, delays=(0, 1)), np.arange(20), "cpu").shape == (30, 6)


def test_a_small_variance_on_a_large_mean_counts():
    features = np.random.default_rng(0).standard_normal((30, 1)) * 1e-6 + 1e3

    assert scaling(space(features), np.arange(30)).varying.tolist() == [0]


def test_a_space_without_a_varying_dimension_has_an_empty_matrix_and_a_kernel_of_zeros():
    design = space(np.ones((10, 3)), delays=(0, 1))

    assert row_matrix(design, np.arange(8), "cpu").shape == (10, 0)
    np.testing.assert_array_equal(row_kernel(design, np.arange(8), "cpu"), np.zeros((10, 10)))
