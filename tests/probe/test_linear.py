from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.preprocessing import StandardScaler

from brainexp.probe.linear import Training, _loss, losses, quality, trained

HOW = Training()


def planted(rng, n=900, n_dims=20, n_labels=3, strength=1.5):
    labels = rng.integers(n_labels, size=n)
    centres = rng.standard_normal((n_labels, n_dims)) * strength / np.sqrt(n_dims)
    return (centres[labels] + rng.standard_normal((n, n_dims)) / 2).astype(np.float32), labels


def fitted(features, labels, n_labels, how=HOW, seeds=(0, 1), extra=()):
    sets = np.stack([labels, *extra])
    third = len(features) // 3
    train, dev = slice(third, None), slice(third // 2, third)
    return trained((features[train], sets[:, train]), (features[dev], sets[:, dev]), n_labels, how, seeds)


def test_a_planted_property_is_told_about_as_well_as_by_logistic_regression(rng):
    features, labels = planted(rng)
    third = len(features) // 3
    test = slice(0, third // 2)

    ours = [quality(one, labels[test], 3) for one in fitted(features, labels, 3).scores(features[test])]

    scaler = StandardScaler().fit(features[third:])
    peer = LogisticRegression().fit(scaler.transform(features[third:]), labels[third:])
    theirs = f1_score(labels[test], peer.predict(scaler.transform(features[test])), average="macro")
    assert theirs > 0.8
    np.testing.assert_allclose(ours, theirs, atol=0.05)


def test_what_is_not_there_is_not_told(rng):
    features, _ = planted(rng, n=3000)
    labels = rng.integers(2, size=3000)

    scores = fitted(features, labels, 2).scores(features[:500])

    assert all(abs(quality(one, labels[:500], 2) - 0.5) < 3 * 0.5 / np.sqrt(500) for one in scores)


def test_a_number_is_predicted(rng):
    features, _ = planted(rng)
    numbers = features @ rng.standard_normal(20) + 0.1 * rng.standard_normal(900)

    scores = fitted(features, numbers, 1).scores(features[:150])

    for one in scores:
        assert quality(one, numbers[:150], 1) == pytest.approx(pearsonr(one[:, 0], numbers[:150])[0])
        assert quality(one, numbers[:150], 1) > 0.95


def test_a_probe_is_the_same_whatever_is_trained_beside_it(rng):
    features, labels = planted(rng)
    other = rng.integers(3, size=len(labels))

    alone = fitted(features, labels, 3).scores(features[:50])
    beside = fitted(features, labels, 3, extra=[other]).scores(features[:50])
    single = fitted(features, labels, 3, seeds=(1,)).scores(features[:50])

    np.testing.assert_allclose(beside[:2], alone, atol=1e-4)
    np.testing.assert_allclose(single[0], alone[1], atol=1e-4)
    assert np.abs(beside[2:] - beside[:2]).max() > 0.1


def test_scores_do_not_depend_on_a_layers_scale_unless_legacy(rng):
    features, labels = planted(rng)

    np.testing.assert_allclose(
        fitted(1000 * features + 5, labels, 3).scores(1000 * features + 5),
        fitted(features, labels, 3).scores(features),
        atol=1e-2,
    )
    raw = replace(HOW, standardise=False)
    small = fitted(features / 1000, labels, 3, how=raw).scores(features / 1000)
    assert np.ptp(small, axis=1).max() < 0.1


def test_the_corrected_loss_is_the_cross_entropy_and_the_published_one_applies_softmax_twice(rng):
    scores, labels = torch.tensor(rng.standard_normal((2, 7, 4))), torch.tensor(rng.integers(4, size=(2, 7)))
    expected = [torch.nn.functional.cross_entropy(s, y, reduction="none") for s, y in zip(scores, labels, strict=True)]
    twice = [
        torch.nn.functional.cross_entropy(s.softmax(-1), y, reduction="none")
        for s, y in zip(scores, labels, strict=True)
    ]

    torch.testing.assert_close(_loss(scores, labels, HOW), torch.stack(expected))
    torch.testing.assert_close(_loss(scores, labels, replace(HOW, legacy=True)), torch.stack(twice))
    certain = torch.tensor([[[50.0, 0.0]]])
    assert _loss(certain, torch.tensor([[0]]), HOW) < 1e-6
    assert _loss(certain, torch.tensor([[0]]), replace(HOW, legacy=True)) > 0.3  # never certain


def test_losses_are_in_bits():
    np.testing.assert_allclose(losses(np.zeros((3, 5, 8)), np.arange(5)), 3.0)


def test_constant_predictions_have_no_correlation():
    assert np.isnan(quality(np.ones((5, 1)), np.arange(5.0), 1))
