import json
import shutil

import nibabel
import numpy as np
import pytest

from brainexp.align.audit import audited
from brainexp.align.trim import kept_rows
from brainexp.containers import FSAVERAGE, Clock
from brainexp.dataset.binaryfile import gifti, gifti_shape, stored_vertices
from brainexp.dataset.cleaning import Cleaning
from brainexp.dataset.narratives import OTHER_TR_S, STORIES, Narratives, aligned_words
from brainexp.dataset.rois import Rois
from brainexp.dataset.triggers import trigger_timing
from brainexp.errors import ConfigError, DataError
from brainexp.recordings import recorded
from tests.conftest import DATA
from tests.dataset.replicas import MEASURED, N_VOXELS, NARRATIVES_VOXELS, declare, narratives_replica

REAL = DATA / "narratives_21styear"


@pytest.fixture(scope="module")
def replica(tmp_path_factory):
    return narratives_replica(tmp_path_factory.mktemp("narratives") / "replica")


@pytest.fixture(autouse=True)
def _declared(request, monkeypatch):
    if "replica" in request.fixturenames:
        declare("narratives", monkeypatch)


def left(root, subject="244", task="21styear", side="L"):
    name = f"sub-{subject}_task-{task}_space-fsaverage3_hemi-{side}_desc-clean.func.gii"
    return root / "derivatives" / "afni-nosmooth" / f"sub-{subject}" / "func" / name


def table(path, *rows):
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.mark.data
def test_real_words_of_21st_year_are_as_many_as_published():
    stimulus, remarks = aligned_words(REAL / "stimulus_resources" / "21styear_align.csv", "21styear")

    assert len(stimulus.units) == 8267
    assert stimulus.units[:5] == ("This", "is", "Los", "Angeles", "And")
    assert (stimulus.onset_s[0], stimulus.offset_s[-1]) == (21.219999, 3359.05)
    assert remarks == (
        "story '21styear': 3 words begin before the word before them, by up to 0.60 s, and were put after it.",
    )
    assert (stimulus.offset_s[:-1] <= stimulus.onset_s[1:]).all()


@pytest.mark.data
def test_the_real_report_of_21st_year_has_the_declared_trs_and_fits_the_clock(tmp_path):
    one = STORIES["21styear"]
    (tmp_path / "21styear.report").write_bytes((REAL / "stimulus_resources" / "21styear.report").read_bytes())
    timing = trigger_timing(tmp_path, "21styear", 0, "")
    words, _ = aligned_words(REAL / "stimulus_resources" / "21styear_align.csv", "21styear")

    # The report counts from the sound, the words from the scan; it has one trigger more than TRs were kept.
    clock = Clock(-21.0, 1.5, len(timing.trigger_s))
    audit = audited("21styear", words.onset_s - 21.0, words.offset_s - 21.0, clock, timing)

    assert audit.n_triggers == one.n_trs + 1 == 2250
    assert audit.off_s < 1e-6
    assert list(audit.objections(0.5)) == []


def test_trimming_leaves_the_published_rows():
    dataset = Narratives()

    rows = kept_rows(Clock(0.0, 1.5, STORIES["21styear"].n_trs), dataset.trim_start_s, dataset.trim_stop_s)

    assert rows == slice(14, 2249 - 9)
    assert rows.stop - rows.start == 2226
    assert 2 * FSAVERAGE["fsaverage6"] == 81_924


@pytest.mark.data
@pytest.mark.parametrize("weights", ["columns", "areas"])
def test_real_labels_name_language_regions_of_the_mesh(tmp_path, weights):
    (tmp_path / "derivatives" / "afni-nosmooth").mkdir(parents=True)
    labels = REAL / "brain_dataset" / "tpl-fsaverage6_hemi-L_desc-MMP_dseg.label.gii"
    dataset = Narratives(root=str(tmp_path), rois=Rois(set="hcp_mmp_language", labels=str(labels), weights=weights))

    space = dataset.space("244")

    assert list(space.rois) == ["AG", "ATL", "PTL", "IFG", "MFG", "IFGOrb", "PCC", "dmPFC", "EVC", "EAC"]
    right = nibabel.load(str(labels).replace("hemi-L", "hemi-R"))
    names = right.labeltable.get_labels_as_dict()
    (number,) = [label for label, name in names.items() if name == "R_55b_ROI"]
    of_right = np.flatnonzero(right.darrays[0].data == number) + FSAVERAGE["fsaverage6"]
    np.testing.assert_array_equal(np.intersect1d(space.rois["MFG"], of_right), of_right)


