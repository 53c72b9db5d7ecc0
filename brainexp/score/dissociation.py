"""Does compression cost a model more of what probes find than of its alignment? Relative losses and their difference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import t, ttest_1samp

from brainexp.containers import FloatArray
from brainexp.score.inference import MIN_SUBJECTS, RESAMPLES, ROUNDING, equivalence_p

#: Probing sets, as subjects: fewer are not tested.
MIN_DATASETS = MIN_SUBJECTS


@dataclass(frozen=True, eq=False)
class Twins:
    """A measure of a compressed model and of its uncompressed twin, on the same subjects or probing sets.

    Parameters
    ----------
    whole, compressed : arrays of shape (n_units,)
        Scores of the uncompressed model and of the compressed one.
    floor : array of shape (n_units,)
        Score of who knows nothing: 0 for r, that of random labels for a probe.
    """

    whole: FloatArray
    compressed: FloatArray
    floor: FloatArray

    @property
    def known(self) -> Twins:
        """Those of which all is known."""
        at = np.isfinite(self.whole) & np.isfinite(self.compressed) & np.isfinite(self.floor)
        return Twins(self.whole[at], self.compressed[at], self.floor[at])

    @property
    def parts(self) -> tuple[FloatArray, FloatArray]:
        """What each lost, and what each had to lose."""
        return self.whole - self.compressed, self.whole - self.floor


@dataclass(frozen=True)
class Loss:
    """A relative loss: the mean loss over what there was to lose on average.

    Parameters
    ----------
    value : float
        0 where nothing was lost, 1 where all was, negative where something was gained.
    error : float
        Its standard error over units (delta method).
    low, high : float
        Interval by the t distribution.
    n : int
        Units.
    """

    value: float
    error: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Dissociation:
    """Relative losses of alignment and probes, and whether the latter is larger; what cannot be tested is NaN.

    Parameters
    ----------
    alignment, probes : Loss
        Over subjects, and over probing sets.
    difference : float
        Loss of the probes less loss of alignment.
    ci_low, ci_high : float
        Of the difference, by Welch's t.
    bootstrap_low, bootstrap_high : float
        The same by drawing subjects and probing sets, each anew (percentiles).
    p_larger : float
        One-sided, of Welch's t: the probes' loss exceeds the alignment's.
    p_bootstrap : float
        One-sided, (b + 1) / (m + 1) with b of m draws in which it does not.
    p_equivalence : float
        Two one-sided t tests over subjects: r has changed by less than the margin.
    remark : str
        Why something is missing; else empty.
    """

    alignment: Loss
    probes: Loss
    difference: float = float("nan")
    ci_low: float = float("nan")
    ci_high: float = float("nan")
    bootstrap_low: float = float("nan")
    bootstrap_high: float = float("nan")
    p_larger: float = float("nan")
    p_bootstrap: float = float("nan")
    p_equivalence: float = float("nan")
    remark: str = ""


def dissociation(
    alignment: Twins, probes: Twins, margin: float, confidence: float, rng: np.random.Generator
) -> Dissociation:
    """Compare what compression costs alignment with what it costs probes, each as a share of what there was.

    A ratio of means, not a mean of ratios: no subject and no probing set is left out for having had little to lose, which
    would choose by noise. Of few units a bootstrap is too narrow (see `brainexp.score.inference.bootstrap_interval`), so the
    t tests, with standard errors by the delta method, decide.

    Parameters
    ----------
    alignment : Twins
        r of each subject.
    probes : Twins
        Scores of each probing set.
    margin : float
        In units of r, of equivalence.
    confidence : float
        Of intervals, such as 0.95.
    rng : numpy.random.Generator
        For the bootstrap.
    """
    alignment, probes = alignment.known, probes.known
    of_alignment, of_probes = (
        relative_loss(twins, confidence) if _has_something(twins, least, confidence) else _share_of_nothing(twins)
        for twins, least, _ in _compared(alignment, probes)
    )
    losses = of_alignment, of_probes
    remark = _objection(alignment, probes, confidence)
    if remark:
        return Dissociation(*losses, remark=remark)
    difference = losses[1].value - losses[0].value
    variances = np.array([one.error**2 for one in losses])
    degrees = np.array([one.n - 1 for one in losses])
    error = float(np.sqrt(variances.sum()))
    freedom = variances.sum() ** 2 / (variances**2 / degrees).sum()
    reach = float(t.ppf((1 + confidence) / 2, freedom)) * error
    draws = _drawn(probes, rng) - _drawn(alignment, rng)
    low, high = np.nanquantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
    moved = alignment.compressed - alignment.whole
    return Dissociation(
        *losses,
        difference=difference,
        ci_low=difference - reach,
        ci_high=difference + reach,
        bootstrap_low=float(low),
        bootstrap_high=float(high),
        p_larger=float(t.sf(difference / error, freedom)),
        p_bootstrap=float(((draws <= 0).sum() + 1) / (len(draws) + 1)),
        p_equivalence=equivalence_p(moved, margin) if np.ptp(moved) > ROUNDING else float("nan"),
    )


def relative_loss(twins: Twins, confidence: float) -> Loss:
    """Mean loss over mean of what there was to lose, with its standard error and interval over units."""
    lost, had = twins.parts
    n = len(lost)
    if n == 0 or had.mean() == 0:
        return Loss(float("nan"), float("nan"), float("nan"), float("nan"), n)
    value = float(lost.mean() / had.mean())
    if n < 2:
        return Loss(value, float("nan"), float("nan"), float("nan"), n)
    error = float((lost - value * had).std(ddof=1) / abs(had.mean()) / np.sqrt(n))
    reach = float(t.ppf((1 + confidence) / 2, n - 1)) * error
    return Loss(value, error, value - reach, value + reach, n)


def _compared(alignment: Twins, probes: Twins) -> tuple[tuple[Twins, int, str], ...]:
    return (alignment, MIN_SUBJECTS, "subjects"), (probes, MIN_DATASETS, "probing sets")


def _has_something(twins: Twins, least: int, confidence: float) -> bool:
    """Whether the uncompressed model is above chance; of fewer units than least this is not asked."""
    had = twins.parts[1]
    if len(had) < least or (np.ptp(had) <= ROUNDING and had[0] > 0):
        return True
    return float(ttest_1samp(had, 0.0, alternative="greater").pvalue) < 1 - confidence


def _share_of_nothing(twins: Twins) -> Loss:
    return Loss(float("nan"), float("nan"), float("nan"), float("nan"), len(twins.parts[1]))


def _objection(alignment: Twins, probes: Twins, confidence: float) -> str:
    """Why losses cannot be compared, in words; empty where they can."""
    for twins, least, units in _compared(alignment, probes):
        n = len(twins.parts[1])
        if n < least:
            return f"no test with fewer than {least} {units} (here: {n})"
        if not _has_something(twins, least, confidence):
            return f"over {units}, the uncompressed model is not above chance: it has nothing to lose"
    if max(np.ptp(twins.parts[0]) for twins in (alignment, probes)) <= ROUNDING:
        return "losses are the same in every subject and probing set: without spread there is no test"
    return ""


def _drawn(twins: Twins, rng: np.random.Generator) -> FloatArray:
    """Relative losses with units drawn anew, the same for both models; array of shape (RESAMPLES,)."""
    lost, had = twins.parts
    at = rng.integers(len(lost), size=(RESAMPLES, len(lost)))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(lost[at].mean(axis=1) / had[at].mean(axis=1))
