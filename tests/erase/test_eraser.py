"""Erasers against their guarantees, scikit-learn and formulas written out."""

import numpy as np
import pytest
from scipy.linalg import sqrtm
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import log_loss
from sklearn.model_selection import KFold, cross_val_score

from brainexp.erase.eraser import inlp, leace, published_residual, random_directions, ridge_residual
from brainexp.erase.labels import coded
from brainexp.erase.reading import above_chance, pooled, read


@pytest.fixture
def planted(rng):
    """Three classes and a number in twelve features of different scales, others beside them."""
    n = 900
    classes, number = rng.integers(0, 3, n), rng.standard_normal(n)
    mixing = rng.standard_normal((12, 12)) * 10.0 ** rng.uniform(-1, 1, 12)
    sources = rng.standard_normal((n, 12))
    sources[:, 0] += 2 * (classes == 1)
    sources[:, 1] += 2 * (classes == 2)
    sources[:, 2] += number
    return sources @ mixing + 5, np.column_stack([classes, number])


@pytest.fixture
def alike(rng):
    """Three classes in ten features that have nothing else in common."""
    classes = rng.integers(0, 3, 900)
    turn, _ = np.linalg.qr(rng.standard_normal((10, 10)))
    sources = rng.standard_normal((900, 10))
    sources[:, 0] += 2 * (classes == 1)
    sources[:, 1] += 2 * (classes == 2)
    return sources @ turn, classes[:, None].astype(float)


def scores(features, labels, n_train=600):
    units = np.arange(len(features))
    found = read(features, labels, units[:n_train], units[n_train:], 1.0)
    return [above_chance(*pooled([one])) for one in found]


def chance_bound(values):
    """About three standard errors of a balanced accuracy at chance, above chance as a share."""
    known, counts = np.unique(values, return_counts=True)
    share = 1 / len(known)
    return 3 * np.sqrt((share * (1 - share) / counts).sum()) / len(known) / (1 - share)


def test_after_leace_no_linear_predictor_finds_anything(planted):
    features, values = planted
    labels = coded({"both": values})
    eraser = leace(features[:600], labels.codes[:600])
    left = eraser.erased(features, labels.codes)

    assert scores(features, labels)[0] > 0.4
    assert scores(features, labels)[1] > 0.5
    assert scores(left, labels) == [0.0, 0.0]
    assert eraser.rank == 3
    assert np.abs(np.cov(left[:600].T, labels.codes[:600].T)[:12, 12:]).max() < 1e-10 * features.std()
    scaled = left[:600] / left[:600].std(0)
    told = LogisticRegression(C=1e6, max_iter=1000).fit(scaled, values[:600, 0])
    shares = np.bincount(values[:600, 0].astype(int)) / 600
    assert log_loss(values[:600, 0], told.predict_proba(scaled)) > -(shares * np.log(shares)).sum() - 1e-6
    assert LinearRegression().fit(left[:600], values[:600, 1]).score(left[:600], values[:600, 1]) < 1e-12


def test_leace_is_the_formula_of_its_paper_and_changes_least(planted, rng):
    features, values = planted
    codes = coded({"both": values}).codes
    eraser = leace(features, codes)
    left = eraser.erased(features, codes)

    centred, spread = features - features.mean(0), np.cov(features.T, bias=True)
    whiten = np.linalg.inv(sqrtm(spread).real)
    common = whiten @ (centred.T @ (codes - codes.mean(0)) / len(codes))
    projection = common @ np.linalg.pinv(common, rcond=1e-10)
    expected = features - centred @ (np.linalg.inv(whiten) @ projection @ whiten).T
    np.testing.assert_allclose(left, expected, atol=1e-8 * features.std())

    # Any other affine map that takes the covariance away changes the features more, such as an orthogonal projection.
    basis, _ = np.linalg.qr(centred.T @ (codes - codes.mean(0)))
    basis = basis[:, : np.linalg.matrix_rank(common, tol=1e-8)]
    other = features - centred @ basis @ basis.T
    assert ((left - features) ** 2).sum() < ((other - features) ** 2).sum()


def test_an_eraser_knows_its_training_units_only(planted):
    features, values = planted
    labels = coded({"both": values})
    changed = values.copy()
    changed[600:] = values[600:][::-1]
    other = coded({"both": changed})

    for fit in (
        lambda own: leace(features[:600], own.codes[:600]),
        lambda own: inlp(features, own, np.arange(600), 10, 1.0, 5, 0.02),
    ):
        np.testing.assert_array_equal(
            fit(labels).erased(features, labels.codes), fit(other).erased(features, other.codes)
        )


