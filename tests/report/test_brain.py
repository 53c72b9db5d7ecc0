"""Maps come out in the right place, for each kind of space."""

import re
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from nilearn.datasets import get_data_dirs, load_fsaverage
from nilearn.surface import load_surf_mesh
from scipy.sparse import csr_array

from brainexp.containers import FSAVERAGE, Flatmap, Pycortex, Space
from brainexp.dataset.alice import APPROXIMATE_MNI_MM, ROIS
from brainexp.dataset.passage import REGIONS, Passage
from brainexp.report.brain import drawable, flat_picture, page, picture, write_map, write_maps
from brainexp.result import Voxels

VERTICES = 10242


def surface():
    return Space(kind="surface", n_voxels=2 * VERTICES, rois={"left": np.arange(VERTICES)}, mesh="fsaverage5")


def native():
    """A subject's own volume."""
    return Space(
        kind="volume",
        n_voxels=27,
        rois={},
        mask=np.pad(np.ones((3, 3, 3), bool), 1),
        affine=np.array([[2.0, 0.3, 0, 5], [-0.3, 2, 0, 1], [0, 0, 4, 2], [0, 0, 0, 1]]),  # as heads lie: oblique
        frame="native",
    )


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


@pytest.mark.parametrize(
    "space", [Passage().space("p1"), surface(), rois(), native()], ids=["volume", "surface", "rois", "native"]
)
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


@pytest.mark.parametrize("mesh", ["fsaverage6", "fsaverage7"])
def test_finer_meshes_are_written_whole_and_drawn_at_the_first_vertices(tmp_path, rng, mesh):
    n_vertices = FSAVERAGE[mesh]
    values = rng.uniform(0, 1, 2 * n_vertices)
    space = Space(kind="surface", n_voxels=2 * n_vertices, rois={}, mesh=mesh)
    coarse = np.concatenate([values[:VERTICES], values[n_vertices : n_vertices + VERTICES]])

    write_map(values, space, tmp_path, "map")
    page(values, space, "r", tmp_path / "fine.html")
    page(coarse, surface(), "r", tmp_path / "coarse.html")

    for at, hemisphere in enumerate("LR"):
        image = nibabel.load(tmp_path / f"map_hemi-{hemisphere}.gii")
        own = values[at * n_vertices : (at + 1) * n_vertices]
        np.testing.assert_allclose(image.darrays[0].data, own, rtol=1e-6)
        assert image.meta["mesh"] == mesh
        assert image.meta["AnatomicalStructurePrimary"] == {"L": "CortexLeft", "R": "CortexRight"}[hemisphere]
    assert surfaces(tmp_path / "fine.html") == surfaces(tmp_path / "coarse.html")


def surfaces(path):
    """What a page draws, without the names that it draws at random."""
    return max(re.findall(r"[A-Za-z0-9+/=]{1000,}", path.read_text()), key=len)


