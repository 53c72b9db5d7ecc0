"""Feature spaces that know nothing of language: whatever they predict, a language model does not explain."""

from __future__ import annotations

import numpy as np

from brainexp.align.downsample import total
from brainexp.containers import Clock, FloatArray


def word_rate(midpoint_s: FloatArray, clock: Clock) -> FloatArray:
    """Words per TR.

    Parameters
    ----------
    midpoint_s : array of shape (n_units,)
        When each word was heard, in seconds.
    clock : Clock
        Clock of the run.

    Returns
    -------
    array of shape (n_trs, 1)
    """
    rate: FloatArray = total(midpoint_s, clock).sum(axis=1, keepdims=True)
    return rate


def position(n_trs: int, n_terms: int = 4) -> FloatArray:
    """Where in the run a TR lies: Legendre polynomials of time, array of shape (n_trs, n_terms)."""
    return np.polynomial.legendre.legvander(np.linspace(-1, 1, n_trs), n_terms)[:, 1:]


def autocorrelation(n_trs: int, period_trs: int = 10) -> FloatArray:
    """Every slow course of time within the run: cosines down to a period.

    Anything smooth can be interpolated from them when neighbours of a test TR are trained on, so they score high under
    shuffled splits and must score near zero here. The idea is of Hadidi et al. (2025), "Illusions of alignment between
    large language models and brains emerge from fragile methods and overlooked confounds".

    Parameters
    ----------
    n_trs : int
        TRs of the run.
    period_trs : int
        The shortest period, in TRs.

    Returns
    -------
    array of shape (n_trs, 2 * n_trs // period_trs), at least one column
    """
    frequency = np.arange(1, max(2 * n_trs // period_trs, 1) + 1)
    return np.cos(np.pi * frequency * (np.arange(n_trs)[:, None] + 0.5) / n_trs)
