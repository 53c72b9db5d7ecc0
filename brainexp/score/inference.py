"""Do two conditions differ over subjects, and if not, are they equivalent? Tests of paired differences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import gammaln
from scipy.stats import bootstrap, false_discovery_control, rankdata, t, ttest_1samp, wilcoxon

from brainexp.containers import FloatArray

#: With two subjects a difference of any size has p = 0.5 in every exact test.
MIN_SUBJECTS = 3
#: Up to here all sign flips are counted: a million.
MAX_EXACT_SUBJECTS = 20
#: Random sign flips where there are more subjects.
SIGN_FLIPS = 100_000
RESAMPLES = 9999
#: Differences of r beyond this digit are rounding.
ROUNDING = 1e-12


@dataclass(frozen=True)
class PairedTests:
    """One comparison of paired values over subjects; what cannot be tested is NaN, and ``remark`` says why.

    Parameters
    ----------
    n_subjects : int
        Pairs of which both values are known.
    difference : float
        Mean of the differences.
    ci_low, ci_high : float
        Of the mean difference, by the t distribution.
    bootstrap_low, bootstrap_high : float
        The same by resampling subjects, see `bootstrap_interval`.
    t : float
        Mean difference over its standard error; ``n_subjects - 1`` degrees of freedom.
    p_t, p_wilcoxon, p_sign_flip : float
        Two-sided: paired t test, Wilcoxon's signed-rank test, `sign_flip_p`.
    d_z : float
        Cohen's d of paired values: mean difference over its standard deviation.
    g_z : float
        The same without its bias in small samples (Hedges 1981).
    rank_biserial : float
        Share of ranks that speak for the first condition minus the share against it, from -1 to 1 (Kerby 2014).
    equivalence_low, equivalence_high : float
        The narrower interval (90 % where confidence is 95 %) that lies within the margin where equivalence is significant.
    p_equivalence : float
        See `equivalence_p`.
    remark : str
        Why something is missing; else empty.
    """

    n_subjects: int
    difference: float
    ci_low: float = float("nan")
    ci_high: float = float("nan")
    bootstrap_low: float = float("nan")
    bootstrap_high: float = float("nan")
    t: float = float("nan")
    p_t: float = float("nan")
    p_wilcoxon: float = float("nan")
    p_sign_flip: float = float("nan")
    d_z: float = float("nan")
    g_z: float = float("nan")
    rank_biserial: float = float("nan")
    equivalence_low: float = float("nan")
    equivalence_high: float = float("nan")
    p_equivalence: float = float("nan")
    remark: str = ""


def paired_tests(
    first: FloatArray, second: FloatArray, margin: float, confidence: float, rng: np.random.Generator
) -> PairedTests:
    """Compare two conditions that the same subjects went through.

    Parameters
    ----------
    first, second : arrays of shape (n_subjects,)
        A value per subject, in the same order; a subject of whom one is NaN is left out.
    margin : float
        Means that differ by less, in the unit of the values, count as equivalent. To be declared before looking.
    confidence : float
        Of the intervals, such as 0.95.
    rng : numpy.random.Generator
        For bootstrap and, where subjects are many, sign flips.

    Returns
    -------
    PairedTests
        Of ``first - second``.
    """
    difference = first - second
    difference = difference[np.isfinite(difference)]
    n_subjects = len(difference)
    mean = float(difference.mean()) if n_subjects else float("nan")
    if n_subjects < MIN_SUBJECTS:
        return PairedTests(
            n_subjects, mean, remark=f"no test with fewer than {MIN_SUBJECTS} subjects (here: {n_subjects})"
        )
    if np.ptp(difference) <= ROUNDING:
        return PairedTests(
            n_subjects, mean, remark="the difference is the same in every subject: without spread there is no test"
        )
    ci_low, ci_high = t_interval(difference, confidence)
    bootstrap_low, bootstrap_high = bootstrap_interval(difference, confidence, rng)
    equivalence_low, equivalence_high = t_interval(difference, 2 * confidence - 1)
    tested = ttest_1samp(difference, 0.0)
    d_z = mean / float(difference.std(ddof=1))
    return PairedTests(
        n_subjects=n_subjects,
        difference=mean,
        ci_low=ci_low,
        ci_high=ci_high,
        bootstrap_low=bootstrap_low,
        bootstrap_high=bootstrap_high,
        t=float(tested.statistic),
        p_t=float(tested.pvalue),
        p_wilcoxon=float(wilcoxon(difference[difference != 0]).pvalue),  # else scipy leaves exactness for a few zeros
        p_sign_flip=sign_flip_p(difference, rng),
        d_z=d_z,
        g_z=d_z * unbiasing(n_subjects - 1),
        rank_biserial=rank_biserial(difference),
        equivalence_low=equivalence_low,
        equivalence_high=equivalence_high,
        p_equivalence=equivalence_p(difference, margin),
    )


def sign_flip_p(difference: FloatArray, rng: np.random.Generator) -> float:
    """Two-sided p of the mean difference: if conditions are alike, each difference might as well have the other sign.

    Exact up to `MAX_EXACT_SUBJECTS`, of all 2^n flips; above, (b + 1) / (m + 1) with b of m random flips at least as far
    from 0. The least possible p is 2^(1 - n).

    Parameters
    ----------
    difference : array of shape (n_subjects,)
    rng : numpy.random.Generator
        Used above `MAX_EXACT_SUBJECTS` only.
    """
    least = np.abs(difference.sum()) - ROUNDING * np.abs(difference).sum()
    if len(difference) > MAX_EXACT_SUBJECTS:
        eights = rng.integers(0, 256, (SIGN_FLIPS, -(-len(difference) // 8)), dtype=np.uint8)
        flipped = np.unpackbits(eights, axis=1, count=len(difference)).astype(float)
        at_least = np.abs(difference.sum() - 2 * (flipped @ difference)) >= least
        return float((at_least.sum() + 1) / (SIGN_FLIPS + 1))
    sums = np.zeros(1)
    for one in difference:
        sums = np.concatenate([sums + one, sums - one])
    return float((np.abs(sums) >= least).mean())


def t_interval(difference: FloatArray, confidence: float) -> tuple[float, float]:
    """Interval of the mean difference by the t distribution: exact where differences are normal."""
    interval = ttest_1samp(difference, 0.0).confidence_interval(confidence)
    return float(interval.low), float(interval.high)


def bootstrap_interval(difference: FloatArray, confidence: float, rng: np.random.Generator) -> tuple[float, float]:
    """Interval of the mean difference by resampling subjects: bias-corrected and accelerated (Efron 1987).

    Of the bootstraps that scipy offers it follows a skew best, and a skew is what it is for: of few subjects any bootstrap
    is too narrow (nine normal differences: a nominal 95 % covers some 90 %), so `t_interval` is the one that is shown.

    Parameters
    ----------
    difference : array of shape (n_subjects,)
        Not all alike.
    confidence : float
    rng : numpy.random.Generator
    """
    found = bootstrap(
        (difference,),
        np.mean,
        n_resamples=RESAMPLES,
        batch=1000,
        confidence_level=confidence,
        method="BCa",
        random_state=rng,
    ).confidence_interval
    return float(found.low), float(found.high)


def equivalence_p(difference: FloatArray, margin: float) -> float:
    """P of two one-sided t tests, that the mean difference is neither ``-margin`` or less nor ``margin`` or more.

    The larger of the two p (Schuirmann 1987). A small one shows that conditions differ by less than the margin, which a
    large p of a test for a difference never does.

    Parameters
    ----------
    difference : array of shape (n_subjects,)
        Not all alike.
    margin : float
        In the unit of the differences.
    """
    error = difference.std(ddof=1) / np.sqrt(len(difference))
    above_low = t.sf((difference.mean() + margin) / error, len(difference) - 1)
    below_high = t.cdf((difference.mean() - margin) / error, len(difference) - 1)
    return float(max(above_low, below_high))


def unbiasing(degrees: int) -> float:
    """Factor that makes d_z of normal differences unbiased, Γ(ν/2) / (√(ν/2) Γ((ν - 1)/2)) (Hedges 1981)."""
    return float(np.exp(gammaln(degrees / 2) - gammaln((degrees - 1) / 2)) / np.sqrt(degrees / 2))


def rank_biserial(difference: FloatArray) -> float:
    """Rank sum of positive differences minus that of negative ones, over both; differences of 0 are left out."""
    moved = difference[difference != 0]
    ranks = rankdata(np.abs(moved))
    return float((ranks * np.sign(moved)).sum() / ranks.sum())


def adjusted(p: Sequence[float] | FloatArray, method: Literal["holm", "bh", "by"]) -> FloatArray:
    """Adjust p for the number of tests in a family.

    Parameters
    ----------
    p : array of shape (n_tests,)
        NaN stays NaN and is not counted.
    method : {"holm", "bh", "by"}
        Holm (1979) bounds the chance of any false claim, whatever depends on what; Benjamini & Hochberg (1995) the share of
        false claims; Benjamini & Yekutieli (2001) the same under any dependence.

    Returns
    -------
    array of shape (n_tests,)
    """
    values = np.asarray(p, dtype=float)
    found = np.full(values.shape, np.nan)
    known = np.flatnonzero(np.isfinite(values))
    if method != "holm":
        if known.size:
            found[known] = false_discovery_control(values[known], method=method)
        return found
    ranked = known[np.argsort(values[known], kind="stable")]
    steps = values[ranked] * np.arange(len(ranked), 0, -1)
    found[ranked] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return found