def test_the_vertices_of_fsaverage_are_nested():
    """Vertices beyond those of the next coarser mesh are midpoints of its edges, and twelve are those of an icosahedron."""
    faces = load_fsaverage("fsaverage5")["sphere"].parts["left"].faces
    neighbours = np.unique(np.vstack([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=0)
    degree = np.bincount(neighbours[:, 0])
    coarse = neighbours[neighbours[:, 1] < FSAVERAGE["fsaverage4"]]

    from_coarse = np.bincount(coarse[:, 0], minlength=VERTICES)

    assert set(np.flatnonzero(degree == 5)) == set(range(12))
    assert (from_coarse[FSAVERAGE["fsaverage4"] :] == 2).all()
    assert (from_coarse[: FSAVERAGE["fsaverage4"]] == 0).all()


@pytest.mark.parametrize("finer", ["fsaverage6", "fsaverage7"])
def test_the_first_vertices_of_a_finer_fsaverage_are_those_of_the_one_that_is_drawn(finer):
    """Where nilearn has fetched it; it does not come with nilearn."""
    found = [
        path
        for folder in get_data_dirs()
        for path in (Path(folder) / finer.replace("fsaverage7", "fsaverage")).glob("sphere_left.gii*")
    ]
    if not found:
        pytest.skip(f"{finer} is not in nilearn's folders")

    points, _ = load_surf_mesh(found[0])

    np.testing.assert_allclose(
        points[:VERTICES], load_fsaverage("fsaverage5")["sphere"].parts["left"].coordinates, atol=0.01
    )


def test_an_unknown_mesh_is_written_but_not_drawn(tmp_path):
    space = Space(kind="surface", n_voxels=4, rois={"a": np.arange(2)}, mesh="mine")

    write_map(np.arange(4.0), space, tmp_path, "map")

    assert nibabel.load(tmp_path / "map_hemi-R.gii").darrays[0].data.tolist() == [2.0, 3.0]
    assert not drawable(space)
    assert drawable(surface())
    assert drawable(rois())


def mapped(rng, n_voxels, flat=False):
    """A subject whose voxels are each shown at 30 vertices and, where asked for, at a pixel."""
    places = rng.permutation(2 * VERTICES)[: 30 * n_voxels].reshape(n_voxels, 30)
    columns = np.repeat(np.arange(n_voxels), 30)
    mapper = csr_array((np.ones(30 * n_voxels), (places.ravel(), columns)), shape=(2 * VERTICES, n_voxels))
    mask = np.zeros((n_voxels + 2, 5), bool)
    mask[1:-1, 2] = True
    flatmap = Flatmap(csr_array(np.eye(n_voxels)), mask) if flat else None
    space = Space(
        kind="surface", n_voxels=n_voxels, rois={"A": np.arange(2)}, mesh="fsaverage5", mapper=mapper, flatmap=flatmap
    )
    return space, places


def result_of(spaces, r):
    owner = np.repeat(np.arange(len(spaces)), [space.n_voxels for space in spaces.values()])
    voxels = Voxels(tuple(spaces), spaces, owner, np.ones(len(owner)), 0.05)
    return SimpleNamespace(voxels=voxels, per_voxel={"r": r})


def test_subjects_with_other_voxels_have_a_mean_map_where_both_are_mapped(tmp_path, rng):
    (one, places), (other, other_places) = mapped(rng, 40, flat=True), mapped(rng, 60)
    r = rng.uniform(0.1, 0.5, 100)
    (tmp_path / "figures").mkdir()

    write_maps(result_of({"s1": one, "s2": other}, r), tmp_path / "maps", tmp_path / "figures")

    expected = np.full((2, 2 * VERTICES), np.nan)
    expected[0, places] = r[:40, None]
    expected[1, other_places] = r[40:, None]
    mean = np.where(
        np.isnan(expected[0]), expected[1], np.where(np.isnan(expected[1]), expected[0], expected.mean(axis=0))
    )
    for name, values in (("s1_r", expected[0]), ("s2_r", expected[1]), ("mean_r", mean)):
        written = [nibabel.load(tmp_path / "maps" / f"{name}_hemi-{side}.gii").darrays[0].data for side in "LR"]
        np.testing.assert_allclose(np.concatenate(written), values, rtol=1e-5)
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {"brain.png", "brain.html", "flatmap_s1.png"}


def test_volumes_in_subjects_own_space_have_no_mean(tmp_path, rng):
    (tmp_path / "figures").mkdir()

    write_maps(
        result_of({"s1": native(), "s2": native()}, rng.uniform(0, 1, 54)), tmp_path / "maps", tmp_path / "figures"
    )

    assert {path.name for path in (tmp_path / "maps").iterdir()} == {"s1_r.nii.gz", "s2_r.nii.gz"}


def test_a_mesh_that_cannot_be_drawn_leaves_files_and_words(tmp_path, caplog):
    (tmp_path / "figures").mkdir()
    space = Space(kind="surface", n_voxels=4, rois={"a": np.arange(2)}, mesh="mine")

    write_maps(result_of({"s1": space}, np.arange(4.0)), tmp_path / "maps", tmp_path / "figures")

    assert len(list((tmp_path / "maps").iterdir())) == 2
    assert list((tmp_path / "figures").iterdir()) == []
    assert "Maps on mesh 'mine' are written, but not drawn" in caplog.text


def test_a_flatmap_has_each_pixel_at_its_place(tmp_path, monkeypatch):
    """Left is left and up is up: the first axis runs to the right, the second upwards."""
    drawn = []
    monkeypatch.setattr(
        Axes, "imshow", lambda _, pixels, **options: drawn.append((pixels, options)) or ScalarMappable()
    )
    mask = np.array([[True, False], [False, True], [False, False]])

    flat_picture(np.array([0.2, 0.4]), Flatmap(csr_array(np.eye(2)), mask), "r", tmp_path / "flat.png")

    (pixels, options), *_ = drawn
    np.testing.assert_array_equal(pixels, [[0.2, np.nan, np.nan], [np.nan, 0.4, np.nan]])
    assert options["origin"] == "lower"
    assert (tmp_path / "flat.png").stat().st_size > 1000


class FakeCortex(SimpleNamespace):
    """What of pycortex is used, for machines without it."""

    def __init__(self, writable=True):
        super().__init__(db=SimpleNamespace(filestore="before", reload_subjects=lambda: None), drawn=[])
        self.quickflat = SimpleNamespace(make_figure=self.make_figure)
        self.writable = writable

    def Volume(self, *given, **options):  # noqa: N802
        return SimpleNamespace(given=given, options=options, store=self.db.filestore)

    def make_figure(self, volume, **options):
        if not self.writable:
            raise PermissionError(13, "Permission denied", "cache")
        self.drawn.append(volume)
        return Figure()


@pytest.mark.parametrize("writable", [True, False])
def test_pycortex_draws_where_it_is_installed(tmp_path, rng, monkeypatch, caplog, writable):
    cortex = FakeCortex(writable)
    monkeypatch.setitem(sys.modules, "cortex", cortex)
    monkeypatch.setattr("brainexp.report.brain.find_spec", lambda name: name == "cortex")
    space = replace(native(), pycortex=Pycortex(tmp_path / "db", "S1", "S1_auto"))
    values = rng.uniform(0, 1, 27)
    (tmp_path / "figures").mkdir()

    write_maps(result_of({"s1": space}, values), tmp_path / "maps", tmp_path / "figures")

    assert cortex.db.filestore == "before"
    assert (tmp_path / "figures" / "flatmap_s1.png").exists() == writable
    assert ("flatmap_s1 is not drawn with pycortex, which cannot write to its store" in caplog.text) != writable
    for volume in cortex.drawn:
        drawn, subject, transform = volume.given
        np.testing.assert_array_equal(drawn[space.mask], values)
        assert np.isnan(drawn[~space.mask]).all()
        assert (subject, transform, volume.store) == ("S1", "S1_auto", str(tmp_path / "db"))


def test_without_pycortex_there_is_no_flat_picture(tmp_path, rng, monkeypatch):
    monkeypatch.setattr("brainexp.report.brain.find_spec", lambda _: None)
    space = replace(native(), pycortex=Pycortex(tmp_path / "db", "S1", "S1_auto"))
    (tmp_path / "figures").mkdir()

    write_maps(result_of({"s1": space}, rng.uniform(0, 1, 27)), tmp_path / "maps", tmp_path / "figures")

    assert {path.name for path in (tmp_path / "figures").iterdir()} == {"brain.png", "brain.html"}


def test_spaces_are_alike_when_their_columns_mean_the_same_places():
    assert Passage().space("p1").same_places(Passage().space("p2"))
    assert not Passage().space("p1").same_places(rois())
