"""Bootstrap ridge against a transcription of the published formulas on the same arrays and the same draws."""

import dataclasses

import numpy as np
import pytest
from sklearn.linear_model import Ridge as SklearnRidge

from brainexp.containers import Design
from brainexp.encoder.huth_bootstrap import HuthBootstrap
from brainexp.errors import ConfigError
from brainexp.registry import ENCODERS
from tests.encoder.published import encoded, problem, run_of_row

LENGTHS = (50, 45, 55, 40)
ALPHAS = (1.0, 5.0, 20.0, 90.0)
SMALL = {"alphas": ALPHAS, "nboots": 3, "chunklen": 10, "nchunks": 3}
SUBJECT = np.array([0, 0, 1, 1, 1])


def draws_of(encoder, fold, lengths=LENGTHS):
    return encoder.draws(fold.train, run_of_row(lengths)[fold.train])


def agrees_with_the_transcription(encoder, design, responses, fold):
    draws = draws_of(encoder, fold)
    alphas, validation_r, predicted = encoded(encoder, design, responses, SUBJECT, fold, LENGTHS, draws)

    fitted = encoder.fit([design], responses[fold.train], SUBJECT, fold)

    np.testing.assert_array_equal(fitted.penalty, alphas[None])
    np.testing.assert_allclose(fitted.validation_r, validation_r, atol=1e-10)
    np.testing.assert_allclose(fitted.predicted, predicted, atol=1e-8)
    return alphas


@pytest.mark.parametrize("n_dims", [6, 60, 120])  # fewer features than rows; between fitted and training rows; more
@pytest.mark.parametrize("score", ["correlation", "signed_r2", "halfway_signed_r2", "clipped_r2"])
@pytest.mark.parametrize("single_alpha", [False, True])
def test_alphas_scores_and_predictions_are_the_published_ones(rng, n_dims, score, single_alpha):
    design, responses, fold = problem(rng, LENGTHS, n_dims)

    agrees_with_the_transcription(
        HuthBootstrap(**SMALL, score=score, single_alpha=single_alpha), design, responses, fold
    )


@pytest.mark.parametrize("n_dims", [6, 120])
@pytest.mark.parametrize("split", ["run", "block"])
@pytest.mark.parametrize(
    "options",
    [
        {"standardise": "run"},
        {"respect_runs": False},
        {"normalpha": True, "alphas": (0.01, 0.1, 1.0)},
        {"singcutoff": 12.0},
        {"standardise": "run", "respect_runs": False, "single_alpha": True, "nboots": 1, "score": "halfway_signed_r2"},
    ],
    ids=str,
)
def test_every_option_does_what_the_published_one_does(rng, n_dims, split, options):
    design, responses, fold = problem(rng, LENGTHS, n_dims, split=split)

    agrees_with_the_transcription(HuthBootstrap(**{**SMALL, **options}), design, responses, fold)


def test_the_problems_make_a_choice_of_alpha(rng):
    """Else the comparison above would compare little."""
    design, responses, fold = problem(rng, LENGTHS, 60)

    chosen = agrees_with_the_transcription(HuthBootstrap(**SMALL), design, responses, fold)

    assert len(set(chosen)) >= 2


@pytest.mark.parametrize(
    "options",
    [
        {"standardise": "run"},
        {"respect_runs": False},
        {"normalpha": True},
        {"singcutoff": 12.0},
        {"seed": 1},
        {"nboots": 1},
    ],
    ids=str,
)
def test_every_option_makes_a_difference(rng, options):
    """Else the comparisons above would not see an option that does nothing."""
    design, responses, fold = problem(rng, LENGTHS, 60)

    plain = HuthBootstrap(**SMALL).fit([design], responses[fold.train], SUBJECT, fold)
    other = HuthBootstrap(**{**SMALL, **options}).fit([design], responses[fold.train], SUBJECT, fold)

    assert not np.allclose(other.validation_r, plain.validation_r)


@pytest.mark.parametrize("n_dims", [6, 120])
@pytest.mark.parametrize("alpha", [2.0, 30.0])
def test_alpha_is_the_square_root_of_that_of_scikit_learn(rng, n_dims, alpha):
    design, responses, fold = problem(rng, LENGTHS, n_dims)
    features = design.matrix()
    scaled = (features - features[fold.train].mean(0)) / features[fold.train].std(0)

    fitted = HuthBootstrap(**{**SMALL, "alphas": (alpha,)}).fit([design], responses[fold.train], SUBJECT, fold)

    solver = SklearnRidge(alpha=alpha**2, solver="svd").fit(scaled[fold.train], responses[fold.train])
    np.testing.assert_allclose(fitted.predicted, solver.predict(scaled[fold.test]), atol=1e-8)


