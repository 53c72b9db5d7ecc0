from itertools import pairwise

import numpy as np
import pytest
import torch

from brainexp.solve import penalties
from brainexp.solve.penalties import NODE_STEP, Spectral, correlation, node_places, validation_r

ALPHAS = torch.tensor([1e-2, 1.0, 1e2, 1e4], dtype=torch.float64)


def spectral(seed, n_rows=12, n_components=80, decades=6.0, **options):
    rng = np.random.default_rng(seed)
    eigenvalues = np.sort(10.0 ** rng.uniform(3 - decades, 3, n_components))[::-1].copy()
    basis = torch.from_numpy(rng.standard_normal((n_rows, n_components)))
    return Spectral(basis, torch.from_numpy(eigenvalues), ALPHAS, **options)


def plain_sums(given, weights):
    value = given.eigenvalues.numpy()
    return np.stack([(given.basis.numpy() * (value / (value + alpha))) @ weights.numpy() for alpha in ALPHAS.numpy()])


def components(seed, n_components=80, n_voxels=7):
    return torch.from_numpy(np.random.default_rng([seed, 1]).standard_normal((n_components, n_voxels)))


@pytest.mark.parametrize("seed", range(5))
def test_sums_without_nodes_are_the_formula(seed):
    given, weights = spectral(seed, nodes=False), components(seed)

    np.testing.assert_allclose(given.sums(weights).numpy(), plain_sums(given, weights), atol=1e-10)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("decades", [1.0, 6.0, 12.0, 18.0])
def test_with_nodes_the_shrinkage_of_every_component_is_off_by_a_quarter_of_a_per_cent_at_most(seed, decades):
    """One component at a time: a basis and weights of the identity show the function itself."""
    given = spectral(seed, n_components=200, decades=decades, nodes=True)
    identity = torch.eye(200, dtype=torch.float64)

    used = torch.diagonal(
        Spectral(identity, given.eigenvalues, ALPHAS, nodes=True).sums(identity), dim1=1, dim2=2
    ).numpy()

    value = given.eigenvalues.numpy()
    exact = value / (value + ALPHAS.numpy()[:, None])
    assert np.abs(used / exact - 1).max() < max(NODE_STEP**2 / 16 * 1.02, 1 / penalties.ABOVE, penalties.BELOW)
    inside = (value > ALPHAS.numpy().min() * penalties.BELOW) & (value < ALPHAS.numpy().max() * penalties.ABOVE)
    assert np.abs(used / exact - 1)[:, inside].max() < NODE_STEP**2 / 16 * 1.02


def test_with_nodes_fewer_products_are_made_and_a_sum_for_each_penalty_comes_out():
    given = spectral(0, n_components=400, nodes=True)

    assert given.n_arrays < 100
    assert given.sums(components(0, 400)).shape == (4, 12, 7)


@pytest.mark.parametrize("values", [[5.0], [3.0, 3.0, 3.0], [1e9, 1e-9], [2.0, 2.0, 1e-20], [7.0, 0.0]])
def test_spectra_of_few_or_equal_eigenvalues_are_exact_with_nodes(values):
    value = torch.tensor(values, dtype=torch.float64)
    basis = torch.ones((2, len(values)), dtype=torch.float64)
    weights = torch.ones((len(values), 3), dtype=torch.float64)
    exact, near = (Spectral(basis, value, ALPHAS, nodes=nodes).sums(weights) for nodes in (False, True))

    # Beyond the penalties the shrinkage is replaced by its limit.
    np.testing.assert_allclose(near.numpy(), exact.numpy(), rtol=2e-3, atol=1e-12)


def test_nodes_are_used_where_they_save_work_and_as_one_insists():
    many, few = spectral(0, n_components=5000), spectral(0, n_components=60)

    assert many.uses_nodes
    assert not few.uses_nodes
    assert not spectral(0, n_components=5000, nodes=False).uses_nodes
    assert spectral(0, n_components=60, nodes=True).uses_nodes
    assert not Spectral(many.basis, many.eigenvalues, ALPHAS[:1]).uses_nodes


@pytest.mark.parametrize("seed", range(10))
def test_nodes_start_with_the_first_and_end_with_the_last_eigenvalue_and_leave_no_wide_gap_over_others(seed):
    rng = np.random.default_rng(seed)
    log = np.sort(np.round(rng.uniform(-8, 8, rng.integers(1, 300)), 2))[::-1]

    places = node_places(log)

    assert places[0] == 0
    assert log[places[-1]] == log[-1]
    assert (np.diff(places) > 0).all()
    for first, last in pairwise(places):
        between = np.unique(log[first : last + 1])
        assert log[first] - log[last] <= NODE_STEP + 1e-12 or len(between) == 2


@pytest.mark.parametrize("nodes", [False, True])
def test_r_is_numpys_of_the_sums(nodes):
    given, weights = spectral(3, nodes=nodes), components(3)
    observed = torch.from_numpy(np.random.default_rng(9).standard_normal((12, 7)) + 50)
    guess = given.sums(weights).numpy()

    r = validation_r(given, weights, observed).numpy()

    expected = [[np.corrcoef(one[:, v], observed.numpy()[:, v])[0, 1] for v in range(7)] for one in guess]
    np.testing.assert_allclose(r, expected, atol=1e-10)


def test_pieces_of_voxels_do_not_change_r(monkeypatch):
    given, weights = spectral(3), components(3)
    observed = torch.from_numpy(np.random.default_rng(9).standard_normal((12, 7)))
    whole = validation_r(given, weights, observed)

    monkeypatch.setattr(penalties, "CACHE_FLOATS", 1)

    np.testing.assert_allclose(validation_r(given, weights, observed), whole, atol=1e-12)


def test_r_of_a_constant_is_nan():
    observed = torch.tensor([[1.0, 5.0], [2.0, 5.0], [4.0, 5.0]])
    predicted = torch.tensor([[[-1.0, 1.0], [0.0, 0.0], [1.0, -1.0]], [[0.0, 0.0]] * 3])

    r = correlation(predicted, observed).numpy()

    assert r[0, 0] == pytest.approx(np.corrcoef([1, 2, 4], [-1, 0, 1])[0, 1], abs=1e-6)
    assert np.isnan(r).tolist() == [[False, True], [True, True]]
