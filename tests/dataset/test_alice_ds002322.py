"""Whole brains that heard Alice: words with clitics, a clock per person, voxels of a mask or spheres."""

import nibabel
import numpy as np
import pytest

from brainexp.cli import execute
from brainexp.dataset.alice_ds002322 import SUBJECTS, AliceDs002322, annotated_words
from brainexp.dataset.rois import Rois
from brainexp.errors import ConfigError
from tests.dataset.item_replicas import ALICE_TRS, alice_ds002322_replica, alice_words
from tests.dataset.replicas import declare


@pytest.fixture
def replica(tmp_path, monkeypatch):
    declare("alice_ds002322", monkeypatch)
    return alice_ds002322_replica(tmp_path / "data")


def test_twenty_three_of_the_26_have_preprocessed_recordings():
    assert len(SUBJECTS) == len(set(SUBJECTS)) == 23
    assert not set(SUBJECTS) & {"33", "38", "40", "46", "52"}


def test_rows_without_times_continue_the_word_before(replica):
    (stimulus,) = AliceDs002322(root=str(replica)).stimuli()
    words = alice_words()

    assert len(stimulus.units) == len(words)
    assert stimulus.units[7] == f"{words[7][0]}'s"
    assert stimulus.units[20] == f"{words[20][0]}'ll"
    np.testing.assert_allclose(stimulus.onset_s, [onset for _, onset, _ in words], atol=1e-6)


def test_a_word_that_ends_before_it_begins_ends_with_the_next_one_and_that_is_told(replica):
    stimulus, told = annotated_words(replica / "code" / "annotations.tsv")

    assert stimulus.units[3] == "when"
    assert stimulus.offset_s[3] == stimulus.onset_s[4]
    assert "when: ends before it begins" in told[1]


def test_whole_words_without_times_share_that_of_the_word_before(tmp_path, monkeypatch):
    monkeypatch.setattr("brainexp.dataset.alice_ds002322.N_ROWS", 4)
    path = tmp_path / "annotations.tsv"
    path.write_text("Words\tWord Onset\tWord Offset\nThere\t1.0\t2.0\nare\t\t\nTRUE\t2.0\t2.5\nnt\tn/a\tn/a\n")

    stimulus, told = annotated_words(path)

    assert stimulus.units == ("There", "are", "truen't")
    assert stimulus.onset_s.tolist() == [1.0, 1.5, 2.0]
    assert stimulus.offset_s.tolist() == [1.5, 2.0, 2.5]
    assert "1 rows without times were joined to the word before them, 1 whole words share" in told[0]


def test_the_clock_lies_in_the_middle_of_what_was_noted_and_says_how_far_everyone_is(replica):
    dataset = AliceDs002322(root=str(replica))
    (run,) = dataset.responses("18")

    assert run.clock.start_s == pytest.approx(20 - (0.657 + 0.0052) / 2)
    assert run.clock.n_trs == ALICE_TRS
    assert "on the clock the sound begins 0.331 s after the scan" in dataset.remarks()[-1]
    assert "18 +0.33, 53 -0.33" in dataset.remarks()[-1]


def test_one_person_s_clock_is_exact_and_nothing_is_told(replica):
    dataset = AliceDs002322(root=str(replica), subjects=18)
    trigger_s = dataset.timings()["alice_chapter_1"].trigger_s

    assert dataset.responses("18")[0].clock.start_s == pytest.approx(20 - 0.657)
    np.testing.assert_allclose(trigger_s, 20 - 0.657 + 2.0 * np.arange(ALICE_TRS))
    assert not [one for one in dataset.remarks() if "sound" in one]
    assert AliceDs002322(root=str(replica), subjects=18, sound_s=0.0).responses("18")[0].clock.start_s == 20


