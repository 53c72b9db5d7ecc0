"""Stores of pycortex, read without it."""

import json

import nibabel
import numpy as np
import pytest
from nibabel.freesurfer import write_geometry
from nibabel.gifti import GiftiDataArray, GiftiImage
from nilearn.datasets import load_fsaverage

from brainexp.containers import FSAVERAGE
from brainexp.dataset.pycortex import fsaverage_space, pycortex_space
from brainexp.errors import DataError

VERTICES = FSAVERAGE["fsaverage5"]


@pytest.fixture
def thick(tmp_path, rng):
    """A store with a subject and two transforms, as pycortex writes them: (x, y, z) on disk."""
    mask = rng.random((5, 6, 7)) < 0.4
    affine = np.array([[-2.2, 0, 0, 112], [0, -2.2, 0, 139], [0, 0, 4.1, -24], [0, 0, 0, 1]], dtype=np.float32)
    for transform, held in (("S1_auto", mask), ("other", mask[:, :, :3])):
        folder = tmp_path / "db" / "S1" / "transforms" / transform
        folder.mkdir(parents=True)
        nibabel.Nifti1Image(held.astype(np.uint8), affine).to_filename(folder / "mask_thick.nii.gz")
    return tmp_path / "db", mask, affine


def test_columns_of_pycortex_are_counted_in_the_turned_volume(thick):
    """As pycortex 1.4 does: columns run through (z, y, x), where the file has (x, y, z)."""
    store, mask, affine = thick

    space = pycortex_space(store, "S1", int(mask.sum()), "")

    places = np.argwhere(mask.T)[:, ::-1]  # x, y, z of each column
    millimetres = np.argwhere(space.mask) @ space.affine[:3, :3].T + space.affine[:3, 3]
    np.testing.assert_allclose(millimetres, places @ affine[:3, :3].T + affine[:3, 3], rtol=1e-5, atol=1e-5)
    assert not np.array_equal(places, np.argwhere(mask))
    assert (space.kind, space.frame) == ("volume", "native")
    assert (space.pycortex.subject, space.pycortex.transform) == ("S1", "S1_auto")


def test_a_subject_without_a_fitting_mask_is_told(thick):
    store, mask, _ = thick

    with pytest.raises(
        DataError, match=rf"of 3 voxels, as the responses have, but S1_auto has {mask.sum()}; other has \d+. Fet"
    ):
        pycortex_space(store, "S1", 3, "Fetch it.")
    with pytest.raises(DataError, match="as the responses have, but there is none. Fetch it"):
        pycortex_space(store, "S2", 3, "Fetch it.")
    (store / "S1" / "transforms" / "other" / "mask_thick.nii.gz").write_bytes(b"no volume")
    with pytest.raises(DataError, match="mask_thick.nii.gz cannot be read as a volume"):
        pycortex_space(store, "S1", 3, "Fetch it.")