@pytest.mark.parametrize("method", ["inlp", "ridge"])
def test_other_methods_bring_a_reader_to_chance_on_held_out_units(alike, method):
    features, values = alike
    labels = coded({"classes": values[:, :1]})
    eraser = (
        inlp(features, labels, np.arange(600), 10, 1.0, 20, 0.02)
        if method == "inlp"
        else ridge_residual(features[:600], labels.codes[:600], 0.0)
    )
    left = eraser.erased(features, labels.codes)

    bound = chance_bound(values[600:, 0])
    assert scores(features, labels)[0] > bound
    assert abs(scores(left, labels)[0]) < bound
    told = LogisticRegression(max_iter=1000, class_weight="balanced").fit(left[:600] / left.std(0), values[:600, 0])
    hits = told.predict(left[600:] / left.std(0)) == values[600:, 0]
    recall = np.mean([hits[values[600:, 0] == one].mean() for one in range(3)])
    assert above_chance(recall, 1 / 3) < bound


def test_as_many_random_directions_leave_the_property(planted, rng):
    features, values = planted
    labels = coded({"classes": values[:, :1]})
    rank = leace(features[:600], labels.codes[:600]).rank
    for whitened in (True, False):
        eraser = random_directions(features[:600], rank, rng, whitened=whitened)
        left = eraser.erased(features, labels.codes)
        assert eraser.rank == rank
        assert np.linalg.matrix_rank(left - left.mean(0), tol=1e-6 * features.std()) == 12 - rank
        assert scores(left, labels)[0] > chance_bound(values[600:, 0])


def test_projections_of_inlp_are_orthogonal_and_stop(alike):
    features, values = alike
    labels = coded({"classes": values})
    eraser = inlp(features, labels, np.arange(600), 10, 1.0, 20, 0.02)

    np.testing.assert_allclose(eraser.inward.T @ eraser.inward, np.eye(eraser.rank), atol=1e-10)
    assert 2 <= eraser.rank <= 6
    assert inlp(features, labels, np.arange(600), 10, 1.0, 20, 0.02, most_rank=7).rank == 7


def test_the_ridge_residual_is_that_of_scikit_learn(planted):
    features, values = planted
    codes = coded({"both": values}).codes
    for penalty in (0.0, 30.0):
        reference = (LinearRegression() if penalty == 0 else Ridge(penalty)).fit(codes[:600], features[:600])
        left = ridge_residual(features[:600], codes[:600], penalty).erased(features, codes)
        np.testing.assert_allclose(left, features - reference.predict(codes) + features[:600].mean(0), atol=1e-8)


def test_the_published_residual_is_that_of_scikit_learn_with_its_settings(planted):
    features, values = planted
    grid = 10.0 ** np.arange(-6, 10)
    left = published_residual(features, values).erased(features, values)
    for dim in (0, 5):
        merit = [
            cross_val_score(
                Ridge(one, fit_intercept=False), values, features[:, dim], cv=KFold(10), scoring="r2"
            ).mean()
            for one in grid
        ]
        best = Ridge(grid[int(np.argmax(merit))], fit_intercept=False).fit(values, features[:, dim])
        np.testing.assert_allclose(left[:, dim], features[:, dim] - best.predict(values), atol=1e-6)


def test_the_published_residual_leaves_what_is_not_in_order(rng):
    """Labels taken for numbers without an intercept: a class in the middle is not erased, and means are moved."""
    classes = rng.integers(0, 3, 900)
    features = rng.standard_normal((900, 4))
    features[:, 0] += 3 * (classes == 1)
    labels = coded({"classes": classes[:, None]})

    published = published_residual(features[:600], labels.numbers[:600]).erased(features, labels.numbers)
    ours = ridge_residual(features[:600], labels.codes[:600], 0.0).erased(features, labels.codes)

    assert scores(published, labels)[0] > 0.3
    assert abs(scores(ours, labels)[0]) < chance_bound(classes[600:])


def test_a_feature_of_which_rounding_is_left_is_emptied(rng):
    number = rng.standard_normal(300)
    features = np.column_stack([1e3 * number, rng.standard_normal(300)])
    left = leace(features[:200], number[:200, None]).erased(features, number[:, None])

    assert np.ptp(left[:, 0]) == 0
    assert scores(left, coded({"number": number[:, None]}), 200) == [0.0]


def test_a_reader_is_a_linear_discriminant_analysis_with_equal_priors(planted):
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    features, values = planted
    labels = coded({"classes": values[:, :1]})
    units = np.arange(900)
    found = read(features, labels, units[:600], units[600:], 1e-9)[0]

    reference = LinearDiscriminantAnalysis(priors=[1 / 3] * 3).fit(features[:600], values[:600, 0])
    hits = reference.predict(features[600:]) == values[600:, 0]
    expected = [hits[values[600:, 0] == one].sum() for one in range(3)]
    assert np.abs(found.hits - expected).max() <= 3
    assert found.totals.sum() == 300
