"""Every form of ridge regression against himalaya and scikit-learn, on random shapes."""

import warnings
from functools import cache

import numpy as np
import pytest
import torch

from brainexp.containers import Fold
from brainexp.score.correlation import pearson_r
from brainexp.solve.bands import FORMS, Bands
from brainexp.solve.ridge import Primal
from brainexp.solve.solver import Work, chosen
from tests.problems import explicit, fitted, problem, space, validation_r

ALPHAS = tuple(10.0 ** np.arange(-1, 6))
#: Largest error relative to the spread of the responses.
TOLERANCE = {"float64": 1e-6, "float32": 1e-3}


def shape(seed):
    """Rows, features and folds drawn at random; every third time more features than rows, or as many."""
    rng = np.random.default_rng([seed, 5])
    n_folds, gap_trs = int(rng.integers(3, 7)), int(rng.integers(0, 4))
    n_trs = int(rng.integers(12 * n_folds, 160))
    n_train = n_trs - n_trs // n_folds - gap_trs
    n_features = (int(rng.integers(1, 25)), int(rng.integers(n_trs, 250)), n_train)[seed % 3]
    return {"n_trs": n_trs, "n_features": n_features, "n_folds": n_folds, "gap_trs": gap_trs}


def made(seed, **options):
    """A problem with its explicit features."""
    design, responses, fold = problem(seed, **{**shape(seed), **options})
    return design, explicit(design, fold.train), responses, fold


@cache
def peer_r(seed):
    """r of every penalty by scikit-learn."""
    _, rows, responses, fold = made(seed)
    return validation_r(rows, responses, fold, ALPHAS)


def solver(design, fold, form, alphas=ALPHAS, dtype="float64", nodes=False, voxels_per_batch=8192):
    return Bands([design], fold, alphas, 5, Work("cpu", dtype, voxels_per_batch, nodes), form).solver([1.0])