def test_spheres_are_means_of_voxels_around_the_six_places(replica):
    near, far = (AliceDs002322(root=str(replica), columns="spheres", radius_mm=one) for one in (10.0, 24.0))
    values = near.responses("18")[0].values[:]

    assert values.shape == (ALICE_TRS, 6)
    assert near.space("18").kind == "rois"
    image = nibabel.load(replica / "derivatives/sub-18/sub-18_task-alice_bold_preprocessed.nii.gz")
    at = np.round((np.array([-58.0, -44.0, 4.0]) - image.affine[:3, 3]) / 10).astype(int)  # LPTL
    np.testing.assert_allclose(values[:, 2], image.get_fdata()[tuple(at)], rtol=1e-4)
    assert np.abs(far.responses("18")[0].values[:] - values).max() > 0.1  # more voxels


def test_voxels_are_those_of_grey_matter_or_of_a_mask(replica, tmp_path):
    grey = AliceDs002322(root=str(replica), voxel_mm=8)
    space = grey.space("18")

    assert space.kind == "volume"
    assert space.frame == "mni"
    assert space.n_voxels == grey.facts().n_voxels["18"] == grey.responses("18")[0].values.shape[1] > 1000
    own = np.zeros((19, 22, 17), np.uint8)
    own[3, 4, 5] = own[10, 11, 12] = 1
    recording = nibabel.load(replica / "derivatives/sub-18/sub-18_task-alice_bold_preprocessed.nii.gz")
    nibabel.Nifti1Image(own, recording.affine).to_filename(tmp_path / "two.nii.gz")
    two = AliceDs002322(root=str(replica), mask=str(tmp_path / "two.nii.gz"))
    np.testing.assert_allclose(two.responses("18")[0].values[5:9], recording.get_fdata()[own > 0][:, 5:9].T, rtol=1e-5)
    own[3, 4, 5] = 0
    nibabel.Nifti1Image(own, recording.affine).to_filename(tmp_path / "second.nii.gz")
    rois = Rois(set="masks", labels=str(tmp_path / "second.nii.gz"))
    named = AliceDs002322(root=str(replica), mask=str(tmp_path / "two.nii.gz"), rois=rois).space("18").rois
    assert {roi: columns.tolist() for roi, columns in named.items()} == {"second": [1]}
    with pytest.raises(ConfigError, match="columns=spheres takes no mask"):
        AliceDs002322(columns="spheres", mask="two.nii.gz")


def test_sizes_that_cannot_be_are_refused():
    with pytest.raises(ConfigError, match=r"voxel_mm must lie in 1\.\.10 and radius_mm in 1\.\.30, got 4 and 0\.01"):
        AliceDs002322(radius_mm=0.01)


def test_what_was_planted_in_voxels_is_found_with_figures(replica, composed, tmp_path):
    image = nibabel.load(replica / "derivatives/sub-18/sub-18_task-alice_bold_preprocessed.nii.gz")
    places_mm = np.moveaxis(np.indices(image.shape[:3]), 0, -1) * 10 + image.affine[:3, 3]
    from brainexp.dataset.alice import APPROXIMATE_MNI_MM

    near = [np.linalg.norm(places_mm - np.array(centre), axis=-1) <= 15 for centre in APPROXIMATE_MNI_MM]
    mask = np.any(near, axis=0)
    nibabel.Nifti1Image(mask.astype(np.uint8), image.affine).to_filename(tmp_path / "mask.nii.gz")
    words = [
        "dataset=alice_ds002322", f"dataset.root={replica}", f"dataset.mask={tmp_path / 'mask.nii.gz'}", "model=tiny_xs",
        "model.context_words=4", "baselines=[word_rate]", "partition.spaces=[]", "split.folds=3", "dataset.cleaning.detrend=true",
        "encoder.alphas=[10,1000,100000]", "scoring.permutations=50", "ceiling.method=inter_subject", "ceiling.bootstraps=0",
        "damage.measure=false", "tracking.uri=null",
    ]  # fmt: skip

    result = execute(composed(*words), tmp_path / "run")

    responds = np.tile(np.any(near[:3], axis=0)[mask], 2)
    assert result.per_voxel["r"][responds].mean() > 0.4
    assert abs(result.per_voxel["r"][~responds].mean()) < 0.15
    assert [path for path in (tmp_path / "run" / "maps").iterdir() if path.name.startswith("mean_r")]
