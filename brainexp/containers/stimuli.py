"""What was presented, and when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from brainexp.containers.arrays import FloatArray, IntArray
from brainexp.errors import DataError


@dataclass(frozen=True)
class Clock:
    """When the rows of one recording were acquired.

    Parameters
    ----------
    start_s : float
        Start of the first TR on the stimulus' clock, in seconds.
    tr_s : float
        Time from one TR to the next, in seconds.
    n_trs : int
        Number of TRs.
    """

    start_s: float
    tr_s: float
    n_trs: int

    @property
    def end_s(self) -> float:
        """End of the last TR on the stimulus' clock, in seconds."""
        return self.start_s + self.tr_s * self.n_trs

    def midpoints_s(self) -> FloatArray:
        """Middle of each TR, array of shape (n_trs,), in seconds."""
        return self.start_s + self.tr_s * (np.arange(self.n_trs) + 0.5)


@dataclass(frozen=True, eq=False)
class Stimulus:
    """What was presented in one run, unit by unit.

    Parameters
    ----------
    story : str
        Name of the stimulus.
    units : tuple of str
        The elements that get a feature vector, in order: words of a story, or sentences where `Facts.items` says so.
    onset_s, offset_s : arrays of shape (n_units,)
        When each unit starts and ends, in seconds.
    annotations : mapping of str to array of shape (n_units, n_columns)
        Known properties of the units by feature space, where the dataset has them.
    separate : bool
        Whether each unit was presented by itself, as one of many sentences: then it is read alone, whatever context a model
        is given.

    Raises
    ------
    DataError
        If a unit is empty, or times are not finite, not increasing or end before they start.
    """

    story: str
    units: tuple[str, ...]
    onset_s: FloatArray
    offset_s: FloatArray
    annotations: Mapping[str, FloatArray] = field(default_factory=dict)
    separate: bool = False

    def __post_init__(self) -> None:
        n_units = len(self.units)
        if not n_units:
            raise DataError(f"story {self.story!r} has no words. Check its transcript.")
        if self.onset_s.shape != (n_units,) or self.offset_s.shape != (n_units,):
            raise DataError(
                f"story {self.story!r} has {n_units} words but {self.onset_s.shape} onsets and "
                f"{self.offset_s.shape} offsets. Each word needs one of each."
            )
        wrong = np.flatnonzero(
            ~np.isfinite(self.onset_s)
            | ~np.isfinite(self.offset_s)
            | (self.offset_s < self.onset_s)
            | (self.onset_s < np.concatenate([self.onset_s[:1], self.onset_s[:-1]]))
        )
        if wrong.size:
            at = int(wrong[0])
            raise DataError(
                f"story {self.story!r}: word {at} ({self.units[at]!r}) runs from {self.onset_s[at]} s to "
                f"{self.offset_s[at]} s, after a word that began at {self.onset_s[max(at - 1, 0)]} s. "
                "Times must be finite and in order. Correct the transcript."
            )
        for name, annotation in self.annotations.items():
            if annotation.ndim != 2 or len(annotation) != n_units or not np.isfinite(annotation).all():
                raise DataError(
                    f"story {self.story!r}: annotation {name!r} has shape {annotation.shape} or values that are not "
                    f"finite, but there are {n_units} words. One row of numbers per word is needed."
                )
        blank = [at for at, unit in enumerate(self.units) if not unit.strip()]
        if blank:
            raise DataError(f"story {self.story!r}: word {blank[0]} is empty. Remove it from the transcript.")

    @property
    def midpoint_s(self) -> FloatArray:
        """Middle of each unit, array of shape (n_units,), in seconds."""
        return (self.onset_s + self.offset_s) / 2


@dataclass(frozen=True)
class Passage:
    """A text that is read as a whole, and the stretches of it that get a feature vector each.

    Parameters
    ----------
    text : str
        What the model reads.
    stretches : tuple of (int, int)
        First character and one past the last of each; none means the whole text.

    Raises
    ------
    DataError
        If the text is blank, or a stretch is empty or reaches outside it.
    """

    text: str
    stretches: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise DataError("a passage has no words. Remove it.")
        for start, stop in self.stretches:
            if not 0 <= start < stop <= len(self.text) or not self.text[start:stop].strip():
                raise DataError(
                    f"characters {start} to {stop} are no part of {self.text[:60]!r} that has words; it has "
                    f"{len(self.text)} characters. Correct the stretch."
                )

    @property
    def parts(self) -> tuple[tuple[int, int], ...]:
        """The stretches; the whole text where none is named."""
        return self.stretches or ((0, len(self.text)),)


@dataclass(frozen=True, eq=False)
class Likelihoods:
    """Log-probabilities of a text's tokens.

    Parameters
    ----------
    log_p : array of shape (n_tokens,)
        Natural logarithms; NaN for a first token that nothing stands before.
    start, stop : arrays of int of shape (n_tokens,)
        Characters of each token.
    """

    log_p: FloatArray
    start: IntArray
    stop: IntArray

    @property
    def total(self) -> float:
        """Sum over the tokens that have a probability."""
        return float(np.nansum(self.log_p))

    @property
    def n_scored(self) -> int:
        """Number of tokens that have a probability."""
        return int(np.isfinite(self.log_p).sum())


@dataclass(frozen=True, eq=False)
class Timing:
    """What is known of when a story's TRs were acquired, beside the clock that the analysis uses.

    Parameters
    ----------
    trigger_s : array of shape (n_triggers,), optional
        When the scanner said that a TR began, in seconds on the stimulus' clock; missing ones already put in.
    missing : tuple of int
        Which of them were missing.
    unreported_trs : int
        TRs at the end of the recording that have no trigger, by the dataset's own account.
    stated_tr_s : mapping of str to float
        Seconds per TR by what states them, such as "task-life_bold.json" or "header of run1.nii.gz".
    """

    trigger_s: FloatArray | None = None
    missing: tuple[int, ...] = ()
    unreported_trs: int = 0
    stated_tr_s: Mapping[str, float] = field(default_factory=dict)
