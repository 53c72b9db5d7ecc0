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


def one_linear_layer(x, y, x_dev, y_dev, n_labels, how, seed):
    """Scores of dev samples by a probe written down step by step."""
    draws = torch.Generator().manual_seed(seed)
    layer = torch.nn.Linear(x.shape[1], n_labels)
    bound = x.shape[1] ** -0.5
    with torch.no_grad():
        layer.weight.copy_((torch.rand(x.shape[1], n_labels, generator=draws).T * 2 - 1) * bound)
        layer.bias.copy_((torch.rand(n_labels, generator=draws) * 2 - 1) * bound)
    if how.standardise:
        scaler = StandardScaler().fit(x)
        x, x_dev = scaler.transform(x), scaler.transform(x_dev)
    x, x_dev = torch.tensor(x), torch.tensor(x_dev)
    y, y_dev = (torch.tensor(one, dtype=torch.float32 if n_labels == 1 else torch.int64) for one in (y, y_dev))

    def loss(scores, labels):
        if n_labels == 1:
            return torch.nn.functional.smooth_l1_loss(scores[:, 0], labels)
        return torch.nn.functional.cross_entropy(scores.softmax(-1) if how.legacy else scores, labels)

    n_batches = -(-len(x) // how.batch)
    more = max(-(-how.least_steps // (how.epochs * n_batches)), 1)
    n_steps, step = how.epochs * more * n_batches, 0
    warm = int(how.warm_up * n_steps)
    optimizer = torch.optim.Adam(layer.parameters())
    best, since, kept = np.inf, 0, None
    for _ in range(how.epochs * more):
        for at in torch.randperm(len(x), generator=draws).split(how.batch):
            shares = min((step + 1) / warm, (n_steps - step) / (n_steps - warm))
            optimizer.param_groups[0]["lr"] = how.learning_rate * shares
            coins = torch.rand(len(at), x.shape[1], generator=draws) < 1 - how.dropout
            optimizer.zero_grad()
            loss(layer(x[at] * coins / (1 - how.dropout)), y[at]).backward()
            optimizer.step()
            step += 1
        with torch.no_grad():
            now = float(loss(layer(x_dev), y_dev))
        since += 1
        if now < best:
            best, since, kept = now, 0, layer(x_dev).detach().numpy().copy()
        if since >= how.patience * more:
            break
    return kept


def fitted(features, labels, n_labels, how=HOW, seeds=(0, 1), extra=()):
    sets = np.stack([labels, *extra])
    third = len(features) // 3
    train, dev = slice(third, None), slice(third // 2, third)
    x = features[None]
    return trained((x[:, train], sets[:, train]), (x[:, dev], sets[:, dev]), n_labels, how, seeds)


def scored(probes, features):
    """Of the only layer."""
    return probes.scores(features[None])[0]


def test_a_planted_property_is_told_about_as_well_as_by_logistic_regression(rng):
    features, labels = planted(rng)
    third = len(features) // 3
    test = slice(0, third // 2)

    ours = [quality(one, labels[test], 3) for one in scored(fitted(features, labels, 3), features[test])]

    scaler = StandardScaler().fit(features[third:])
    peer = LogisticRegression().fit(scaler.transform(features[third:]), labels[third:])
    theirs = f1_score(labels[test], peer.predict(scaler.transform(features[test])), average="macro")
    assert theirs > 0.8
    np.testing.assert_allclose(ours, theirs, atol=0.05)


def test_what_is_not_there_is_not_told(rng):
    features, _ = planted(rng, n=3000)
    labels = rng.integers(2, size=3000)

    scores = scored(fitted(features, labels, 2), features[:500])

    assert all(abs(quality(one, labels[:500], 2) - 0.5) < 3 * 0.5 / np.sqrt(500) for one in scores)


def test_a_number_is_predicted(rng):
    features, _ = planted(rng)
    numbers = features @ rng.standard_normal(20) + 0.1 * rng.standard_normal(900)

    scores = scored(fitted(features, numbers, 1), features[:150])

    for one in scores:
        assert quality(one, numbers[:150], 1) == pytest.approx(pearsonr(one[:, 0], numbers[:150])[0])
        assert quality(one, numbers[:150], 1) > 0.95


def test_a_probe_is_the_same_whatever_is_trained_beside_it(rng):
    features, labels = planted(rng)
    other = rng.integers(3, size=len(labels))

    alone = scored(fitted(features, labels, 3), features[:50])
    beside = scored(fitted(features, labels, 3, extra=[other]), features[:50])
    single = scored(fitted(features, labels, 3, seeds=(1,)), features[:50])

    np.testing.assert_allclose(beside[:2], alone, atol=1e-4)
    np.testing.assert_allclose(single[0], alone[1], atol=1e-4)
    assert np.abs(beside[2:] - beside[:2]).max() > 0.1


@pytest.mark.parametrize("n_labels", [1, 3])
@pytest.mark.parametrize("how", [HOW, replace(HOW, legacy=True, standardise=False, least_steps=0)])
def test_layers_sets_and_seeds_trained_together_are_those_trained_one_at_a_time(rng, how, n_labels):
    """And those of a loop that holds one linear layer of torch, with the same draws."""
    features = rng.standard_normal((3, 400, 8)).astype(np.float32)
    sets = rng.standard_normal((2, 400)) if n_labels == 1 else rng.integers(n_labels, size=(2, 400))
    features[1, :, :3] += sets[0][:, None]
    x, x_dev, y, y_dev = features[:, :300], features[:, 300:], sets[:, :300], sets[:, 300:]

    together = trained((x, y), (x_dev, y_dev), n_labels, how, (4, 9)).scores(x_dev)

    assert together.shape == (3, 4, 100, n_labels)
    for layer in range(3):
        for number, (own, seed) in enumerate([(0, 4), (0, 9), (1, 4), (1, 9)]):
            given = (x[layer, None], y[own, None]), (x_dev[layer, None], y_dev[own, None])
            alone = trained(*given, n_labels, how, (seed,)).scores(x_dev[layer, None])
            by_torch = one_linear_layer(x[layer], y[own], x_dev[layer], y_dev[own], n_labels, how, seed)
            np.testing.assert_allclose(together[layer, number], alone[0, 0], atol=1e-4)
            np.testing.assert_allclose(together[layer, number], by_torch, atol=1e-4)
    assert np.ptp(together, axis=(0, 1)).max() > 0.1


def test_scores_do_not_depend_on_a_layers_scale_unless_legacy(rng):
    features, labels = planted(rng)

    np.testing.assert_allclose(
        scored(fitted(1000 * features + 5, labels, 3), 1000 * features + 5),
        scored(fitted(features, labels, 3), features),
        atol=1e-2,
    )
    raw = replace(HOW, standardise=False)
    small = scored(fitted(features / 1000, labels, 3, how=raw), features / 1000)
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


@pytest.mark.parametrize("n_labels", [2, 5])
def test_macro_f1_is_scikit_learns(rng, n_labels):
    scores = rng.standard_normal((3, 2, 12, n_labels))
    scores[0, 0, :, 0] = 9  # one class is predicted throughout
    labels = rng.integers(n_labels - 1, size=12)  # and one is never there

    found = quality(scores, labels, n_labels)

    assert found.shape == (3, 2)
    for at in np.ndindex(3, 2):
        assert found[at] == pytest.approx(f1_score(labels, scores[at].argmax(-1), average="macro", zero_division=0))


def test_losses_are_in_bits():
    np.testing.assert_allclose(losses(np.zeros((3, 5, 8)), np.arange(5)), 3.0)


def test_constant_predictions_have_no_correlation():
    assert np.isnan(quality(np.ones((5, 1)), np.arange(5.0), 1))
