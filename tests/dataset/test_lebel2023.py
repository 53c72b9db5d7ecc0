import json

import numpy as np
import pytest

from brainexp.dataset.cleaning import Cleaning
from brainexp.dataset.lebel2023 import HEARD, N_VOXELS, SCANNED_TRS, TEST_STORY, Lebel2023
from brainexp.dataset.rois import Rois
from brainexp.errors import ConfigError, DataError
from brainexp.recordings import recorded
from tests.conftest import DATA
from tests.dataset.replicas import LEBEL_TRS, declare, lebel2023_replica, report
from tests.dataset.replicas import N_VOXELS as N_REPLICA


@pytest.fixture
def replica(tmp_path, monkeypatch):
    declare("lebel2023", monkeypatch)
    return lebel2023_replica(tmp_path / "replica")


def test_declared_stories_are_those_of_the_release():
    heard = {subject: len(HEARD.get(subject, SCANNED_TRS)) for subject in N_VOXELS}

    assert heard == {**dict.fromkeys(("UTS01", "UTS02", "UTS03"), 84), "UTS04": 26,
                     **dict.fromkeys(("UTS05", "UTS06", "UTS07", "UTS08"), 27), "UTS09": 54}  # fmt: skip
    assert list(SCANNED_TRS)[-1] == TEST_STORY
    assert sum(SCANNED_TRS.values()) == 29_768
    facts = Lebel2023(subjects="UTS01").facts()
    assert facts.n_trs["alternateithicatom"] == 358


@pytest.mark.data
def test_real_ceilings_have_the_declared_voxels():
    folder = DATA / "ds003020_noiseceilings" / "subject_NCs"
    dataset = Lebel2023(ceilings=str(folder))

    for subject in (name for name in N_VOXELS if name != "UTS09"):
        ceiling = dataset.ceiling(subject)
        assert ceiling.shape == (N_VOXELS[subject],)
        assert np.isfinite(ceiling).all()
    assert (min(N_VOXELS.values()), max(N_VOXELS.values())) == (81_126, 109_469)
    with pytest.raises(DataError, match=r"missing file .*UTS09.npy.* The folder has: UTS01.npy"):
        dataset.ceiling("UTS09")


@pytest.mark.parametrize("derivative", ["derivative", "derivatives", "."])
def test_all_spellings_of_the_derivatives_are_taken(tmp_path, monkeypatch, derivative):
    declare("lebel2023", monkeypatch)

    dataset = Lebel2023(root=str(lebel2023_replica(tmp_path / "replica", derivative)))

    assert len(dataset.stimuli()) == len(dataset.responses("UTS04")) == 4


def test_rows_stand_at_the_published_times(replica):
    """Row i of a file is TR 10 + i of arange(n) * 2 - 10 + 1 seconds."""
    import h5py

    run = Lebel2023(root=str(replica), subjects="UTS01").responses("UTS01")[0]
    with h5py.File(replica / "derivative/preprocessed_data/UTS01" / f"{run.story}.hf5") as file:
        released = file["data"][:]
    published_s = np.arange(LEBEL_TRS[run.story] - 5) * 2.0 - 10.0 + 1.0

    np.testing.assert_allclose(run.clock.midpoints_s(), published_s)
    np.testing.assert_array_equal(run.values[10:-5], released.astype(np.float32))
    assert np.isnan(run.values[:10]).all()
    assert np.isnan(run.values[-5:]).all()
    recordings = recorded(Lebel2023(root=str(replica), subjects="UTS01"))
    assert recordings.run_lengths == [n_trs - 20 for n_trs in LEBEL_TRS.values()]


def test_stories_that_someone_did_not_hear_are_left_out_and_told(replica):
    both, first = Lebel2023(root=str(replica)), Lebel2023(root=str(replica), subjects="UTS01")

    assert "life" not in both.facts().stories
    assert both.remarks() == ("lebel2023: life left out: not heard by all of UTS01, UTS04.",)
    assert "life" in first.facts().stories
    assert first.remarks() == ()