def test_words_without_times_share_the_gap_between_their_neighbours(tmp_path):
    path = table(
        tmp_path / "a.csv", "So,so,,", "a,a,1.0,1.5", "fox,<unk>,,", "and,and,,", "ran,ran,2.5,3.0", "off,off,,"
    )

    stimulus, remarks = aligned_words(path, "tea")
    dropped, told = aligned_words(path, "tea", "drop")

    assert stimulus.units == ("a", "fox", "and", "ran")
    np.testing.assert_allclose(stimulus.onset_s, [1.0, 1.5, 2.0, 2.5])
    np.testing.assert_allclose(stimulus.offset_s, [1.5, 2.0, 2.5, 3.0])
    assert remarks == ("story 'tea': 4 of 6 words have no times; 2 were put between their neighbours, 2 left out.",)
    assert dropped.units == ("a", "ran")
    assert told == ("story 'tea': 4 of 6 words have no times; 0 were put between their neighbours, 4 left out.",)


def test_a_word_that_runs_into_the_next_ends_there_and_one_too_early_follows(tmp_path):
    path = table(tmp_path / "a.csv", "a,a,1.0,2.2", "fox,fox,2.0,2.4", "ran,ran,1.5,1.5", "home,home,3.0,3.5")

    stimulus, (told,) = aligned_words(path, "tea")

    np.testing.assert_allclose(stimulus.onset_s, [1.0, 2.0, 2.0, 3.0])
    np.testing.assert_allclose(stimulus.offset_s, [2.0, 2.0, 2.0, 3.5])
    assert told == "story 'tea': 1 words begin before the word before them, by up to 0.50 s, and were put after it."


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            ["word,aligned,start,end", "a,a,1,2"],
            r"row 1: 'start' and 'end' are not seconds. The file should have no header",
        ),
        (["a,a,1"], r"row 1: \['a', 'a', '1'\] is not a word, the aligner's word, start and end"),
        (["a,a,,", "fox,fox,,"], "none of 2 words has times"),
    ],
)
def test_damaged_tables_are_told(tmp_path, rows, message):
    with pytest.raises(DataError, match=message):
        aligned_words(table(tmp_path / "align.csv", *rows), "tea")


def test_words_count_from_the_scan_where_they_last_longer_than_the_sound(replica):
    from_scan, from_sound = Narratives(root=str(replica)), Narratives(root=str(replica), stories="black")

    assert from_scan.responses("244")[0].clock == Clock(0.0, 1.5, 143)
    assert from_sound.responses("244")[0].clock == Clock(-21.0, 1.5, 148)
    with pytest.raises(DataError, match=r"story '21styear': \d+ of 267 words lie outside the recording"):
        recorded(Narratives(root=str(replica), words_from="sound"))


