"""Do the words of a story fall inside its recording?"""

from __future__ import annotations

import numpy as np

from brainexp.containers import Clock, Stimulus
from brainexp.errors import DataError


def require_words_inside(stimulus: Stimulus, clock: Clock, subject: str, tolerance_s: float = 0.0) -> None:
    """Raise DataError with the first word whose middle lies outside the recording, if there is one.

    Parameters
    ----------
    stimulus : Stimulus
        Word times, in seconds on the stimulus' clock.
    clock : Clock
        When the TRs were acquired, on the same clock.
    subject : str
        Whose recording, for the message.
    tolerance_s : float
        How far outside is allowed, in seconds.
    """
    middle_s = stimulus.midpoint_s
    outside = np.flatnonzero((middle_s < clock.start_s - tolerance_s) | (middle_s >= clock.end_s + tolerance_s))
    if outside.size:
        at = int(outside[0])
        in_ms = (
            len(outside) > len(middle_s) / 2 and (middle_s / 1000 < clock.end_s).all() and middle_s[0] >= clock.start_s
        )
        raise DataError(
            f"story {stimulus.story!r}: {outside.size} of {len(stimulus.units)} words lie outside the recording of "
            f"subject {subject!r}, which runs from {clock.start_s:g} s to {clock.end_s:g} s. The first is word {at} "
            f"({stimulus.units[at]!r}) at {stimulus.midpoint_s[at]:.2f} s. Transcript and recording are not of the same "
            f"take, or their clocks differ.{' Times look like milliseconds: give seconds.' if in_ms else ''}"
        )
