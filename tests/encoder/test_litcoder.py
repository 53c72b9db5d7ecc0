"""LITcoder's ridge against a transcription of the published formulas, and its inner folds against their description."""

import dataclasses

import numpy as np
import pytest
from sklearn.model_selection import GroupKFold, KFold, TimeSeriesSplit

from brainexp.encoder.huth_bootstrap import HuthBootstrap
from brainexp.encoder.litcoder import Litcoder
from brainexp.errors import ConfigError
from brainexp.score.correlation import pearson_r
from tests.encoder.published import encoded, problem, run_of_row

LENGTHS = (50, 45, 55, 40)
SMALL = {"alphas": (0.01, 0.1, 1.0, 10.0), "n_inner_folds": 3, "chunk_length": 10, "trim_size": 2}
SUBJECT = np.array([0, 0, 1, 1, 1])
FOLDINGS = ["chunked", "chunked_trimmed", "chunked_contiguous", "kfold", "kfold_trimmed", "timeseries", "group"]


def draws_of(encoder, fold):
    return encoder.draws(fold.train, run_of_row(LENGTHS)[fold.train])


@pytest.mark.parametrize("n_dims", [6, 60, 120])
@pytest.mark.parametrize(
    "options",
    [
        *({"folding": folding} for folding in FOLDINGS),
        {"single_alpha": True},
        {"normalpha": False, "alphas": (1.0, 10.0, 100.0)},
        {"score": "signed_r2"},
        {"standardise": "run", "respect_runs": False},
        {"singcutoff": 12.0, "folding": "kfold_trimmed", "single_alpha": True},
    ],
    ids=str,
)
def test_alphas_scores_and_predictions_are_the_published_ones(rng, n_dims, options):
    design, responses, fold = problem(rng, LENGTHS, n_dims)
    encoder = Litcoder(**{**SMALL, **options})
    draws = draws_of(encoder, fold)
    alphas, validation_r, predicted = encoded(encoder, design, responses, SUBJECT, fold, LENGTHS, draws)

    fitted = encoder.fit([design], responses[fold.train], SUBJECT, fold)

    np.testing.assert_array_equal(fitted.penalty, alphas[None])
    np.testing.assert_allclose(fitted.validation_r, validation_r, atol=1e-10)
    np.testing.assert_allclose(fitted.predicted, predicted, atol=1e-8)


@pytest.mark.parametrize("respect_runs", [True, False])
@pytest.mark.parametrize("folding", ["chunked", "chunked_trimmed", "chunked_contiguous"])
def test_chunked_folds_share_out_whole_chunks(folding, respect_runs):
    """64 and 47 rows in chunks of 10 are 6 and 4 chunks, or 11 in one go; 3 folds get 3 each and the last the rest."""
    run = np.repeat([0, 1], [64, 47])
    encoder = Litcoder(**SMALL, folding=folding, respect_runs=respect_runs)

    found = encoder.draws(np.arange(111), run)

    starts = [0, 10, 20, 30, 40, 50, 64, 74, 84, 94] if respect_runs else list(range(0, 110, 10))
    trim = 2 if folding == "chunked_trimmed" else 0
    inside = [[start + trim + row for row in range(10 - 2 * trim)] for start in starts]
    validated = np.concatenate([held for _, held in found])
    assert sorted(validated) == sorted(np.concatenate(inside))
    assert [len(held) for _, held in found] == [(10 - 2 * trim) * n for n in (3, 3, len(starts) - 6)]
    in_order = all(np.diff(validated) > 0)
    assert in_order == (folding == "chunked_contiguous")
    for fit, held in found:
        whole = [set(range(start, start + 10)) for start in starts]
        expected = set().union(*(part for part in whole if not part & set(held)))
        assert set(fit) == expected


def test_the_order_of_chunks_is_that_of_the_seed():
    one, again, other = (
        [held.tolist() for _, held in Litcoder(seed=seed).draws(np.arange(600), np.zeros(600, int))]
        for seed in (3, 3, 4)
    )

    assert one == again
    assert one != other


