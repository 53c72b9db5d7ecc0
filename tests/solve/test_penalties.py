from itertools import pairwise

import numpy as np
import pytest
import torch

from brainexp.solve import penalties
from brainexp.solve.penalties import BLOCK_WIDTH, RANK, Shrinkage, Validation, scores

ALPHAS = torch.tensor([1e-2, 1.0, 1e2, 1e4], dtype=torch.float64)
FINE = torch.logspace(-2, 4, 20, dtype=torch.float64)


def shrinkage(seed, n_components=80, decades=6.0, alphas=ALPHAS, **options):
    rng = np.random.default_rng(seed)
    eigenvalues = np.sort(10.0 ** rng.uniform(3 - decades, 3, n_components))[::-1].copy()
    return Shrinkage(torch.from_numpy(eigenvalues), alphas, **options)


def validation(seed, n_rows=12, measure="r2", nodes=None, **options):
    given = shrinkage(seed, **options)
    basis = np.random.default_rng([seed, 2]).standard_normal((n_rows, len(given.eigenvalues)))
    return Validation(torch.from_numpy(basis), given).prepared(measure, nodes)


def plain(given, weights):
    """Predictions of every penalty by the formula."""
    value = given.shrinkage.eigenvalues.numpy()
    shrunk = [(value / (value + float(alpha)))[:, None] * weights.numpy() for alpha in given.shrinkage.alphas]
    return given.basis.numpy() @ np.stack(shrunk)


def components(seed, n_components=80, n_voxels=7):
    return torch.from_numpy(np.random.default_rng([seed, 1]).standard_normal((n_components, n_voxels)))


def mixed(given):
    """The shrinkage of every penalty and component as blocks of components share it."""
    return torch.cat([given.functions[:, at] @ share for _, at, share in given.blocks], dim=1).numpy()


def correlated(guess, observed):
    return np.array([[np.corrcoef(one[:, v], observed[:, v])[0, 1] for v in range(observed.shape[1])] for one in guess])


@pytest.mark.parametrize("seed", range(5))
def test_predictions_without_nodes_are_the_formula_one_by_one_and_all_at_once(seed):
    given, weights = validation(seed, nodes=False), components(seed)

    np.testing.assert_allclose(given.every(weights, torch.float64).numpy(), plain(given, weights), atol=1e-10)
    one = [given.one(penalty, weights).numpy() for penalty in range(len(ALPHAS))]
    np.testing.assert_allclose(one, plain(given, weights), atol=1e-10)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("decades", [1.0, 6.0, 12.0, 18.0])
@pytest.mark.parametrize("alphas", [ALPHAS, FINE], ids=["coarse", "fine"])
@pytest.mark.parametrize("relative", [False, True])
def test_with_nodes_the_shrinkage_of_every_component_is_off_by_a_quarter_of_a_per_cent_at_most(
    seed, decades, alphas, relative
):
    given = shrinkage(seed, 200, decades, alphas, nodes=True, relative=relative)

    assert np.abs(mixed(given) / given.exact.numpy() - 1).max() < 0.0025


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("measure", ["r", "r2"])
def test_with_nodes_predictions_are_those_of_the_mixed_shrinkage(seed, measure):
    given, weights = validation(seed, measure=measure, nodes=True, alphas=FINE), components(seed)

    found = given.every(weights, torch.float64).numpy()

    expected = np.einsum("rc,pc,cv->prv", given.basis.numpy(), mixed(given.shrinkage), weights.numpy())
    np.testing.assert_allclose(found, expected, atol=1e-9 * np.abs(expected).max())


def test_turns_are_applied_to_the_sums_of_their_penalty():
    given, weights = validation(1, nodes=False), components(1)
    turns = torch.from_numpy(np.random.default_rng(3).standard_normal((4, 5, 12)))
    turned = Validation(given.basis, given.shrinkage, turns)

    expected = turns.numpy() @ plain(given, weights)

    np.testing.assert_allclose(turned.every(weights, torch.float64).numpy(), expected, atol=1e-10)
    np.testing.assert_allclose(turned.one(2, weights).numpy(), expected[2], atol=1e-10)
    observed = torch.from_numpy(np.random.default_rng(9).standard_normal((5, 7)))
    r = scores(turned.prepared("r", nodes=False), lambda voxels: weights[:, voxels], observed, "r").numpy()
    np.testing.assert_allclose(r, correlated(expected, observed.numpy()), atol=1e-10)


