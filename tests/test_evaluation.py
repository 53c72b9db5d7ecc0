from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn.linear_model import Ridge as SklearnRidge
from sklearn.metrics import r2_score

from brainexp.align.fold import fold_of_stories, folds_of_blocks
from brainexp.encoder.banded_ridge import BandedRidge
from brainexp.encoder.huth_bootstrap import HuthBootstrap
from brainexp.encoder.litcoder import Litcoder
from brainexp.encoder.ridge import Ridge
from brainexp.encoder.stacked import Stacked
from brainexp.evaluation import Evaluation, Target, evaluated, fit, moved_up, rows_of, scorable_voxels
from tests.problems import space

ENCODER = Ridge(alphas=(1.0, 10.0, 100.0, 1000.0))
N_ROWS, N_LAYERS = 90, 3
FOLDS = folds_of_blocks((N_ROWS,), n_folds=3, gap_trs=2)
PER_VOXEL = ("validation_r", "test_r", "test_r2", "layer", "penalty", "r", "r2")


def layers() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal((N_ROWS, 6)) for _ in range(N_LAYERS)]


def responses_of(planted, noise: float = 1.0) -> np.ndarray:
    """One voxel per entry, which names the layer it follows; None follows nothing."""
    rng = np.random.default_rng(1)
    features = layers()
    columns = [
        (0.0 if layer is None else features[layer] @ rng.standard_normal(6)) + noise * rng.standard_normal(N_ROWS)
        for layer in planted
    ]
    return np.column_stack(columns)


def target_of(values: np.ndarray, subject=None) -> Target:
    owner = np.zeros(values.shape[1], int) if subject is None else np.array(subject)
    scorable = scorable_voxels(values, FOLDS)
    return Target(values[:, scorable], owner[scorable], scorable)


def spaces_of(features=None):
    return [lambda values=values: space(values) for values in (layers() if features is None else features)]


def evaluate(target: Target, layer_choice="voxel", features=None, encoder=ENCODER, beside=()) -> Evaluation:
    return evaluated(encoder, spaces_of(features), target, FOLDS, layer_choice, "test", beside)


def changed_test_rows(values: np.ndarray, at: int) -> np.ndarray:
    changed = values.copy()
    changed[FOLDS[at].test] = 50.0 * np.random.default_rng(7).standard_normal(changed[FOLDS[at].test].shape)
    return changed


BANDED = BandedRidge(alphas=ENCODER.alphas, beside=("others",), n_shares=5)
ENCODERS = [
    pytest.param(ENCODER, "model", id="model"),
    pytest.param(ENCODER, "subject", id="subject"),
    pytest.param(ENCODER, "voxel", id="voxel"),
    pytest.param(replace(ENCODER, form="downdated"), "voxel", id="downdated"),
    pytest.param(BANDED, "voxel", id="banded"),
    pytest.param(replace(BANDED, layers="together"), "model", id="together"),
    pytest.param(Stacked(alphas=ENCODER.alphas, beside=("others",)), "model", id="stacked"),
]


def others():
    """A feature space of each subject's own."""
    return [space(np.random.default_rng(number).standard_normal((N_ROWS, 2))) for number in (5, 6)]


@pytest.mark.parametrize(("encoder", "layer_choice"), ENCODERS)
@pytest.mark.parametrize("at", range(len(FOLDS)))
def test_held_out_responses_never_change_the_layer_penalty_or_prediction_of_their_fold(layer_choice, at, encoder):
    values = responses_of([0, 1, 2, None, 1, 2])
    subject = [0, 0, 0, 1, 1, 1]
    beside = [others()] if encoder.beside else []

    before = evaluate(target_of(values, subject), layer_choice, encoder=encoder, beside=beside)
    changed = target_of(changed_test_rows(values, at), subject)
    after = evaluate(changed, layer_choice, encoder=encoder, beside=beside)

    np.testing.assert_array_equal(after.layer[at], before.layer[at])
    np.testing.assert_array_equal(after.penalty[at], before.penalty[at])
    np.testing.assert_array_equal(after.predicted[at], before.predicted[at])
    assert (after.r != before.r).all()  # the scores of the fold did change


