import numpy as np
import pytest

from brainexp.align.trim import kept_rows
from brainexp.containers import Clock
from brainexp.errors import ConfigError


def test_no_trim_keeps_every_row():
    kept = kept_rows(Clock(start_s=20.0, tr_s=2.0, n_trs=50), start_s=0.0, stop_s=0.0)

    assert kept == slice(0, 50)


@pytest.mark.parametrize(
    ("tr_s", "start_s", "stop_s", "expected"),
    [
        (2.0, 10.0, 5.0, slice(5, 97)),
        (2.0, 9.9, 4.1, slice(5, 97)),
        (0.2, 0.6, 0.6, slice(3, 97)),  # 0.6 / 0.2 is 2.9999999999999996
        (0.1, 0.3, 0.7, slice(3, 93)),  # 0.3 / 0.1 is 2.9999999999999996, 0.7 / 0.1 is 6.999999999999999
        (1.1, 3.3, 0.0, slice(3, 100)),  # 3.3 / 1.1 is 2.9999999999999996
        (1.5, 0.01, 0.01, slice(1, 99)),
    ],
)
def test_a_tr_is_dropped_if_any_part_of_it_lies_in_the_cut(tr_s, start_s, stop_s, expected):
    kept = kept_rows(Clock(start_s=0.0, tr_s=tr_s, n_trs=100), start_s, stop_s)

    assert kept == expected


def test_kept_rows_are_all_those_that_lie_wholly_between_the_cuts():
    rng = np.random.default_rng(0)
    for _ in range(200):
        clock = Clock(start_s=0.0, tr_s=rng.uniform(0.5, 3.0), n_trs=int(rng.integers(30, 60)))
        start_s, stop_s = rng.uniform(0.0, 7.0, size=2)
        begins_s = np.arange(clock.n_trs) * clock.tr_s
        whole = (begins_s >= start_s) & (begins_s + clock.tr_s <= clock.end_s - stop_s)

        kept = kept_rows(clock, start_s, stop_s)

        np.testing.assert_array_equal(np.arange(clock.n_trs)[kept], np.flatnonzero(whole))


def test_the_clock_of_the_stimulus_does_not_move_the_cut():
    early, late = (kept_rows(Clock(start_s, tr_s=2.0, n_trs=40), 10.0, 4.0) for start_s in (-8.0, 20.0))

    assert early == late == slice(5, 38)


@pytest.mark.parametrize(("start_s", "stop_s"), [(10.0, 10.0), (20.0, 0.0), (0.0, 21.0), (500.0, 500.0)])
def test_a_cut_that_leaves_nothing_is_refused(start_s, stop_s):
    clock = Clock(start_s=0.0, tr_s=2.0, n_trs=10)

    with pytest.raises(
        ConfigError,
        match=rf"trimming {start_s} s from the start and {stop_s} s from the end leaves nothing of a run of 20 s\. "
        r"Give non-negative seconds that sum to less\.",
    ):
        kept_rows(clock, start_s, stop_s)


@pytest.mark.parametrize(("start_s", "stop_s"), [(-2.0, 0.0), (0.0, -2.0), (-2.0, -2.0)])
def test_negative_seconds_are_refused(start_s, stop_s):
    clock = Clock(start_s=0.0, tr_s=2.0, n_trs=10)

    with pytest.raises(ConfigError, match="Give non-negative seconds"):
        kept_rows(clock, start_s, stop_s)
