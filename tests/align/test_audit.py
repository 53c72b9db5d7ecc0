"""Drift, missing triggers, counts and stray words are found where they are, and not where they are not."""

import dataclasses

import numpy as np
import pytest

from brainexp.align.audit import audited, require_agreement, with_missing
from brainexp.containers import Clock, Timing
from brainexp.errors import DataError

CLOCK = Clock(start_s=-10.0, tr_s=2.0045, n_trs=300)
ONSET = np.arange(0.0, 570.0, 0.5)


def audit(clock=CLOCK, onset=ONSET, length=0.3, **known):
    return audited("tale", onset, onset + length, clock, Timing(**known) if known else None)


def triggers(tr_s=2.0045, n=300, start_s=-10.0, jitter_s=0.01):
    return start_s + tr_s * np.arange(n) + np.random.default_rng(0).uniform(-jitter_s, jitter_s, n)


def test_what_agrees_has_no_objection_and_no_remark():
    found = audit(trigger_s=triggers())

    assert list(found.objections(0.05)) == []
    assert list(found.remarks()) == []
    assert (found.n_words, found.n_trs, found.n_triggers) == (len(ONSET), 300, 300)
    assert (found.first_word_s, found.last_word_s) == (0.0, ONSET[-1] + 0.3)
    assert found.end_s == pytest.approx(-10 + 300 * 2.0045)
    assert found.measured_tr_s == pytest.approx(2.0045, abs=1e-4)


def test_a_nominal_tr_of_2_s_is_found_to_drift():
    """2.0045 s per TR are 1.35 s more than 2 s after 300 TRs."""
    found = audit(dataclasses.replace(CLOCK, tr_s=2.0), trigger_s=triggers(jitter_s=0.0))

    assert found.drift_s == pytest.approx(0.0045 * 300)
    assert found.off_s == pytest.approx(0.0045 * 299)
    (told,) = found.objections(0.5)
    assert told == (
        "story 'tale': triggers lie up to 1.35 s beside the clock; they measure 2.0045 s per TR, the clock has 2 s, which is "
        "1.35 s after 300 TRs"
    )
    assert list(found.objections(1.4)) == []


def test_drift_is_the_slope_of_least_squares():
    from scipy.stats import linregress

    times = triggers(2.01, jitter_s=0.3)

    assert audit(trigger_s=times).measured_tr_s == pytest.approx(linregress(np.arange(300), times).slope, rel=1e-12)


def test_a_later_start_is_found_though_there_is_no_drift():
    found = audit(trigger_s=triggers(start_s=-8.0))

    assert abs(found.drift_s) < 0.05
    assert 1.98 < found.off_s < 2.02


@pytest.mark.parametrize(("n", "off"), [(299, 1), (301, -1)])
def test_a_count_that_is_off_by_one_is_an_objection_at_any_tolerance(n, off):
    found = audit(trigger_s=triggers(n=n))

    assert found.unmatched_trs == off
    (told,) = found.objections(1e6)
    assert told.endswith(
        f"the recording has 300 TRs, but triggers (0 missing ones put in) and what is known to follow them are {n}"
    )
    assert audit(trigger_s=triggers(n=295), unreported_trs=5).unmatched_trs == 0


@pytest.mark.parametrize("gone", [[7], [7, 150], [7, 8], [298]])
def test_missing_triggers_are_put_where_they_were(gone):
    times = triggers()

    filled, missing = with_missing(np.delete(times, gone))

    assert list(missing) == gone
    np.testing.assert_allclose(filled, times, atol=0.03)
    assert np.array_equal(with_missing(times)[0], times)


def test_missing_triggers_are_told_and_no_objection_once_they_are_put_in():
    times = np.delete(triggers(), 40)
    filled, missing = with_missing(times)

    assert list(audit(trigger_s=filled, missing=missing).objections(0.5)) == []
    assert list(audit(trigger_s=filled, missing=missing).remarks()) == [
        "story 'tale': 1 triggers are missing and were put in."
    ]
    left_out = list(audit(trigger_s=times).objections(0.5))
    assert len(left_out) == 2  # the count, and two seconds beside the clock


def test_a_header_or_sidecar_with_another_tr_is_named():
    found = audit(stated_tr_s={"header of run1.nii.gz": 1.52, "run1.json": 2.0045})

    (told,) = found.objections(0.5)
    assert told == (
        "story 'tale': header of run1.nii.gz states 1.52 s per TR, the clock has 2.0045 s, which is 145.35 s after 300 TRs"
    )


def test_words_outside_are_counted_from_their_middle():
    found = audit(onset=np.array([-10.2, 0.0, 591.26, 591.46]), length=0.2)

    assert found.n_outside == 3
    assert found.outside_s == pytest.approx(591.56 - CLOCK.end_s)
    assert list(found.objections(1.0)) == []
    assert list(found.objections(0.1)) == ["story 'tale': 3 of 4 words lie outside the recording, by up to 0.21 s"]
    assert next(found.remarks()).startswith("story 'tale': 3 words lie outside")


def test_overlap_is_with_any_earlier_word():
    found = audited("tale", np.array([0.0, 1.0, 2.0, 9.0]), np.array([8.0, 1.5, 2.5, 9.5]), CLOCK)

    assert (found.n_overlaps, found.overlap_s) == (2, 7.0)
    assert "2 words begin before another ends, by up to 7.00 s" in next(found.objections(0.5))


def test_everything_that_is_off_is_told_at_once():
    bad = [dataclasses.replace(audit(), story=f"s{at}", overlap_s=2.0, n_overlaps=1) for at in range(10)]

    with pytest.raises(
        DataError, match=r"by more than align.clock_tolerance_s=0.5 s. story 's0': 1 words .*; and 2 more"
    ):
        require_agreement(bad, 0.5)
    require_agreement(bad, 2.5)
