"""The parts of ridge with squared penalties, each against numpy, scipy or the formula."""

import numpy as np
import pytest
import scipy.stats
import torch

from brainexp.containers import Design
from brainexp.encoder.squared import SCORES, _Rows, chunks, runs_of_rows, zscored
from tests.encoder.published import ridge_weights, score_of


def test_rows_know_their_run_after_trimming():
    runs = tuple(np.zeros((n, 2)) for n in (7, 4, 6))
    design = Design("syntax", runs, (slice(2, None), slice(0, 4), slice(1, -2)), (0, 1))

    assert runs_of_rows(design).tolist() == [0] * 5 + [1] * 4 + [2] * 3
    assert len(runs_of_rows(design)) == design.n_rows == len(design.matrix())


def test_chunks_lie_between_the_ends_of_runs_and_gaps():
    rows = np.array([0, 1, 2, 3, 4, 9, 10, 11, 12, 13, 14, 15])
    run = np.array([0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1])

    inside = chunks(rows, run, 3, respect_runs=True)
    across = chunks(rows, run, 3, respect_runs=False)

    assert [part.tolist() for part in inside] == [[0, 1, 2], [5, 6, 7], [8, 9, 10]]
    assert [part.tolist() for part in across] == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]


def test_chunks_longer_than_every_run_are_none():
    assert chunks(np.arange(10), np.repeat([0, 1], 5), 6, respect_runs=True) == []


def test_standardised_parts_equal_scipys_zscore(rng):
    values = rng.standard_normal((30, 4)) * 5 + 1000
    values[:, 2] = 1 / 3
    values[10:, 3] = 7.0
    parts = [np.arange(10), np.arange(10, 30)]

    found = zscored(values, parts)

    for part in parts:
        np.testing.assert_allclose(found[part][:, :2], scipy.stats.zscore(values[part][:, :2]))
    assert not found[:, 2].any()
    assert not found[10:, 3].any()
    np.testing.assert_allclose(found[:10, 3], scipy.stats.zscore(values[:10, 3]))


@pytest.mark.parametrize("score", SCORES)
def test_scores_are_those_of_the_formula_and_zero_where_they_are_not_defined(rng, score):
    observed = rng.standard_normal((20, 6))
    predicted = observed * [1, 0.5, -1, 0.1, 1, 1] + rng.standard_normal((20, 6)) * [0, 1, 2, 0.1, 1, 1]
    observed[:, 4] = 0.1
    predicted[:, 5] = 1 / 3

    found = SCORES[score](torch.tensor(observed), torch.tensor(predicted)).numpy()

    expected = np.array([score_of(score, *pair) for pair in zip(observed.T, predicted.T, strict=True)])
    if score == "halfway_signed_r2":  # its variance is never zero
        expected[4] = np.sign(1 - 2 * np.var(predicted[:, 4])) * np.sqrt(abs(1 - 2 * np.var(predicted[:, 4])))
    # Squared, for a root makes 1e-8 of a rounding error of 1e-16.
    np.testing.assert_allclose(found * np.abs(found), expected * np.abs(expected), atol=1e-12)


@pytest.mark.parametrize("n_features", [3, 12, 25, 60])
@pytest.mark.parametrize("normalpha", [False, True])
@pytest.mark.parametrize("alpha", [1e-3, 1.0, 1e4])
def test_predictions_by_either_gram_matrix_are_those_of_the_singular_value_decomposition(
    rng, n_features, normalpha, alpha
):
    train, test = rng.standard_normal((30, n_features)), rng.standard_normal((5, n_features))
    train[:, 0] = train[:, 1]  # a singular value of zero
    responses = rng.standard_normal((30, 4))
    fit, held = np.arange(0, 30, 2), np.arange(1, 30, 2)
    rows = _Rows(train, test, 1e-10, "cpu")

    spectrum = rows.spectrum(fit, np.concatenate([held, [30, 34]]))
    found = spectrum.predicted(alpha, normalpha, spectrum.left.T @ rows.tensor(responses[fit])).numpy()

    weights = ridge_weights(train[fit], responses[fit], alpha, 1e-10, normalpha)
    np.testing.assert_allclose(found, np.vstack([train[held], test[[0, 4]]]) @ weights, atol=1e-8)
    assert len(spectrum.squares) <= min(15, n_features - 1)


def test_rows_that_do_not_vary_predict_nothing():
    rows = _Rows(np.zeros((6, 3)), np.ones((2, 3)), 1e-10, "cpu")

    spectrum = rows.spectrum(np.arange(6), np.array([6, 7]))

    guess = spectrum.predicted(1.0, True, spectrum.left.T @ torch.ones((6, 2), dtype=torch.float64))
    np.testing.assert_array_equal(guess.numpy(), np.zeros((2, 2)))
