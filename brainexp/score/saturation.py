"""Does alignment approach a limit as models grow? A curve with a limit over sizes, where it can be told from a line."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.optimize import curve_fit
from scipy.stats import ttest_1samp

from brainexp.containers import FloatArray
from brainexp.score.inference import MIN_SUBJECTS, ROUNDING

#: Three parameters, and a size to spare.
MIN_SIZES = 4
#: Exponents that are tried. Below, the curve is a straight line over log size; above, a step after the first size.
EXPONENTS = np.geomspace(0.02, 4.0, 300)
DRAWS = 2000


@dataclass(frozen=True)
class Saturation:
    """The curve ``limit - height * (size / smallest size) ** -exponent``, and the straight line over log10 of size.

    Parameters
    ----------
    n_sizes, n_subjects : int
        What was known.
    smallest : float
        The smallest size.
    slope, slope_low, slope_high, p_slope : float
        Change of r per tenfold size, with its t interval over subjects and its two-sided p.
    p_bend : float
        One-sided: r over log size bends downwards.
    limit, limit_low, limit_high : float
        What r approaches, with percentiles over draws of subjects.
    height, exponent : float
        Of the curve.
    intercept : float
        Of the line, at the smallest size.
    reason : str
        Why there is no curve; empty where there is one.
    """

    n_sizes: int
    n_subjects: int
    smallest: float
    slope: float = float("nan")
    slope_low: float = float("nan")
    slope_high: float = float("nan")
    p_slope: float = float("nan")
    p_bend: float = float("nan")
    limit: float = float("nan")
    limit_low: float = float("nan")
    limit_high: float = float("nan")
    height: float = float("nan")
    exponent: float = float("nan")
    intercept: float = float("nan")
    reason: str = ""

    def curve(self, size: FloatArray) -> FloatArray:
        """r of the fitted curve, array of the shape of ``size``; NaN where there is none."""
        return saturating(size / self.smallest, self.limit, self.height, self.exponent)

    def line(self, size: FloatArray) -> FloatArray:
        """r of the straight line over log size, array of the shape of ``size``."""
        r: FloatArray = self.intercept + self.slope * np.log10(size / self.smallest)
        return r


def saturating(ratio: FloatArray, limit: float, height: float, exponent: float) -> FloatArray:
    """r of models that are ``ratio`` times as large as the smallest one."""
    return limit - height * ratio**-exponent


def saturation(size: FloatArray, r: FloatArray, confidence: float, rng: np.random.Generator) -> Saturation:
    """Fit r over size, and say whether there is a limit in sight.

    There is one where four things hold: sizes and subjects suffice; r grows with log size; r over log size bends downwards
    (the quadratic contrast of each subject, so that what varies between subjects decides, and no choice of curve); and in
    nearly all draws of subjects the curve has an exponent within `EXPONENTS`. Intervals are over subjects: that each size is
    one network, with its own training, is in none of them.

    Parameters
    ----------
    size : array of shape (n_sizes,)
        Parameters of each model; two of one size count as two.
    r : array of shape (n_subjects, n_sizes)
        Subjects of whom one value is NaN are left out.
    confidence : float
        Of intervals and tests, such as 0.95.
    rng : numpy.random.Generator
        Draws subjects.
    """
    r = r[np.isfinite(r).all(axis=1)]
    known = Saturation(n_sizes=len(np.unique(size)), n_subjects=len(r), smallest=float(size.min()))
    if known.n_subjects < MIN_SUBJECTS or known.n_sizes < 2:
        return _without(known, f"it takes {MIN_SUBJECTS} subjects with every model and 2 sizes")
    ratio = size / size.min()
    x = np.log10(ratio)
    slopes = (r @ (x - x.mean())) / ((x - x.mean()) ** 2).sum()
    interval = ttest_1samp(slopes, 0.0).confidence_interval(confidence)
    slope = float(slopes.mean())
    line = {
        "slope": slope,
        "slope_low": float(interval.low),
        "slope_high": float(interval.high),
        "p_slope": _p(slopes, "two-sided"),
        "intercept": float(r.mean() - slope * x.mean()),
    }
    if known.n_sizes < MIN_SIZES:
        words = f"a curve with a limit takes at least {MIN_SIZES} sizes (here: {known.n_sizes})"
        return _without(known, words, **line)
    bend = _p(r @ quadratic(x), "less")
    line["p_bend"] = bend
    if not (slope > 0 and line["p_slope"] < 1 - confidence):
        return _without(known, f"r does not grow with size (p = {line['p_slope']:.2g})", **line)
    if not bend < 1 - confidence:
        return _without(known, f"a straight line over log size does as well (p of a bend = {bend:.2g})", **line)
    drawn = r[rng.integers(0, len(r), (DRAWS, len(r)))].mean(axis=1)
    limits, _, at = profile(ratio, drawn)
    inside = (at > 0) & (at < len(EXPONENTS) - 1)
    if inside.mean() < confidence:
        words = f"only {100 * inside.mean():.0f} % of draws of subjects have a limit in sight"
        return _without(known, words, **line)
    limit, height, place = (one[0] for one in profile(ratio, r.mean(axis=0)[None]))
    start = [limit, max(height, 0.0), EXPONENTS[place]]
    bounds = ([-np.inf, 0.0, EXPONENTS[0]], [np.inf, np.inf, EXPONENTS[-1]])
    found, _ = curve_fit(saturating, ratio, r.mean(axis=0), start, bounds=bounds)
    low, high = np.quantile(limits[inside], [(1 - confidence) / 2, (1 + confidence) / 2])
    limit, height, exponent = (float(one) for one in found)
    return replace(
        known,
        limit=limit,
        limit_low=float(low),
        limit_high=float(high),
        height=height,
        exponent=exponent,
        **line,  # type: ignore[arg-type]
    )


def profile(
    ratio: FloatArray, r: FloatArray
) -> tuple[FloatArray, FloatArray, np.ndarray[tuple[int], np.dtype[np.intp]]]:
    """Fit the curve to every row of r: for each exponent limit and height are linear.

    Parameters
    ----------
    ratio : array of shape (n_sizes,)
        Size over the smallest size.
    r : array of shape (n_rows, n_sizes)

    Returns
    -------
    limit, height : arrays of shape (n_rows,)
    at : array of int of shape (n_rows,)
        Index of the best of `EXPONENTS`.
    """
    falling = ratio[None, :] ** -EXPONENTS[:, None]
    centred = falling - falling.mean(axis=1, keepdims=True)
    mean = r.mean(axis=1, keepdims=True)
    height = -((r - mean) @ centred.T) / (centred**2).sum(axis=1)
    explained = height**2 * (centred**2).sum(axis=1)
    at = np.where(height > 0, explained, -1.0).argmax(axis=1)
    best = np.take_along_axis(height, at[:, None], axis=1)[:, 0]
    return mean[:, 0] + best * falling.mean(axis=1)[at], best, at


def quadratic(x: FloatArray) -> FloatArray:
    """Contrast of the bend over x that is free of mean and slope, array of the shape of x; positive for an upward bend."""
    basis = np.stack([np.ones_like(x), x], axis=1)
    bend = x**2 - basis @ np.linalg.lstsq(basis, x**2)[0]
    contrast: FloatArray = bend / np.linalg.norm(bend)
    return contrast


def _p(values: FloatArray, alternative: Literal["two-sided", "less"]) -> float:
    """P of a mean of 0; 1 where the values do not vary, for there is no test."""
    if np.ptp(values) <= ROUNDING:
        return 1.0
    return float(ttest_1samp(values, 0.0, alternative=alternative).pvalue)


def _without(known: Saturation, reason: str, **line: float) -> Saturation:
    return replace(known, reason=reason, **line)  # type: ignore[arg-type]