@pytest.mark.parametrize("values", [[5.0], [3.0, 3.0, 3.0], [1e9, 1e-9], [2.0, 2.0, 1e-20], [7.0, 0.0]])
def test_spectra_of_few_or_equal_eigenvalues_are_exact_with_nodes(values):
    given = Shrinkage(torch.tensor(values, dtype=torch.float64), ALPHAS, nodes=True)

    np.testing.assert_allclose(mixed(given), given.exact.numpy(), rtol=1e-9, atol=1e-12)


def test_nodes_are_used_where_they_save_work_and_as_one_insists():
    assert shrinkage(0, 5000, alphas=FINE).uses_nodes
    assert not shrinkage(0, 60).uses_nodes
    assert not shrinkage(0, 5000, nodes=False).uses_nodes
    assert shrinkage(0, 60, nodes=True).uses_nodes
    assert not shrinkage(0, 5000, alphas=ALPHAS[:1]).uses_nodes


@pytest.mark.parametrize("seed", range(10))
def test_blocks_follow_each_other_and_none_is_wide(seed):
    given = shrinkage(seed, 300, 12.0, nodes=True)
    inside = given.eigenvalues.clamp(float(ALPHAS.min()) * penalties.BELOW, float(ALPHAS.max()) * penalties.ABOVE).log()

    assert given.blocks[0][0].start == given.blocks[0][1].start == 0
    assert given.blocks[-1][0].stop == 300
    assert given.blocks[-1][1].stop == given.functions.shape[1]
    for (own, at, _), (following, next_at, _) in pairwise(given.blocks):
        assert (own.stop, at.stop) == (following.start, next_at.start)
    for own, at, share in given.blocks:
        assert inside[own].max() - inside[own].min() <= BLOCK_WIDTH + 1e-12
        assert share.shape == (at.stop - at.start, own.stop - own.start)
        assert len(share) <= RANK


@pytest.mark.parametrize("nodes", [False, True])
@pytest.mark.parametrize("n_rows", [12, penalties.ROWS + 30])
def test_r_is_numpys_and_r2_is_the_formula(nodes, n_rows):
    weights = components(3)
    observed = torch.from_numpy(np.random.default_rng(9).standard_normal((n_rows, 7)) + 0.5)
    for measure in ("r", "r2"):
        given = validation(3, n_rows, measure, nodes)
        guess = given.every(weights, torch.float64).numpy()

        found = scores(given, lambda voxels: weights[:, voxels], observed, measure).numpy()

        y = observed.numpy()
        expected = (
            correlated(guess, y) if measure == "r" else 1 - ((y - guess) ** 2).sum(1) / ((y - y.mean(0)) ** 2).sum(0)
        )
        np.testing.assert_allclose(found, expected, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("measure", ["r", "r2"])
def test_scores_that_are_asked_for_are_those_of_all_and_the_others_are_unknown(measure):
    given, weights = validation(4, measure=measure, nodes=False), components(4)
    observed = torch.from_numpy(np.random.default_rng(9).standard_normal((12, 7)))
    wanted = torch.from_numpy(np.random.default_rng(8).random((4, 7)) < 0.4)

    every = scores(given, lambda voxels: weights[:, voxels], observed, measure)
    some = scores(given, lambda voxels: weights[:, voxels], observed, measure, wanted)

    np.testing.assert_allclose(some[wanted], every[wanted], atol=1e-12)
    assert some[~wanted].isnan().all()


def test_pieces_of_voxels_and_rows_do_not_change_r(monkeypatch):
    given, weights = validation(3, measure="r"), components(3)
    observed = torch.from_numpy(np.random.default_rng(9).standard_normal((12, 7)))
    whole = scores(given, lambda voxels: weights[:, voxels], observed, "r")

    monkeypatch.setattr(penalties, "CACHE_FLOATS", 1)
    monkeypatch.setattr(penalties, "ROWS", 5)

    again = validation(3, measure="r")
    np.testing.assert_allclose(scores(again, lambda voxels: weights[:, voxels], observed, "r"), whole, atol=1e-12)


def test_r_of_a_constant_is_nan():
    basis = torch.tensor([[-1.0, 0.0], [0.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    given = Validation(basis, Shrinkage(torch.ones(2, dtype=torch.float64), ALPHAS)).prepared("r", nodes=False)
    weights = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    observed = torch.tensor([[1.0, 5.1, 1.0], [2.0, 5.1, 2.0], [4.0, 5.1, 4.0]], dtype=torch.float64)

    r = scores(given, lambda voxels: weights[:, voxels], observed, "r").numpy()

    np.testing.assert_allclose(r[:, 0], np.corrcoef([1, 2, 4], [-1, 0, 1])[0, 1])
    assert np.isnan(r[:, 1:]).all()
