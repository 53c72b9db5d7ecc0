"""Ridge against scikit-learn, in both forms, on every shape."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge as SklearnRidge

from brainexp.align.fold import folds_of_blocks
from brainexp.encoder.ridge import Ridge
from brainexp.errors import ConfigError

ALPHAS = (1.0, 30.0, 1000.0)


def problem(rng, n_trs, n_features, n_voxels=5):
    features = rng.standard_normal((n_trs, n_features)) * rng.uniform(0.1, 10, n_features) + rng.uniform(
        -5, 5, n_features
    )
    weights = rng.standard_normal((n_features, n_voxels)) / (np.sqrt(n_features) * features.std(axis=0)[:, None])
    responses = features @ weights + np.linspace(0.1, 3, n_voxels) * rng.standard_normal((n_trs, n_voxels)) + 7
    (fold, *_) = folds_of_blocks([n_trs], 4, 2)
    return features, responses, fold


def reference(features, responses, inner):
    """Choose penalties and fit, voxel by voxel, with scikit-learn."""
    scaled = (features - features.mean(0)) / features.std(0)
    validation_r = np.zeros((len(ALPHAS), responses.shape[1]))
    for at, alpha in enumerate(ALPHAS):
        for fit, validation in inner:
            guess = SklearnRidge(alpha=alpha).fit(scaled[fit], responses[fit]).predict(scaled[validation])
            validation_r[at] += [np.corrcoef(a, b)[0, 1] for a, b in zip(guess.T, responses[validation].T, strict=True)]
    best = np.array(ALPHAS)[validation_r.argmax(0)]
    return best, validation_r.max(0) / len(inner), SklearnRidge(alpha=best).fit(scaled, responses)


@pytest.mark.parametrize(("n_trs", "n_features"), [(120, 10), (80, 200), (90, 60)])
@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize("voxels_per_batch", [None, 2])
def test_penalties_scores_and_predictions_are_those_of_scikit_learn(rng, n_trs, n_features, backend, voxels_per_batch):
    features, responses, fold = problem(rng, n_trs, n_features)
    encoder = Ridge(alphas=ALPHAS, backend=backend, voxels_per_batch=voxels_per_batch)
    best, validation_r, solver = reference(features[fold.train], responses[fold.train], fold.inner)

    fitted = encoder.fit(features[fold.train], responses[fold.train], fold.inner)

    train = features[fold.train]
    expected = solver.predict((features[fold.test] - train.mean(0)) / train.std(0))
    np.testing.assert_allclose(fitted.penalty, best)
    np.testing.assert_allclose(fitted.validation_r, validation_r, atol=1e-6)
    np.testing.assert_allclose(fitted.predict(features[fold.test]), expected, atol=1e-6)


def test_primal_and_dual_agree_where_both_serve(rng):
    """One feature more than rows switches the form; a copy of a feature at weight zero must not change the fit."""
    features, responses, fold = problem(rng, 60, 40)
    padding = np.zeros((60, 100))  # constant features are left out, so this stays primal

    plain = Ridge(alphas=ALPHAS).fit(features[fold.train], responses[fold.train], fold.inner)
    padded = Ridge(alphas=ALPHAS).fit(np.hstack([features, padding])[fold.train], responses[fold.train], fold.inner)

    np.testing.assert_allclose(
        plain.predict(features[fold.test]), padded.predict(np.hstack([features, padding])[fold.test]), atol=1e-8
    )


def test_scales_of_features_do_not_matter(rng):
    features, responses, fold = problem(rng, 80, 100)
    scales = 10.0 ** rng.uniform(-4, 4, 100)

    one = Ridge(alphas=ALPHAS).fit(features[fold.train], responses[fold.train], fold.inner)
    other = Ridge(alphas=ALPHAS).fit((features * scales)[fold.train], responses[fold.train], fold.inner)

    np.testing.assert_allclose(
        one.predict(features[fold.test]), other.predict((features * scales)[fold.test]), atol=1e-6
    )


def test_features_that_do_not_vary_predict_the_mean_and_have_no_r(rng):
    features, responses, fold = problem(rng, 60, 10)

    fitted = Ridge().fit(np.ones_like(features)[fold.train], responses[fold.train], fold.inner)

    np.testing.assert_allclose(fitted.predict(features[:3]), np.tile(responses[fold.train].mean(axis=0), (3, 1)))
    assert np.isnan(fitted.validation_r).all()
    assert np.isnan(fitted.penalty).all()


def test_the_components_options_do_not_change_by_fitting_and_the_backend_is_put_back(rng):
    from himalaya.backend import get_backend

    before = get_backend()
    encoder = Ridge(alphas=ALPHAS, backend="torch")
    features, responses, fold = problem(rng, 60, 10)

    encoder.fit(features[fold.train], responses[fold.train], fold.inner)

    assert encoder == Ridge(alphas=ALPHAS, backend="torch")
    assert get_backend() is before


def test_the_backend_is_put_back_after_an_error(rng):
    from himalaya.backend import get_backend

    before = get_backend()
    features, responses, fold = problem(rng, 60, 10)

    with pytest.raises(ValueError, match="samples"):
        Ridge(backend="torch").fit(features[fold.train], responses[fold.train][:-1], fold.inner)
    assert get_backend() is before


def test_penalties_at_an_edge_of_the_grid_are_remarked():
    encoder = Ridge(alphas=ALPHAS)

    assert encoder.remarks(np.array([30.0] * 9 + [1.0])) == ()
    (low,) = encoder.remarks(np.array([1.0] * 3 + [30.0] * 7))
    assert low == "encoder 'ridge': 30% of the fits chose the lowest penalty, 1. Add lower ones to encoder.alphas."
    (high,) = encoder.remarks(np.array([1000.0] * 10))
    assert high.startswith("encoder 'ridge': 100% of the fits chose the highest penalty, 1000.")


@pytest.mark.parametrize("alphas", [(), (0.0,), (1.0, -1.0)])
def test_penalties_must_be_positive(alphas):
    with pytest.raises(ConfigError, match="encoder 'ridge': alphas must be positive, got"):
        Ridge(alphas=alphas)


def test_voxels_per_batch_must_be_positive():
    with pytest.raises(ConfigError, match="encoder 'ridge': voxels_per_batch must be at least 1, got 0"):
        Ridge(voxels_per_batch=0)


def test_a_missing_gpu_is_an_objection(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    assert Ridge().objection() is None
    assert "finds no GPU. Give encoder.backend=numpy" in Ridge(backend="torch_cuda").objection()


@pytest.mark.gpu
def test_the_gpu_gives_the_same_numbers(rng):
    features, responses, fold = problem(rng, 80, 200)

    host, device = (
        Ridge(alphas=ALPHAS, backend=backend).fit(features[fold.train], responses[fold.train], fold.inner)
        for backend in ("numpy", "torch_cuda")
    )

    np.testing.assert_allclose(host.predict(features[fold.test]), device.predict(features[fold.test]), atol=1e-4)