def test_responses_that_are_trained_on_do_change_the_predictions_of_the_other_folds():
    values = responses_of([0, 1, 2, None])

    before, after = evaluate(target_of(values)), evaluate(target_of(changed_test_rows(values, 0)))

    for other in (1, 2):
        assert (after.predicted[other] != before.predicted[other]).any(axis=0).all()


def test_an_encoder_is_given_responses_of_training_rows_and_of_no_others():
    values = responses_of([0, 1, 2, None, 1, 2])
    given = []

    class Spy(Ridge):
        def fit(self, bands, responses, subject, fold):
            given.append((responses.copy(), subject, fold))
            return super().fit(bands, responses, subject, fold)

    evaluate(target_of(values, [0, 0, 0, 1, 1, 1]), encoder=Spy(alphas=ENCODER.alphas))

    assert len(given) == N_LAYERS * len(FOLDS)
    for responses, subject, fold in given:
        np.testing.assert_array_equal(responses, values[fold.train])
        assert subject.tolist() == [0, 0, 0, 1, 1, 1]
        assert not set(fold.train) & set(fold.test)


@pytest.mark.parametrize("at", range(len(FOLDS)))
def test_held_out_features_never_change_the_layer_or_penalty_of_their_fold(at):
    values = responses_of([0, 1, 2, None])
    features = layers()
    for layer in features:
        layer[FOLDS[at].test] += 5.0

    before, after = evaluate(target_of(values)), evaluate(target_of(values), features=features)

    np.testing.assert_array_equal(after.layer[at], before.layer[at])
    np.testing.assert_array_equal(after.penalty[at], before.penalty[at])


def test_rows_of_the_gap_are_neither_trained_nor_tested_on():
    values = responses_of([0, 1, 2])
    first = FOLDS[0]
    gap = np.setdiff1d(np.arange(N_ROWS), np.union1d(first.train, first.test))
    changed = values.copy()
    changed[gap] += 100.0

    before, after = evaluate(target_of(values)), evaluate(target_of(changed))

    assert gap.size == 2
    np.testing.assert_array_equal(after.predicted[0], before.predicted[0])
    np.testing.assert_array_equal(target_of(changed).held_out(first), target_of(values).held_out(first))


def test_one_layer_for_the_model_is_the_one_that_most_voxels_follow():
    found = evaluate(target_of(responses_of([1, 1, 1, 2, None])), "model")

    assert (found.layer == 1).all()


def test_each_subject_has_the_layer_that_was_planted():
    subject = [0, 0, 1, 1, 2, 2]

    found = evaluate(target_of(responses_of([2, 2, 0, 0, 1, 1]), subject), "subject")

    np.testing.assert_array_equal(found.layer, np.tile([2, 2, 0, 0, 1, 1], (len(FOLDS), 1)))


def test_within_a_subject_the_layer_is_the_same_even_where_a_voxel_follows_another():
    subject = [0, 0, 0, 1, 1, 1]

    found = evaluate(target_of(responses_of([2, 2, 0, 0, 0, 1]), subject), "subject")

    np.testing.assert_array_equal(found.layer, np.tile([2, 2, 2, 0, 0, 0], (len(FOLDS), 1)))


def test_each_voxel_has_the_layer_that_was_planted():
    found = evaluate(target_of(responses_of([2, 0, 1, 1, 0, 2])), "voxel")

    np.testing.assert_array_equal(found.layer, np.tile([2, 0, 1, 1, 0, 2], (len(FOLDS), 1)))
    assert (found.r > 0.5).all()


def test_the_layer_chosen_is_that_of_the_highest_validation_r_and_not_of_the_highest_test_r():
    values = responses_of([None] * 30)

    found = evaluate(target_of(values), "voxel")

    chosen = np.take_along_axis(found.test_r, found.layer, axis=0).mean(axis=0)
    assert abs(chosen.mean()) < 0.1
    assert found.test_r.max(axis=0).mean() > 0.05  # what choosing on the test would have reported


def test_noise_scores_about_zero_at_every_layer():
    found = evaluate(target_of(responses_of([None] * 60)))

    assert np.abs(found.test_r.mean(axis=1)).max() < 0.1
    assert abs(found.r.mean()) < 0.1
    assert found.r2.mean() < 0.05


