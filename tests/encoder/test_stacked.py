"""Weights of predictions against a general optimiser, and a mixture of layers beats each alone."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize

from brainexp.align.fold import folds_of_blocks
from brainexp.encoder.ridge import Ridge
from brainexp.encoder.stacked import Stacked, stacking_weights
from brainexp.score.correlation import pearson_r
from tests.problems import explicit, fitted, space

ALPHAS = (0.1, 1.0, 10.0, 100.0, 1000.0)
N_TRS = 150
FOLD = folds_of_blocks([N_TRS], 5, 2)[2]
ENCODER = Stacked(alphas=ALPHAS)


def layers(n=3, n_dims=6):
    return [space(np.random.default_rng(at).standard_normal((N_TRS, n_dims)), name=f"layer {at}") for at in range(n)]


def mixture(weights, n_voxels=20, noise=1.0):
    """Voxels that follow some layers with given weights."""
    rng = np.random.default_rng(9)
    signal = sum(
        w * (one.runs[0] @ rng.standard_normal((6, n_voxels))) for w, one in zip(weights, layers(), strict=True)
    )
    return signal + noise * rng.standard_normal((N_TRS, n_voxels))


def fit(encoder, designs, responses, fold=FOLD):
    return encoder.fit(designs, responses[fold.train], np.zeros(responses.shape[1], int), fold)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("n_spaces", [1, 2, 5])
def test_weights_are_those_of_a_general_optimiser_on_the_simplex(seed, n_spaces):
    rng = np.random.default_rng([seed, n_spaces])
    observed = rng.standard_normal((40, 6))
    guesses = rng.uniform(0, 1, (n_spaces, 1, 1)) * observed + rng.standard_normal((n_spaces, 40, 6))

    weights = stacking_weights(observed, guesses)

    assert (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(axis=0), 1)
    for voxel in range(6):
        errors = observed[:, voxel] - guesses[:, :, voxel]
        between = errors @ errors.T
        expected = minimize(
            lambda w, between=between: w @ between @ w,
            np.full(n_spaces, 1 / n_spaces),
            jac=lambda w, between=between: 2 * between @ w,
            bounds=[(0, None)] * n_spaces,
            constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
            method="SLSQP",
            options={"ftol": 1e-14, "maxiter": 500},
        )
        own = weights[:, voxel]
        assert own @ between @ own <= expected.fun * (1 + 1e-9)
        np.testing.assert_allclose(own, expected.x, atol=1e-5)


def test_weights_do_not_depend_on_the_scale_of_the_responses():
    rng = np.random.default_rng(0)
    observed, guesses = rng.standard_normal((40, 6)), rng.standard_normal((3, 40, 6))

    for scale in (1e-6, 1e6):
        np.testing.assert_allclose(
            stacking_weights(scale * observed, scale * guesses), stacking_weights(observed, guesses), atol=1e-8
        )


def test_a_perfect_guess_has_all_the_weight_and_equal_guesses_share_it_somehow():
    rng = np.random.default_rng(0)
    observed = rng.standard_normal((40, 3))
    noise = rng.standard_normal((40, 3))

    np.testing.assert_allclose(stacking_weights(observed, np.stack([noise, observed])), [[0] * 3, [1] * 3], atol=1e-6)
    alike = stacking_weights(observed, np.stack([noise, noise]))
    assert np.isfinite(alike).all()
    np.testing.assert_allclose(alike.sum(axis=0), 1)
    np.testing.assert_allclose(stacking_weights(observed, np.stack([observed] * 2)).sum(axis=0), 1)


def test_predictions_are_those_of_the_formula_by_scikit_learn():
    responses = mixture([1.0, 1.0, 0.0], n_voxels=5)
    train = responses[FOLD.train]

    found = fit(replace(ENCODER, dtype="float64", nodes=False), layers(), responses)

    observed = np.concatenate([train[validation] for _, validation in FOLD.inner])
    guesses, predictions = [], []
    for one, penalty in zip(layers(), found.penalty, strict=True):
        rows = explicit(one, FOLD.train)
        known = rows[FOLD.train]
        fits = [fitted(known[own], train[own], penalty).predict(known[held]) for own, held in FOLD.inner]
        guesses.append(np.concatenate(fits))
        predictions.append(fitted(known, train, penalty).predict(rows[FOLD.test]))
    weights = stacking_weights(observed, np.stack(guesses))
    parts = weights[:, None, :] * np.stack(predictions)
    np.testing.assert_allclose(found.parts, parts, atol=1e-4)
    np.testing.assert_allclose(found.predicted, parts.sum(axis=0), atol=1e-4)
    stacked = np.einsum("bv,brv->rv", weights, np.stack(guesses))
    np.testing.assert_allclose(found.validation_r, pearson_r(observed, stacked), atol=1e-5)


def test_a_penalty_of_each_space_is_that_of_ridge_alone():
    responses = mixture([1.0, 1.0, 0.0], n_voxels=5)

    found = fit(ENCODER, layers(), responses)

    alone = [fit(Ridge(alphas=ALPHAS), [one], responses).penalty[0] for one in layers()]
    np.testing.assert_array_equal(found.penalty, np.stack(alone))


def test_a_mixture_of_two_layers_is_predicted_better_than_by_each_alone():
    responses = mixture([1.0, 1.0, 0.0])
    held_out = responses[FOLD.test]

    together = pearson_r(held_out, fit(ENCODER, layers(), responses).predicted)

    for one in layers():
        alone = pearson_r(held_out, fit(Ridge(alphas=ALPHAS), [one], responses).predicted)
        assert together.mean() > alone.mean() + 0.05


def test_a_layer_that_adds_nothing_has_hardly_any_weight():
    found = fit(ENCODER, layers(), mixture([1.0, 0.0, 0.0]))

    share = found.parts.var(axis=1).mean(axis=1)
    assert share[0] > 50 * share[1:].max()


def test_one_space_is_ridge():
    responses = mixture([1.0, 0.0, 0.0], n_voxels=4)

    stacked, plain = fit(ENCODER, layers(1), responses), fit(Ridge(alphas=ALPHAS), layers(1), responses)

    np.testing.assert_allclose(stacked.predicted, plain.predicted, atol=1e-5)
    np.testing.assert_array_equal(stacked.penalty, plain.penalty)


@pytest.mark.parametrize("form", ["primal", "dual", "downdated"])
def test_every_form_gives_the_same(form):
    responses = mixture([1.0, 0.5, 0.0], n_voxels=5)

    one, other = (fit(replace(ENCODER, form=kind), layers(), responses) for kind in ("dual", form))

    np.testing.assert_allclose(one.predicted, other.predicted, atol=1e-3)


def test_held_out_features_change_predictions_but_neither_weights_nor_penalties():
    """Weights show in the parts: each is its weight times the prediction of its ridge."""
    responses, moved = mixture([1.0, 1.0, 0.0], n_voxels=5), layers()
    for one in moved:
        one.runs[0][FOLD.test] *= 2.0

    before, after = fit(ENCODER, layers(), responses), fit(ENCODER, moved, responses)

    np.testing.assert_array_equal(after.penalty, before.penalty)
    np.testing.assert_array_equal(after.validation_r, before.validation_r)
    for at in range(3):
        alone, other = (fit(Ridge(alphas=ALPHAS), [given[at]], responses).predicted for given in (layers(), moved))
        np.testing.assert_allclose(after.parts[at] * alone, before.parts[at] * other, atol=1e-4)


def test_shuffled_responses_are_not_predicted():
    responses = np.random.default_rng(0).permutation(mixture([1.0, 1.0, 0.0], n_voxels=60))

    found = fit(ENCODER, layers(), responses)

    assert abs(np.nanmean(pearson_r(responses[FOLD.test], found.predicted))) < 0.1


def test_a_space_that_does_not_vary_does_no_harm():
    responses = mixture([1.0, 0.0, 0.0])

    found = fit(ENCODER, [*layers(1), space(np.ones((N_TRS, 2)))], responses)

    assert np.isnan(found.penalty[1]).all()
    assert (found.validation_r > 0.5).all()
    assert np.isfinite(found.predicted).all()


def test_a_space_that_does_not_vary_guesses_the_mean_of_rows_that_do_not_hold_the_validation_rows():
    """Blocks of different means: by the mean of all training rows a guess would know of the block it is for."""
    responses = np.repeat(np.random.default_rng(0).standard_normal((10, 4)), N_TRS // 10, axis=0)
    responses += 0.1 * np.random.default_rng(1).standard_normal((N_TRS, 4))
    train = responses[FOLD.train]
    (layer,) = layers(1)

    found = fit(ENCODER, [layer, space(np.ones((N_TRS, 2)))], responses)

    rows = explicit(layer, FOLD.train)[FOLD.train]
    penalty = found.penalty[0]
    guesses = [fitted(rows[own], train[own], penalty).predict(rows[held]) for own, held in FOLD.inner]
    means = [np.tile(train[own].mean(axis=0), (len(held), 1)) for own, held in FOLD.inner]
    observed = np.concatenate([train[held] for _, held in FOLD.inner])
    weights = stacking_weights(observed, np.stack([np.concatenate(guesses), np.concatenate(means)]))
    np.testing.assert_allclose(found.parts[1], np.tile(weights[1] * train.mean(axis=0), (len(FOLD.test), 1)), atol=1e-3)