@pytest.mark.parametrize("voxels_per_batch", [1, 2, 5, 1000])
def test_batches_of_voxels_change_nothing(rng, voxels_per_batch):
    design, responses, fold = problem(rng, LENGTHS, 60)
    encoder = HuthBootstrap(**SMALL, single_alpha=True)

    whole = encoder.fit([design], responses[fold.train], SUBJECT, fold)
    parts = dataclasses.replace(encoder, voxels_per_batch=voxels_per_batch).fit(
        [design], responses[fold.train], SUBJECT, fold
    )

    np.testing.assert_array_equal(parts.penalty, whole.penalty)
    np.testing.assert_allclose(parts.predicted, whole.predicted, atol=1e-10)


def test_one_alpha_per_subject_and_not_for_all(rng):
    """Subject 0 follows the features closely, subject 1 is almost noise and wants more shrinkage."""
    design, responses, fold = problem(rng, LENGTHS, 60)
    noisy = responses + np.array([0, 0, 1, 1, 1]) * 60 * rng.standard_normal(responses.shape)
    encoder = HuthBootstrap(**{**SMALL, "nboots": 10})

    own = encoder.fit([design], noisy[fold.train], SUBJECT, fold).penalty[0]
    single = dataclasses.replace(encoder, single_alpha=True).fit([design], noisy[fold.train], SUBJECT, fold).penalty[0]

    assert len(set(own)) > 2
    assert len(set(single[:2])) == len(set(single[2:])) == 1
    assert single[0] != single[2]


@pytest.mark.parametrize(
    "options", [{}, {"standardise": "run"}, {"respect_runs": False, "single_alpha": True}], ids=str
)
@pytest.mark.parametrize("split", ["run", "block"])
def test_held_out_responses_are_not_read(rng, split, options):
    design, responses, fold = problem(rng, LENGTHS, 60, split=split)
    encoder = HuthBootstrap(**SMALL, **options)
    unknown = responses.copy()
    unknown[np.setdiff1d(np.arange(len(responses)), fold.train)] = np.nan

    known, blind = (encoder.fit([design], values[fold.train], SUBJECT, fold) for values in (responses, unknown))

    for name in ("validation_r", "penalty", "predicted"):
        np.testing.assert_array_equal(getattr(blind, name), getattr(known, name))


@pytest.mark.parametrize("standardise", ["train", "run"])
@pytest.mark.parametrize("split", ["run", "block"])
def test_held_out_features_choose_nothing_and_move_other_predictions_only_as_published(rng, split, standardise):
    design, responses, fold = problem(rng, LENGTHS, 20, split=split, delays=(0,))
    encoder = HuthBootstrap(**SMALL, standardise=standardise)
    stacked_at = np.concatenate([1000 * at + np.arange(3, n + 3) for at, n in enumerate(LENGTHS)])
    run, row = divmod(stacked_at[fold.test[-1]], 1000)
    changed = [values.copy() for values in design.runs]
    changed[run][row] += 100.0

    before = encoder.fit([design], responses[fold.train], SUBJECT, fold)
    after = encoder.fit([dataclasses.replace(design, runs=tuple(changed))], responses[fold.train], SUBJECT, fold)

    np.testing.assert_array_equal(after.penalty, before.penalty)
    np.testing.assert_array_equal(after.validation_r, before.validation_r)
    others_move = not np.allclose(after.predicted[:-1], before.predicted[:-1])
    assert others_move == (standardise == "run")


@pytest.mark.parametrize("n_dims", [10, 200])
def test_a_planted_signal_is_found_and_a_shuffled_one_is_not(rng, n_dims):
    lengths = (200, 180, 220, 200)
    design, responses, fold = problem(rng, lengths, n_dims, n_voxels=20, noise=0.3)
    subject = np.repeat([0, 1], 10)
    encoder = HuthBootstrap(nboots=5, chunklen=20)
    shuffled = responses[rng.permutation(len(responses))]

    found, lost = (encoder.fit([design], values[fold.train], subject, fold) for values in (responses, shuffled))

    def r(fitted, values):
        return np.array(
            [np.corrcoef(*pair)[0, 1] for pair in zip(values[fold.test].T, fitted.predicted.T, strict=True)]
        )

    assert r(found, responses).mean() > 0.3
    assert found.validation_r.mean() > 0.3
    assert abs(r(lost, shuffled).mean()) < 0.06
    assert abs(lost.validation_r.mean()) < 0.1


def test_draws_hold_out_whole_chunks_of_one_run_and_fit_the_rest(rng):
    _, _, fold = problem(rng, LENGTHS, split="block")
    run = run_of_row(LENGTHS)[fold.train]
    encoder = HuthBootstrap(nboots=30, chunklen=7, nchunks=4)

    draws = draws_of(encoder, fold)

    assert len(draws) == 30
    for fit, held in draws:
        np.testing.assert_array_equal(np.sort(np.concatenate([fit, held])), np.arange(len(fold.train)))
        assert len(held) == 4 * 7
        for chunk in held.reshape(4, 7):
            assert len(set(run[chunk])) == 1
            np.testing.assert_array_equal(np.diff(fold.train[chunk]), 1)


