"""Small problems of encoding, and their answer by explicit matrices: standardised, then delayed, row by row."""

import numpy as np

from brainexp.align.fold import folds_of_blocks
from brainexp.containers import Design


def space(*runs, delays=(0,), rows=None, name="space"):
    """A feature space of some runs, whole or trimmed."""
    kept = tuple(slice(0, len(run)) for run in runs) if rows is None else tuple(rows)
    return Design(name, runs, kept, tuple(delays))


def explicit(design, train):
    """Standardised features of every row, delayed copies side by side, by the plainest loop."""
    kept = np.concatenate([run[rows] for run, rows in zip(design.runs, design.rows, strict=True)])[train].astype(float)
    varying = kept.std(axis=0) > 1e-6 * np.abs(kept).max(axis=0)
    mean, scale = kept.mean(axis=0)[varying], kept.std(axis=0)[varying]
    found = []
    for run, rows in zip(design.runs, design.rows, strict=True):
        scaled = (run[:, varying].astype(float) - mean) / scale
        for row in range(*rows.indices(len(run))):
            before = [scaled[row - delay] if row >= delay else np.zeros(len(mean)) for delay in design.delays]
            found.append(np.concatenate(before))
    return np.array(found)


def problem(seed, n_trs, n_features, n_voxels=5, delays=(0,), n_folds=4, gap_trs=2, noise=(0.1, 3.0)):
    """One run of features of different scales and means, responses that follow them with more and more noise, a fold."""
    rng = np.random.default_rng(seed)
    scales, means = 10.0 ** rng.uniform(-2, 2, n_features), rng.uniform(-5, 5, n_features)
    design = space(rng.standard_normal((n_trs, n_features)) * scales + means * scales, delays=delays)
    fold = folds_of_blocks([n_trs], n_folds, gap_trs)[seed % n_folds]
    made = explicit(design, fold.train)
    weights = rng.standard_normal((made.shape[1], n_voxels)) / np.sqrt(made.shape[1])
    responses = made @ weights + np.linspace(*noise, n_voxels) * rng.standard_normal((n_trs, n_voxels)) + 7
    return design, responses, fold


def validation_r(made, responses, fold, alphas):
    """r of every penalty on inner validation rows, averaged over inner folds, by scikit-learn: (n_penalties, n_voxels)."""
    total = np.zeros((len(alphas), responses.shape[1]))
    for fit, validation in fold.inner:
        held = responses[fold.train][validation]
        for at, alpha in enumerate(alphas):
            guess = fitted(made[fold.train][fit], responses[fold.train][fit], alpha).predict(
                made[fold.train][validation]
            )
            total[at] += [np.corrcoef(one, other)[0, 1] for one, other in zip(guess.T, held.T, strict=True)]
    return total / len(fold.inner)


def fitted(rows, responses, alpha):
    """scikit-learn's ridge regression by singular values, one penalty for all voxels or one for each."""
    from sklearn.linear_model import Ridge

    return Ridge(alpha=alpha, solver="svd").fit(rows, responses)