def test_hemispheres_stand_side_by_side(replica):
    run = Narratives(root=str(replica)).responses("254")[0]
    sides = [gifti(left(replica, "254", side=side), "") for side in "LR"]

    np.testing.assert_array_equal(run.values[:], np.hstack(sides))
    np.testing.assert_array_equal(run.values[20:30], np.hstack(sides)[20:30])
    assert np.flatnonzero(run.values[:].std(axis=0)).tolist() == MEASURED[:N_VOXELS].tolist()
    assert gifti_shape(left(replica), "") == (143, NARRATIVES_VOXELS // 2)


def test_cleaning_sees_whole_runs(replica):
    plain = Narratives(root=str(replica)).responses("244")[0].values[:]
    cleaned = Narratives(root=str(replica), cleaning=Cleaning(detrend=True, standardise="run"))

    found = cleaned.responses("244")[0].values

    from scipy.signal import detrend

    straight = detrend(plain[:, MEASURED[:N_VOXELS]].astype(float), axis=0)
    expected = straight / straight.std(axis=0, ddof=1)
    np.testing.assert_allclose(found[:][:, MEASURED[:N_VOXELS]], expected, atol=1e-5)
    np.testing.assert_allclose(found[30:40], found[:][30:40])


def test_who_heard_another_version_is_left_out_and_told(replica):
    dataset = Narratives(root=str(replica), stories="milkywayvodka")

    assert dataset.chosen_subjects() == ("244",)
    assert dataset.remarks()[0] == "narratives: left out of 'milkywayvodka': 254 (heard 'original')."


def test_a_scan_of_another_tr_is_left_out_and_refused_when_asked_for(replica, tmp_path):
    """sub-115 heard the Milky Way at a TR of 1.52 s."""
    root = shutil.copytree(replica, tmp_path / "copy")
    shutil.copytree(root / "derivatives/afni-nosmooth/sub-244/func", root / "derivatives/afni-nosmooth/sub-115/func")
    for path in (root / "derivatives/afni-nosmooth/sub-115/func").iterdir():
        path.rename(path.with_name(path.name.replace("sub-244", "sub-115")))
    participants = root / "participants.tsv"
    participants.write_text(participants.read_text() + "sub-115\t20\tF\tmilkyway\tvodka\tn/a\n")
    (root / "sub-115" / "func").mkdir(parents=True)
    (root / "sub-115" / "func" / "sub-115_task-milkyway_bold.json").write_text(json.dumps({"RepetitionTime": 1.52}))

    assert OTHER_TR_S == {("milkyway", "115"): 1.52}
    assert Narratives(root=str(root), stories="milkywayvodka").chosen_subjects() == ("244",)
    assert "115 (TR 1.52 s)" in Narratives(root=str(root), stories="milkywayvodka").remarks()[0]
    with pytest.raises(DataError, match=r"sub-115_task-milkyway_bold.json states 1.52 s per TR, the clock has 1.5 s"):
        recorded(Narratives(root=str(root), stories="milkywayvodka", subjects="115"))


def test_a_header_that_states_another_tr_than_the_sidecar_is_detected(replica, tmp_path):
    root = shutil.copytree(replica, tmp_path / "copy")
    image = nibabel.Nifti1Image(np.random.default_rng(0).random((4, 4, 4, 20), np.float32), np.eye(4))
    image.header.set_zooms((3.0, 3.0, 3.0, 2.0))
    image.header.set_xyzt_units("mm", "sec")
    image.to_filename(root / "sub-254" / "func" / "sub-254_task-21styear_bold.nii.gz")

    with pytest.raises(
        DataError, match=r"header of sub-254_task-21styear_bold.nii.gz states 2 s per TR, the clock has 1.5"
    ):
        recorded(Narratives(root=str(root)))


def test_the_first_of_several_scans_counts(replica, tmp_path):
    root = shutil.copytree(replica, tmp_path / "copy")
    for side in "LR":
        one = left(root, side=side)
        for run in (2, 10):
            shutil.copy(one, one.with_name(one.name.replace("_space", f"_run-{run}_space")))
        one.unlink()
    dataset = Narratives(root=str(root))

    assert dataset.remarks()[0] == "narratives: 244 heard '21styear' several times; the first scan counts."
    assert "run-2" in str(dataset._left("244", "21styear"))
    assert dataset.responses("244")


def test_hemispheres_of_different_length_are_told(replica, tmp_path):
    image = nibabel.load(left(replica))
    image.darrays.pop()
    image.to_filename(tmp_path / "short.gii")

    with pytest.raises(DataError, match=r"has 143 TRs, but short.gii has 142: hemispheres are of different recordings"):
        stored_vertices((left(replica), tmp_path / "short.gii"), "")


def test_options_that_cannot_be_are_refused():
    with pytest.raises(ConfigError, match="unknown story '21stYear' of narratives. Did you mean '21styear'"):
        Narratives(stories="21stYear")
    with pytest.raises(ConfigError, match="name each story once"):
        Narratives(stories=("black", "black"))
