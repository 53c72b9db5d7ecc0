"""Do words, TRs and the scanner's triggers agree? Plain arrays in; what disagrees is told, not assumed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from brainexp.containers import Clock, FloatArray, Timing
from brainexp.errors import DataError

#: An interval longer than this many mean ones lacks a trigger.
LONG_INTERVAL = 1.5
#: Problems told at once.
MOST_TOLD = 8


@dataclass(frozen=True)
class Audit:
    """How well the words and triggers of one story agree with its clock.

    Parameters
    ----------
    story : str
        Which story.
    n_words, n_trs : int
        Words of the stimulus and TRs of the recording.
    tr_s : float
        Seconds per TR of the clock.
    start_s, end_s : float
        Of the recording, in seconds on the stimulus' clock.
    first_word_s, last_word_s : float
        Start of the first word and end of the last.
    n_outside : int
        Words whose middle lies outside the recording.
    outside_s : float
        By how much the farthest of them does.
    n_overlaps : int
        Words that begin before another has ended.
    overlap_s : float
        The longest such overlap.
    n_triggers, n_missing : int
        Triggers, those among them that were missing and put in.
    unmatched_trs : int
        TRs of the recording less triggers and TRs that have none by the dataset's own account; 0 without triggers.
    measured_tr_s : float
        Seconds per TR as triggers have them, by least squares; NaN without triggers.
    drift_s : float
        What the difference from the clock's TR adds up to over the recording.
    off_s : float
        The farthest that a trigger lies from the start of its TR on the clock; NaN without triggers.
    stated_tr_s : tuple of (str, float)
        What headers and sidecars state.
    """

    story: str
    n_words: int
    n_trs: int
    tr_s: float
    start_s: float
    end_s: float
    first_word_s: float
    last_word_s: float
    n_outside: int
    outside_s: float
    n_overlaps: int
    overlap_s: float
    n_triggers: int = 0
    n_missing: int = 0
    unmatched_trs: int = 0
    measured_tr_s: float = float("nan")
    drift_s: float = float("nan")
    off_s: float = float("nan")
    stated_tr_s: tuple[tuple[str, float], ...] = field(default=())

    def objections(self, tolerance_s: float) -> Iterator[str]:
        """Yield what is off by more than a tolerance in seconds, in words."""
        where = f"story {self.story!r}"
        if self.outside_s > tolerance_s:
            yield (
                f"{where}: {self.n_outside} of {self.n_words} words lie outside the recording, by up to "
                f"{self.outside_s:.2f} s"
            )
        if self.overlap_s > tolerance_s:
            yield f"{where}: {self.n_overlaps} words begin before another ends, by up to {self.overlap_s:.2f} s"
        if self.unmatched_trs:
            yield (
                f"{where}: the recording has {self.n_trs} TRs, but triggers ({self.n_missing} missing ones put in) and what "
                f"is known to follow them are {self.n_trs - self.unmatched_trs}"
            )
        if self.off_s > tolerance_s:
            yield (
                f"{where}: triggers lie up to {self.off_s:.2f} s beside the clock; they measure {self.measured_tr_s:.4f} s "
                f"per TR, the clock has {self.tr_s:g} s, which is {abs(self.drift_s):.2f} s after {self.n_trs} TRs"
            )
        for name, stated in self.stated_tr_s:
            off = abs(stated - self.tr_s) * self.n_trs
            if off > tolerance_s:
                yield (
                    f"{where}: {name} states {stated:g} s per TR, the clock has {self.tr_s:g} s, which is {off:.2f} s after "
                    f"{self.n_trs} TRs"
                )

    def remarks(self) -> Iterator[str]:
        """Yield what was repaired or is within the tolerance, and should be known all the same."""
        if self.n_missing:
            yield f"story {self.story!r}: {self.n_missing} triggers are missing and were put in."
        if self.n_outside:
            yield (
                f"story {self.story!r}: {self.n_outside} words lie outside the recording, by up to {self.outside_s:.2f} s."
            )


def audited(story: str, onset_s: FloatArray, offset_s: FloatArray, clock: Clock, timing: Timing | None = None) -> Audit:
    """Hold the times of words, and triggers where there are any, against the clock of a recording.

    Parameters
    ----------
    story : str
        For messages.
    onset_s, offset_s : arrays of shape (n_words,)
        When each word starts and ends, in seconds.
    clock : Clock
        When the TRs were acquired, on the same clock.
    timing : Timing, optional
        Triggers, and what headers and sidecars state.

    Returns
    -------
    Audit
    """
    known = Timing() if timing is None else timing
    middle_s = (onset_s + offset_s) / 2
    outside = np.maximum(clock.start_s - middle_s, middle_s - clock.end_s)
    overlap = np.maximum.accumulate(offset_s)[:-1] - onset_s[1:]
    of_triggers = {} if known.trigger_s is None else _against_triggers(clock, known.trigger_s, known)
    return Audit(
        story=story,
        n_words=len(onset_s),
        n_trs=clock.n_trs,
        tr_s=clock.tr_s,
        start_s=clock.start_s,
        end_s=clock.end_s,
        first_word_s=float(onset_s[0]),
        last_word_s=float(offset_s.max()),
        n_outside=int((outside > 0).sum()),
        outside_s=max(0.0, float(outside.max())),
        n_overlaps=int((overlap > 0).sum()),
        overlap_s=max(0.0, float(overlap.max(initial=0.0))),
        stated_tr_s=tuple(known.stated_tr_s.items()),
        **of_triggers,  # type: ignore[arg-type]
    )


def _against_triggers(clock: Clock, trigger_s: FloatArray, timing: Timing) -> dict[str, float]:
    at = np.arange(len(trigger_s))
    measured = float(np.polyfit(at, trigger_s, 1)[0])
    return {
        "n_triggers": len(trigger_s),
        "n_missing": len(timing.missing),
        "unmatched_trs": clock.n_trs - len(trigger_s) - timing.unreported_trs,
        "measured_tr_s": measured,
        "drift_s": (measured - clock.tr_s) * clock.n_trs,
        "off_s": float(np.abs(trigger_s - clock.start_s - clock.tr_s * at).max()),
    }


def with_missing(trigger_s: FloatArray) -> tuple[FloatArray, tuple[int, ...]]:
    """Put triggers that are missing where an interval is too long.

    Parameters
    ----------
    trigger_s : array of shape (n_triggers,)
        In seconds, rising.

    Returns
    -------
    trigger_s : array of shape (n_triggers + n_missing,)
        As many in each interval above 1.5 mean ones as make it even.
    missing : tuple of int
        Which of them were missing.

    Examples
    --------
    >>> with_missing(np.array([0.0, 2.0, 4.0, 8.0, 10.0, 12.0]))
    (array([ 0.,  2.,  4.,  6.,  8., 10., 12.]), (3,))
    """
    interval_s = np.diff(trigger_s)
    missing: list[int] = []
    filled = [float(value) for value in trigger_s[:1]]
    for (before, after), interval in zip(pairwise(trigger_s), interval_s, strict=True):
        steps = round(float(interval / np.median(interval_s))) if interval > LONG_INTERVAL * interval_s.mean() else 1
        missing += range(len(filled), len(filled) + steps - 1)
        filled += [float(value) for value in np.linspace(before, after, steps + 1)[1:]]
    return np.array(filled), tuple(missing)


def require_agreement(audits: Sequence[Audit], tolerance_s: float) -> None:
    """Raise DataError with everything that is off by more than a tolerance in seconds."""
    found = [objection for audit in audits for objection in audit.objections(tolerance_s)]
    if not found:
        return
    more = f"; and {len(found) - MOST_TOLD} more" if len(found) > MOST_TOLD else ""
    raise DataError(
        f"clocks disagree by more than align.clock_tolerance_s={tolerance_s:g} s. {'; '.join(found[:MOST_TOLD])}{more}. "
        "Correct the transcript, the reports or the dataset's clock, or raise the tolerance if you know why."
    )
