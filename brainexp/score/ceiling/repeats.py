"""The ceiling from several recordings of one stimulus: what they share is signal, the rest is noise.

Every estimate here is a function of the covariances of the repeats with each other, voxel by voxel, so that they can be
compared, and drawn anew from the same blocks of TRs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations
from math import comb
from types import MappingProxyType

import numpy as np

from brainexp.containers import FloatArray

#: Bounds the memory for the covariances of all draws.
VOXELS_AT_ONCE = 256
#: Where repeats can be halved in more ways, this many are drawn.
MOST_SPLITS = 200


def repeat_covariance(repeats: FloatArray, weights: FloatArray | None = None) -> FloatArray:
    """Covariances of repeats with each other, voxel by voxel.

    Parameters
    ----------
    repeats : array of shape (n_repeats, n_trs, n_voxels)
        Recordings of the same stimulus.
    weights : array of shape (n_draws, n_trs), optional
        How often each row counts (see `block_weights`); once each where not given.

    Returns
    -------
    array of shape (n_draws, n_repeats, n_repeats, n_voxels)
    """
    n_repeats, n_trs, n_voxels = repeats.shape
    weights = np.ones((1, n_trs)) if weights is None else weights
    share = weights / weights.sum(axis=1, keepdims=True)
    centred = repeats - repeats.mean(axis=1, keepdims=True, dtype=float)
    means = share @ centred
    covariance = np.empty((len(share), n_repeats, n_repeats, n_voxels))
    for one in range(n_repeats):
        for other in range(one + 1):
            both = share @ (centred[one] * centred[other]) - means[one] * means[other]
            covariance[:, one, other] = covariance[:, other, one] = both
    return covariance


def power_share(covariance: FloatArray) -> FloatArray:
    """Signal power over total power, SP / TP of Schoppe et al. (2016), "Measuring the performance of neural models".

    With total power TP, the variance of a recording averaged over repeats, signal power is
    ``SP = (n var(mean of n repeats) - TP) / (n - 1)``. What repeats by chance counts as signal, what does not as noise,
    drift and motion included.

    Parameters
    ----------
    covariance : array of shape (..., n_repeats, n_repeats, n_voxels)

    Returns
    -------
    array of shape (..., n_voxels)
        Share of the variance of one recording, without bias and so negative at times; NaN where nothing varies.
    """
    n_repeats = covariance.shape[-2]
    total = np.einsum("...iiv->...v", covariance) / n_repeats
    signal = (n_repeats * covariance.mean(axis=(-3, -2)) - total) / (n_repeats - 1)
    share: FloatArray = signal / np.where(total > 0, total, np.nan)
    return share


def correlation_share(covariance: FloatArray) -> FloatArray:
    """`power_share` of repeats that are standardised first, so that a noisy repeat weighs no more than others.

    It equals the explainable variance of voxelwise_tutorials with its bias correction.
    """
    variance = np.einsum("...iiv->...iv", covariance)
    scale = np.sqrt(np.where(variance > 0, variance, np.nan))
    return power_share(covariance / (scale[..., :, None, :] * scale[..., None, :, :]))


def split_half_share(covariance: FloatArray) -> FloatArray:
    """Correlation of the means of two halves of the repeats, averaged over splits, taken down to one recording.

    Spearman-Brown: halves of h recordings that correlate by c hold a share ``c / (h - (h - 1) c)`` each. Of an odd number of
    repeats one is left out of each split (see `halves`).

    Parameters
    ----------
    covariance : array of shape (..., n_repeats, n_repeats, n_voxels)

    Returns
    -------
    array of shape (..., n_voxels)
    """
    n_repeats = covariance.shape[-2]
    size = n_repeats // 2
    c = _mean_split_correlation(covariance)
    share: FloatArray = c / (size - (size - 1) * c)
    return share


#: Estimates of the share of signal in one recording, by the name of the method.
SIGNAL_SHARES: Mapping[str, Callable[[FloatArray], FloatArray]] = MappingProxyType(
    {
        "repeats": power_share,
        "explainable_variance": correlation_share,
        "split_half": split_half_share,
        "ncsnr": correlation_share,
    }
)


def signal_share_draws(repeats: FloatArray, method: str, weights: FloatArray | None = None) -> FloatArray:
    """Share of signal in one recording, by one of `SIGNAL_SHARES`, in every draw of rows.

    Parameters
    ----------
    repeats : array of shape (n_repeats, n_trs, n_voxels)
        At least two recordings of the same stimulus.
    method : str
        Key of `SIGNAL_SHARES`.
    weights : array of shape (n_draws, n_trs), optional
        How often each row counts; once each where not given.

    Returns
    -------
    array of shape (n_draws, n_voxels)
    """
    n_voxels = repeats.shape[2]
    chunks = [
        SIGNAL_SHARES[method](repeat_covariance(repeats[:, :, first : first + VOXELS_AT_ONCE], weights))
        for first in range(0, n_voxels, VOXELS_AT_ONCE)
    ]
    return np.concatenate(chunks, axis=-1)


def best_r(share: FloatArray, averaged: int = 1) -> FloatArray:
    """Best r with the mean of several recordings, of each of which a share is signal.

    CC_max of Schoppe et al. (2016): ``1 / sqrt(1 + (1 / share - 1) / averaged)``; for one recording the root of the share.

    Parameters
    ----------
    share : array of any shape
        Of the variance of one recording.
    averaged : int
        Of how many recordings the responses are the mean.

    Returns
    -------
    array of the same shape
        NaN where the share is not positive, for then nothing is known of the ceiling. A mean over voxels of little signal is
        therefore too high.
    """
    known = np.where(share > 0, share, np.nan)
    r: FloatArray = np.sqrt(averaged * known / (1 + (averaged - 1) * known))
    return r


def repeat_ceiling(repeats: FloatArray, averaged: int = 1) -> FloatArray:
    """CC_max of Schoppe et al. (2016), for one recording or for the mean of several.

    Parameters
    ----------
    repeats : array of shape (n_repeats, n_trs, n_voxels)
        At least two recordings of the same stimulus.
    averaged : int
        Of how many recordings the responses are the mean.

    Returns
    -------
    array of shape (n_voxels,)
        NaN where the signal power is not positive, or a repeat has NaN.
    """
    return best_r(signal_share_draws(repeats, "repeats")[0], averaged)


def explainable_variance(repeats: FloatArray, *, bias_correction: bool = True) -> FloatArray:
    """Share of the variance of one recording that repeats, by the formula of voxelwise_tutorials.

    Repeats are standardised over time; the variance of their mean is divided by the mean of their variances. Without
    correction the noise of n repeats adds ``(1 - EV) / n`` to it; with it ``EV - (1 - EV) / (n - 1)`` is returned.

    Parameters
    ----------
    repeats : array of shape (n_repeats, n_trs, n_voxels)
        At least two recordings of the same stimulus.
    bias_correction : bool
        Whether to subtract what noise adds.

    Returns
    -------
    array of shape (n_voxels,)
        Negative at times where there is no signal; NaN where a repeat is constant or has NaN.
    """
    share: FloatArray = signal_share_draws(repeats, "explainable_variance")[0]
    if bias_correction:
        return share
    n_repeats = len(repeats)
    uncorrected: FloatArray = (1 + (n_repeats - 1) * share) / n_repeats
    return uncorrected


def split_half_reliability(repeats: FloatArray) -> FloatArray:
    """Correlation of the means of two halves, averaged over splits, and corrected by Spearman-Brown: ``2c / (1 + c)``.

    Parameters
    ----------
    repeats : array of shape (n_repeats, n_trs, n_voxels)
        At least two recordings of the same stimulus; of an odd number one is left out of each split in turn.

    Returns
    -------
    array of shape (n_voxels,)
        Reliability of the mean of all repeats (of an odd number, of all but one); its root is the best r with that mean.
    """
    c = np.concatenate(
        [
            _mean_split_correlation(repeat_covariance(repeats[:, :, first : first + VOXELS_AT_ONCE]))[0]
            for first in range(0, repeats.shape[2], VOXELS_AT_ONCE)
        ]
    )
    reliability: FloatArray = 2 * c / np.where(c > -1, 1 + c, np.nan)
    return reliability


def ncsnr(repeats: FloatArray) -> FloatArray:
    """Noise-ceiling signal-to-noise ratio of Allen et al. (2022), the Natural Scenes Dataset.

    Standard deviation of the signal over that of the noise, of repeats that are standardised first: without that, the ratio
    comes out far too low where sessions differ in scale.

    Parameters
    ----------
    repeats : array of shape (n_repeats, n_trs, n_voxels)
        At least two recordings of the same stimulus.

    Returns
    -------
    array of shape (n_voxels,)
        0 where no variance is left for the signal, infinite where repeats are alike.
    """
    share = np.maximum(signal_share_draws(repeats, "ncsnr")[0], 0.0)
    with np.errstate(divide="ignore"):
        ratio: FloatArray = np.sqrt(share / (1 - share))
    return ratio


def share_of_ncsnr(ratio: FloatArray, averaged: int = 1) -> FloatArray:
    """Noise ceiling of the mean of n recordings, ``ncsnr² / (ncsnr² + 1 / n)`` of the variance; its root is the best r.

    Parameters
    ----------
    ratio : array of any shape
        See `ncsnr`.
    averaged : int
        Of how many recordings the responses are the mean.

    Returns
    -------
    array of the same shape
        Between 0 and 1.
    """
    share: FloatArray = ratio**2 / (ratio**2 + 1 / averaged)
    return share


def _mean_split_correlation(covariance: FloatArray) -> FloatArray:
    """Correlation of the means of two halves, averaged over splits, array of shape (..., n_voxels)."""
    *draws, n_repeats, _, n_voxels = covariance.shape
    flat = covariance.reshape(*draws, n_repeats**2, n_voxels)
    first, second = halves(n_repeats).swapaxes(0, 1)

    def between(one: FloatArray, other: FloatArray) -> FloatArray:
        """Covariance of the means of two sets of repeats, array of shape (..., n_splits, n_voxels)."""
        found: FloatArray = np.einsum("si,sj->sij", one, other).reshape(len(one), -1) @ flat
        return found

    within = between(first, first) * between(second, second)
    mean: FloatArray = (between(first, second) / np.sqrt(np.where(within > 0, within, np.nan))).mean(axis=-2)
    return mean


def halves(n_repeats: int) -> FloatArray:
    """Ways to halve the repeats; of an odd number one is left out of each.

    Returns
    -------
    array of shape (n_splits, 2, n_repeats)
        Weights of the repeats in the mean of either half. All splits, or `MOST_SPLITS` of them, always the same, where there
        are more.
    """
    size = n_repeats // 2
    n_splits = comb(2 * size, size) // 2 * (n_repeats if n_repeats % 2 else 1)
    if n_splits > MOST_SPLITS:
        rng = np.random.default_rng(0)
        orders = [rng.permutation(n_repeats) for _ in range(MOST_SPLITS)]
        pairs = [(order[:size], order[size : 2 * size]) for order in orders]
    else:
        pairs = []
        for kept in combinations(range(n_repeats), 2 * size):
            # The first one kept is always in the first half, else each split would come twice.
            for rest in combinations(kept[1:], size - 1):
                one = (kept[0], *rest)
                pairs.append((np.array(one), np.array([at for at in kept if at not in one])))
    weights = np.zeros((len(pairs), 2, n_repeats))
    for split, pair in enumerate(pairs):
        for half, members in enumerate(pair):
            weights[split, half, members] = 1 / size
    return weights