def test_scores_and_predictions_equal_those_of_scikit_learns_ridge_at_the_chosen_layer_and_penalty():
    values = responses_of([0, 1, 2, None])
    features = layers()

    found = evaluate(target_of(values))

    r, r2 = np.empty((3, 4)), np.empty((3, 4))
    for at, fold in enumerate(FOLDS):
        for voxel in range(4):
            design = features[found.layer[at, voxel]]
            scaled = (design - design[fold.train].mean(axis=0)) / design[fold.train].std(axis=0)
            ridge = SklearnRidge(alpha=found.penalty[at, 0, voxel]).fit(scaled[fold.train], values[fold.train, voxel])
            predicted = ridge.predict(scaled[fold.test])
            np.testing.assert_allclose(found.predicted[at][:, voxel], predicted, rtol=1e-4, atol=1e-5)
            r[at, voxel] = pearsonr(values[fold.test, voxel], predicted)[0]
            r2[at, voxel] = r2_score(values[fold.test, voxel], predicted)
    np.testing.assert_allclose(found.r, r.mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(found.r2, r2.mean(axis=0), atol=1e-4)


def test_the_curve_at_a_layer_is_the_mean_r_over_folds_of_that_layer_alone():
    values = responses_of([0, 1, 2, None])

    together = evaluate(target_of(values))
    alone = evaluate(target_of(values), features=[layers()[1]])

    np.testing.assert_allclose(together.test_r[1], alone.r, atol=1e-6)
    np.testing.assert_allclose(together.validation_r[1], alone.validation_r[0], atol=1e-6)
    assert (alone.layer == 0).all()


def test_the_first_of_equal_layers_is_chosen():
    design = layers()[0]

    found = evaluate(target_of(responses_of([0, 0, None])), features=[design, design.copy()])

    assert (found.layer == 0).all()


def test_a_layer_that_is_constant_never_beats_one_that_varies():
    features = [np.ones((N_ROWS, 6)), layers()[1]]

    found = evaluate(target_of(responses_of([None] * 12)), features=features)

    assert (found.validation_r[1] < 0).any()  # where the varying layer is worse than nothing
    assert (found.layer == 1).all()
    assert np.isfinite(found.r).all()


def test_each_layer_is_made_once():
    made = []

    def design_of(layer: int):
        def design():
            made.append(layer)
            return space(layers()[layer])

        return design

    evaluated(
        ENCODER, [design_of(layer) for layer in range(N_LAYERS)], target_of(responses_of([0])), FOLDS, "model", "test"
    )

    assert made == [0, 1, 2]


def drifting() -> list[np.ndarray]:
    """Regressors of no interest of two subjects."""
    return [np.random.default_rng(seed).standard_normal((N_ROWS, 2)).cumsum(axis=0) for seed in (3, 4)]


def with_drift(values: np.ndarray, subject: list[int]) -> Target:
    moved = values + np.column_stack([5.0 * drifting()[owner].sum(axis=1) for owner in subject])
    return Target(moved, np.array(subject), np.ones(len(subject), bool), drifting())


def test_each_fold_is_fitted_and_scored_on_responses_of_its_own():
    """Weights of nuisance regressors are each subject's and each fold's, learned on its training rows."""
    subject = [0, 1, 0, 1]
    target = with_drift(responses_of([0, 1, 2, None]), subject)

    found = evaluate(target)

    for at, fold in enumerate(FOLDS):
        own = np.empty_like(target.values)
        for voxel, owner in enumerate(subject):
            design = np.column_stack([np.ones(N_ROWS), drifting()[owner]])
            weights = np.linalg.lstsq(design[fold.train], target.values[fold.train, voxel])[0]
            own[:, voxel] = target.values[:, voxel] - design @ weights
        np.testing.assert_allclose(target.held_out(fold), own[fold.test], atol=1e-9)
        alone = evaluate(target_of(own))
        np.testing.assert_allclose(found.predicted[at], alone.predicted[at], atol=1e-4)


@pytest.mark.parametrize("at", range(len(FOLDS)))
def test_held_out_responses_do_not_change_what_is_removed_either(at):
    subject = [0, 1, 0, 1]
    target = with_drift(responses_of([0, 1, 2, None]), subject)
    changed = Target(changed_test_rows(target.values, at), target.subject, target.scorable, target.nuisance)

    before, after = evaluate(target), evaluate(changed)

    np.testing.assert_array_equal(after.predicted[at], before.predicted[at])
    np.testing.assert_array_equal(after.penalty[at], before.penalty[at])


def test_unscorable_voxels_score_nan_and_leave_the_others_alone():
    values = responses_of([0, 1, 2, 0, 1])
    broken = values.copy()
    broken[5, 1] = np.nan
    broken[:, 3] = 0.1
    target = target_of(broken)

    found = evaluate(target)

    assert target.scorable.tolist() == [True, False, True, False, True]
    whole = evaluate(target_of(values))
    for name in ("validation_r", "test_r", "test_r2", "penalty", "r", "r2"):
        scores = getattr(found, name)
        assert np.isnan(scores[..., [1, 3]]).all()
        np.testing.assert_allclose(scores[..., [0, 2, 4]], getattr(whole, name)[..., [0, 2, 4]], atol=1e-5)
    assert (found.layer[:, [1, 3]] == -1).all()
    assert (found.layer[:, [0, 2, 4]] == whole.layer[:, [0, 2, 4]]).all()
    assert all(fold.shape[1] == 3 and np.isfinite(fold).all() for fold in found.predicted)


def test_unscorable_voxels_have_no_say_in_the_layer():
    values = responses_of([2, 0, 0, 0])
    values[0, 1:] = np.nan

    found = evaluate(target_of(values), "model")

    assert (found.layer[:, 0] == 2).all()
    assert found.usual_layer.tolist() == [2, 2, 2]


@pytest.mark.parametrize("layer_choice", ["subject", "voxel"])
def test_subjects_score_together_as_each_does_alone(layer_choice):
    values, subject = responses_of([2, 0, 1, None, 1, 2, 0]), np.array([0, 1, 0, 1, 1, 2, 2])

    together = evaluate(target_of(values, subject), layer_choice)

    for number in range(3):
        own = np.flatnonzero(subject == number)
        alone = evaluate(target_of(values[:, own]), layer_choice)
        for name in PER_VOXEL:
            np.testing.assert_allclose(getattr(together, name)[..., own], getattr(alone, name), atol=1e-6)
        for one, other in zip(together.predicted, alone.predicted, strict=True):
            np.testing.assert_allclose(one[:, own], other, atol=2e-6)


def test_values_of_scorable_voxels_are_spread_among_all():
    values = responses_of([0, 1, 2, 0])
    values[0, 2] = np.nan

    spread = target_of(values).spread(np.array([[1.0, 2.0, 3.0]]))

    np.testing.assert_array_equal(spread, [[1.0, 2.0, np.nan, 3.0]])


def test_a_space_of_each_subjects_own_serves_that_subject_alone():
    """Two subjects, their voxels mixed: each is fitted with the common space and its own, and put back in its place."""
    values, subject = responses_of([0, 1, 2, None, 1]), np.array([1, 0, 1, 0, 0])
    encoder = BandedRidge(alphas=ENCODER.alphas, beside=("others",), n_shares=4)
    fold, common = FOLDS[0], space(layers()[0])

    found = fit(encoder.fit, [common, others()], values[fold.train], subject, fold)

    for number in (0, 1):
        own = np.flatnonzero(subject == number)
        alone = encoder.fit([common, others()[number]], values[fold.train][:, own], subject[own], fold)
        np.testing.assert_array_equal(found.predicted[:, own], alone.predicted)
        np.testing.assert_array_equal(found.validation_r[own], alone.validation_r)
        np.testing.assert_array_equal(found.penalty[:, own], alone.penalty)


def test_a_voxel_that_follows_a_space_of_its_own_subject_is_predicted_for_that_subject():
    """Movement that one subject made predicts this subject and, handed to the other, nothing."""
    moved = [one.runs[0] @ np.ones(2) for one in others()]
    rng = np.random.default_rng(11)
    values = np.column_stack([moved[owner] + 0.3 * rng.standard_normal(N_ROWS) for owner in (0, 1, 0, 1)])
    target = target_of(values, [0, 1, 0, 1])
    encoder = BandedRidge(alphas=ENCODER.alphas, beside=("others",), n_shares=4)

    own = evaluate(target, encoder=encoder, beside=[others()])
    exchanged = evaluate(target, encoder=encoder, beside=[others()[::-1]])

    assert (own.r > 0.8).all()
    assert (np.abs(exchanged.r) < 0.4).all()
    assert (own.penalty[:, 1] < own.penalty[:, 0]).all()


def test_an_encoder_that_takes_layers_together_has_one_layer_and_a_penalty_per_space():
    values = responses_of([0, 1, 2, None])

    found = evaluate(target_of(values), encoder=Stacked(alphas=ENCODER.alphas), beside=[space(layers()[0])])

    assert found.test_r.shape == (1, 4)
    assert (found.layer == 0).all()
    assert found.penalty.shape == (len(FOLDS), N_LAYERS + 1, 4)
    assert (found.r[:3] > 0.5).all()


def test_voxels_with_nan_or_constant_in_a_held_out_block_cannot_be_scored():
    values = np.random.default_rng(2).standard_normal((N_ROWS, 6))
    values[10, 1] = np.nan
    values[20, 2] = np.inf
    values[:, 3] = 4.0
    values[FOLDS[1].test, 4] = 0.0  # constant in one block only

    scorable = scorable_voxels(values, FOLDS)

    assert scorable.tolist() == [True, False, False, False, False, True]


def test_rows_that_follow_each_other_are_not_copied():
    values = np.arange(24.0).reshape(8, 3)

    for rows in ([2, 3, 4], [0], list(range(8))):
        found = rows_of(values, np.array(rows))
        np.testing.assert_array_equal(found, values[rows])
        assert np.shares_memory(found, values)
    for rows in ([2, 4], [3, 2], [1, 1], []):
        found = rows_of(values, np.array(rows, int))
        np.testing.assert_array_equal(found, values[np.array(rows, int)])
        assert not np.shares_memory(found, values)


@pytest.mark.parametrize("kept", [[1, 1, 1, 1, 1], [0, 0, 1, 0, 1], [1, 0, 0, 0, 0], [0, 1, 1, 1, 1], [0, 0, 0, 0, 0]])
def test_columns_move_up_in_their_own_memory(kept):
    values = np.random.default_rng(0).standard_normal((7, 5)).astype(np.float32)
    expected = values[:, np.array(kept, bool)].copy()

    found = moved_up(values, np.array(kept, bool))

    np.testing.assert_array_equal(found, expected)
    assert found.flags.c_contiguous
    assert np.shares_memory(found, values) or not any(kept)


def test_voxels_are_judged_alike_in_pieces_and_at_once(monkeypatch):
    values = np.random.default_rng(0).standard_normal((N_ROWS, 11))
    values[3, 4], values[:, 7], values[FOLDS[1].test, 9] = np.nan, 1.0, 2.0

    at_once = scorable_voxels(values, FOLDS)
    monkeypatch.setattr("brainexp.evaluation.VOXELS_AT_ONCE", 2)

    assert np.flatnonzero(~at_once).tolist() == [4, 7, 9]
    np.testing.assert_array_equal(scorable_voxels(values, FOLDS), at_once)


@pytest.mark.parametrize(
    "encoder",
    [ENCODER, BandedRidge(), Stacked(), HuthBootstrap(chunklen=5), Litcoder(chunk_length=5)],
    ids=lambda one: type(one).__name__,
)
def test_encoders_leave_responses_as_they_are_and_find_the_same_in_a_view(encoder):
    """With declared test stories training rows are a view of all rows, which must neither change nor show held-out ones."""
    folds = fold_of_stories((30, 30, 30), test=[2], n_inner=2)
    values = responses_of([0, 1, None]).astype(np.float32)
    kept = values.copy()
    spaces = [lambda given=given: space(given) for given in layers()[:1]]

    found = evaluated(encoder, spaces, Target(values, np.zeros(3, int), np.ones(3, bool)), folds, "model", "layers")
    fitted = encoder.fit([space(layers()[0])], values[folds[0].train], np.zeros(3, int), folds[0])

    np.testing.assert_array_equal(values, kept)
    np.testing.assert_array_equal(found.predicted[0], fitted.predicted)
