"""A folder of one's own, in each way that responses can be written; its faults are in test_damage.py."""

import nibabel
import numpy as np
import pytest

from brainexp.dataset.custom import Custom
from brainexp.errors import ConfigError, DataError
from brainexp.recordings import recorded
from tests.dataset.replicas import custom_replica


@pytest.fixture
def root(tmp_path):
    return custom_replica(tmp_path / "mine")


def test_facts_come_from_the_folder(root):
    text = (root / "dataset.yaml").read_text()
    (root / "dataset.yaml").write_text(f"{text}test_stories: [story3]\nlanguage: de\nstart_s: -1.5\n")
    mine = Custom(root=str(root))
    facts = mine.facts()

    assert facts.subjects == ("anna", "ben")
    assert facts.n_trs == {"story0": 100, "story1": 105, "story2": 110, "story3": 115}
    assert (facts.tr_s, facts.trim_s, facts.test_stories, facts.language) == (2.0, (10.0, 4.0), ("story3",), "de")
    assert (mine.trim_start_s, mine.trim_stop_s, facts.licence) == (10.0, 4.0, "CC0")
    assert {run.clock.start_s for run in mine.responses("ben")} == {-1.5}


def test_arrays_and_hdf5_are_read_as_they_are(root):
    held = recorded(Custom(root=str(root)))
    plain = np.concatenate([np.load(root / "anna" / f"story{at}.npy")[5:-2] for at in range(4)])

    np.testing.assert_allclose(held.responses["anna"], plain - plain.mean(0), atol=1e-5)


@pytest.mark.parametrize("end", [".nii.gz", ".nii"])
def test_images_are_read_within_the_mask(root, end):
    mask = np.zeros((3, 4, 5), bool)
    mask.reshape(-1)[np.random.default_rng(0).permutation(60)[:20]] = True
    nibabel.Nifti1Image(mask.astype(np.uint8), np.diag([3.0, 3, 3, 1])).to_filename(root / "mask.nii.gz")
    before = recorded(Custom(root=str(root))).responses["anna"].copy()
    values = np.load(root / "anna/story2.npy").astype(np.float32)
    volumes = np.zeros((*mask.shape, len(values)), np.float32)
    volumes[mask] = values.T
    nibabel.Nifti1Image(volumes, np.eye(4)).to_filename(root / f"anna/story2{end}")
    (root / "anna/story2.npy").unlink()

    mine = Custom(root=str(root))

    np.testing.assert_allclose(recorded(mine).responses["anna"], before, atol=1e-5)
    space = mine.space("anna")
    assert space.kind == "volume"
    assert space.affine[0, 0] == 3
    assert {roi: len(columns) for roi, columns in space.rois.items()} == {"responds": 10, "does_not": 10}
    nibabel.Nifti1Image(volumes[:2], np.eye(4)).to_filename(root / f"anna/story2{end}")
    with pytest.raises(
        DataError, match=r"story2\.nii(\.gz)? has shape \(2, 4, 5, 110\), but mask\.nii\.gz has \(3, 4, 5\)"
    ):
        Custom(root=str(root)).facts()


def test_hemispheres_are_put_side_by_side(root):
    values = np.load(root / "anna/story1.npy").astype(np.float32)
    before = recorded(Custom(root=str(root))).responses["anna"].copy()
    for side, half in (("L", values[:, :12]), ("R", values[:, 12:])):
        arrays = [nibabel.gifti.GiftiDataArray(row, intent="NIFTI_INTENT_TIME_SERIES") for row in half]
        nibabel.GiftiImage(darrays=arrays).to_filename(root / f"anna/story1_hemi-{side}.func.gii")
    (root / "anna/story1.npy").unlink()

    np.testing.assert_allclose(recorded(Custom(root=str(root))).responses["anna"], before, atol=1e-5)


def test_a_mesh_must_have_as_many_places(root):
    (root / "dataset.yaml").write_text("tr_s: 2.0\nmesh: fsaverage5\n")

    with pytest.raises(
        DataError, match=r"\(1\) anna has 20 columns, but fsaverage5 has 20484 places\. \(2\) ben has 20"
    ):
        Custom(root=str(root)).facts()


def test_an_unknown_subject_and_a_missing_root_are_told(root, tmp_path):
    with pytest.raises(ConfigError, match=r"unknown subject 'ana' of custom\. Did you mean 'anna'"):
        Custom(root=str(root), subjects="ana").chosen_subjects()
    with pytest.raises(DataError, match=r"dataset\.root is not set\. Give dataset\.root=FOLDER"):
        Custom().facts()


def test_an_empty_folder_is_told_everything_that_it_lacks(tmp_path):
    with pytest.raises(DataError, match=r"3 problems: \(1\) dataset\.yaml must say tr_s.* \(2\) no folder has words\.tsv.*"
                       r"\(3\) no folder has responses"):  # fmt: skip
        Custom(root=str(tmp_path)).facts()
