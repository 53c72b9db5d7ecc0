"""Cleaning against scipy and numpy, one run at a time."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import signal

from brainexp.containers import Fold
from brainexp.dataset.cleaning import FILTER_TRS, VOXELS_AT_ONCE, Cleaning
from brainexp.errors import ConfigError, DataError
from brainexp.experiment import cleaning_remarks
from brainexp.registry import plain_fields, validated

TR_S = 2.0


@pytest.fixture
def run(rng):
    return rng.standard_normal((200, 7)).cumsum(axis=0) + 5


def test_nothing_is_done_unless_it_is_asked_for(run):
    assert Cleaning().of_run(run, TR_S, {}, "a run") is run
    assert Cleaning().crosses_rows == ()


def test_a_line_is_removed_as_scipy_does(run):
    cleaned = Cleaning(detrend=True).of_run(run, TR_S, {}, "a run")

    np.testing.assert_allclose(cleaned, signal.detrend(run, axis=0), atol=1e-10)


@pytest.mark.parametrize(
    ("options", "kind", "hz"),
    [
        ({"high_pass_hz": 0.01}, "highpass", 0.01),
        ({"low_pass_hz": 0.1}, "lowpass", 0.1),
        ({"high_pass_hz": 0.01, "low_pass_hz": 0.1}, "bandpass", [0.01, 0.1]),
    ],
)
def test_filters_are_scipys_butterworth_of_fifth_order_both_ways(run, options, kind, hz):
    sections = signal.butter(5, hz, btype=kind, fs=1 / TR_S, output="sos")

    cleaned = Cleaning(**options).of_run(run, TR_S, {}, "a run")

    np.testing.assert_allclose(cleaned, signal.sosfiltfilt(sections, run, axis=0), atol=1e-8)


def test_a_slow_wave_goes_and_a_fast_one_stays():
    time_s = TR_S * np.arange(600)
    slow, fast = np.sin(2 * np.pi * 0.002 * time_s), np.sin(2 * np.pi * 0.05 * time_s)

    cleaned = Cleaning(high_pass_hz=0.01).of_run((slow + fast)[:, None], TR_S, {}, "a run")[:, 0]

    kept = slice(60, -60)
    assert np.corrcoef(cleaned[kept], fast[kept])[0, 1] > 0.999
    assert np.abs(cleaned[kept] - fast[kept]).max() < 0.05


def test_nuisance_is_regressed_out_as_least_squares_does(run, rng):
    motion, sound = rng.standard_normal((200, 6)), rng.standard_normal((200, 1))
    regressors = np.hstack([motion, sound])
    regressors = regressors - regressors.mean(axis=0)
    weights, *_ = np.linalg.lstsq(regressors, run, rcond=None)

    cleaned = Cleaning(nuisance=("motion", "sound")).of_run(run, TR_S, {"motion": motion, "sound": sound}, "a run")

    np.testing.assert_allclose(cleaned, run - regressors @ weights, atol=1e-10)
    assert np.abs(np.corrcoef(cleaned.T, motion.T)[:7, 7:]).max() < 1e-10


def test_nuisance_is_detrended_and_filtered_as_the_responses_are(run, rng):
    """Else what was filtered away would come back with the regressor (Lindquist et al. 2018)."""
    motion = rng.standard_normal((200, 2)).cumsum(axis=0)
    sections = signal.butter(5, 0.01, btype="highpass", fs=1 / TR_S, output="sos")
    filtered, regressors = (signal.sosfiltfilt(sections, one, axis=0) for one in (run, motion))
    regressors = regressors - regressors.mean(axis=0)
    weights, *_ = np.linalg.lstsq(regressors, filtered, rcond=None)

    cleaned = Cleaning(nuisance=("motion",), high_pass_hz=0.01).of_run(run, TR_S, {"motion": motion}, "a run")

    np.testing.assert_allclose(cleaned, filtered - regressors @ weights, atol=1e-8)


def test_a_standardised_run_has_mean_0_and_standard_deviation_1(run):
    cleaned = Cleaning(standardise="run").of_run(run, TR_S, {}, "a run")

    np.testing.assert_allclose(cleaned, (run - run.mean(axis=0)) / run.std(axis=0, ddof=1), atol=1e-12)


def test_voxels_with_nan_stay_as_they_are_and_change_no_other(run):
    options = Cleaning(detrend=True, standardise="run", high_pass_hz=0.01)
    whole = options.of_run(run, TR_S, {}, "a run")
    run[3, 2] = np.nan

    cleaned = options.of_run(run, TR_S, {}, "a run")

    np.testing.assert_array_equal(cleaned[:, 2], run[:, 2])
    kept = [0, 1, 3, 4, 5, 6]
    np.testing.assert_allclose(cleaned[:, kept], whole[:, kept], atol=1e-12)


def test_a_constant_voxel_becomes_zero_and_a_mean_of_zero_is_no_trouble():
    values = np.zeros((100, 2))
    values[:, 0] = 3.0

    cleaned = Cleaning(detrend=True, standardise="run").of_run(values, TR_S, {}, "a run")

    np.testing.assert_allclose(cleaned, 0, atol=1e-12)


def test_the_dtype_stays_and_the_values_given_are_not_changed(run):
    given = run.astype(np.float32)
    before = given.copy()

    cleaned = Cleaning(detrend=True).of_run(given, TR_S, {}, "a run")

    assert cleaned.dtype == np.float32
    np.testing.assert_array_equal(given, before)
    np.testing.assert_allclose(cleaned, signal.detrend(run, axis=0), atol=1e-4)


def test_batches_of_voxels_make_no_difference(rng, monkeypatch):
    run = rng.standard_normal((60, 11))
    whole = Cleaning(detrend=True, standardise="run").of_run(run, TR_S, {}, "a run")
    assert VOXELS_AT_ONCE > 11
    monkeypatch.setattr("brainexp.dataset.cleaning.VOXELS_AT_ONCE", 3)

    batched = Cleaning(detrend=True, standardise="run").of_run(run, TR_S, {}, "a run")

    np.testing.assert_allclose(batched, whole, rtol=1e-12, atol=1e-12)


def test_repeats_are_cleaned_one_by_one_and_averaged(rng):
    recordings = rng.standard_normal((3, 80, 4)).cumsum(axis=1)
    options = Cleaning(detrend=True, standardise="run")
    expected = np.mean(
        [(one - one.mean(axis=0)) / one.std(axis=0, ddof=1) for one in signal.detrend(recordings, axis=1)], axis=0
    )

    np.testing.assert_allclose(options.of_repeats(recordings, TR_S, [{}] * 3, "a story"), expected, atol=1e-12)


def test_the_first_repeat_alone_can_be_asked_for(rng):
    recordings = rng.standard_normal((2, 80, 4))

    first = Cleaning(repeats="first").of_repeats(recordings, TR_S, [{}] * 2, "a story")

    np.testing.assert_array_equal(first, recordings[0])


def test_a_voxel_that_is_nan_in_one_repeat_is_so_in_the_mean(rng):
    recordings = rng.standard_normal((2, 80, 2))
    recordings[1, 5, 0] = np.nan

    mean = Cleaning(detrend=True).of_repeats(recordings, TR_S, [{}] * 2, "a story")

    assert np.isnan(mean[:, 0]).any()
    assert np.isfinite(mean[:, 1]).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"high_pass_hz": 0.0}, "cleaning: high_pass_hz must be positive or null, in Hz, got 0.0"),
        (
            {"high_pass_hz": 0.1, "low_pass_hz": 0.1},
            "must lie below low_pass_hz, got 0.1 and 0.1: nothing would be left",
        ),
        ({"standardise": "session"}, "cleaning: standardise: Input should be 'none' or 'run', got 'session'"),
        ({"highpass": 0.1}, "unknown option of cleaning: 'highpass'. Did you mean 'high_pass_hz'?"),
    ],
)
def test_options_that_cannot_be_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        validated(Cleaning, options, "cleaning")


def test_frequencies_regressors_and_lengths_are_checked_against_the_run(run):
    with pytest.raises(ConfigError, match=r"low_pass_hz=0.3 Hz cannot be told at a TR of 2 s: give less than 0.25 Hz"):
        Cleaning(low_pass_hz=0.3).of_run(run, TR_S, {}, "s1, tea")
    with pytest.raises(ConfigError, match=r"s1, tea has no nuisance regressor 'motion'. Known: sound_power."):
        Cleaning(nuisance=("motion",)).of_run(run, TR_S, {"sound_power": run[:, :1]}, "s1, tea")
    with pytest.raises(DataError, match=r"s1, tea: 33 TRs are too few to filter; at least 34 are needed"):
        Cleaning(high_pass_hz=0.01).of_run(run[: FILTER_TRS - 1], TR_S, {}, "s1, tea")
    assert Cleaning(high_pass_hz=0.01, low_pass_hz=0.1).of_run(run[:FILTER_TRS], TR_S, {}, "").shape == (34, 7)


def test_options_come_back_from_plain_values():
    cleaning = Cleaning(detrend=True, nuisance=("motion",), high_pass_hz=0.005)

    assert validated(Cleaning, plain_fields(cleaning), "cleaning") == cleaning


@dataclass(frozen=True)
class Recorded:
    cleaning: Cleaning = field(default_factory=Cleaning)


def fold(train, test):
    return Fold(train=np.array(train), test=np.array(test), inner=())


def test_cleaning_is_told_where_a_run_is_split_and_only_there():
    blocks, runs = [fold([0, 1, 2], [4, 5])], [fold([0, 1, 2], [3, 4, 5])]
    cleaned = Recorded(Cleaning(detrend=True, standardise="run"))

    (told,) = cleaning_remarks(cleaned, [6], blocks)

    assert told.startswith("dataset.cleaning.detrend, dataset.cleaning.standardise: fitted to whole runs")
    assert "split.by=run" in told
    assert cleaning_remarks(cleaned, [3, 3], runs) == ()
    assert cleaning_remarks(Recorded(), [6], blocks) == ()
    assert cleaning_remarks(SimpleNamespace(), [6], blocks) == ()


def test_what_crosses_rows_really_does_and_only_within_the_run(run):
    """A change of the last rows moves the first rows of its own run, and no other run."""
    changed = run.copy()
    changed[-20:] += 10
    cleaning = Cleaning(detrend=True)

    before, after = (cleaning.of_run(one, TR_S, {}, "a run") for one in (run, changed))

    assert np.abs(before[:100] - after[:100]).max() > 0.1
    assert cleaning.crosses_rows == ("detrend",)
