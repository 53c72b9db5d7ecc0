"""Is a voxel predicted better than chance, given that time series are autocorrelated?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import false_discovery_control

from brainexp.containers import FloatArray
from brainexp.score.correlation import standardised

#: Fits the processor's cache; more would only wait for memory.
VOXELS_AT_ONCE = 2000
#: How much wider mean r scatters by chance in cross-validation than if folds were predicted independently. By chance, r of
#: fold f is a sum over the folds g that it was learned on, of how rows of f resemble those of g in features and responses.
#: Each pair of folds so enters twice, as (f, g) and as (g, f): the variance of the mean is up to twice as large.
CROSS_VALIDATED = float(np.sqrt(2))


def block_permutation_p(
    observed: Sequence[FloatArray],
    predicted: Sequence[FloatArray],
    n_permutations: int,
    block_trs: int,
    rng: np.random.Generator,
    null_scale: float = 1.0,
) -> FloatArray:
    """One-sided p of the mean r over folds, by permuting blocks of the prediction within each fold.

    Blocks keep most of the autocorrelation that a permutation of single TRs would destroy.

    Parameters
    ----------
    observed, predicted : sequences of arrays of shape (n_trs, n_voxels)
        Held-out responses and predictions, one pair per fold.
    n_permutations : int
        How many permutations.
    block_trs : int
        TRs per block.
    rng : numpy.random.Generator
    null_scale : float
        Factor on r of the permutations: 1 where folds were predicted independently of each other's responses,
        `CROSS_VALIDATED` where each was predicted from all the others. Permuting predictions alone cannot show this.

    Returns
    -------
    array of shape (n_voxels,)
        (b + 1) / (m + 1) with b of m permutations at least as high (Phipson & Smyth 2010), so never 0; NaN where r is.
    """
    targets = [standardised(fold) for fold in observed]
    guesses = [standardised(fold) for fold in predicted]
    orders = [[_shuffled_blocks(len(guess), block_trs, rng) for guess in guesses] for _ in range(n_permutations)]
    p = np.full(targets[0].shape[1], np.nan)
    for first in range(0, len(p), VOXELS_AT_ONCE):
        chunk = slice(first, first + VOXELS_AT_ONCE)
        target, guess = [fold[:, chunk] for fold in targets], [fold[:, chunk] for fold in guesses]
        actual = _mean_r(target, guess)
        at_least = np.zeros(actual.shape)
        for order in orders:
            shuffled = [fold[rows] for fold, rows in zip(guess, order, strict=True)]
            at_least += null_scale * _mean_r(target, shuffled) >= actual - 1e-12
        p[chunk] = np.where(np.isfinite(actual), (at_least + 1) / (n_permutations + 1), np.nan)
    return p


def false_discovery_q(p: FloatArray) -> FloatArray:
    """Benjamini-Hochberg q of each voxel, array of shape (n_voxels,); NaN stays NaN and is not counted."""
    q = np.full(p.shape, np.nan)
    known = np.isfinite(p)
    if known.any():
        q[known] = false_discovery_control(p[known])
    return q


def _mean_r(targets: Sequence[FloatArray], guesses: Sequence[FloatArray]) -> FloatArray:
    per_fold = [np.einsum("tv,tv->v", target, guess) for target, guess in zip(targets, guesses, strict=True)]
    mean: FloatArray = np.mean(per_fold, axis=0)
    return mean


def _shuffled_blocks(n_trs: int, block_trs: int, rng: np.random.Generator) -> np.ndarray:
    # Blocks start at a random phase and wrap, else a fold of few blocks has few distinct orders.
    rows = np.roll(np.arange(n_trs), rng.integers(n_trs))
    blocks = np.array_split(rows, max(1, round(n_trs / block_trs)))
    return np.concatenate([blocks[at] for at in rng.permutation(len(blocks))])
