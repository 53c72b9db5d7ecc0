import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn.kernel_ridge import KernelRidge

from brainexp.align.fold import folds_of_runs
from brainexp.score.ceiling import cross_subject_r, source_subsets
from brainexp.score.ceiling.cross_subject import ALPHAS, MOST_SIZES, _pooled_prediction, _source_kernel

FOLD = folds_of_runs([60] * 4, 4)[1]


def people(n_people=4, n_voxels=30, noise=2.0, seed=0):
    """A common signal of five courses, mixed by everyone's own weights, and everyone's own number of noisy voxels."""
    rng = np.random.default_rng(seed)
    signal = rng.standard_normal((240, 5))
    return [
        signal @ rng.standard_normal((5, n_voxels + at)) + noise * rng.standard_normal((240, n_voxels + at))
        for at in range(n_people)
    ]


def all_but_one(n_people):
    return [tuple(at for at in range(n_people) if at != left_out) for left_out in range(n_people)]


def test_legacy_is_scikit_learns_kernel_ridge_and_the_mean_over_single_sources():
    responses = [one + 3.0 for one in people()]  # without an intercept the offset matters
    subsets = [(0,), (1,), (0, 2), (0, 1, 2)]
    r = {}
    for source in range(3):
        model = KernelRidge().fit(responses[source][FOLD.train], responses[3][FOLD.train])
        predicted = model.predict(responses[source][FOLD.test])
        r[source] = [pearsonr(a, b)[0] for a, b in zip(responses[3][FOLD.test].T, predicted.T, strict=True)]

    found = cross_subject_r(responses, FOLD, subsets, legacy=True)[3]

    expected = [np.mean([r[source] for source in sources], axis=0) for sources in subsets]
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-9)


def test_pooled_is_ridge_on_all_sources_voxels_with_the_penalty_chosen_on_training_rows():
    """From scratch: concatenated standardised voxels, inner folds by hand, the penalty of the highest mean r."""
    responses = people(3)
    stacked = []
    for source in (0, 1):
        mean, scale = responses[source][FOLD.train].mean(axis=0), responses[source][FOLD.train].std(axis=0)
        scaled = (responses[source] - mean) / scale
        stacked.append(scaled / np.sqrt(2 * scaled.shape[1]))
    features = np.hstack(stacked)

    def ridge(fit, rows, alpha):
        mean, offset = features[fit].mean(axis=0), responses[2][fit].mean(axis=0)
        gram = (features[fit] - mean).T @ (features[fit] - mean) + alpha * len(FOLD.train) * np.eye(features.shape[1])
        weights = np.linalg.solve(gram, (features[fit] - mean).T @ (responses[2][fit] - offset))
        return (features[rows] - mean) @ weights + offset

    def r(rows, predicted):
        return np.array([pearsonr(a, b)[0] for a, b in zip(responses[2][rows].T, predicted.T, strict=True)])

    inner = [(FOLD.train[fit], FOLD.train[validate]) for fit, validate in FOLD.inner]
    merit = [np.mean([r(rows, ridge(fit, rows, alpha)) for fit, rows in inner], axis=0) for alpha in ALPHAS]
    best = np.argmax(merit, axis=0)
    by_alpha = np.stack([r(FOLD.test, ridge(FOLD.train, FOLD.test, alpha)) for alpha in ALPHAS])
    expected = by_alpha[best, np.arange(len(best))]

    found = cross_subject_r(responses, FOLD, [(0, 1)])[2]

    assert len(np.unique(best)) > 1
    np.testing.assert_allclose(found[0, 0], expected, atol=1e-6)


def test_pooled_r_rises_with_the_number_of_sources_towards_the_ceiling_and_legacy_does_not():
    responses = people(7, noise=6.0)
    share = 5 / (5 + 36)
    subsets = [tuple(range(size)) for size in (1, 3, 6)]

    pooled, legacy = (
        cross_subject_r(responses, FOLD, subsets, legacy=legacy)[6].mean(axis=(1, 2)) for legacy in (False, True)
    )

    assert pooled[0] + 0.03 < pooled[1] < pooled[2] < np.sqrt(share) + 0.02
    assert np.ptp(legacy) < 0.03


@pytest.mark.parametrize("legacy", [False, True])
def test_people_who_share_nothing_do_not_predict_each_other(legacy):
    responses = [people(1, n_voxels=200, seed=seed)[0] for seed in range(3)]

    found = cross_subject_r(responses, FOLD, all_but_one(3), legacy=legacy)

    # 200 voxels share five courses: the mean varies as that of about five.
    assert abs(np.mean(found)) < 0.12


@pytest.mark.parametrize("legacy", [False, True])
def test_shuffled_rows_of_the_target_are_not_predicted(legacy):
    responses = people(3, n_voxels=100, noise=1.0)
    before = cross_subject_r(responses, FOLD, [(0, 1)], legacy=legacy)[2].mean()
    responses[2] = np.random.default_rng(1).permutation(responses[2])

    after = cross_subject_r(responses, FOLD, [(0, 1)], legacy=legacy)[2].mean()

    assert before > 0.6
    assert abs(after) < 0.15


def test_nothing_is_learned_from_held_out_rows():
    responses = people(2)
    changed = [one.copy() for one in responses]
    changed[1][FOLD.test] = 1e3
    predicted, again = (
        _pooled_prediction(_source_kernel(both[0], FOLD), both[1], FOLD) for both in (responses, changed)
    )

    np.testing.assert_array_equal(again, predicted)
    changed[0][FOLD.test] += 1e3
    kernel, shifted = (_source_kernel(both[0], FOLD)[np.ix_(FOLD.train, FOLD.train)] for both in (responses, changed))
    np.testing.assert_allclose(shifted, kernel)


def test_drawn_rows_change_the_score_but_not_the_prediction():
    responses = people(3)
    weights = np.ones((3, len(FOLD.test)))
    weights[1, :20] = 0
    weights[2] = 2.0

    found = cross_subject_r(responses, FOLD, all_but_one(3), weights)[0][0]

    assert not np.allclose(found[1], found[0])
    np.testing.assert_allclose(found[2], found[0])


def test_a_subject_is_scored_with_the_subsets_that_it_is_not_in():
    found = cross_subject_r(people(), FOLD, [(0,), (1, 2), (3,), (0, 1, 2)])

    assert [one.shape for one in found] == [(2, 1, 30), (2, 1, 31), (2, 1, 32), (3, 1, 33)]


def test_few_subjects_give_all_subsets_and_many_give_equally_many_to_each():
    rng = np.random.default_rng(0)

    assert len(source_subsets(4, 100, rng)) == 4 + 6 + 4
    some = source_subsets(9, 20, rng)
    assert len(set(some)) == len(some)
    for size in range(1, 9):
        serving = [sum(len(one) == size and at not in one for one in some) for at in range(9)]
        assert len(set(serving)) == 1
        assert serving[0] == {1: 8, 7: 8, 8: 1}.get(size, serving[0])
        assert size in (1, 7, 8) or 20 <= serving[0] <= 40


def test_of_many_sizes_some_are_taken_from_one_to_all_but_one():
    sizes = sorted({len(one) for one in source_subsets(27, 3, np.random.default_rng(0))})

    assert len(sizes) == MOST_SIZES
    assert (sizes[0], sizes[-1]) == (1, 26)
