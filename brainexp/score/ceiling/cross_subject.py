"""How well do other people's voxels predict one person's?"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import comb

import numpy as np

from brainexp.containers import FloatArray, Fold
from brainexp.score.ceiling.bootstrap import weighted_r

#: Penalties to choose from, times the number of training rows; kernels have a diagonal of about 1.
ALPHAS = tuple(float(alpha) for alpha in np.logspace(-4, 4, 9))
#: Penalty of the published recipe, the default of scikit-learn's KernelRidge.
LEGACY_ALPHA = 1.0
#: Different sizes of subsets at most: a curve of two parameters needs no more.
MOST_SIZES = 8
#: Bounds the memory that himalaya needs for all penalties.
VOXELS_AT_ONCE = 2000


def source_subsets(n_subjects: int, most: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
    """Sets of subjects to predict the others from, of sizes from one to all but one.

    All sizes where there are up to `MOST_SIZES`, else so many, closer to each other where they are small.
    Where there are more than ``most`` sets of a size, some are drawn, each with its rotations (everyone's number moved on by
    the same amount), so that each subject is predicted from equally many sets.

    Parameters
    ----------
    n_subjects : int
        How many subjects there are.
    most : int
        Sets of one size from which a subject is predicted, about.
    rng : numpy.random.Generator

    Returns
    -------
    list of tuple of int
        Smaller sets first.
    """
    found: list[tuple[int, ...]] = []
    sizes = np.unique(np.geomspace(1, n_subjects - 1, MOST_SIZES).round().astype(int))
    for size in range(1, n_subjects) if n_subjects - 1 <= MOST_SIZES else sizes.tolist():
        if comb(n_subjects - 1, size) <= most:
            found += combinations(range(n_subjects), size)
            continue
        drawn: set[tuple[int, ...]] = set()
        while len(drawn) * (n_subjects - size) < most * n_subjects:
            one = rng.choice(n_subjects, size=size, replace=False)
            drawn |= {tuple(sorted(int(at) for at in (one + turn) % n_subjects)) for turn in range(n_subjects)}
        found += sorted(drawn)
    return found


def cross_subject_r(
    responses: Sequence[FloatArray],
    fold: Fold,
    subsets: Sequence[tuple[int, ...]],
    weights: FloatArray | None = None,
    *,
    legacy: bool = False,
) -> list[FloatArray]:
    """Predict everyone's held-out responses from subsets of the others (Schrimpf et al. 2021).

    ``pooled``, the default, is kernel ridge regression with a linear kernel on all voxels of all sources: the mean of the
    sources' kernels, each of voxels standardised on training rows. The penalty is chosen per voxel on the inner folds of the
    training rows. The more sources, the more of their noise averages out, so that r rises with their number towards the
    ceiling.

    ``legacy`` is what was published for naturalistic fMRI: one regression per source, with scikit-learn's KernelRidge as it
    comes (penalty 1 whatever the scale of the voxels, no intercept), and the mean of the r of the sources of a subset. That
    is ill-posed as an extrapolation: the mean of single-source r is expected to be the same for any number of sources, so the
    curve over sizes is flat, its fitted plateau is the mean pairwise r, and the time constant means nothing. It is a
    conservative ceiling, here for comparison with published numbers.

    Parameters
    ----------
    responses : sequence of arrays of shape (n_rows, n_voxels of the subject)
        One array per subject, on the same rows; voxels without NaN, that vary on the training rows.
    fold : Fold
        Rows to train on, to choose the penalty on and to score.
    subsets : sequence of tuple of int
        Whom to predict from, by position in ``responses``. A subset predicts all subjects outside it.
    weights : array of shape (n_draws, n_test), optional
        How often each held-out row counts; once each where not given.
    legacy : bool
        Which of the two.

    Returns
    -------
    list of arrays of shape (n_own_subsets, n_draws, n_voxels)
        Per subject, its r with each of the subsets that it is not in, in their order.
    """
    weights = np.ones((1, len(fold.test))) if weights is None else weights
    if legacy:
        return _mean_of_single_sources(responses, fold, subsets, weights)
    kernels = [_source_kernel(values, fold) for values in responses]
    found: list[list[FloatArray]] = [[np.empty((0, len(weights), values.shape[1]))] for values in responses]
    for sources in subsets:
        kernel = np.mean([kernels[at] for at in sources], axis=0)
        targets = [at for at in range(len(responses)) if at not in sources]
        observed = np.hstack([responses[at] for at in targets])
        r = weighted_r(observed[fold.test], _pooled_prediction(kernel, observed, fold), weights)
        ends = np.cumsum([responses[at].shape[1] for at in targets])[:-1]
        for at, own in zip(targets, np.split(r, ends, axis=1), strict=True):
            found[at].append(own[None])
    return [np.concatenate(own) for own in found]


def _source_kernel(values: FloatArray, fold: Fold) -> FloatArray:
    """Mean product of rows over voxels that are standardised on training rows, array of shape (n_rows, n_rows)."""
    kernel = np.zeros((len(values), len(values)))
    for first in range(0, values.shape[1], VOXELS_AT_ONCE):
        chunk = values[:, first : first + VOXELS_AT_ONCE].astype(float)
        scaled = (chunk - chunk[fold.train].mean(axis=0)) / chunk[fold.train].std(axis=0)
        kernel += scaled @ scaled.T
    mean: FloatArray = kernel / values.shape[1]
    return mean


def _pooled_prediction(kernel: FloatArray, responses: FloatArray, fold: Fold) -> FloatArray:
    """Held-out responses by kernel ridge with a penalty per voxel, array of shape (n_test, n_voxels)."""
    from himalaya.kernel_ridge import KernelRidgeCV
    from himalaya.scoring import correlation_score

    solver = KernelRidgeCV(
        alphas=np.array(ALPHAS) * len(fold.train),
        kernel="precomputed",
        fit_intercept=True,
        cv=list(fold.inner),
        solver_params={"score_func": correlation_score, "n_targets_batch": VOXELS_AT_ONCE},
    )
    solver.fit(kernel[np.ix_(fold.train, fold.train)], responses[fold.train].astype(float))
    return np.asarray(solver.predict(kernel[np.ix_(fold.test, fold.train)]))


def _mean_of_single_sources(
    responses: Sequence[FloatArray], fold: Fold, subsets: Sequence[tuple[int, ...]], weights: FloatArray
) -> list[FloatArray]:
    from scipy.linalg import cho_factor, cho_solve

    everyone = range(len(responses))
    single: dict[tuple[int, int], FloatArray] = {}
    for source in everyone:
        train, test = (responses[source][rows].astype(float) for rows in (fold.train, fold.test))
        factor = cho_factor(train @ train.T + LEGACY_ALPHA * np.eye(len(train)))
        across = test @ train.T
        for target in everyone:
            if target != source:
                own = responses[target].astype(float)
                single[source, target] = weighted_r(
                    own[fold.test], across @ cho_solve(factor, own[fold.train]), weights
                )
    found: list[list[FloatArray]] = [[np.empty((0, len(weights), values.shape[1]))] for values in responses]
    for sources in subsets:
        for target in everyone:
            if target not in sources:
                found[target].append(np.mean([single[source, target] for source in sources], axis=0)[None])
    return [np.concatenate(own) for own in found]
