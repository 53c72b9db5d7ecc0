"""Several feature spaces side by side, what each adds, and the form that costs least."""

import numpy as np
import pytest

from brainexp.align.fold import folds_of_blocks
from brainexp.solve.bands import FORMS, Bands, cost
from brainexp.solve.solver import Work
from tests.problems import explicit, fitted, problem, space, validation_r

ALPHAS = (0.1, 10.0, 1000.0)
EXACT = Work("cpu", "float64", nodes=False)


def three_spaces(seed):
    design, responses, fold = problem(seed, n_trs=90, n_features=12)
    rng = np.random.default_rng([seed, 2])
    others = [space(rng.standard_normal((90, n)), delays=delays) for n, delays in ((4, (0,)), (7, (1, 2)))]
    return [design, *others], responses, fold


def weighted(designs, fold, shares):
    """Features of all spaces side by side, each multiplied by the root of its share."""
    return np.hstack([np.sqrt(g) * explicit(one, fold.train) for g, one in zip(shares, designs, strict=True)])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shares", [(1.0, 0.0, 0.0), (1 / 3, 1 / 3, 1 / 3), (0.7, 0.29, 0.01)])
def test_a_share_multiplies_the_features_of_its_space_by_its_root(form, shares):
    designs, responses, fold = three_spaces(0)
    train = responses[fold.train]
    rows = weighted(designs, fold, shares)

    own = Bands(designs, fold, ALPHAS, 5, EXACT, form).solver(shares)

    np.testing.assert_allclose(own.search(train), validation_r(rows, responses, fold, ALPHAS), atol=1e-8)
    penalty = np.array(ALPHAS)[[0, 1, 2, 1, 0]]
    expected = fitted(rows[fold.train], train, penalty).predict(rows[fold.test])
    np.testing.assert_allclose(own.predict(train, penalty), expected, atol=1e-8)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shares", [(1 / 3, 1 / 3, 1 / 3), (0.6, 0.0, 0.4), (0.0, 1.0, 0.0)])
def test_parts_are_what_each_space_adds_and_sum_to_the_prediction_without_intercept(form, shares):
    designs, responses, fold = three_spaces(1)
    train, penalty = responses[fold.train], np.array(ALPHAS)[[0, 1, 2, 1, 0]]
    bands = Bands(designs, fold, ALPHAS, 5, EXACT, form)
    own = bands.solver(shares)

    parts = bands.parts(shares, own.weights(train, penalty))

    assert parts.shape == (3, len(fold.test), 5)
    np.testing.assert_allclose(parts.sum(axis=0) + train.mean(axis=0), own.predict(train, penalty), atol=1e-8)
    weights = fitted(weighted(designs, fold, shares)[fold.train], train, penalty).coef_.T
    first = 0
    for part, share, design in zip(parts, shares, designs, strict=True):
        rows = np.sqrt(share) * explicit(design, fold.train)
        centred = rows[fold.test] - rows[fold.train].mean(axis=0)
        np.testing.assert_allclose(part, centred @ weights[first : first + rows.shape[1]], atol=1e-8)
        first += rows.shape[1]


def test_features_are_counted_with_their_delays_and_without_constant_ones():
    designs, _, fold = three_spaces(0)
    constant = space(np.ones((90, 3)))

    assert Bands([*designs, constant], fold, ALPHAS, 5, EXACT).n_features == 12 + 4 + 14
    assert Bands([constant], fold, ALPHAS, 5, EXACT).n_features == 0


def form_of(n_trs, n_features, n_voxels, n_folds=5):
    fold = folds_of_blocks([n_trs], n_folds, 0)[0]
    return min(FORMS, key=lambda form: cost(form, fold, n_features, 7, n_voxels))


def test_the_form_with_the_fewest_multiplications_is_taken():
    assert form_of(n_trs=4000, n_features=20, n_voxels=10_000) == "primal"
    assert form_of(n_trs=400, n_features=3000, n_voxels=100_000) == "dual"
    assert form_of(n_trs=600, n_features=3000, n_voxels=100, n_folds=40) == "downdated"
    assert form_of(n_trs=600, n_features=10, n_voxels=100, n_folds=40) == "primal"


@pytest.mark.parametrize("form", FORMS)
def test_more_of_anything_costs_more(form):
    fold = folds_of_blocks([300], 5, 4)[0]
    longer = folds_of_blocks([600], 5, 4)[0]

    base = cost(form, fold, 500, 7, 1000)

    assert base < cost(form, longer, 500, 7, 1000)
    assert base < cost(form, fold, 600, 7, 1000)
    assert base < cost(form, fold, 500, 14, 1000)
    assert base < cost(form, fold, 500, 7, 2000)


def test_auto_takes_what_the_costs_say_and_one_can_insist():
    design, _, fold = problem(0, n_trs=90, n_features=3)

    assert Bands([design], fold, ALPHAS, 5, EXACT).form == "primal"
    assert Bands([design], fold, ALPHAS, 5, EXACT, "downdated").form == "downdated"
    wide, _, fold = problem(0, n_trs=60, n_features=2000)
    assert Bands([wide], fold, ALPHAS, 5, EXACT).form != "primal"


def test_the_choice_is_told_in_the_log(caplog):
    design, _, fold = problem(0, n_trs=90, n_features=3)

    with caplog.at_level("INFO", logger="brainexp.solve.bands"):
        Bands([design], fold, ALPHAS, 5, EXACT)

    assert "space: primal form, " in caplog.text
    assert "multiplications (primal " in caplog.text
