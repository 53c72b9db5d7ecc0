"""Bring features of units to TR times. Each method is a matrix of shape (n_trs, n_units) that multiplies the features."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from brainexp.containers import Clock, FloatArray

#: Lobes of the Lanczos window; features of a TR draw on words up to this many TRs away.
LANCZOS_LOBES = 3


def lanczos(midpoint_s: FloatArray, clock: Clock) -> FloatArray:
    """Weights of a 3-lobe Lanczos filter that cuts off at the TR rate.

    Huth et al. (2016), as in the field: the weights are not normalised, so the result grows with the word rate. Score
    beside a word-rate baseline.

    Parameters
    ----------
    midpoint_s : array of shape (n_units,)
        When each unit happened, in seconds.
    clock : Clock
        When the TRs happened.

    Returns
    -------
    array of shape (n_trs, n_units)
        ``sinc(x) sinc(x / 3)`` of the distance x in TRs, zero beyond 3.
    """
    distance = (clock.midpoints_s()[:, None] - midpoint_s[None, :]) / clock.tr_s
    window = np.sinc(distance) * np.sinc(distance / LANCZOS_LOBES)
    return np.where(np.abs(distance) < LANCZOS_LOBES, window, 0.0)


def total(midpoint_s: FloatArray, clock: Clock) -> FloatArray:
    """Sum the units whose middle falls in a TR; arrays as in `lanczos`."""
    tr_of_unit = np.floor((midpoint_s - clock.start_s) / clock.tr_s)
    members: FloatArray = (np.arange(clock.n_trs)[:, None] == tr_of_unit[None, :]).astype(float)
    return members


def mean(midpoint_s: FloatArray, clock: Clock) -> FloatArray:
    """Average the units whose middle falls in a TR, zero where there is none; arrays as in `lanczos`."""
    members = total(midpoint_s, clock)
    weights: FloatArray = members / np.maximum(members.sum(axis=1, keepdims=True), 1.0)
    return weights


def last(midpoint_s: FloatArray, clock: Clock) -> FloatArray:
    """Take the last unit whose middle falls in a TR, zero where there is none; arrays as in `lanczos`."""
    members = total(midpoint_s, clock)
    units = np.arange(1, len(midpoint_s) + 1)
    latest = (members * units).max(axis=1, keepdims=True)
    weights: FloatArray = members * (units == latest)
    return weights


#: Dictionary with all methods
DOWNSAMPLERS: dict[str, Callable[[FloatArray, Clock], FloatArray]] = {
    "lanczos": lanczos,
    "mean": mean,
    "sum": total,
    "last": last,
}
