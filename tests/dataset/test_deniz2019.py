import numpy as np
import pytest

from brainexp.align.audit import audited
from brainexp.align.trim import kept_rows
from brainexp.containers import Clock
from brainexp.dataset import deniz2019, lebel2023
from brainexp.dataset.cleaning import Cleaning
from brainexp.dataset.deniz2019 import N_VOXELS, SILENCE_S, TEST_STORY, TR_S, TRIGGERS, UNREPORTED_TRS, Deniz2019
from brainexp.dataset.triggers import trigger_timing
from brainexp.recordings import recorded
from tests.conftest import DATA
from tests.dataset.replicas import N_VOXELS as N_REPLICA
from tests.dataset.replicas import declare, deniz2019_replica

REPORTS = DATA / "deniz2019" / "Brain_preditictions" / "data" / "trfiles.zip"
PUBLISHED = (343, 367, 354, 400, 430, 358, 422, 404, 355, 304)


@pytest.fixture
def replica(tmp_path, monkeypatch):
    declare("deniz2019", monkeypatch)
    return deniz2019_replica(tmp_path / "replica")


def test_declared_lengths_leave_the_published_numbers_of_rows():
    kept = {}
    for story, n_trs in Deniz2019().facts().n_trs.items():
        rows = kept_rows(Clock(-SILENCE_S, TR_S, n_trs), Deniz2019().trim_start_s, Deniz2019().trim_stop_s)
        assert (rows.start, n_trs - rows.stop) == (10, 10)
        kept[story] = rows.stop - rows.start

    assert kept.pop(TEST_STORY) == 306 - 15 == 291
    assert tuple(kept.values()) == PUBLISHED
    assert sum(PUBLISHED) == 3737
    assert len(set(PUBLISHED)) == 10  # so that lengths tell stories apart


def test_ten_stories_train_and_one_tests():
    facts = Deniz2019().facts()

    assert facts.test_stories == ("wheretheressmoke",) == facts.stories[10:]
    assert facts.stories[:10] == tuple(sorted(facts.stories[:10]))


def test_the_same_stories_were_scanned_as_long_in_ds003020():
    """Two releases of the laboratory's stories; one counts triggers and 5 silent TRs, the other TRs scanned."""
    assert {story: lebel2023.SCANNED_TRS[story] for story in TRIGGERS} == {
        story: n_triggers + UNREPORTED_TRS for story, n_triggers in TRIGGERS.items()
    }


@pytest.mark.data
def test_real_reports_have_the_declared_triggers_and_fit_the_clock():
    for story, n_triggers in TRIGGERS.items():
        timing = trigger_timing(REPORTS, story, UNREPORTED_TRS, "")
        clock = Clock(-SILENCE_S, TR_S, n_triggers + UNREPORTED_TRS)
        audit = audited(story, np.array([1.0]), np.array([1.2]), clock, timing)

        assert audit.n_triggers == n_triggers
        assert timing.missing == ((146,) if story == "naked" else ())
        assert audit.unmatched_trs == 0
        assert audit.off_s < 0.06
        assert 2.0044 < audit.measured_tr_s < 2.0047
        assert list(audit.objections(0.5)) == []


@pytest.mark.data
def test_a_clock_of_2_s_is_refused_by_every_real_report():
    for story, n_triggers in TRIGGERS.items():
        timing = trigger_timing(REPORTS, story, UNREPORTED_TRS, "")
        audit = audited(story, np.array([1.0]), np.array([1.2]), Clock(-10.0, 2.0, n_triggers + 5), timing)

        assert audit.off_s > 1.3
        assert any("per TR, the clock has 2 s" in told for told in audit.objections(0.5))


@pytest.mark.data
def test_real_feature_matrices_have_the_declared_rows():
    folder = DATA / "deniz2019" / "Low-level-features"

    assert np.load(folder / "articulation_train.npy").shape == (3737, 22)
    assert np.load(folder / "articulation_test.npy").shape == (291, 22)


@pytest.mark.data
@pytest.mark.parametrize(("modality", "impossible"), [("listening", {"02": 2}), ("reading", {"03": 1, "07": 1})])
def test_real_ceilings_have_the_declared_voxels_and_impossible_ones_are_unknown(modality, impossible):
    dataset = Deniz2019(modality=modality, ceilings=str(DATA / "deniz2019" / "Noise_Ceiling"))

    for subject, n_voxels in N_VOXELS.items():
        ceiling = dataset.ceiling(subject)
        assert ceiling.shape == (n_voxels,)
        assert np.isnan(ceiling).sum() == impossible.get(subject, 0)
        assert 0.5 < np.nanmax(ceiling) < 0.75