def test_published_draws_cut_the_stacked_runs_as_one(rng):
    _, _, fold = problem(rng, LENGTHS)
    run = run_of_row(LENGTHS)[fold.train]
    encoder = HuthBootstrap(nboots=30, chunklen=7, nchunks=4, respect_runs=False)

    starts = {int(start) for _, held in draws_of(encoder, fold) for start in held.reshape(4, 7)[:, 0]}

    assert starts == set(range(0, len(fold.train) // 7 * 7, 7))
    assert any(len(set(run[start : start + 7])) == 2 for start in starts)


def test_draws_are_those_of_the_seed(rng):
    _, _, fold = problem(rng, LENGTHS)

    one, again, other = (
        [held.tolist() for _, held in draws_of(HuthBootstrap(**SMALL, seed=seed), fold)] for seed in (3, 3, 4)
    )

    assert one == again
    assert one != other
    assert one[0] != one[1] != one[2]


@pytest.mark.parametrize(("nchunks", "n_held"), [(0.2, 3), (0.25, 4), (0.5, 8), (1, 1), (5, 5)])
def test_a_share_is_rounded_up_to_whole_chunks(nchunks, n_held):
    encoder = HuthBootstrap(nboots=1, chunklen=10, nchunks=nchunks)

    ((_, held),) = encoder.draws(np.arange(145), np.zeros(145, int))

    assert len(held) == 10 * n_held


def test_features_that_do_not_vary_are_left_out(rng):
    design, responses, fold = problem(rng, LENGTHS, 6)
    padded = Design(
        design.name,
        tuple(np.hstack([run, np.full((len(run), 3), 7.3)]) for run in design.runs),
        design.rows,
        (1, 2),
    )
    encoder = HuthBootstrap(**SMALL)

    plain, more = (encoder.fit([one], responses[fold.train], SUBJECT, fold) for one in (design, padded))

    np.testing.assert_array_equal(more.penalty, plain.penalty)
    np.testing.assert_allclose(more.predicted, plain.predicted, atol=1e-9)


def test_without_a_feature_that_varies_the_mean_is_predicted_and_there_is_no_r(rng):
    design, responses, fold = problem(rng, LENGTHS, 6)
    flat = dataclasses.replace(design, runs=tuple(np.ones_like(run) for run in design.runs), delays=(0,))

    fitted = HuthBootstrap(**SMALL).fit([flat], responses[fold.train], SUBJECT, fold)

    np.testing.assert_allclose(fitted.predicted, np.tile(responses[fold.train].mean(0), (len(fold.test), 1)))
    assert np.isnan(fitted.validation_r).all()
    assert fitted.penalty.shape == (1, 5)
    assert np.isnan(fitted.penalty).all()


def test_a_voxel_that_is_constant_on_training_rows_gets_its_mean(rng):
    design, responses, fold = problem(rng, LENGTHS, 6)
    responses[fold.train, 2] = 4.2

    fitted = HuthBootstrap(**SMALL).fit([design], responses[fold.train], SUBJECT, fold)

    np.testing.assert_allclose(fitted.predicted[:, 2], 4.2)
    assert fitted.validation_r[2] == 0
    assert np.isfinite(fitted.predicted).all()


def test_bands_stand_side_by_side_with_one_penalty(rng):
    design, responses, fold = problem(rng, LENGTHS, 6, delays=(1,))
    halves = [
        dataclasses.replace(design, runs=tuple(run[:, part] for run in design.runs))
        for part in (slice(0, 2), slice(2, 6))
    ]
    encoder = HuthBootstrap(**SMALL)

    one, two = (encoder.fit(bands, responses[fold.train], SUBJECT, fold) for bands in ([design], halves))

    np.testing.assert_allclose(two.predicted, one.predicted, atol=1e-10)
    np.testing.assert_array_equal(two.penalty, np.tile(one.penalty, (2, 1)))
    assert not encoder.together
    assert encoder.beside == ()


def test_single_precision_gives_the_same_numbers(rng):
    design, responses, fold = problem(rng, LENGTHS, 60)
    single = dataclasses.replace(design, runs=tuple(run.astype(np.float32) for run in design.runs))
    encoder = HuthBootstrap(**SMALL)

    exact = encoder.fit([design], responses[fold.train], SUBJECT, fold)
    rounded = encoder.fit([single], responses.astype(np.float32)[fold.train], SUBJECT, fold)

    assert rounded.predicted.dtype == np.float64
    np.testing.assert_array_equal(rounded.penalty, exact.penalty)
    np.testing.assert_allclose(rounded.predicted, exact.predicted, rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "n_rows", "why"),
    [
        (
            {"nchunks": 125},
            3000,
            "3000 training rows hold 75 chunks of chunklen=40 TRs, and nchunks=125 asks to hold out 125",
        ),
        ({}, 60, "60 training rows hold 1 chunks of chunklen=40 TRs, and nchunks=0.2 asks to hold out 1 of them"),
        ({}, 30, "30 training rows hold 0 chunks"),
        ({"chunklen": 1, "nchunks": 2}, 30, "There must be 3 TRs to validate on and a chunk to fit"),
    ],
    ids=str,
)
def test_too_few_rows_for_the_chunks_are_an_error_with_a_way_out(options, n_rows, why):
    with pytest.raises(ConfigError, match=why) as error:
        HuthBootstrap(**options).draws(np.arange(n_rows), np.zeros(n_rows, int))

    assert "Give another encoder.chunklen or encoder.nchunks (0.2 takes a fifth of the rows)." in str(error.value)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"alphas": ()}, r"alphas must be positive, got \(\)"),
        ({"alphas": (1.0, 0.0)}, "alphas must be positive, got"),
        ({"nboots": 0}, "nboots and chunklen must be at least 1, got 0 and 40"),
        ({"chunklen": 0}, "nboots and chunklen must be at least 1, got 50 and 0"),
        ({"nchunks": 0}, "nchunks must be a whole number of chunks, or a share of the rows between 0 and 1, got 0"),
        ({"nchunks": 1.5}, "nchunks must be a whole number of chunks, or a share of the rows between 0 and 1, got 1.5"),
        ({"singcutoff": -1.0}, "singcutoff must not be negative, got -1.0"),
        ({"voxels_per_batch": 0}, "voxels_per_batch must be at least 1, got 0"),
    ],
    ids=str,
)
def test_options_are_checked(options, why):
    with pytest.raises(ConfigError, match=f"encoder 'huth_bootstrap': {why}"):
        HuthBootstrap(**options)


