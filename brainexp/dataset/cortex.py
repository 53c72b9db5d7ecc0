"""Signals and noise of simulated voxels, and what can be known of both: plain arrays in, plain arrays out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter
from scipy.stats import gamma

from brainexp.containers import FloatArray

#: How long a haemodynamic response lasts, in seconds.
RESPONSE_S = 32.0
#: Slowest and fastest drift: one half period per run, and this period in seconds, below which high-pass filters cut.
DRIFT_PERIOD_S = 128.0
#: Steps of the head from TR to TR, and its jerks: three translations in mm, three rotations in radians.
MOTION_STEP = np.array([0.02, 0.02, 0.02, 0.0003, 0.0003, 0.0003])
JERK_STEPS = 20.0
JERK_RATE = 0.01


@dataclass(frozen=True, eq=False)
class Tuning:
    """What each voxel of one subject responds to, and how clearly.

    Parameters
    ----------
    weights : array of shape (n_features, n_voxels)
        Of the planted features; zero throughout for a voxel that responds to nothing.
    share : array of shape (n_voxels,)
        Of the variance within a run that is signal, on average over runs.
    latency_s : array of shape (n_voxels,)
        How much later than usual the response begins, in seconds.
    motion : array of shape (n_parameters, n_voxels)
        How movement shows in each voxel.
    """

    weights: FloatArray
    share: FloatArray
    latency_s: FloatArray
    motion: FloatArray

    def of(self, columns: slice) -> Tuning:
        """Return the tuning of some voxels."""
        return Tuning(self.weights[:, columns], self.share[columns], self.latency_s[columns], self.motion[:, columns])


@dataclass(frozen=True)
class Noise:
    """What noise is made of.

    Parameters
    ----------
    autoregression : float
        Correlation of the fast part from one TR to the next.
    drift, motion : float
        Shares of the noise variance; the rest is the fast part.
    """

    autoregression: float
    drift: float
    motion: float


def haemodynamic_response(latency_s: FloatArray, tr_s: float) -> FloatArray:
    """Difference of two gamma densities with SPM's parameters: a peak at about 5 s and an undershoot at about 15 s.

    Parameters
    ----------
    latency_s : array of shape (n_voxels,)
        Added to the onset, in seconds.
    tr_s : float
        Seconds per TR.

    Returns
    -------
    array of shape (n_taps, n_voxels)
        One value per TR from the moment of the event.
    """
    time_s = np.arange(0.0, RESPONSE_S, tr_s)[:, None] - latency_s
    return np.asarray(gamma.pdf(time_s, 6) - gamma.pdf(time_s, 16) / 6)


def convolved(courses: FloatArray, taps: FloatArray) -> FloatArray:
    """Convolve each column with its own taps, arrays of shape (n_trs, n_voxels) and (n_taps, n_voxels)."""
    response = np.zeros_like(courses)
    for delay, weight in enumerate(taps[: len(courses)]):
        response[delay:] += weight * courses[: len(courses) - delay]
    return response


def mean_variance(runs: Sequence[FloatArray], kept: Sequence[slice]) -> FloatArray:
    """Variance within runs over kept rows, averaged over all those rows, array of shape (n_voxels,)."""
    lengths = [rows.stop - rows.start for rows in kept]
    by_run = [run[rows].var(axis=0) for run, rows in zip(runs, kept, strict=True)]
    return np.asarray(np.average(by_run, axis=0, weights=lengths))


def signals(features: Sequence[FloatArray], kept: Sequence[slice], tuning: Tuning, tr_s: float) -> list[FloatArray]:
    """What voxels would show without noise.

    Parameters
    ----------
    features : sequence of arrays of shape (n_trs, n_features)
        Planted features at TRs, one array per run.
    kept : sequence of slice
        Rows that the analysis keeps.
    tuning : Tuning
        Of the voxels.
    tr_s : float
        Seconds per TR.

    Returns
    -------
    list of arrays of shape (n_trs, n_voxels)
        Scaled so that `mean_variance` is exactly the voxel's share.
    """
    taps = haemodynamic_response(tuning.latency_s, tr_s)
    courses = [convolved(run @ tuning.weights, taps) for run in features]
    variance = mean_variance(courses, kept)
    gain = np.sqrt(tuning.share / np.where(variance > 0, variance, 1.0))
    return [course * gain for course in courses]


def noise(
    kept: slice, movement: FloatArray, tuning: Tuning, kinds: Noise, tr_s: float, rng: np.random.Generator
) -> FloatArray:
    """Noise of one run: autoregressive, drifting and moving.

    Parameters
    ----------
    kept : slice
        Rows that the analysis keeps.
    movement : array of shape (n_trs, n_parameters)
        Motion parameters of the run.
    tuning : Tuning
        Of the voxels.
    kinds : Noise
        What it is made of.
    tr_s : float
        Seconds per TR.
    rng : numpy.random.Generator

    Returns
    -------
    array of shape (n_trs, n_voxels)
        Its expected variance over kept rows is that of `noise_variance`.
    """
    n_trs, n_voxels = len(movement), len(tuning.share)
    fast = autoregressive(n_trs, n_voxels, kinds.autoregression, rng)
    fast *= np.sqrt((1 - kinds.drift - kinds.motion) / autoregressive_variance(kept, kinds.autoregression))
    fast += np.sqrt(kinds.drift) * drift(n_trs, kept, n_voxels, tr_s, rng)
    fast *= np.sqrt(1 - tuning.share)
    fast += movement @ tuning.motion
    return fast


def noise_variance(kept: slice, movement: FloatArray, tuning: Tuning, kinds: Noise) -> FloatArray:
    """Expected variance of `noise` over the kept rows of one run, array of shape (n_voxels,).

    Movement enters as it was, for it is known; on average over runs the sum is 1 - share.
    """
    unmoved = (1 - tuning.share) * (1 - kinds.motion)
    return np.asarray(unmoved + (movement[kept] @ tuning.motion).var(axis=0))


def analytic_ceiling(signal_variance: FloatArray, noise_variance: FloatArray) -> FloatArray:
    """Mean over runs of the r between a run's signal and its response.

    With signal variance S and noise variance N within a run, r tends to sqrt(S / (S + N)) as the run grows, however the
    noise is autocorrelated: that changes the spread of r, not its limit. r looks at variance about the mean of the held-out
    run only, so drift counts as far as it varies within a run. In runs of n independent TRs r falls short of the limit by a
    fraction of about (1 - r²) / 2n. Where all runs are alike the mean is the square root of the share.

    Parameters
    ----------
    signal_variance, noise_variance : arrays of shape (n_runs, n_voxels)
        About the run's mean over kept rows.

    Returns
    -------
    array of shape (n_voxels,)
    """
    by_run = np.sqrt(signal_variance / (signal_variance + noise_variance))
    return np.asarray(by_run.mean(axis=0))


def autoregressive(n_trs: int, n_voxels: int, autoregression: float, rng: np.random.Generator) -> FloatArray:
    """Stationary first-order autoregressive noise of variance 1, array of shape (n_trs, n_voxels)."""
    shocks = rng.standard_normal((n_trs, n_voxels))
    shocks[1:] *= np.sqrt(1 - autoregression**2)
    return np.asarray(lfilter([1.0], [1.0, -autoregression], shocks, axis=0))


def autoregressive_variance(kept: slice, autoregression: float) -> float:
    """Expected variance about the mean over kept rows; below 1, for the mean of a run follows its noise."""
    n_trs = kept.stop - kept.start
    lags = np.arange(1, n_trs)
    return float(1 - (1 + 2 * ((1 - lags / n_trs) * autoregression**lags).sum()) / n_trs)


def drift(n_trs: int, kept: slice, n_voxels: int, tr_s: float, rng: np.random.Generator) -> FloatArray:
    """Slow cosines with random weights, of mean 0 and variance 1 over kept rows, array of shape (n_trs, n_voxels)."""
    n_kept = kept.stop - kept.start
    n_terms = max(1, int(2 * n_kept * tr_s / DRIFT_PERIOD_S))
    phase = np.pi * (np.arange(n_trs)[:, None] - kept.start + 0.5) / n_kept
    weights = rng.standard_normal((n_terms, n_voxels))
    # Over kept rows these cosines are orthogonal, with mean 0 and variance 1/2.
    scaled = weights * np.sqrt(2 / (weights**2).sum(axis=0))
    return np.asarray(np.cos(phase * np.arange(1, n_terms + 1)) @ scaled)


def motion(n_trs: int, kept: slice, rng: np.random.Generator) -> FloatArray:
    """Motion parameters of one run: a random walk with jerks, array of shape (n_trs, 6), in mm and radians.

    They have mean 0 over kept rows, as the responses do.
    """
    walk = np.cumsum(rng.standard_normal((n_trs, 6)) * MOTION_STEP, axis=0)
    jerks = (rng.random((n_trs, 1)) < JERK_RATE) * rng.standard_normal((n_trs, 6)) * MOTION_STEP * JERK_STEPS
    parameters = walk + jerks
    return np.asarray(parameters - parameters[kept].mean(axis=0))


def motion_weights(
    movements: Sequence[FloatArray], kept: Sequence[slice], variance: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """How movement shows in each voxel, so that it has a given variance.

    Parameters
    ----------
    movements : sequence of arrays of shape (n_trs, n_parameters)
        Motion parameters of mean 0 over kept rows, one array per run.
    kept : sequence of slice
        Rows that the analysis keeps.
    variance : array of shape (n_voxels,)
        `mean_variance` of the artefact.
    rng : numpy.random.Generator

    Returns
    -------
    array of shape (n_parameters, n_voxels)
    """
    spread = np.sqrt(mean_variance(movements, kept))
    weights = rng.standard_normal((len(spread), len(variance))) / spread[:, None]
    # Not mean_variance of movement @ weights, which would hold the artefacts of all voxels at once.
    moments = np.sum(
        [movement[rows].T @ movement[rows] for movement, rows in zip(movements, kept, strict=True)], axis=0
    )
    covariance = moments / sum(rows.stop - rows.start for rows in kept)
    found = (weights * (covariance @ weights)).sum(axis=0)
    return np.asarray(weights * np.sqrt(variance / found))
