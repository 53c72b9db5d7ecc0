"""What is in HDF5, NumPy and NIfTI files comes out, row by row where asked, and damage is told."""

import gzip

import h5py
import nibabel
import numpy as np
import pytest

from brainexp.dataset.binaryfile import (
    gifti,
    hdf5,
    hdf5_array,
    nifti,
    npy,
    published_ceilings,
    require_shape,
    stored_rows,
)
from brainexp.errors import DataError


@pytest.fixture
def path(tmp_path, rng):
    with h5py.File(tmp_path / "a.hf5", "w") as file:
        file["data"] = rng.standard_normal((30, 4))
        file["takes"] = rng.standard_normal((3, 30, 4))
        file["words"] = [b"a", b"b"]
    return tmp_path / "a.hf5"


@pytest.mark.parametrize("rows", [slice(0, 30), slice(0, 5), slice(7, 9), slice(3, 3), slice(29, 30)])
def test_rows_on_disk_are_those_of_the_array(path, rows):
    stored = stored_rows(path, "data", "Get it.")
    with h5py.File(path) as file:
        expected = file["data"][rows]

    assert stored.shape == (30, 4)
    assert len(stored) == 30
    assert stored[rows].dtype == np.float32
    np.testing.assert_array_equal(stored[rows], expected.astype(np.float32))


@pytest.mark.parametrize("rows", [slice(0, 35), slice(0, 2), slice(1, 6), slice(3, 35), slice(33, 35), slice(3, 33)])
def test_rows_that_a_release_cut_off_are_nan(path, rows):
    stored = stored_rows(path, "data", "Get it.", before=3, after=2)
    with h5py.File(path) as file:
        whole = np.vstack([np.full((3, 4), np.nan), file["data"][:], np.full((2, 4), np.nan)]).astype(np.float32)

    assert stored.shape == (35, 4)
    np.testing.assert_array_equal(stored[rows], whole[rows])
    np.testing.assert_array_equal(np.asarray(stored), whole)


def test_repeats_are_averaged_and_nan_is_not_filled_in(path, monkeypatch):
    monkeypatch.setattr("brainexp.dataset.binaryfile.NUMBERS_AT_ONCE", 40)  # so that rows come in several pieces
    with h5py.File(path, "r+") as file:
        takes = file["takes"][:]
        takes[1, 4, 2] = np.nan
        file["takes"][:] = takes

    found = stored_rows(path, "takes", "Get it.", before=1, n_repeats=3)[:]

    np.testing.assert_allclose(found[1:], takes.mean(axis=0), rtol=1e-6)
    assert np.isnan(found[5, 2])
    assert np.isnan(found[0]).all()
    with pytest.raises(DataError, match="'takes' has 3 recordings, but 2 are declared. Get it."):
        stored_rows(path, "takes", "Get it.", n_repeats=2)


@pytest.mark.parametrize(("key", "n_repeats"), [("data", None), ("takes", 3)])
def test_a_change_sees_whole_recordings_each_for_itself(path, key, n_repeats):
    def without_its_range(values):
        assert values.shape == (30, 4)
        return values / np.ptp(values, axis=0)

    with h5py.File(path) as file:
        takes = file[key][:].reshape(-1, 30, 4)
    expected = np.mean([without_its_range(take) for take in takes], axis=0)

    stored = stored_rows(path, key, "Get it.", before=2, n_repeats=n_repeats, change=without_its_range)

    np.testing.assert_allclose(stored[1:12][1:], expected[:10], rtol=1e-6)
    np.testing.assert_allclose(stored[20:], expected[18:], rtol=1e-6)
    assert np.isnan(stored[:2]).all()


def test_a_wrong_key_or_kind_of_array_is_told(path):
    with hdf5(path, "Get it.") as file:
        with pytest.raises(
            DataError, match=r"has no array 'dat'. Did you mean 'data'\? Known: data, takes, words. Get it."
        ):
            hdf5_array(file, "dat", 2, "Get it.")
        with pytest.raises(
            DataError, match=r"'takes' has shape \(3, 30, 4\) and type float64, but numbers along 2 axes"
        ):
            hdf5_array(file, "takes", 2, "Get it.")
        with pytest.raises(
            DataError, match=r"'words' has shape \(2,\) and type (object|\|S1), but numbers along 1 axes"
        ):
            hdf5_array(file, "words", 1, "Get it.")


def test_a_file_that_breaks_while_it_is_read_is_told(path):
    stored = stored_rows(path, "data", "Get it.")
    path.write_bytes(path.read_bytes()[:1500])

    with pytest.raises(DataError, match=r"a.hf5 of 1500 bytes is truncated or damaged .* Get it."):
        stored[:]