def test_impossible_ceilings_are_told(replica, tmp_path):
    for modality in ("listening", "reading"):
        (tmp_path / "c" / modality).mkdir(parents=True)
        for subject in ("01", "02"):
            np.save(tmp_path / "c" / modality / f"subject_{subject}_kernel_ridge.npy", np.full(N_REPLICA, 0.4))
    np.save(tmp_path / "c" / "listening" / "subject_02_kernel_ridge.npy", [6.04, *[0.4] * (N_REPLICA - 1)])

    heard = Deniz2019(root=str(replica), ceilings=str(tmp_path / "c"))

    assert heard.remarks() == (
        "deniz2019: 1 published ceilings of 02, listening, are above 1 or below -1, and taken as unknown.",
    )
    assert np.flatnonzero(np.isnan(heard.ceiling("02"))).tolist() == [0]
    assert Deniz2019(root=str(replica), modality="reading", ceilings=str(tmp_path / "c")).remarks() == ()


def test_the_test_storys_responses_are_the_mean_of_its_repeats(replica):
    import h5py

    dataset = Deniz2019(root=str(replica))
    with h5py.File(replica / "responses" / "subject01_listening_fmri_data_val.hdf") as file:
        takes = file["story_11"][:]

    np.testing.assert_allclose(dataset.responses("01")[-1].values[:], takes.mean(axis=0), rtol=1e-6)
    np.testing.assert_array_equal(dataset.repeats("01")["wheretheressmoke"], takes)


@pytest.mark.parametrize("repeats", ["mean", "first"])
def test_repeats_are_cleaned_one_by_one(replica, repeats):
    import h5py
    from scipy.signal import detrend

    dataset = Deniz2019(root=str(replica), cleaning=Cleaning(detrend=True, repeats=repeats))
    with h5py.File(replica / "responses" / "subject01_listening_fmri_data_val.hdf") as file:
        takes = detrend(file["story_11"][:].astype(float), axis=1)

    tested = takes.mean(axis=0) if repeats == "mean" else takes[0]
    # nilearn's straight line is removed; the mean goes with it
    np.testing.assert_allclose(dataset.responses("01")[-1].values[:], tested, atol=1e-5)
    np.testing.assert_allclose(dataset.repeats("01")["wheretheressmoke"], takes, atol=1e-5)


def test_voxels_reach_fsaverage_by_the_mappers_of_the_release(replica):
    dataset = Deniz2019(root=str(replica))

    first, second = dataset.space("01"), dataset.space("02")

    assert (first.kind, first.mesh, first.n_voxels) == ("surface", "fsaverage3", N_REPLICA)
    assert first.same_places(second)
    assert {roi: columns.tolist() for roi, columns in first.rois.items()} == {"AC": [0, 1, 2]}


def test_without_mappers_there_is_no_place_and_that_is_told(replica):
    (replica / "mappers" / "subject02_mappers.hdf").unlink()
    dataset = Deniz2019(root=str(replica))

    assert dataset.space("01").kind == "surface"
    assert dataset.space("02").kind == "unplaced"
    assert dataset.remarks() == ("deniz2019: no map of 02: mappers/ of the release is not there.",)


def test_reading_and_listening_are_other_recordings_of_the_same_words(replica):
    heard, read = Deniz2019(root=str(replica)), Deniz2019(root=str(replica), modality="reading")

    assert [one.units for one in heard.stimuli()] == [one.units for one in read.stimuli()]
    assert not np.array_equal(heard.responses("01")[0].values[:], read.responses("01")[0].values[:])


def test_a_missing_trigger_is_told_in_the_remarks(replica):
    recordings = recorded(Deniz2019(root=str(replica)))

    assert recordings.remarks == ("story 'naked': 1 triggers are missing and were put in.",)
    assert [audit.n_triggers for audit in recordings.audits] == list(deniz2019.TRIGGERS.values())
    assert max(audit.off_s for audit in recordings.audits) < 0.05


def test_without_reports_the_clock_is_as_declared(replica):
    for path in (replica / "trfiles").iterdir():
        path.unlink()
    (replica / "trfiles").rmdir()

    recordings = recorded(Deniz2019(root=str(replica)))

    assert {audit.n_triggers for audit in recordings.audits} == {0}
    assert recordings.clocks[0].start_s == -SILENCE_S


def test_subjects_that_are_not_there_are_told_and_further_ones_are_taken(replica, monkeypatch):
    monkeypatch.setattr(deniz2019, "SUBJECTS", ("01", "02", "03", "04"))
    for part in ("trn", "val"):
        own = replica / "responses" / f"subject02_listening_fmri_data_{part}.hdf"
        own.with_name(f"subject04_listening_fmri_data_{part}.hdf").write_bytes(own.read_bytes())
    dataset = Deniz2019(root=str(replica))

    assert dataset.chosen_subjects() == ("01", "02", "04")
    assert dataset.facts().n_voxels == dict.fromkeys(("01", "02", "04"), N_REPLICA)
    assert dataset.remarks() == (
        "deniz2019: no map of 04: mappers/ of the release is not there.",
        "deniz2019: 03 not on disk, and not analysed.",
    )
    assert recorded(dataset).values.shape[1] == 3 * N_REPLICA
