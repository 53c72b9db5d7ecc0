"""A penalty for each feature space: himalaya's numbers, and a signal goes to the space that holds it."""

import warnings

import numpy as np
import pytest

from brainexp.align.fold import folds_of_blocks
from brainexp.encoder.banded_ridge import BandedRidge, shares
from brainexp.encoder.ridge import Ridge
from brainexp.errors import ConfigError
from tests.problems import explicit, space

ALPHAS = (0.1, 1.0, 10.0, 100.0, 1000.0)
N_TRS = 120
FOLD = folds_of_blocks([N_TRS], 4, 2)[1]
EXACT = BandedRidge(alphas=ALPHAS, n_shares=12, dtype="float64", nodes=False)


def two_spaces(seed, delays=(0,)):
    rng = np.random.default_rng(seed)
    return [
        space(rng.standard_normal((N_TRS, n)) * 10.0 ** rng.uniform(-2, 2, n) + 3, delays=delays, name=name)
        for n, name in ((9, "one"), (14, "two"))
    ]


def following(designs, of, seed=1, noise=0.5):
    """One voxel per entry, which names the space that it follows; None follows none."""
    rng = np.random.default_rng(seed)
    columns = [noise * rng.standard_normal(N_TRS) + 5 for _ in of]
    for voxel, at in enumerate(of):
        if at is not None:
            rows = explicit(designs[at], FOLD.train)
            columns[voxel] += rows @ rng.standard_normal(rows.shape[1]) / np.sqrt(rows.shape[1])
    return np.column_stack(columns)


def fit(encoder, designs, responses, **options):
    return encoder.fit(designs, responses[FOLD.train], np.zeros(responses.shape[1], int), FOLD, **options)


@pytest.mark.parametrize("form", ["primal", "dual", "downdated"])
@pytest.mark.parametrize("delays", [(0,), (1, 2)])
@pytest.mark.parametrize("seed", range(3))
def test_penalties_scores_and_predictions_are_those_of_himalaya_with_the_same_shares(form, delays, seed):
    from himalaya.kernel_ridge import solve_multiple_kernel_ridge_random_search
    from himalaya.scoring import correlation_score

    designs = two_spaces(seed, delays)
    responses = following(designs, [0, 1, 0, 1, None], seed)
    rows = [explicit(design, FOLD.train) for design in designs]
    kernels = np.stack([own[FOLD.train] @ own[FOLD.train].T for own in rows])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        deltas, dual, cv_scores, alpha, intercept = solve_multiple_kernel_ridge_random_search(
            kernels,
            responses[FOLD.train],
            n_iter=shares(2, 12, 0),
            alphas=np.array(ALPHAS),
            score_func=correlation_score,
            cv=list(FOLD.inner),
            fit_intercept=True,
            return_weights="dual",
            return_alphas=True,
            progress_bar=False,
        )
    between = np.stack([own[FOLD.test] @ own[FOLD.train].T for own in rows])
    expected = np.einsum("bv,btn,nv->tv", np.exp(deltas), between, dual) + intercept

    found = fit(BandedRidge(alphas=ALPHAS, n_shares=12, dtype="float64", nodes=False, form=form), designs, responses)

    np.testing.assert_allclose(found.validation_r, cv_scores.max(axis=0), atol=1e-6)
    np.testing.assert_allclose(1 / (1 / found.penalty).sum(axis=0), alpha, rtol=1e-6)
    np.testing.assert_allclose(found.penalty, 1 / np.exp(deltas), rtol=1e-6)
    np.testing.assert_allclose(found.predicted, expected, atol=1e-6)


def test_the_usual_options_are_near_the_exact_ones():
    designs = two_spaces(0, (1, 2))
    responses = following(designs, [0, 1, 0, 1])

    usual, exact = fit(BandedRidge(alphas=ALPHAS, n_shares=12), designs, responses), fit(EXACT, designs, responses)

    np.testing.assert_allclose(usual.validation_r, exact.validation_r, atol=1e-3)
    same = np.isclose(usual.penalty, exact.penalty).all(axis=0)
    assert same.mean() >= 0.5
    np.testing.assert_allclose(usual.predicted[:, same], exact.predicted[:, same], atol=1e-3)


@pytest.mark.parametrize("form", ["primal", "dual"])
def test_a_signal_goes_to_the_space_that_holds_it_and_with_the_space_to_another_place(form):
    designs = two_spaces(3)
    of = [0, 1, 0, 1, 0, 1]
    responses = following(designs, of)
    encoder = BandedRidge(alphas=ALPHAS, form=form)

    found, swapped = (fit(encoder, given, responses, parts=True) for given in (designs, designs[::-1]))

    variance, other = (one.parts.var(axis=1) for one in (found, swapped))
    for voxel, at in enumerate(of):
        assert variance[at, voxel] > 10 * variance[1 - at, voxel]
        assert found.penalty[at, voxel] < found.penalty[1 - at, voxel]
        assert other[1 - at, voxel] > 10 * other[at, voxel]
    assert (found.validation_r > 0.5).all()