def surface(path, points):
    faces = np.array([[0, 1, 2]], np.int32)
    arrays = [
        GiftiDataArray(points.astype(np.float32), intent="NIFTI_INTENT_POINTSET", datatype="NIFTI_TYPE_FLOAT32"),
        GiftiDataArray(faces, intent="NIFTI_INTENT_TRIANGLE", datatype="NIFTI_TYPE_INT32"),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    GiftiImage(darrays=arrays).to_filename(path)


@pytest.fixture
def person(tmp_path, rng):
    """A subject whose registered spheres are those of fsaverage5 with vertices shuffled, some of them twice.

    Returns store, FreeSurfer's folder, mask as pycortex turns it, and by hemisphere the place on fsaverage5 and the voxel
    (z, y, x) of each vertex.
    """
    mask = rng.random((8, 9, 10)) < 0.5
    transforms = tmp_path / "db" / "S1" / "transforms" / "S1_auto"
    transforms.mkdir(parents=True)
    nibabel.Nifti1Image(mask.T.astype(np.uint8), np.eye(4)).to_filename(transforms / "mask_thick.nii.gz")
    to_voxels = np.array([[0.5, 0, 0, 4], [0, 0.5, 0, 3], [0, 0, 0.25, 2], [0, 0, 0, 1]])
    (transforms / "matrices.xfm").write_text(json.dumps({"coord": to_voxels.tolist(), "magnet": []}))
    truth = {}
    for side, hemisphere in (("lh", "left"), ("rh", "right")):
        sphere = load_fsaverage("fsaverage5")["sphere"].parts[hemisphere].coordinates
        place = np.concatenate([rng.permutation(VERTICES), rng.integers(0, VERTICES, 500)])
        folder = tmp_path / "fs" / "S1" / "surf"
        folder.mkdir(parents=True, exist_ok=True)
        write_geometry(folder / f"{side}.sphere.reg", sphere[place] * 1.3, np.array([[0, 1, 2]]))
        voxel = rng.integers(-1, [9, 10, 11], (len(place), 3))  # some outside of the volume
        middle = (voxel[:, ::-1] - to_voxels[:3, 3]) / np.diag(to_voxels)[:3]
        thickness = rng.uniform(-0.4, 0.4, middle.shape)
        surface(tmp_path / "db" / "S1" / "surfaces" / f"wm_{side}.gii", middle - thickness)
        surface(tmp_path / "db" / "S1" / "surfaces" / f"pia_{side}.gii", middle + thickness)
        truth[side] = (place, voxel)
    return tmp_path / "db", tmp_path / "fs", mask, truth


def test_voxels_come_to_the_vertices_that_lie_in_them(person, rng):
    store, freesurfer, mask, truth = person
    values = rng.standard_normal(int(mask.sum()))
    volume = np.full(mask.shape, np.nan)
    volume[mask] = values
    expected = np.full(2 * VERTICES, np.nan)
    for number, (place, voxel) in enumerate(truth.values()):
        inside = ((voxel >= 0) & (voxel < mask.shape)).all(axis=1)
        found = np.full(len(place), np.nan)
        found[inside] = volume[tuple(voxel[inside].T)]
        for vertex in range(VERTICES):
            own = found[place == vertex]
            if np.isfinite(own).any():
                expected[number * VERTICES + vertex] = np.nanmean(own)

    space = fsaverage_space(store, freesurfer, "S1", len(values), "")

    np.testing.assert_allclose(space.placed(values), expected, rtol=1e-10)
    assert (space.kind, space.mesh) == ("surface", "fsaverage5")
    assert 0.2 < np.isfinite(expected).mean() < 0.8


@pytest.mark.parametrize(
    ("damaged", "message"),
    [
        ("fs/S1/surf/lh.sphere.reg", "lh.sphere.reg cannot be read as a surface of FreeSurfer: .*Fetch it"),
        ("db/S1/surfaces/pia_rh.gii", "pia_rh.gii cannot be read as a surface: .*Fetch it"),
        ("db/S1/transforms/S1_auto/matrices.xfm", "matrices.xfm holds no transform of pycortex: .*Fetch it"),
    ],
)
def test_damaged_and_missing_files_are_told(person, tmp_path, damaged, message):
    store, freesurfer, mask, _ = person
    (tmp_path / damaged).write_bytes(b"<nothing>")

    with pytest.raises(DataError, match=message):
        fsaverage_space(store, freesurfer, "S1", int(mask.sum()), "Fetch it.")
    (tmp_path / damaged).unlink()
    with pytest.raises(DataError, match=f"missing file .*{damaged.split('/')[-1]}. Fetch it"):
        fsaverage_space(store, freesurfer, "S1", int(mask.sum()), "Fetch it.")


def test_surfaces_of_another_reconstruction_are_told(person):
    store, freesurfer, mask, _ = person
    write_geometry(freesurfer / "S1" / "surf" / "rh.sphere.reg", np.eye(3), np.array([[0, 1, 2]]))

    with pytest.raises(
        DataError, match=r"rh of 'S1' has 10742 vertices in db and 3 in fs: they are of different recon"
    ):
        fsaverage_space(store, freesurfer, "S1", int(mask.sum()), "")
    surface(store / "S1" / "surfaces" / "wm_lh.gii", np.eye(3))
    with pytest.raises(DataError, match=r"wm_lh.gii has 3 vertices, pia_lh.gii 10742"):
        fsaverage_space(store, freesurfer, "S1", int(mask.sum()), "")
