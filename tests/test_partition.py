"""Variance that was planted in feature spaces is given back to them, on held-out rows."""

import numpy as np
import pytest

from brainexp.align.fold import folds_of_runs
from brainexp.containers import Design
from brainexp.encoder.banded_ridge import BandedRidge
from brainexp.evaluation import Target
from brainexp.partition import partitioned

LENGTHS = (150,) * 6
FOLDS = folds_of_runs(LENGTHS, 6)
ENCODER = BandedRidge(alphas=(0.1, 1.0, 10.0, 100.0, 1000.0, 1e5), n_shares=6, choose_by="r2", dtype="float64")


def runs_of(values):
    return tuple(np.split(values, np.cumsum(LENGTHS)[:-1]))


def space(name, values):
    return Design(name, runs_of(values), tuple(slice(0, length) for length in LENGTHS), (0,))


def divided(responses, first, second, subject=None):
    n_voxels = responses.shape[1]
    owner = np.zeros(n_voxels, int) if subject is None else subject
    target = Target(responses, owner, np.ones(n_voxels, bool))
    return partitioned(ENCODER, {"a": lambda _: [first], "b": lambda _: [second]}, target, FOLDS)


def problem(seed=0):
    """Two spaces with one direction in common; voxels follow what only a has, only b has, both have, and nothing."""
    rng, n_rows = np.random.default_rng(seed), sum(LENGTHS)
    common, own_a, own_b, noise = (rng.standard_normal((n_rows, 1)) for _ in range(4))
    a, b = np.hstack([common, own_a]), np.hstack([common + 0.01 * rng.standard_normal((n_rows, 1)), own_b])
    signals = np.hstack([own_a, own_b, common, 0 * noise, (own_a + own_b + common) / np.sqrt(3)])
    return a, b, signals + rng.standard_normal(signals.shape)


def test_each_space_gets_what_only_it_explains_and_both_what_they_share():
    a, b, responses = problem()

    found = divided(responses, space("a", a), space("b", b))
    parts = found.arrays()

    np.testing.assert_allclose(parts["unique/a"], [0.5, 0, 0, 0, 1 / 6], atol=0.05)
    np.testing.assert_allclose(parts["unique/b"], [0, 0.5, 0, 0, 1 / 6], atol=0.05)
    np.testing.assert_allclose(parts["shared/a+b"], [0, 0, 0.5, 0, 1 / 6], atol=0.05)
    np.testing.assert_allclose(parts["a+b/r2"], [0.5, 0.5, 0.5, 0, 0.5], atol=0.05)
    np.testing.assert_allclose(parts["product/a"] + parts["product/b"], parts["a+b/r2"], atol=1e-6)
    np.testing.assert_allclose(parts["unique/a"] + parts["unique/b"] + parts["shared/a+b"], parts["a+b/r2"], atol=1e-12)


def test_shuffled_responses_have_no_variance_to_divide():
    a, b, responses = problem()
    shuffled = np.random.default_rng(1).permutation(responses)

    parts = divided(shuffled, space("a", a), space("b", b)).arrays()

    for values in parts.values():
        assert np.abs(values).max() < 0.03


def test_spaces_swapped_swap_their_parts():
    a, b, responses = problem()

    one = divided(responses, space("a", a), space("b", b)).arrays()
    other = divided(responses, space("a", b), space("b", a)).arrays()

    np.testing.assert_allclose(one["unique/a"], other["unique/b"], atol=0.01)


def test_a_space_may_be_each_subjects_own():
    a, b, responses = problem()
    subject = np.array([0, 0, 1, 1, 1])
    own = [space("b", b), space("b", b)]

    shared = divided(responses, space("a", a), space("b", b), subject).arrays()
    apart = divided(responses, space("a", a), own, subject).arrays()

    for name, values in shared.items():
        np.testing.assert_allclose(apart[name], values, atol=1e-6)  # predictions are kept in float32


def test_held_out_means_are_no_variance_of_any_space():
    a, b, responses = problem()
    shifted = responses + np.repeat(np.arange(6) * 0.2, 150)[:, None]
    moved = [
        found.arrays()["unique/a"][0]
        for found in (divided(responses, space("a", a), space("b", b)), divided(shifted, space("a", a), space("b", b)))
    ]

    assert moved[1] == pytest.approx(moved[0], abs=0.05)


def test_the_published_arithmetic_is_named_legacy():
    a, b, responses = problem()

    legacy = divided(responses, space("a", a), space("b", b)).legacy(lambda r: r / 0.8)

    assert set(legacy) == {"legacy/shared/a+b", "legacy/unique/a", "legacy/unique/b"}
    assert legacy["legacy/shared/a+b"][4] > 0.3  # r does not add up: what they share is a sixth of the variance