@pytest.mark.parametrize(
    ("folding", "splitter"),
    [("kfold", KFold(3)), ("timeseries", TimeSeriesSplit(3)), ("group", GroupKFold(3))],
)
def test_other_folds_are_those_of_scikit_learn(folding, splitter):
    run = np.repeat([0, 1, 2, 3], LENGTHS)

    found = Litcoder(**SMALL, folding=folding).draws(np.arange(len(run)), run)

    for (fit, held), (fit_there, held_there) in zip(
        found, splitter.split(run[:, None], groups=run if folding == "group" else None), strict=True
    ):
        np.testing.assert_array_equal(fit, fit_there)
        np.testing.assert_array_equal(held, held_there)


def test_trimmed_blocks_leave_a_gap_to_the_rows_that_are_fitted():
    found = Litcoder(**SMALL, folding="kfold_trimmed").draws(np.arange(90), np.zeros(90, int))

    assert [(held[0], held[-1], len(held)) for _, held in found] == [(2, 27, 26), (32, 57, 26), (62, 87, 26)]
    for fit, held in found:
        assert len(fit) == 60
        assert np.abs(fit[:, None] - held).min() == 3


def test_with_the_same_draws_and_no_normalisation_it_is_the_bootstrap_of_huths_laboratory(rng, monkeypatch):
    design, responses, fold = problem(rng, LENGTHS, 60)
    alphas = (1.0, 5.0, 20.0, 90.0)
    ours = Litcoder(**{**SMALL, "alphas": alphas}, normalpha=False, folding="kfold")
    theirs = HuthBootstrap(alphas=alphas)
    draws = draws_of(ours, fold)
    monkeypatch.setattr(HuthBootstrap, "draws", lambda *_: draws)

    one, other = (encoder.fit([design], responses[fold.train], SUBJECT, fold) for encoder in (ours, theirs))

    np.testing.assert_array_equal(one.penalty, other.penalty)
    np.testing.assert_array_equal(one.predicted, other.predicted)


def test_a_normalised_alpha_does_not_depend_on_the_number_of_copies_of_a_feature(rng):
    """Nine copies of all features make singular values three times as large: the prediction must be the same."""
    design, responses, fold = problem(rng, LENGTHS, 6)
    copies = dataclasses.replace(design, runs=tuple(np.tile(run, 9) for run in design.runs))

    def predicted(of, **options):
        return (
            Litcoder(**{**SMALL, "alphas": (0.5,), **options}).fit([of], responses[fold.train], SUBJECT, fold).predicted
        )

    np.testing.assert_allclose(predicted(copies), predicted(design), atol=1e-8)
    assert not np.allclose(
        predicted(copies, normalpha=False, alphas=(20.0,)), predicted(design, normalpha=False, alphas=(20.0,)), atol=0.1
    )


@pytest.mark.parametrize("folding", FOLDINGS)
def test_held_out_rows_are_not_read_to_choose(rng, folding):
    design, responses, fold = problem(rng, LENGTHS, 20, delays=(0,))
    encoder = Litcoder(**SMALL, folding=folding)
    unknown = responses.copy()
    unknown[fold.test] = np.nan
    moved = tuple(run + 100 * (at == 1) * rng.standard_normal(run.shape) for at, run in enumerate(design.runs))
    assert set(run_of_row(LENGTHS)[fold.test]) == {1}

    known = encoder.fit([design], responses[fold.train], SUBJECT, fold)
    blind = encoder.fit([dataclasses.replace(design, runs=moved)], unknown[fold.train], SUBJECT, fold)

    np.testing.assert_array_equal(blind.penalty, known.penalty)
    np.testing.assert_array_equal(blind.validation_r, known.validation_r)