def test_some_stories_may_be_chosen_and_without_the_test_story_none_is_declared(replica):
    some = Lebel2023(root=str(replica), stories=("wheretheressmoke", "avatar"))
    without = Lebel2023(root=str(replica), stories=("legacy", "avatar"))

    assert some.facts().stories == ("avatar", "wheretheressmoke")
    assert some.facts().test_stories == ("wheretheressmoke",)
    assert without.facts().test_stories == ()
    assert without.repeats("UTS01") == {}


def test_repeats_are_the_single_recordings_of_the_test_story(replica):
    import h5py

    with h5py.File(replica / "derivative/preprocessed_data/UTS04/wheretheressmoke.hf5") as file:
        expected = file["individual_repeats"][:]

    takes = Lebel2023(root=str(replica)).repeats("UTS04")["wheretheressmoke"]

    np.testing.assert_array_equal(takes[:, 10:-5], expected.astype(np.float32))
    assert np.isnan(takes[:, :10]).all()


def test_columns_are_voxels_of_the_mask_as_pycortex_orders_them(replica):
    import nibabel

    (path,) = replica.glob("derivative/pycortex-db/UTS01/transforms/*/mask_thick.nii.gz")
    image = nibabel.load(path)
    stored = image.get_fdata()
    place = {}  # column: millimetres, by a naive loop over z, y, x
    for z in range(stored.shape[2]):
        for y in range(stored.shape[1]):
            for x in range(stored.shape[0]):
                if stored[x, y, z]:
                    place[len(place)] = image.affine @ [x, y, z, 1]

    space = Lebel2023(root=str(replica), places="volume").space("UTS01")

    assert (space.kind, space.frame) == ("volume", "native")
    assert "own space" in space.note
    found = np.column_stack([np.argwhere(space.mask), np.ones(N_REPLICA)]) @ space.affine.T
    np.testing.assert_allclose(found, np.array(list(place.values())))


def test_without_the_database_columns_have_no_place_and_a_wrong_mask_is_told(replica):
    import shutil

    (path,) = replica.glob("derivative/pycortex-db/UTS01/transforms/*/mask_thick.nii.gz")
    import nibabel

    nibabel.Nifti1Image(np.ones((2, 2, 2), np.float32), np.eye(4)).to_filename(path)
    with pytest.raises(
        DataError, match=r"needs a mask_thick.nii.gz of 20 voxels, as the responses have, but UTS01_auto has 8"
    ):
        Lebel2023(root=str(replica)).space("UTS01")
    shutil.rmtree(replica / "derivative/pycortex-db")

    space = Lebel2023(root=str(replica)).space("UTS01")

    assert (space.kind, space.n_voxels) == ("unplaced", N_REPLICA)
    assert "pycortex-db/UTS01/transforms" in space.note


def test_voxels_reach_fsaverage5_where_surfaces_are_on_disk(replica):
    import shutil

    both = [Lebel2023(root=str(replica)).space(subject) for subject in ("UTS01", "UTS04")]

    assert (both[0].kind, both[0].mesh, both[0].mapper.shape) == ("surface", "fsaverage5", (20_484, N_REPLICA))
    assert both[0].same_places(both[1])  # so that there is a map of the mean subject
    # Vertices 0 to 199 of the left hemisphere go round the voxels of the mask, in the order of (x, y, z).
    reached = np.flatnonzero(both[0].placed(np.arange(N_REPLICA, dtype=float)) >= 0)
    assert np.isin(np.r_[0:200, 10_242:10_442], reached).all()
    assert len(reached) == 400
    shutil.rmtree(replica / "derivative/freesurfer_subjdir/UTS04")
    assert Lebel2023(root=str(replica)).space("UTS04").kind == "volume"
    with pytest.raises(DataError, match=r"missing file .*UTS04/surf/lh.sphere.reg"):
        Lebel2023(root=str(replica), places="fsaverage5").space("UTS04")


def test_rois_of_a_label_file_are_found_on_fsaverage5(replica, tmp_path):
    from nibabel.freesurfer.io import write_annot

    names, colours = [b"???", b"L_V1_ROI"], np.array([[0, 0, 0, 0, 0], [10, 20, 30, 0, 1]])
    labels = np.zeros(10_242, int)
    labels[:200] = 1
    for side in ("lh", "rh"):
        write_annot(tmp_path / f"{side}.parts.annot", labels, colours, names, fill_ctab=True)

    space = Lebel2023(root=str(replica), rois=Rois(set="hcp_mmp", labels=str(tmp_path / "lh.parts.annot"))).space(
        "UTS01"
    )
    with pytest.raises(ConfigError, match="comes in MNI space, but these volumes are in each subject's own"):
        Lebel2023(
            root=str(replica), places="volume", rois=Rois(set="hcp_mmp", labels=str(tmp_path / "lh.parts.annot"))
        ).space("UTS01")

    assert {roi: columns.tolist() for roi, columns in space.rois.items()} == {"V1": list(range(N_REPLICA))}


