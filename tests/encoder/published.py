"""The published formulas, written anew from their text with numpy's singular value decomposition, one voxel at a time."""

import numpy as np

from brainexp.align.fold import folds_of_blocks, folds_of_runs
from brainexp.containers import Design


def problem(rng, lengths=(50, 45, 55, 40), n_dims=6, n_voxels=5, delays=(1, 2), split="run", noise=1.0):
    """Runs of features and responses that follow them, with scales and means that differ, and one fold."""
    runs = [
        rng.standard_normal((n + 5, n_dims)) * rng.uniform(0.5, 4, n_dims) + rng.uniform(-3, 3, n_dims) for n in lengths
    ]
    rows = tuple(slice(3, -2) for _ in lengths)
    design = Design("layer 3", tuple(runs), rows, tuple(delays))
    matrix = design.matrix()
    weights = rng.standard_normal((matrix.shape[1], n_voxels)) / np.sqrt(matrix.shape[1])
    spread = noise * np.linspace(0.5, 6, n_voxels)
    offset = np.repeat(rng.standard_normal(len(lengths)), lengths)[:, None]
    responses = matrix @ weights + spread * rng.standard_normal((len(matrix), n_voxels)) + 10 + offset
    folds = folds_of_runs(lengths, 4) if split == "run" else folds_of_blocks(lengths, 4, 2)
    return design, responses, folds[1]


def run_of_row(lengths):
    return np.concatenate([np.full(n, at) for at, n in enumerate(lengths)])


def z(values):
    """Standardise columns; zero where a column is constant."""
    spread = values.std(0)
    return np.where(spread > 1e-12, (values - values.mean(0)) / np.where(spread > 1e-12, spread, 1), 0)


def z_by_run(values, run):
    result = np.zeros_like(values)
    for one in set(run):
        result[run == one] = z(values[run == one])
    return result


def ridge_weights(features, response, alpha, singcutoff, normalpha):
    """V diag(S / (S² + alpha²)) Uᵀ y."""
    u, s, vt = np.linalg.svd(features, full_matrices=False)
    alpha = alpha * s[0] if normalpha else alpha
    kept = s > singcutoff
    u, s, vt = u[:, kept], s[kept], vt[kept]
    return vt.T @ np.diag(s / (s**2 + alpha**2)) @ u.T @ response


def score_of(kind, observed, predicted):
    if observed.std() < 1e-12 or (kind == "correlation" and predicted.std() < 1e-12):
        return 0.0
    if kind == "correlation":
        return np.mean((observed - observed.mean()) / observed.std() * (predicted - predicted.mean()) / predicted.std())
    residual = np.var(observed - predicted)
    if kind == "clipped_r2":
        return np.clip(1 - residual / np.var(observed), 0, 1)
    r2 = 1 - residual / (np.var(observed) if kind == "signed_r2" else (1 + np.var(observed)) / 2)
    return np.sqrt(abs(r2)) * np.sign(r2)


def encoded(encoder, design, responses, subject, fold, lengths, draws):
    """What the published pipeline chooses and predicts, with the options of an encoder, on given draws."""
    run = run_of_row(lengths)
    features = design.matrix().astype(float)
    x_train, x_test, y_train = features[fold.train], features[fold.test], responses[fold.train]
    if encoder.standardise == "run":
        x, y = z_by_run(x_train, run[fold.train]), z_by_run(y_train, run[fold.train])
        x_new = z_by_run(x_test, run[fold.test])
    else:
        x, y = z(x_train), z(y_train)
        x_new = (x_test - x_train.mean(0)) / x_train.std(0)
    n_voxels = responses.shape[1]
    merit, r = np.zeros((2, len(encoder.alphas), n_voxels))
    for fit, held in draws:
        for at, alpha in enumerate(encoder.alphas):
            for voxel in range(n_voxels):
                w = ridge_weights(x[fit], y[fit, voxel], alpha, encoder.singcutoff, encoder.normalpha)
                merit[at, voxel] += score_of(encoder.score, y[held, voxel], x[held] @ w) / len(draws)
                r[at, voxel] += score_of("correlation", y[held, voxel], x[held] @ w) / len(draws)
    best = merit.argmax(0)
    if encoder.single_alpha:
        for one in set(subject):
            best[subject == one] = merit[:, subject == one].mean(1).argmax()
    alphas = np.array(encoder.alphas)[best]
    predicted = np.stack(
        [
            x_new
            @ ridge_weights(x, y[:, voxel], alphas[voxel], encoder.singcutoff, encoder.normalpha)
            * y_train[:, voxel].std()
            + y_train[:, voxel].mean()
            for voxel in range(n_voxels)
        ],
        axis=1,
    )
    return alphas, r[best, np.arange(n_voxels)], predicted