@pytest.mark.parametrize("n_dims", [6, 120])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_predictions_that_are_shrunk_to_almost_nothing_keep_their_r(rng, n_dims, dtype):
    """At the published grid's end a prediction is 1e-16 of the response's scale, and its mean would round it away."""
    design, responses, fold = problem(rng, LENGTHS, n_dims)
    responses = (responses + 1000).astype(dtype)  # as raw BOLD
    encoder = Litcoder(alphas=(1e8,))
    features = design.matrix()
    train, test = features[fold.train], features[fold.test]
    centred = responses[fold.train] - responses[fold.train].mean(0, dtype=float)
    weights = ((train - train.mean(0)) / train.std(0)).T @ centred

    predicted = encoder.fit([design], responses[fold.train], SUBJECT, fold).predicted

    expected = pearson_r(responses[fold.test], test / train.std(0) @ weights)
    np.testing.assert_allclose(pearson_r(responses[fold.test], predicted), expected, atol=1e-6)
    np.testing.assert_allclose(
        predicted, np.tile(responses[fold.train].mean(0, dtype=float), (len(test), 1)), rtol=1e-6
    )


@pytest.mark.parametrize("n_dims", [10, 200])
def test_a_planted_signal_is_found_and_a_shuffled_one_is_not(rng, n_dims):
    design, responses, fold = problem(rng, (200, 180, 220, 200), n_dims, n_voxels=20, noise=0.3)
    shuffled = responses[rng.permutation(len(responses))]
    subject = np.zeros(20, int)

    found, lost = (Litcoder().fit([design], values[fold.train], subject, fold) for values in (responses, shuffled))

    def r(fitted, values):
        return np.mean([np.corrcoef(*pair)[0, 1] for pair in zip(values[fold.test].T, fitted.predicted.T, strict=True)])

    assert r(found, responses) > 0.3
    assert found.validation_r.mean() > 0.3
    assert abs(r(lost, shuffled)) < 0.06
    assert abs(lost.validation_r.mean()) < 0.1


@pytest.mark.parametrize(
    ("options", "n_rows", "why"),
    [
        ({}, 99, "the training rows hold only 4 chunks of chunk_length=20 TRs"),
        (
            {"folding": "chunked_trimmed", "trim_size": 10},
            200,
            "200 training rows leave fewer than 3 to fit or to validate on",
        ),
        ({"folding": "kfold_trimmed"}, 50, "50 training rows leave fewer than 3 to fit or to validate on"),
        ({"folding": "kfold"}, 4, "Cannot have number of splits n_splits=5"),
        ({"folding": "timeseries"}, 4, "Cannot have number of folds=6"),
        ({"folding": "group"}, 300, "Cannot have number of splits n_splits=5 greater than the number of groups: 1"),
    ],
    ids=str,
)
def test_too_few_rows_for_the_folds_are_an_error_with_a_way_out(options, n_rows, why):
    with pytest.raises(ConfigError, match=why) as error:
        Litcoder(**options).draws(np.arange(n_rows), np.zeros(n_rows, int))

    assert "cannot be had" in str(error.value)
    assert "Lower encoder.n_inner_folds, encoder.chunk_length or encoder.trim_size" in str(error.value)


@pytest.mark.parametrize("options", [{"n_inner_folds": 1}, {"chunk_length": 0}, {"trim_size": -1}], ids=str)
def test_options_are_checked(options):
    with pytest.raises(
        ConfigError, match="encoder 'litcoder': n_inner_folds must be at least 2, chunk_length at least 1"
    ):
        Litcoder(**options)


def test_defaults_are_the_published_ones():
    encoder = Litcoder()

    np.testing.assert_allclose(encoder.alphas, np.logspace(-1, 8, 10))
    assert (encoder.folding, encoder.n_inner_folds, encoder.chunk_length, encoder.trim_size) == ("chunked", 5, 20, 5)
    assert (encoder.normalpha, encoder.singcutoff, encoder.single_alpha, encoder.score) == (
        True,
        1e-10,
        False,
        "correlation",
    )


def test_a_wider_grid_is_advised_where_it_would_help():
    (low,) = Litcoder().remarks(np.full((1, 9), 0.1))
    (high,) = Litcoder(alphas=(0.1, 1.0)).remarks(np.full((1, 9), 1.0))

    assert low.startswith("encoder 'litcoder': 100% of the fits chose the lowest penalty, 0.1.")
    assert high.startswith("encoder 'litcoder': 100% of the fits chose the highest penalty, 1.")
    assert Litcoder().remarks(np.full((1, 9), 1e8)) == ()  # larger ones predict alike