def test_penalties_at_an_edge_of_the_grid_are_remarked():
    encoder = HuthBootstrap(alphas=(1.0, 30.0, 1000.0))

    assert encoder.remarks(np.array([[30.0] * 9 + [1.0]])) == ()
    (low,) = encoder.remarks(np.array([[1.0] * 3 + [30.0] * 7]))
    assert (
        low
        == "encoder 'huth_bootstrap': 30% of the fits chose the lowest penalty, 1. Add lower ones to encoder.alphas."
    )
    (high,) = encoder.remarks(np.full((2, 10), 1000.0))
    assert high.startswith("encoder 'huth_bootstrap': 100% of the fits chose the highest penalty, 1000.")


@pytest.mark.parametrize(
    ("preset", "settings"),
    [
        ("huth_bootstrap", ((1, 3, 10), 50, 40, 0.2, False, "correlation")),
        ("deep_fmri", ((1, 3, 10), 50, 40, 125, False, "halfway_signed_r2")),
        ("scaling_laws", ((1, 4, 15), 3, 20, 0.25, False, "halfway_signed_r2")),
        ("semantic_decoding", ((1, 3, 10), 50, 40, 0.2, False, "clipped_r2")),
        ("oota", ((1, 3, 10), 1, 40, 20, True, "correlation")),
        ("oota_s1", ((1, 3, 10), 1, 40, 0.1, True, "correlation")),
    ],
)
def test_presets_are_the_published_settings_without_the_published_leaks(composed, preset, settings):
    built = ENCODERS.build(composed(f"encoder={preset}")["encoder"])

    grid, *rest = settings
    np.testing.assert_allclose(built.alphas, np.logspace(*grid), rtol=1e-14)
    assert [built.nboots, built.chunklen, built.nchunks, built.single_alpha, built.score] == rest
    assert not built.normalpha
    assert built.singcutoff == 1e-10
    assert built.respect_runs
    assert built.standardise == "train"


def test_a_missing_gpu_is_an_objection(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    assert HuthBootstrap().objection() is None
    assert "finds no GPU. Give encoder.device=cpu" in HuthBootstrap(device="cuda").objection()


@pytest.mark.gpu
@pytest.mark.parametrize("n_dims", [6, 120])
def test_the_gpu_gives_the_same_numbers(rng, n_dims):
    design, responses, fold = problem(rng, LENGTHS, n_dims)

    host, device = (
        HuthBootstrap(**SMALL, device=device).fit([design], responses[fold.train], SUBJECT, fold)
        for device in ("cpu", "cuda")
    )

    np.testing.assert_array_equal(device.penalty, host.penalty)
    np.testing.assert_allclose(device.predicted, host.predicted, atol=1e-8)
