"""Mappers in HDF5 as Deniz et al. (2019) and the voxelwise tutorials have them, and parcels."""

import h5py
import numpy as np
import pytest
from scipy.sparse import csr_matrix

from brainexp.containers import FSAVERAGE, Space
from brainexp.dataset.mappers import mapped_space, parcel_mapper
from brainexp.errors import DataError

N_VOXELS = 50
VERTICES = 2 * FSAVERAGE["fsaverage3"]


def store(file, name, matrix):
    for part in ("data", "indices", "indptr", "shape"):
        file[f"{name}_{part}"] = getattr(matrix, part)


@pytest.fixture
def matrices(rng):
    to_mesh = rng.random((VERTICES, N_VOXELS)) * (rng.random((VERTICES, N_VOXELS)) < 0.05)
    to_pixels = rng.random((12, N_VOXELS)) * (rng.random((12, N_VOXELS)) < 0.3)
    return csr_matrix(to_mesh), csr_matrix(to_pixels)


@pytest.fixture
def file(tmp_path, matrices):
    path = tmp_path / "subject01_mappers.hdf"
    mask = np.zeros((5, 4), bool)
    mask[1:4] = True
    with h5py.File(path, "w") as held:
        store(held, "voxel_to_fsaverage", matrices[0])
        store(held, "voxel_to_flatmap", matrices[1])
        held["flatmap_mask"] = mask
        held["roi_mask_AC"] = np.arange(N_VOXELS) < 3
        held["roi_mask_Broca"] = np.zeros(N_VOXELS)
    return path


def test_a_file_of_mappers_becomes_a_space(file, matrices, rng):
    space = mapped_space(file, N_VOXELS, "")
    values = rng.standard_normal(N_VOXELS)

    assert (space.kind, space.mesh, space.n_voxels, space.n_places) == ("surface", "fsaverage3", N_VOXELS, VERTICES)
    reached = np.asarray(matrices[0].sum(axis=1)).ravel() != 0
    np.testing.assert_allclose(space.placed(values)[reached], (matrices[0] @ values)[reached])
    assert np.isnan(space.placed(values)[~reached]).all()
    assert {roi: columns.tolist() for roi, columns in space.rois.items()} == {"AC": [0, 1, 2]}
    np.testing.assert_array_equal(space.flatmap.to_pixels.toarray(), matrices[1].toarray())
    assert space.flatmap.mask.sum() == 12


def test_a_flatmap_is_not_needed(tmp_path, matrices):
    with h5py.File(tmp_path / "m.hdf", "w") as held:
        store(held, "voxel_to_fsaverage", matrices[0])

    assert mapped_space(tmp_path / "m.hdf", N_VOXELS, "").flatmap is None


def damage(file, how):
    if how == "cut":
        file.write_bytes(file.read_bytes()[:2000])
    elif how == "no HDF5":
        file.write_text("<html>not found</html>")
    elif how == "pointer":
        file.write_text("/annex/objects/MD5-s12--abc\n")
    else:
        with h5py.File(file, "a") as held:
            del held[f"voxel_to_fsaverage_{how}"]
            if how == "indptr":
                held[f"voxel_to_fsaverage_{how}"] = np.arange(3)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("cut", "is no HDF5 file, or is truncated"),
        ("no HDF5", "is no HDF5 file, or is truncated"),
        ("pointer", "is a pointer of git-annex"),
        ("data", r"lacks voxel_to_fsaverage_data; it has flatmap_mask, roi_mask_AC, .*Fetch it\."),
        ("indptr", "voxel_to_fsaverage is no sparse matrix: .*Fetch it"),
    ],
)
def test_damaged_files_are_told(file, how, message):
    damage(file, how)

    with pytest.raises(DataError, match=message):
        mapped_space(file, N_VOXELS, "Fetch it.")


def test_mappers_of_another_subject_or_mesh_are_refused(tmp_path, file):
    with pytest.raises(DataError, match="maps 50 voxels, but the responses have 51: it is of another subject"):
        mapped_space(file, 51, "")
    with pytest.raises(DataError, match=r"missing file .*subject02_mappers.hdf. Fetch it"):
        mapped_space(tmp_path / "subject02_mappers.hdf", 50, "Fetch it.")
    with h5py.File(tmp_path / "m.hdf", "w") as held:
        store(held, "voxel_to_fsaverage", csr_matrix(np.eye(7)))
    with pytest.raises(
        DataError, match="maps to 7 vertices, but fsaverage has one of 1284, 5124, 20484, 81924, 327684"
    ):
        mapped_space(tmp_path / "m.hdf", 7, "")


def test_parcels_are_painted_on_all_their_places():
    labels = np.array([0, 3, 3, 9, 5, 3])
    space = Space(kind="surface", n_voxels=2, rois={}, mesh="mine", mapper=parcel_mapper(labels, {3: 0, 5: 1}))

    np.testing.assert_array_equal(space.placed(np.array([0.1, 0.2])), [np.nan, 0.1, 0.1, np.nan, 0.2, 0.1])
    with pytest.raises(DataError, match="1 of 3 parcels have no place in the atlas, such as label 4"):
        parcel_mapper(labels, {3: 0, 4: 1, 5: 2})
