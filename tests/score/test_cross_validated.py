import numpy as np
import pytest

from brainexp.score.correlation import pearson_r
from brainexp.score.permutation import CROSS_VALIDATED, SHUFFLES


def cross_validated_noise(n_folds=5, n_trs=60, n_features=40, n_voxels=3000):
    """Held-out responses and predictions, one pair per fold, where features say nothing about responses."""
    rng = np.random.default_rng(0)
    features = rng.standard_normal((n_folds, n_trs, n_features))
    responses = rng.standard_normal((n_folds, n_trs, n_voxels))
    weights = np.einsum("ftx,ftv->fxv", features, responses)  # the limit of ridge for large penalties
    return list(responses), list(np.einsum("ftx,fxv->ftv", features, weights.sum(axis=0) - weights))


def test_each_pair_of_folds_counts_twice_in_the_mean_r_of_cross_validation():
    observed, predicted = cross_validated_noise()
    by_fold = np.array([pearson_r(*pair) for pair in zip(observed, predicted, strict=True)])

    as_if_independent = np.sqrt(by_fold.var(axis=1).mean() / len(by_fold))

    np.testing.assert_allclose(by_fold.mean(axis=0).std() / as_if_independent, CROSS_VALIDATED, rtol=0.04)


@pytest.mark.parametrize("shuffle", SHUFFLES)
def test_p_is_uniform_when_this_is_counted_and_too_low_when_not(shuffle):
    observed, predicted = cross_validated_noise()

    def share_below(level, null_scale):
        p = SHUFFLES[shuffle](observed, predicted, 199, 10, np.random.default_rng(0), null_scale)
        return np.mean(p <= level)

    np.testing.assert_allclose(share_below(0.05, CROSS_VALIDATED), 0.05, atol=0.015)
    assert share_below(0.05, 1.0) > 0.1