def peer(rows, responses, fold, alphas, kind):
    """Scores, penalties and predictions of himalaya, by kernel or by features."""
    from himalaya.kernel_ridge import KernelRidgeCV
    from himalaya.ridge import RidgeCV
    from himalaya.scoring import correlation_score

    options = {"alphas": np.array(alphas), "cv": list(fold.inner), "fit_intercept": True}
    options["solver_params"] = {"score_func": correlation_score}
    model = KernelRidgeCV(kernel="linear", **options) if kind == "kernel" else RidgeCV(**options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(rows[fold.train], responses[fold.train])
    return model.cv_scores_.reshape(-1), model.best_alphas_, model.predict(rows[fold.test])


@pytest.mark.parametrize("seed", range(9))
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_scores_penalties_and_predictions_are_those_of_himalaya(seed, form, dtype):
    design, rows, responses, fold = made(seed)
    best, penalty, predicted = peer(rows, responses, fold, ALPHAS, "kernel" if seed % 2 else "features")

    own = solver(design, fold, form, dtype=dtype)
    scores = own.search(responses[fold.train])
    r, alpha = chosen(scores, ALPHAS)

    np.testing.assert_allclose(r, best, atol=TOLERANCE[dtype])
    same = np.isclose(alpha, penalty)
    lead = np.ptp(np.sort(scores, axis=0)[-2:], axis=0)
    assert same[lead > TOLERANCE[dtype]].all()  # the second best is chosen only where it is as good
    assert same.any()
    scale = responses[fold.train].std(axis=0)
    predicted = np.where(
        same, predicted, fitted(rows[fold.train], responses[fold.train], alpha).predict(rows[fold.test])
    )
    np.testing.assert_allclose(
        own.predict(responses[fold.train], alpha) / scale, predicted / scale, atol=TOLERANCE[dtype]
    )


@pytest.mark.parametrize("seed", range(9))
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_r_of_every_penalty_is_that_of_scikit_learn(seed, form, dtype):
    design, _, responses, fold = made(seed)

    scores = solver(design, fold, form, dtype=dtype).search(responses[fold.train])

    np.testing.assert_allclose(scores, peer_r(seed), atol=TOLERANCE[dtype])


@pytest.mark.parametrize("seed", range(9))
@pytest.mark.parametrize("form", FORMS)
def test_nodes_change_r_by_less_than_promised_and_predictions_not_at_all(seed, form):
    design, _, responses, fold = made(seed)
    exact, near = (solver(design, fold, form, nodes=nodes) for nodes in (False, True))
    train = responses[fold.train]
    penalty = np.random.default_rng(seed).choice(ALPHAS, responses.shape[1])

    assert np.abs(near.search(train) - exact.search(train)).max() < 5e-4
    np.testing.assert_array_equal(near.predict(train, penalty), exact.predict(train, penalty))
    np.testing.assert_array_equal(near.cross_predict(train, penalty), exact.cross_predict(train, penalty))
    np.testing.assert_array_equal(near.weights(train, penalty), exact.weights(train, penalty))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("nodes", [False, True])
def test_predictions_of_inner_folds_are_those_of_fits_that_have_not_seen_them(seed, form, nodes):
    design, rows, responses, fold = made(seed)
    train, known = responses[fold.train], rows[fold.train]
    penalty = np.random.default_rng(seed).choice(ALPHAS, responses.shape[1])

    found = solver(design, fold, form, nodes=nodes).cross_predict(train, penalty)

    expected = [fitted(known[fit], train[fit], penalty).predict(known[validation]) for fit, validation in fold.inner]
    np.testing.assert_allclose(found, np.concatenate(expected), atol=1e-6)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("form", FORMS)
def test_weights_reproduce_predictions(seed, form):
    design, rows, responses, fold = made(seed)
    train = responses[fold.train]
    penalty = np.random.default_rng(seed).choice(ALPHAS, responses.shape[1])
    own = solver(design, fold, form)

    weights = own.weights(train, penalty)

    known = rows[fold.train]
    coefficients = weights if form == "primal" else (known - known.mean(axis=0)).T @ weights
    reproduced = (rows[fold.test] - known.mean(axis=0)) @ coefficients + train.mean(axis=0)
    np.testing.assert_allclose(own.predict(train, penalty), reproduced, atol=1e-8)
    np.testing.assert_allclose(coefficients, fitted(known, train, penalty).coef_.T, atol=1e-6)
    if form != "primal":
        np.testing.assert_allclose(weights.sum(axis=0), 0, atol=1e-8)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("voxels_per_batch", [1, 2, 5])
def test_voxels_per_batch_do_not_change_a_number(form, voxels_per_batch):
    design, _, responses, fold = made(2)
    whole, cut = solver(design, fold, form), solver(design, fold, form, voxels_per_batch=voxels_per_batch)
    train, penalty = responses[fold.train], np.array(ALPHAS)[[0, 3, 1, 5, 3]]

    np.testing.assert_allclose(cut.search(train), whole.search(train), atol=1e-12)
    np.testing.assert_allclose(cut.predict(train, penalty), whole.predict(train, penalty), atol=1e-12)
    np.testing.assert_allclose(cut.cross_predict(train, penalty), whole.cross_predict(train, penalty), atol=1e-12)
    np.testing.assert_allclose(cut.weights(train, penalty), whole.weights(train, penalty), atol=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_small_pieces_of_voxels_do_not_change_a_number(form, monkeypatch):
    from brainexp.solve import penalties

    design, _, responses, fold = made(1, n_voxels=9)
    whole = solver(design, fold, form).search(responses[fold.train])

    monkeypatch.setattr(penalties, "CACHE_FLOATS", 1)

    np.testing.assert_allclose(solver(design, fold, form).search(responses[fold.train]), whole, atol=1e-12)


@pytest.mark.parametrize("n_folds", [3, 8, 15])
@pytest.mark.parametrize("gap_trs", [0, 3])
def test_one_decomposition_for_all_inner_folds_is_a_decomposition_for_each(n_folds, gap_trs):
    design, responses, fold = problem(4, n_trs=150, n_features=60, n_folds=n_folds, gap_trs=gap_trs)
    each, once = (solver(design, fold, form) for form in ("dual", "downdated"))
    train, penalty = responses[fold.train], np.array(ALPHAS)[[0, 2, 3, 5, 6]]

    np.testing.assert_allclose(once.search(train), each.search(train), atol=1e-8)
    np.testing.assert_allclose(once.cross_predict(train, penalty), each.cross_predict(train, penalty), atol=1e-8)


@pytest.mark.parametrize("alphas", [(1e-3, 1e-1), (1e6, 1e9, 1e12)], ids=["tiny", "huge"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_very_small_and_very_large_penalties_lose_no_digits(alphas, form, dtype):
    """A huge penalty shrinks predictions to nearly nothing, whose r is still that of the covariances."""
    design, rows, responses, fold = made(3, n_trs=120, n_features=20)

    scores = solver(design, fold, form, alphas, dtype).search(responses[fold.train])

    np.testing.assert_allclose(scores, validation_r(rows, responses, fold, alphas), atol=TOLERANCE[dtype])


def ill_conditioned(seed, n_trs, n_features):
    """Features whose spectrum falls over twelve decades."""
    rng = np.random.default_rng(seed)
    left, _ = np.linalg.qr(rng.standard_normal((n_trs, min(n_trs, n_features))))
    right, _ = np.linalg.qr(rng.standard_normal((n_features, min(n_trs, n_features))))
    features = left * np.logspace(0, -6, left.shape[1]) @ right.T
    responses = features @ rng.standard_normal((n_features, 4)) * 10 + 0.05 * rng.standard_normal((n_trs, 4))
    return space(features), responses


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("n_trs", "n_features"), [(120, 40), (60, 150)])
def test_an_ill_conditioned_spectrum_is_solved_in_double_precision_and_stays_accurate(form, n_trs, n_features):
    design, responses = ill_conditioned(0, n_trs, n_features)
    alphas = (1e-6, 1e-3, 1.0)
    _, _, fold = problem(0, n_trs=n_trs, n_features=2)
    rows = explicit(design, fold.train)
    own = solver(design, fold, form, alphas, dtype="float32")
    train, penalty = responses[fold.train], np.array([1e-6, 1e-3, 1.0, 1e-6])

    predicted = own.predict(train, penalty)

    np.testing.assert_array_equal(predicted, solver(design, fold, form, alphas).predict(train, penalty))
    scale = train.std(axis=0)
    expected = fitted(rows[fold.train], train, penalty).predict(rows[fold.test])
    np.testing.assert_allclose(predicted / scale, expected / scale, atol=1e-5)
    np.testing.assert_allclose(own.search(train), validation_r(rows, responses, fold, alphas), atol=1e-4)


def test_a_spectrum_that_allows_it_is_solved_in_single_precision():
    design, _, responses, fold = made(0, n_trs=100, n_features=10)

    single, double = (
        solver(design, fold, "dual", (10.0,), dtype).predict(responses[fold.train], np.full(5, 10.0))
        for dtype in ("float32", "float64")
    )

    assert (single != double).mean() > 0.9
    np.testing.assert_allclose(single, double, atol=1e-4)


@pytest.mark.parametrize("form", FORMS)
def test_a_prediction_that_is_shrunk_to_nearly_nothing_keeps_its_digits_beside_the_mean(form):
    design, _, responses, fold = made(0, n_trs=100, n_features=10)
    penalty = np.full(5, 1e7)

    single, double = (
        solver(design, fold, form, (1e7,), dtype).predict(responses[fold.train], penalty)
        for dtype in ("float32", "float64")
    )

    np.testing.assert_allclose(pearson_r(single, double), 1, atol=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_doubled_and_constant_columns_do_no_harm(form):
    rng = np.random.default_rng(0)
    features = rng.standard_normal((90, 6))
    design = space(
        np.hstack([features, features[:, :3], np.full((90, 2), 4.0), features @ rng.standard_normal((6, 2))])
    )
    responses = features @ rng.standard_normal((6, 5)) + rng.standard_normal((90, 5))
    _, _, fold = problem(0, n_trs=90, n_features=2)
    rows = explicit(design, fold.train)
    own = solver(design, fold, form)
    penalty = np.array(ALPHAS)[[0, 1, 2, 3, 4]]

    assert rows.shape[1] == 11
    expected = fitted(rows[fold.train], responses[fold.train], penalty).predict(rows[fold.test])
    np.testing.assert_allclose(own.predict(responses[fold.train], penalty), expected, atol=1e-6)
    np.testing.assert_allclose(
        own.search(responses[fold.train]), validation_r(rows, responses, fold, ALPHAS), atol=1e-6
    )


@pytest.mark.parametrize("form", FORMS)
def test_one_feature_and_one_penalty_suffice(form):
    design, rows, responses, fold = made(0, n_trs=60, n_features=1)

    own = solver(design, fold, form, (3.0,))

    np.testing.assert_allclose(
        own.search(responses[fold.train]), validation_r(rows, responses, fold, (3.0,)), atol=1e-8
    )


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("nodes", [False, True])
def test_r_is_nan_where_a_voxel_is_constant_in_a_validation_block_and_only_there(form, nodes):
    design, _, responses, fold = made(3)
    train = responses[fold.train].copy()
    whole = solver(design, fold, form, nodes=nodes).search(train)
    train[fold.inner[1][1], 2] = 4.0

    scores = solver(design, fold, form, nodes=nodes).search(train)

    assert np.isnan(scores[:, 2]).all()
    np.testing.assert_allclose(np.delete(scores, 2, axis=1), np.delete(whole, 2, axis=1), atol=1e-10)


@pytest.mark.parametrize("form", FORMS)
def test_a_constant_added_to_the_responses_is_added_to_the_predictions_alone(form):
    design, _, responses, fold = made(1)
    own, train, penalty = solver(design, fold, form), responses[fold.train], np.full(5, 10.0)

    np.testing.assert_allclose(own.search(train + 100), own.search(train), atol=1e-9)
    np.testing.assert_allclose(own.predict(train + 100, penalty), own.predict(train, penalty) + 100, atol=1e-9)
    np.testing.assert_allclose(
        own.cross_predict(train + 100, penalty), own.cross_predict(train, penalty) + 100, atol=1e-9
    )


@pytest.mark.parametrize("form", FORMS)
def test_a_planted_signal_is_found_and_a_shuffled_one_is_not(form):
    design, _, responses, fold = made(0, n_trs=150, n_features=15, n_voxels=40, noise=(0.5, 1.0))
    own, train = solver(design, fold, form), responses[fold.train]

    planted, _ = chosen(own.search(train), ALPHAS)
    scores = own.search(np.random.default_rng(0).permutation(train))

    assert planted.min() > 0.4
    assert abs(scores.mean()) < 0.1


def test_features_before_their_fold_are_those_of_the_rows_that_it_names():
    """Rows that belong to no part of a fold, such as its gaps, change nothing."""
    _, rows, responses, fold = made(2)
    gap = np.setdiff1d(np.arange(len(rows)), np.union1d(fold.train, fold.test))
    changed = rows.copy()
    changed[gap] += 100.0

    plain, other = (
        Primal(torch.from_numpy(one), fold, ALPHAS, Work(dtype="float64")).search(responses[fold.train])
        for one in (rows, changed)
    )

    np.testing.assert_array_equal(plain, other)


def test_the_best_penalty_of_each_voxel_is_chosen_and_the_largest_where_nothing_is_known():
    scores = np.array([[0.1, 0.5, np.nan, np.nan], [0.3, 0.2, np.nan, 0.1], [0.2, 0.5, np.nan, np.nan]])

    best, penalty = chosen(scores, (1.0, 10.0, 100.0))

    np.testing.assert_array_equal(best, [0.3, 0.5, np.nan, 0.1])
    np.testing.assert_array_equal(penalty, [10.0, 1.0, 100.0, 10.0])


def test_inner_folds_may_leave_out_rows_in_any_order():
    """Shuffled single rows, as no fold of ours has them."""
    design, _, responses, _ = made(0, n_trs=60, n_features=8)
    order = np.random.default_rng(0).permutation(48)
    inner = tuple(
        (np.sort(np.delete(order, slice(at, at + 12))), np.sort(order[at : at + 12])) for at in (0, 12, 24, 36)
    )
    fold = Fold(np.arange(48), np.arange(48, 60), inner)
    expected = validation_r(explicit(design, fold.train), responses, fold, ALPHAS)

    for form in FORMS:
        scores = solver(design, fold, form).search(responses[fold.train])
        np.testing.assert_allclose(scores, expected, atol=1e-8)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("nodes", [False, True])
@pytest.mark.parametrize("n_features", [1, 70])
def test_features_that_do_not_vary_where_one_inner_fold_is_fitted_predict_its_mean_there(
    form, dtype, nodes, n_features
):
    """Something that is told of in one block alone: without it there is nothing to learn from."""
    _, responses, fold = problem(2, n_trs=60, n_features=2)
    where = fold.train[fold.inner[1][1]]
    features = np.zeros((60, n_features))
    features[where] = np.random.default_rng(0).standard_normal((len(where), n_features))
    design, train = space(features), responses[fold.train]
    own = solver(design, fold, form, dtype=dtype, nodes=nodes)
    penalty = np.full(5, 10.0)

    rows = explicit(design, fold.train)
    expected = [
        fitted(rows[fold.train][fit], train[fit], penalty).predict(rows[fold.train][held]) for fit, held in fold.inner
    ]
    np.testing.assert_allclose(own.cross_predict(train, penalty), np.concatenate(expected), atol=1e-4)
    assert np.isnan(own.search(train)).all()
    outer = fitted(rows[fold.train], train, penalty).predict(rows[fold.test])
    np.testing.assert_allclose(own.predict(train, penalty), outer, atol=1e-4)
    assert np.isfinite(own.weights(train, penalty)).all()


@cache
def tied(seed, n_features, n_voxels=150):
    """Features with a falling spectrum, and voxels, of many, whose two best penalties are most nearly as good.

    Also what himalaya makes of them, in double precision: in single it tips such voxels itself.
    """
    rng = np.random.default_rng([seed, 7])
    _, _, fold = problem(seed, n_trs=150, n_features=2)
    latent = rng.standard_normal((150, n_features)) * np.arange(1, n_features + 1) ** -1.0
    design = space(latent @ rng.standard_normal((n_features, n_features)))
    rows = explicit(design, fold.train)
    responses = rows @ rng.standard_normal((rows.shape[1], 3000)) / np.sqrt(rows.shape[1])
    responses = (responses + np.linspace(0.3, 20, 3000) * rng.standard_normal(responses.shape)).astype(np.float32)
    scores = solver(design, fold, "dual", FINE_ALPHAS).search(responses[fold.train])
    lead = np.ptp(np.sort(scores, axis=0)[-2:], axis=0)
    kept = np.argsort(lead)[:n_voxels]
    assert (lead[kept] < 1e-4).mean() > 0.5
    assert lead[kept].min() > 1e-9  # what is closer is a tie in double precision too
    responses = responses[:, kept].astype(float)
    kind = "features" if n_features < 100 else "kernel"
    return design, fold, responses, peer(rows, responses, fold, FINE_ALPHAS, kind)


FINE_ALPHAS = tuple(float(alpha) for alpha in np.logspace(-1, 5, 15))


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("n_features", [30, 200])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("dtype", "nodes"), [("float32", None), ("float32", True), ("float32", False), ("float64", True)]
)
def test_held_out_r_of_every_voxel_is_that_of_himalaya_also_where_penalties_nearly_tie(
    seed, n_features, form, dtype, nodes
):
    design, fold, responses, (best, penalty, predicted) = tied(seed, n_features)

    score, alpha, own = solver(design, fold, form, FINE_ALPHAS, dtype, nodes).solve(responses[fold.train])

    np.testing.assert_allclose(alpha, penalty)
    r, expected = (pearson_r(responses[fold.test], one) for one in (own, predicted))
    np.testing.assert_allclose(r, expected, atol=TOLERANCE[dtype])
    np.testing.assert_allclose(score, best, atol=TOLERANCE["float32"])


@pytest.mark.parametrize("form", FORMS)
def test_without_the_exact_step_some_of_these_voxels_would_get_another_penalty(form, monkeypatch):
    from brainexp.solve import solver as module

    monkeypatch.setattr(module, "_in_doubt", lambda scores, *_: torch.zeros_like(scores, dtype=torch.bool))
    design, fold, responses, (_, penalty, _) = tied(0, 200)

    _, alpha, _ = solver(design, fold, form, FINE_ALPHAS, "float32", True).solve(responses[fold.train])

    assert not np.allclose(alpha, penalty)


@pytest.mark.parametrize("measure", ["r", "r2"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_solving_is_searching_choosing_and_predicting(measure, form, dtype):
    design, fold, responses, _ = tied(1, 200)
    own, train = solver(design, fold, form, FINE_ALPHAS, dtype), responses[fold.train]

    score, penalty, predicted = own.solve(train, measure)

    best, alpha = chosen(own.search(train, measure), FINE_ALPHAS)
    np.testing.assert_allclose(score, best, atol=1e-6)
    np.testing.assert_array_equal(penalty, alpha)
    np.testing.assert_allclose(predicted, own.predict(train, alpha), atol=1e-5)


def test_a_fast_score_that_is_wrong_is_not_believed(monkeypatch):
    """Whatever the error of the fast step, it is measured, and the exact one decides."""
    from brainexp.solve.penalties import Validation

    design, fold, responses, (_, penalty, _) = tied(1, 200)
    every, noise = Validation.every, np.random.default_rng(0)

    def wrong(self, weights, dtype):
        right = every(self, weights, dtype)
        added = torch.from_numpy(noise.standard_normal(right.shape)).to(right.dtype)
        return right + added * right.std() if self.shrinkage.nodes else right

    monkeypatch.setattr(Validation, "every", wrong)

    _, alpha, _ = solver(design, fold, "dual", FINE_ALPHAS, "float32", True).solve(responses[fold.train])

    np.testing.assert_allclose(alpha, penalty)


@pytest.mark.parametrize("form", FORMS)
def test_r2_of_every_penalty_is_that_of_scikit_learn(form):
    from sklearn.metrics import r2_score

    design, rows, responses, fold = made(4)
    train, known = responses[fold.train], rows[fold.train]

    found = solver(design, fold, form).search(train, "r2")

    for alpha, own in zip(ALPHAS, found, strict=True):
        expected = [
            r2_score(train[held], fitted(known[fit], train[fit], alpha).predict(known[held]), multioutput="raw_values")
            for fit, held in fold.inner
        ]
        np.testing.assert_allclose(own, np.mean(expected, axis=0), atol=1e-6)
