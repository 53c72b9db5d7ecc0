import numpy as np
import pytest
from scipy.sparse import csr_array

from brainexp.containers import Flatmap, Space
from brainexp.report.spaces import load_spaces, save_spaces


def volume(rng, n_voxels=5, frame="mni"):
    mask = np.zeros((3, 3, 3), dtype=bool)
    mask.ravel()[rng.choice(27, n_voxels, replace=False)] = True
    return Space(
        kind="volume", n_voxels=n_voxels, rois={}, mask=mask, affine=np.diag([2.0, 2, 2, 1]), note="made", frame=frame
    )


def mapped(rng, n_voxels=4):
    mapper = csr_array(rng.random((2 * 10242, n_voxels)) * (rng.random((2 * 10242, n_voxels)) < 0.01))
    flat = Flatmap(csr_array(np.eye(4)[:3]), np.array([[True, False], [True, True]]))
    return Space(kind="surface", n_voxels=n_voxels, rois={}, mesh="fsaverage5", mapper=mapper, flatmap=flat)


@pytest.mark.parametrize(
    "make",
    [
        volume,
        lambda rng: volume(rng, frame="native"),
        mapped,
        lambda rng: Space(kind="rois", n_voxels=2, rois={}, coordinates_mm=rng.normal(0, 30, (2, 3))),
        lambda _: Space(kind="unplaced", n_voxels=3, rois={}, note="nobody knows"),
    ],
)
def test_a_space_comes_back_as_it_was(tmp_path, rng, make):
    space = make(rng)
    save_spaces({"s1": space}, tmp_path / "spaces.npz")

    again = load_spaces(tmp_path / "spaces.npz")["s1"]

    for name in ("kind", "n_voxels", "mesh", "note", "frame", "n_places"):
        assert getattr(again, name) == getattr(space, name)
    for name in ("mask", "affine", "coordinates_mm"):
        one, other = getattr(again, name), getattr(space, name)
        assert (one is None) == (other is None)
        assert one is None or np.array_equal(one, other)
    values = rng.normal(size=space.n_voxels)
    assert np.array_equal(again.placed(values), space.placed(values), equal_nan=True)
    if space.flatmap is not None:
        assert np.array_equal(again.flatmap.mask, space.flatmap.mask)
        assert (again.flatmap.to_pixels != space.flatmap.to_pixels).nnz == 0


def test_what_subjects_share_is_kept_once_and_what_they_do_not_apart(tmp_path, rng):
    shared, own = volume(rng), volume(np.random.default_rng(5))
    copy = Space(
        **{name: getattr(shared, name) for name in ("kind", "n_voxels", "rois", "mask", "affine", "note", "frame")}
    )

    save_spaces({"a": shared, "b": own, "c": copy}, tmp_path / "spaces.npz")

    again = load_spaces(tmp_path / "spaces.npz")
    assert list(again) == ["a", "b", "c"]
    assert again["a"] is again["c"]
    assert again["a"] is not again["b"]
    assert np.array_equal(again["b"].mask, own.mask)
    with np.load(tmp_path / "spaces.npz") as file:
        assert len([key for key in file.files if key.endswith("/mask")]) == 2
