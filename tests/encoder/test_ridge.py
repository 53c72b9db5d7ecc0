"""Ridge on delayed features against scikit-learn on features that are delayed row by row."""

import numpy as np
import pytest

from brainexp.encoder.ridge import Ridge
from tests.problems import explicit, fitted, problem, space, validation_r

ALPHAS = (1.0, 30.0, 1000.0)
EXACT = Ridge(alphas=ALPHAS, dtype="float64", nodes=False)


def fit(encoder, design, responses, fold):
    return encoder.fit([design], responses[fold.train], np.zeros(responses.shape[1], int), fold)


@pytest.mark.parametrize(("n_trs", "n_features"), [(120, 10), (80, 200), (90, 60)])
@pytest.mark.parametrize("delays", [(0,), (1, 2, 3)])
@pytest.mark.parametrize("form", ["auto", "primal", "dual", "downdated"])
def test_penalties_scores_and_predictions_are_those_of_scikit_learn(n_trs, n_features, delays, form):
    design, responses, fold = problem(n_trs, n_trs, n_features, delays=delays)
    rows = explicit(design, fold.train)
    scores = validation_r(rows, responses, fold, ALPHAS)
    best = np.array(ALPHAS)[scores.argmax(axis=0)]

    found = fit(Ridge(alphas=ALPHAS, dtype="float64", nodes=False, form=form), design, responses, fold)

    expected = fitted(rows[fold.train], responses[fold.train], best).predict(rows[fold.test])
    np.testing.assert_allclose(found.penalty, best[None])
    np.testing.assert_allclose(found.validation_r, scores.max(axis=0), atol=1e-6)
    np.testing.assert_allclose(found.predicted, expected, atol=1e-6)
    assert found.parts is None


@pytest.mark.parametrize(("n_trs", "n_features"), [(120, 10), (80, 200)])
def test_the_usual_options_are_near_the_exact_ones(n_trs, n_features):
    design, responses, fold = problem(1, n_trs, n_features, delays=(1, 2))

    usual, exact = (fit(encoder, design, responses, fold) for encoder in (Ridge(alphas=ALPHAS), EXACT))

    np.testing.assert_array_equal(usual.penalty, exact.penalty)
    np.testing.assert_allclose(usual.validation_r, exact.validation_r, atol=1e-3)
    np.testing.assert_allclose(usual.predicted, exact.predicted, atol=1e-3)


def test_scales_of_features_do_not_matter():
    design, responses, fold = problem(0, 80, 100, delays=(1, 2))
    scales = 10.0 ** np.random.default_rng(1).uniform(-4, 4, 100)

    one = fit(EXACT, design, responses, fold)
    other = fit(EXACT, space(design.runs[0] * scales, delays=(1, 2)), responses, fold)

    np.testing.assert_allclose(one.predicted, other.predicted, atol=1e-6)


def test_columns_that_do_not_vary_are_left_out():
    design, responses, fold = problem(0, 60, 40)

    plain = fit(EXACT, design, responses, fold)
    padded = fit(EXACT, space(np.hstack([design.runs[0], np.full((60, 100), 3.0)])), responses, fold)

    np.testing.assert_array_equal(plain.predicted, padded.predicted)


def test_features_that_do_not_vary_predict_the_mean_and_have_no_r():
    design, responses, fold = problem(0, 60, 10)

    found = fit(Ridge(), space(np.ones_like(design.runs[0])), responses, fold)

    np.testing.assert_allclose(found.predicted, np.tile(responses[fold.train].mean(axis=0), (len(fold.test), 1)))
    assert np.isnan(found.validation_r).all()
    assert np.isnan(found.penalty).all()


def test_the_components_options_and_the_data_do_not_change_by_fitting():
    encoder = Ridge(alphas=ALPHAS)
    design, responses, fold = problem(0, 60, 10)
    features, observed = design.runs[0].copy(), responses.copy()

    fit(encoder, design, responses, fold)

    assert encoder == Ridge(alphas=ALPHAS)
    np.testing.assert_array_equal(design.runs[0], features)
    np.testing.assert_array_equal(responses, observed)


def test_held_out_rows_of_features_change_predictions_alone():
    design, responses, fold = problem(0, 90, 8)
    changed = design.runs[0].copy()
    changed[fold.test] += 1.0

    before, after = fit(EXACT, design, responses, fold), fit(EXACT, space(changed), responses, fold)

    np.testing.assert_array_equal(after.penalty, before.penalty)
    np.testing.assert_array_equal(after.validation_r, before.validation_r)
    assert (after.predicted != before.predicted).all()


@pytest.mark.gpu
@pytest.mark.parametrize("form", ["primal", "dual", "downdated"])
def test_the_gpu_gives_the_same_numbers(form):
    design, responses, fold = problem(0, 80, 60, delays=(1, 2))

    host, device = (
        fit(Ridge(alphas=ALPHAS, device=device, form=form), design, responses, fold) for device in ("cpu", "cuda")
    )

    np.testing.assert_allclose(host.predicted, device.predicted, atol=1e-4)
    np.testing.assert_allclose(host.validation_r, device.validation_r, atol=1e-4)