@pytest.mark.parametrize("repeats", ["mean", "first"])
def test_runs_are_cleaned_over_the_rows_of_the_release_and_repeats_one_by_one(replica, repeats):
    import h5py
    from scipy.stats import zscore

    dataset = Lebel2023(root=str(replica), cleaning=Cleaning(standardise="run", repeats=repeats))
    folder = replica / "derivative/preprocessed_data/UTS01"
    with h5py.File(folder / "wheretheressmoke.hf5") as file:
        takes = zscore(file["individual_repeats"][:], axis=1, ddof=1)
    with h5py.File(folder / "avatar.hf5") as file:
        expected = zscore(file["data"][:], axis=0, ddof=1)

    by_story = {run.story: run.values[:] for run in dataset.responses("UTS01")}

    np.testing.assert_allclose(by_story["avatar"][10:-5], expected, atol=1e-5)
    tested = takes.mean(axis=0) if repeats == "mean" else takes[0]
    np.testing.assert_allclose(by_story["wheretheressmoke"][10:-5], tested, atol=1e-5)
    np.testing.assert_allclose(dataset.repeats("UTS01")["wheretheressmoke"][:, 10:-5], takes, atol=1e-5)


def test_the_first_repeat_may_be_taken_as_it_is(replica):
    import h5py

    with h5py.File(replica / "derivative/preprocessed_data/UTS01/wheretheressmoke.hf5") as file:
        first = file["individual_repeats"][0]

    run = Lebel2023(root=str(replica), cleaning=Cleaning(repeats="first"), subjects="UTS01").responses("UTS01")[-1]

    np.testing.assert_array_equal(run.values[10:-5], first.astype(np.float32))


def test_triggers_of_the_scanner_refuse_the_published_tr_and_take_their_own(replica, tmp_path):
    """A real story of 300 TRs is 1.3 s off at the end, the replica's of 110 half a second."""
    (tmp_path / "reports").mkdir()
    for story, n_trs in LEBEL_TRS.items():
        (tmp_path / "reports" / f"{story}.report").write_text(report(n_trs - 5, 2.0045, 10.0231))
    given = {"root": str(replica), "trfiles": str(tmp_path / "reports")}

    with pytest.raises(
        DataError, match=r"triggers lie up to 0.4\d s beside the clock; they measure 2.0045 s per TR.* 2 s,"
    ):
        recorded(Lebel2023(**given), tolerance_s=0.3)
    audits = recorded(Lebel2023(**given, tr_s=2.0045, trim_start_s=20.045), tolerance_s=0.3).audits

    assert max(audit.off_s for audit in audits) < 0.06


def test_sidecars_are_read_where_they_are(replica):
    timings = Lebel2023(root=str(replica)).timings()

    assert dict(timings["avatar"].stated_tr_s) == {"task-avatar_bold.json": 2.0}
    (replica / "task-avatar_bold.json").unlink()
    assert Lebel2023(root=str(replica)).timings()["avatar"].stated_tr_s == {}
    (replica / "task-legacy_bold.json").write_text(json.dumps({"RepetitionTime": 2.0045}))
    assert recorded(Lebel2023(root=str(replica)), tolerance_s=1.0).audits
    with pytest.raises(DataError, match="task-legacy_bold.json states 2.0045 s per TR"):
        recorded(Lebel2023(root=str(replica)), tolerance_s=0.3)


def test_options_that_cannot_be_are_refused():
    with pytest.raises(
        ConfigError,
        match=r"trim_stop_s=4, but the release has no responses in these 5 TRs. Give at least trim_stop_s=10",
    ):
        Lebel2023(trim_stop_s=4.0)
    assert Lebel2023(tr_s=2.0045, trim_start_s=20.0)
