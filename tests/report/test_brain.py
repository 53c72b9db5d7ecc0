"""Maps come out in the right place, for each kind of space."""

import nibabel
import numpy as np
import pytest

from brainexp.containers import Space
from brainexp.dataset.alice import APPROXIMATE_MNI_MM, ROIS
from brainexp.dataset.passage import REGIONS, Passage
from brainexp.errors import ConfigError
from brainexp.report.brain import page, picture, write_map

VERTICES = 10242


def surface():
    return Space(kind="surface", n_voxels=2 * VERTICES, rois={"left": np.arange(VERTICES)}, mesh="fsaverage5")


def rois():
    return Space(
        kind="rois",
        n_voxels=len(ROIS),
        rois={roi: np.array([at]) for at, roi in enumerate(ROIS)},
        coordinates_mm=np.array(APPROXIMATE_MNI_MM),
    )


def test_a_volume_map_has_each_region_at_its_place(tmp_path):
    space = Passage().space("p1")
    values = np.zeros(space.n_voxels)
    values[space.rois["LPTL"]] = 0.5

    write_map(values, space, tmp_path, "map")

    image = nibabel.load(tmp_path / "map.nii.gz")
    centre = np.linalg.inv(image.affine) @ [*REGIONS["LPTL"][0], 1]
    assert image.get_fdata()[tuple(np.round(centre[:3]).astype(int))] == 0.5
    assert (image.get_fdata() == 0.5).sum() == len(space.rois["LPTL"])


def test_unscored_voxels_stay_nan_in_the_file(tmp_path):
    space = Passage().space("p1")
    values = np.ones(space.n_voxels)
    values[0] = np.nan

    write_map(values, space, tmp_path, "map")

    assert np.isnan(nibabel.load(tmp_path / "map.nii.gz").get_fdata()[space.mask]).sum() == 1


def test_a_surface_map_has_a_file_per_hemisphere_left_first(tmp_path):
    values = np.concatenate([np.full(VERTICES, 0.1), np.full(VERTICES, 0.2)])

    write_map(values, surface(), tmp_path, "map")

    for hemisphere, value in (("L", 0.1), ("R", 0.2)):
        data = nibabel.load(tmp_path / f"map_hemi-{hemisphere}.gii").darrays[0].data
        np.testing.assert_allclose(data, np.full(VERTICES, value), rtol=1e-6)


@pytest.mark.parametrize("space", [Passage().space("p1"), surface(), rois()], ids=lambda space: space.kind)
def test_each_space_has_a_picture_and_a_page_without_links_to_elsewhere(tmp_path, space, rng):
    values = rng.uniform(-0.1, 0.5, space.n_voxels)
    values[0] = np.nan

    picture(values, space, "r", tmp_path / "brain.png")
    page(values, space, "r", tmp_path / "brain.html")

    assert (tmp_path / "brain.png").read_bytes()[:4] == b"\x89PNG"
    html = (tmp_path / "brain.html").read_text()
    assert 'src="http' not in html
    assert 'href="http' not in html.replace('href="https://plotly', "").replace('href="https://dash.plotly', "")
    assert len(html) > 100_000


def test_a_mesh_that_is_not_on_board_is_refused(tmp_path):
    space = Space(kind="surface", n_voxels=4, rois={"a": np.arange(2)}, mesh="fsaverage9")

    with pytest.raises(
        ConfigError, match="maps on mesh 'fsaverage9' cannot be drawn: only fsaverage5 comes with nilearn"
    ):
        write_map(np.zeros(4), space, tmp_path, "map")


def test_spaces_are_alike_when_their_columns_mean_the_same_places():
    assert Passage().space("p1").same_places(Passage().space("p2"))
    assert not Passage().space("p1").same_places(rois())
