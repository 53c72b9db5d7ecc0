"""How well is a ceiling known? Rows are drawn anew in blocks, because neighbouring TRs are alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from brainexp.containers import FloatArray

#: Both ends of the intervals of this package: 95 %.
INTERVAL = (0.025, 0.975)
#: Fewer blocks hardly vary when they are drawn anew.
MIN_BLOCKS = 4
#: Bounds the memory that sorting needs.
VOXELS_AT_ONCE = 4096


def block_weights(n_trs: int, block_trs: int, n_draws: int, rng: np.random.Generator) -> FloatArray:
    """How often each row is drawn when blocks of rows are drawn with replacement.

    The circular block bootstrap of Politis & Romano (1992): blocks begin anywhere and wrap around the end, so that all rows
    are drawn alike.

    Parameters
    ----------
    n_trs : int
        Rows; at least `MIN_BLOCKS` blocks.
    block_trs : int
        TRs per block.
    n_draws : int
        How many draws.
    rng : numpy.random.Generator

    Returns
    -------
    array of shape (n_draws, n_trs)
        Each draw sums to the number of rows.

    Raises
    ------
    ValueError
        If there are fewer than `MIN_BLOCKS` blocks.
    """
    if n_trs < MIN_BLOCKS * block_trs:
        raise ValueError(f"{n_trs} TRs are fewer than {MIN_BLOCKS} blocks of {block_trs} TRs.")
    first = rng.integers(n_trs, size=(n_draws, -(-n_trs // block_trs)))
    rows = (first[:, :, None] + np.arange(block_trs)).reshape(n_draws, -1)[:, :n_trs] % n_trs
    counts = np.bincount((rows + n_trs * np.arange(n_draws)[:, None]).ravel(), minlength=n_draws * n_trs)
    return counts.reshape(n_draws, n_trs).astype(float)


def weighted_r(observed: FloatArray, predicted: FloatArray, weights: FloatArray) -> FloatArray:
    """Correlation of each column with its prediction, in every draw of rows.

    Parameters
    ----------
    observed, predicted : arrays of shape (n_trs, n_voxels)
    weights : array of shape (n_draws, n_trs)
        How often each row counts.

    Returns
    -------
    array of shape (n_draws, n_voxels)
        NaN where either is constant.
    """
    share = weights / weights.sum(axis=1, keepdims=True)
    # Centred and scaled first: sums of squares lose digits far from zero.
    one, other = (_standard(values) for values in (observed, predicted))
    mean_one, mean_other = share @ one, share @ other
    covariance = share @ (one * other) - mean_one * mean_other
    variance_one = share @ one**2 - mean_one**2
    variance_other = share @ other**2 - mean_other**2
    known = (variance_one > 1e-12) & (variance_other > 1e-12)
    r: FloatArray = np.where(known, covariance, np.nan) / np.sqrt(np.where(known, variance_one * variance_other, 1.0))
    return r


def _standard(values: FloatArray) -> FloatArray:
    centred = values - values.mean(axis=0, dtype=float)
    scale = centred.std(axis=0)
    scaled: FloatArray = centred / np.where(scale > 0, scale, 1.0)
    return scaled


def quantiles(draws: FloatArray, at: Sequence[float]) -> FloatArray:
    """Quantiles over draws, linearly interpolated as numpy's; draws that are NaN do not count.

    Parameters
    ----------
    draws : array of shape (n_draws, n_voxels)
    at : sequence of float
        From 0 to 1.

    Returns
    -------
    array of shape (len(at), n_voxels)
        NaN where fewer than half of the draws are known, for those that are would not speak for the rest.
    """
    ordered = np.sort(draws.astype(float), axis=0)  # NaN comes last
    n_known = np.isfinite(ordered).sum(axis=0)
    found = []
    for share in at:
        position = share * np.maximum(n_known - 1, 0)
        below, above = np.floor(position).astype(int), np.ceil(position).astype(int)
        low, high = (np.take_along_axis(ordered, index[None], axis=0)[0] for index in (below, above))
        found.append(np.where(2 * n_known >= len(draws), low + (position - below) * (high - low), np.nan))
    return np.stack(found)


def spread(draws: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Standard error and ends of the 95 % percentile interval, arrays of shape (n_voxels,).

    Parameters
    ----------
    draws : array of shape (n_draws, n_voxels)
        NaN where a draw gave no ceiling; where most of a voxel's are, or there are fewer than 2 draws, NaN comes out.
    """
    found = np.full((3, draws.shape[1]), np.nan)
    if len(draws) > 1:
        for first in range(0, draws.shape[1], VOXELS_AT_ONCE):
            chunk = slice(first, first + VOXELS_AT_ONCE)
            own = draws[:, chunk].astype(float)
            found[1:, chunk] = quantiles(own, INTERVAL)
            known = np.isfinite(own)
            count = known.sum(axis=0)
            mean = np.where(known, own, 0.0).sum(axis=0) / np.maximum(count, 1)
            squares = np.where(known, (own - mean) ** 2, 0.0).sum(axis=0)
            error = np.sqrt(squares / np.maximum(count - 1, 1))
            found[0, chunk] = np.where(np.isfinite(found[1, chunk]), error, np.nan)
    error, low, high = found
    return error, low, high


def basic_interval(estimate: float, draws: FloatArray) -> tuple[float, float]:
    """95 % interval of a mean over voxels: the estimate less the upper and the lower deviation of the draws.

    The basic interval of Davison & Hinkley (1997). A root, and a ratio to something noisy, is biased. In a single voxel that
    is little beside the noise, but a mean over voxels has little noise and the same bias, draws have it twice, and the
    percentile interval misses the truth. The basic interval takes the bias off.

    Parameters
    ----------
    estimate : float
    draws : array of shape (n_draws,)
        NaN where a draw gave nothing.

    Returns
    -------
    low, high : float
        NaN where there are no draws, or most are NaN.
    """
    if not len(draws):
        return float("nan"), float("nan")
    below, above = quantiles(draws[:, None], INTERVAL)[:, 0]
    return float(2 * estimate - above), float(2 * estimate - below)
