"""Cut the edges of a run, in seconds."""

from __future__ import annotations

import math

from brainexp.containers import Clock
from brainexp.errors import ConfigError


def kept_rows(clock: Clock, start_s: float, stop_s: float) -> slice:
    """Rows of a run that are left when its edges are cut.

    Parameters
    ----------
    clock : Clock
        Clock of the run.
    start_s, stop_s : float
        Seconds to cut; a TR is dropped if any part of it lies in the cut.

    Raises
    ------
    ConfigError
        If nothing is left.

    Examples
    --------
    >>> kept_rows(Clock(start_s=0.0, tr_s=2.0, n_trs=100), start_s=10.0, stop_s=5.0)
    slice(5, 97, None)
    """
    first = math.ceil(round(start_s / clock.tr_s, 9))  # rounding: 0.6 / 0.2 is 2.9999999999999996
    last = clock.n_trs - math.ceil(round(stop_s / clock.tr_s, 9))
    if first < 0 or last > clock.n_trs or first >= last:
        raise ConfigError(
            f"trimming {start_s} s from the start and {stop_s} s from the end leaves nothing of a run of "
            f"{clock.n_trs * clock.tr_s:g} s. Give non-negative seconds that sum to less."
        )
    return slice(first, last)