def test_npy_is_mapped_and_damage_is_told(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(12.0).reshape(3, 4))
    np.save(tmp_path / "o.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)

    held = npy(tmp_path / "a.npy", "Get it.", n_axes=2)
    assert isinstance(held, np.memmap)
    np.testing.assert_array_equal(held, np.arange(12.0).reshape(3, 4))
    with pytest.raises(DataError, match=r"a.npy has shape \(3, 4\), but 1 axes are needed. Get it."):
        npy(tmp_path / "a.npy", "Get it.", n_axes=1)
    with pytest.raises(DataError, match=r"o.npy of \d+ bytes is truncated or no array of plain numbers"):
        npy(tmp_path / "o.npy", "Get it.")
    content = (tmp_path / "a.npy").read_bytes()
    for n_bytes in (5, 100, len(content) - 8):
        (tmp_path / "cut.npy").write_bytes(content[:n_bytes])
        with pytest.raises(DataError, match=rf"cut.npy of {n_bytes} bytes is truncated or no array .* Get it."):
            npy(tmp_path / "cut.npy", "Get it.")


@pytest.mark.parametrize(("unit", "zoom"), [("sec", 1.5), ("msec", 1500.0)])
def test_nifti_gives_values_affine_and_the_headers_tr(tmp_path, unit, zoom, rng):
    values, affine = rng.standard_normal((3, 4, 5, 6)).astype(np.float32), np.diag([2.0, 3.0, 4.0, 1.0])
    image = nibabel.Nifti1Image(values, affine)
    image.header.set_xyzt_units("mm", unit)
    image.header.set_zooms((2.0, 3.0, 4.0, zoom))
    image.to_filename(tmp_path / "a.nii.gz")

    found, found_affine, tr_s = nifti(tmp_path / "a.nii.gz", "Get it.")

    np.testing.assert_array_equal(found, values)
    np.testing.assert_array_equal(found_affine, affine)
    assert tr_s == 1.5
    nibabel.Nifti1Image(values[..., 0], affine).to_filename(tmp_path / "one.nii")
    assert nifti(tmp_path / "one.nii", "Get it.")[2] is None


@pytest.mark.parametrize("share", [0.02, 0.5, 0.95])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_a_truncated_nifti_is_told(tmp_path, name, share, rng):
    nibabel.Nifti1Image(rng.standard_normal((8, 8, 8)), np.eye(4)).to_filename(tmp_path / name)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(share * len(content))])

    with pytest.raises(DataError, match=rf"{name} of \d+ bytes is truncated or no NIfTI .* Get it."):
        nifti(tmp_path / name, "Get it.")


def test_what_is_no_nifti_is_told(tmp_path):
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(b"<html>Sign in</html>"))

    with pytest.raises(DataError, match="truncated or no NIfTI"):
        nifti(tmp_path / "a.nii.gz", "Get it.")


def test_rows_and_voxels_must_be_those_declared(tmp_path):
    lengths = {"avatar": 10, "legacy": 12, "life": 12}

    require_shape(tmp_path, "avatar", (10, 4), lengths, 4, "Get it.")
    with pytest.raises(
        DataError, match=r"'avatar' has 12 rows, but 10 are declared. So many has legacy or life: were stories"
    ):
        require_shape(tmp_path, "avatar", (12, 4), lengths, 4, "Get it.")
    with pytest.raises(
        DataError, match=r"'avatar' has 11 rows, but 10 are declared. It is of another story or version. Get"
    ):
        require_shape(tmp_path, "avatar", (11, 4), lengths, 4, "Get it.")
    with pytest.raises(DataError, match="5 voxels, but 4 are declared"):
        require_shape(tmp_path, "avatar", (10, 5), lengths, 4, "Get it.")


def test_ceilings_that_no_correlation_can_be_are_unknown(tmp_path):
    np.save(tmp_path / "c.npy", [0.5, 6.04, -5.4, 1.0, np.nan, -0.2])

    ceiling, n_impossible = published_ceilings(tmp_path / "c.npy", 6, "Get it.")

    np.testing.assert_array_equal(ceiling, [0.5, np.nan, np.nan, 1.0, np.nan, -0.2])
    assert n_impossible == 2
    with pytest.raises(DataError, match="ceilings of 6 voxels, but 7 are declared"):
        published_ceilings(tmp_path / "c.npy", 7, "Get it.")


def test_gifti_gives_a_row_per_tr_and_damage_is_told(tmp_path, rng):
    def write(name, lengths):
        arrays = [nibabel.gifti.GiftiDataArray(rng.standard_normal(n).astype(np.float32)) for n in lengths]
        nibabel.gifti.GiftiImage(darrays=arrays).to_filename(tmp_path / name)
        return [one.data for one in arrays]

    expected = write("a.func.gii", [7] * 5)
    np.testing.assert_array_equal(gifti(tmp_path / "a.func.gii", "Get it."), expected)
    for lengths, told in (([7, 6], r"has 2 arrays of \[6, 7\] vertices"), ([], r"has 0 arrays of \[\] vertices")):
        write("b.func.gii", lengths)
        with pytest.raises(DataError, match=rf"{told}, but one length is needed. Get it."):
            gifti(tmp_path / "b.func.gii", "Get it.")
    content = (tmp_path / "a.func.gii").read_bytes()
    for n_bytes in (10, len(content) // 2, len(content) - 10):
        (tmp_path / "c.func.gii").write_bytes(content[:n_bytes])
        with pytest.raises(DataError, match=rf"c.func.gii of {n_bytes} bytes is truncated or no GIfTI .* Get it."):
            gifti(tmp_path / "c.func.gii", "Get it.")
