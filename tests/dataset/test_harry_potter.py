import numpy as np
import pytest

from brainexp.align.trim import kept_rows
from brainexp.containers import Clock
from brainexp.dataset.cleaning import Cleaning
from brainexp.dataset.harry_potter import CUT_START_TRS, CUT_STOP_TRS, SCANNED_TRS, HarryPotter
from brainexp.errors import ConfigError
from brainexp.recordings import recorded
from tests.dataset.replicas import POTTER_TRS, declare, harry_potter_replica


@pytest.fixture
def replica(tmp_path, monkeypatch):
    declare("harry_potter", monkeypatch)
    return harry_potter_replica(tmp_path / "replica")


def test_declared_runs_leave_the_published_rows():
    dataset = HarryPotter()
    kept = [kept_rows(Clock(0.0, 2.0, n), dataset.trim_start_s, dataset.trim_stop_s) for n in SCANNED_TRS]

    assert sum(SCANNED_TRS) == 1351
    assert all((rows.start, n - rows.stop) == (20, 15) for rows, n in zip(kept, SCANNED_TRS, strict=True))
    assert sum(rows.stop - rows.start for rows in kept) == 1211
    assert dataset.cleaning == Cleaning(standardise="run")


def test_words_fall_into_their_run_and_count_from_its_start(replica):
    dataset = HarryPotter(root=str(replica))
    words = np.load(replica / "fMRI" / "words_fmri.npy").ravel()
    times = np.load(replica / "fMRI" / "time_words_fmri.npy")
    starts = 2.0 * np.cumsum([0, *POTTER_TRS])

    for at, one in enumerate(dataset.stimuli()):
        naive = [
            (str(word).replace("@", ""), time - starts[at])
            for word, time in zip(words, times, strict=True)
            if starts[at] <= time < starts[at + 1] and word != "+"
        ]
        assert one.units == tuple(word for word, _ in naive)
        np.testing.assert_allclose(one.onset_s, [time for _, time in naive])
        assert (one.offset_s - one.onset_s == 0.5).all()


def test_rows_of_the_release_stand_behind_what_was_cut(replica):
    held = np.load(replica / "fMRI" / "data_subject_H.npy")
    runs = HarryPotter(root=str(replica), cleaning=Cleaning()).responses("H")

    stacked = [run.values[CUT_START_TRS : len(run.values) - CUT_STOP_TRS] for run in runs]
    np.testing.assert_array_equal(np.concatenate(stacked), held.astype(np.float32))
    for run in runs:
        assert np.isnan(run.values[:CUT_START_TRS]).all()
        assert np.isnan(run.values[-CUT_STOP_TRS:]).all()
        np.testing.assert_array_equal(run.values[10:25][10:], run.values[20:25])


def test_each_run_is_standardised_by_itself_as_published(replica):
    values = recorded(HarryPotter(root=str(replica))).values
    lengths = [n - CUT_START_TRS - CUT_STOP_TRS for n in POTTER_TRS]

    for run in np.split(values, np.cumsum(lengths)[:-1]):
        np.testing.assert_allclose(run.mean(axis=0), 0.0, atol=1e-5)
        np.testing.assert_allclose(run.std(axis=0, ddof=1), 1.0, rtol=1e-4)


def test_the_folder_above_is_taken_too_and_the_other_name_of_the_words(replica):
    (replica / "fMRI" / "words_fmri.npy").rename(replica / "fMRI" / "stimuli_words.npy")

    above, inside = HarryPotter(root=str(replica)), HarryPotter(root=str(replica / "fMRI"))

    assert [one.units for one in above.stimuli()] == [one.units for one in inside.stimuli()]


def test_who_and_what_is_left_out_is_told(replica):
    assert HarryPotter(root=str(replica)).remarks() == (
        "harry_potter: I, J, K, L, M, N not on disk.",
        "harry_potter: 47 of 1844 words are marks, and left out.",
    )


def test_trimming_less_than_the_release_is_refused():
    with pytest.raises(ConfigError, match=r"trim_stop_s=20, but the release has no responses in these 15 TRs"):
        HarryPotter(trim_stop_s=20.0)