@pytest.mark.parametrize("form", ["primal", "dual", "downdated"])
def test_parts_sum_to_the_prediction_without_the_mean(form):
    designs = two_spaces(4)
    responses = following(designs, [0, 1, None])

    found = fit(BandedRidge(alphas=ALPHAS, n_shares=6, form=form), designs, responses, parts=True)

    assert found.parts.shape == (2, len(FOLD.test), 3)
    np.testing.assert_allclose(found.parts.sum(axis=0) + responses[FOLD.train].mean(axis=0), found.predicted, atol=1e-4)
    assert fit(BandedRidge(alphas=ALPHAS, n_shares=6), designs, responses).parts is None


def test_one_space_is_ridge():
    (design, _), responses = two_spaces(0), following(two_spaces(0), [0, None, 0])

    banded = fit(EXACT, [design], responses)
    plain = fit(Ridge(alphas=ALPHAS, dtype="float64", nodes=False), [design], responses)

    np.testing.assert_array_equal(banded.penalty, plain.penalty)
    np.testing.assert_array_equal(banded.validation_r, plain.validation_r)
    np.testing.assert_array_equal(banded.predicted, plain.predicted)


def test_banded_ridge_beats_ridge_on_both_where_one_space_is_wide_and_empty():
    """Twenty voxels that follow six features beside a hundred of noise."""
    rng = np.random.default_rng(0)
    designs = [space(rng.standard_normal((N_TRS, n)), name=str(n)) for n in (6, 100)]
    responses = following(designs, [0] * 20, noise=1.0)
    both = space(np.hstack([design.runs[0] for design in designs]))

    banded, plain = fit(BandedRidge(alphas=ALPHAS), designs, responses), fit(Ridge(alphas=ALPHAS), [both], responses)

    assert banded.validation_r.mean() > plain.validation_r.mean() + 0.1


def test_nothing_is_found_in_shuffled_responses():
    designs = two_spaces(0)
    responses = np.random.default_rng(0).permutation(following(designs, [0, 1] * 20))

    found = fit(BandedRidge(alphas=ALPHAS, n_shares=5), designs, responses)

    r = [np.corrcoef(one, other)[0, 1] for one, other in zip(found.predicted.T, responses[FOLD.test].T, strict=True)]
    assert abs(np.mean(r)) < 0.15


def test_a_space_that_does_not_vary_is_of_no_use_and_of_no_harm():
    designs = two_spaces(0)
    responses = following(designs, [0, 0, 0])

    found = fit(BandedRidge(alphas=ALPHAS), [designs[0], space(np.ones((N_TRS, 3)))], responses, parts=True)

    assert (found.validation_r > 0.5).all()
    np.testing.assert_array_equal(found.parts[1], 0)


def test_spaces_that_do_not_vary_predict_the_mean():
    responses = following(two_spaces(0), [0, 1])

    found = fit(BandedRidge(), [space(np.ones((N_TRS, 3)))] * 2, responses)

    assert np.isnan(found.penalty).all()
    np.testing.assert_allclose(found.predicted, np.tile(responses[FOLD.train].mean(axis=0), (len(FOLD.test), 1)))


@pytest.mark.parametrize("n_bands", [2, 3, 5])
@pytest.mark.parametrize("n_shares", [1, 4, 30])
def test_shares_are_positive_and_sum_to_one_and_begin_with_equal_ones(n_bands, n_shares):
    tried = shares(n_bands, n_shares, seed=3)

    assert tried.shape == (n_shares, n_bands)
    assert (tried >= 0).all()
    np.testing.assert_allclose(tried.sum(axis=1), 1)
    np.testing.assert_allclose(tried[0], 1 / n_bands)
    if n_shares > n_bands:
        np.testing.assert_allclose(tried[1 : n_bands + 1].max(axis=1), 0.98)
        np.testing.assert_array_equal(tried[1 : n_bands + 1].argmax(axis=1), np.arange(n_bands))


def test_shares_are_those_of_their_seed():
    np.testing.assert_array_equal(shares(3, 20, seed=1), shares(3, 20, seed=1))
    assert (shares(3, 20, seed=1)[5:] != shares(3, 20, seed=2)[5:]).any()
    np.testing.assert_array_equal(shares(1, 20, seed=0), [[1.0]])


def test_penalties_at_an_edge_are_remarked_by_alpha_and_not_by_the_penalty_of_a_space():
    encoder = BandedRidge(alphas=(1.0, 10.0, 100.0))
    share = np.array([0.9, 0.1])

    assert encoder.remarks(10.0 / np.tile(share[:, None], (3, 1, 8))) == ()
    (low,) = encoder.remarks(1.0 / np.tile(share[:, None], (3, 1, 8)))
    assert low.startswith("encoder 'banded_ridge': 100% of the fits chose the lowest penalty, 1.")


def test_layers_are_taken_together_where_asked():
    assert BandedRidge(layers="together").together
    assert not BandedRidge().together


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n_shares": 0}, "encoder 'banded_ridge': n_shares must be at least 1, got 0"),
        ({"beside": ("a", "b", "a")}, r"encoder 'banded_ridge': name each space once in beside, got \('a', 'b', 'a'\)"),
    ],
)
def test_wrong_options_are_refused(options, words):
    with pytest.raises(ConfigError, match=words):
        BandedRidge(**options)
