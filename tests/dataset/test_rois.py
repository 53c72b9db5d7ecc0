"""ROIs by name: from label files of surfaces and volumes to columns."""

import nibabel
import numpy as np
import pytest
from nibabel.freesurfer import write_annot
from nibabel.gifti import GiftiDataArray, GiftiImage, GiftiLabel, GiftiLabelTable
from scipy.sparse import csr_array

from brainexp.containers import FSAVERAGE, Space
from brainexp.dataset.label_files import named_labels, right_of
from brainexp.dataset.roi_sets import ROI_SETS
from brainexp.dataset.rois import Rois
from brainexp.errors import ConfigError, DataError
from brainexp.registry import plain_fields, validated
from tests.conftest import DATA

AREAS = ("44", "45", "IFJa", "IFSp", "55b", "V1")
GROUPS = {"hcp_mmp_language": {"IFG": ("44", "45", "IFJa", "IFSp"), "MFG": ("55b",)}}


def label_file(path, labels, names):
    """A .label.gii as the Narratives code has it: names by key, 0 for no area."""
    table = GiftiLabelTable()
    for key, name in names.items():
        label = GiftiLabel(key)
        label.label = name
        table.labels.append(label)
    array = GiftiDataArray(np.asarray(labels, np.int32), intent="NIFTI_INTENT_LABEL", datatype="NIFTI_TYPE_INT32")
    GiftiImage(darrays=[array], labeltable=table).to_filename(path)


def areas_of_all_sets():
    return sorted({area for one in ROI_SETS.values() for areas in (one.groups or {}).values() for area in areas})


@pytest.fixture
def mmp(tmp_path, rng):
    """All areas that sets name, at random vertices of fsaverage5, each side with its own; returns files and labels."""
    names = dict(enumerate(["???", *areas_of_all_sets()]))
    labels = rng.integers(0, len(names), (2, FSAVERAGE["fsaverage5"]))
    for side, own in zip("LR", labels, strict=True):
        table = {key: name if key == 0 else f"{side}_{name}_ROI" for key, name in names.items()}
        label_file(tmp_path / f"tpl_hemi-{side}.label.gii", own, table)
    return tmp_path / "tpl_hemi-L.label.gii", np.concatenate(labels), {name: key for key, name in names.items()}


def surface(mesh="fsaverage5", **options):
    return Space(kind="surface", n_voxels=2 * FSAVERAGE[mesh], rois={}, mesh=mesh, **options)


def volume(mask, voxel_mm=2.0, corner_mm=(-90.0, -126.0, -72.0), **options):
    affine = np.diag([voxel_mm, voxel_mm, voxel_mm, 1.0])
    affine[:3, 3] = corner_mm
    return Space(kind="volume", n_voxels=int(mask.sum()), rois={}, mask=mask, affine=affine, **options)


def nifti(path, values, voxel_mm=2.0, corner_mm=(-90.0, -126.0, -72.0)):
    affine = np.diag([voxel_mm, voxel_mm, voxel_mm, 1.0])
    affine[:3, 3] = corner_mm
    nibabel.Nifti1Image(np.asarray(values, np.float32), affine).to_filename(path)
    return str(path)


def test_without_a_set_a_space_stays_as_it_is():
    space = surface()

    assert Rois().of(space) is space


def test_groups_pool_their_areas_of_both_hemispheres(mmp):
    path, labels, key = mmp

    found = Rois(set="hcp_mmp_language", labels=str(path)).of(surface()).rois

    assert list(found)[:3] == ["AG", "ATL", "PTL"]
    for roi, areas in GROUPS["hcp_mmp_language"].items():
        np.testing.assert_array_equal(found[roi], np.flatnonzero(np.isin(labels, [key[area] for area in areas])))


@pytest.mark.parametrize(("hemisphere", "half"), [("left", slice(0, 10242)), ("right", slice(10242, None))])
def test_one_hemisphere_can_be_asked_for(mmp, hemisphere, half):
    path, labels, key = mmp
    inside = np.zeros(len(labels), bool)
    inside[half] = True

    found = Rois(set="hcp_mmp_language", labels=str(path), hemisphere=hemisphere).of(surface()).rois["MFG"]

    np.testing.assert_array_equal(found, np.flatnonzero((labels == key["55b"]) & inside))


def test_both_files_can_be_named_and_their_order_decides(mmp):
    path, labels, key = mmp
    right = right_of(path)

    swapped = Rois(set="hcp_mmp_language", labels=(str(right), str(path))).of(surface()).rois["MFG"]

    np.testing.assert_array_equal(swapped, np.flatnonzero(np.roll(labels, 10242) == key["55b"]))


def test_annot_files_give_the_same_as_gifti(mmp, tmp_path):
    path, labels, key = mmp
    names = list(key)
    colours = np.column_stack([np.arange(len(names)), np.zeros((len(names), 3), int), np.arange(len(names))])
    for side, own in zip("lr", labels.reshape(2, -1), strict=True):
        told = ["???" if name == "???" else f"{side.upper()}_{name}_ROI" for name in names]
        write_annot(tmp_path / f"{side}h.HCPMMP1.annot", own, colours, told, fill_ctab=True)

    ours = Rois(set="hcp_mmp_language", labels=str(tmp_path / "lh.HCPMMP1.annot")).of(surface()).rois

    theirs = Rois(set="hcp_mmp_language", labels=str(path)).of(surface()).rois
    assert ours.keys() == theirs.keys()
    for roi, columns in theirs.items():
        np.testing.assert_array_equal(ours[roi], columns)


@pytest.mark.parametrize(
    ("set_name", "names", "rois"),
    [
        ("yeo7", ["FreeSurfer_Defined_Medial_Wall", *(f"7Networks_{n}" for n in range(1, 8))], {"Visual": [1], "Default": [7]}),
        (
            "schaefer_networks",
            ["Background+FreeSurfer_Defined_Medial_Wall", "7Networks_LH_Vis_1", "7Networks_LH_Vis_2", "7Networks_LH_Default_PFC_1"],
            {"Vis": [1, 2], "Default": [3]},
        ),
    ],
)  # fmt: skip
def test_networks_come_from_their_annot_files(tmp_path, rng, set_name, names, rois):
    labels = rng.integers(0, len(names), (2, FSAVERAGE["fsaverage5"]))
    colours = np.column_stack([np.arange(len(names)), np.zeros((len(names), 3), int), np.arange(len(names))])
    for side, own in zip("lr", labels, strict=True):
        write_annot(tmp_path / f"{side}h.networks.annot", own, colours, names, fill_ctab=True)

    found = Rois(set=set_name, labels=str(tmp_path / "lh.networks.annot")).of(surface()).rois

    for roi, numbers in rois.items():
        np.testing.assert_array_equal(found[roi], np.flatnonzero(np.isin(labels.ravel(), numbers)))
    assert not any("wall" in roi.lower() for roi in found)


def test_finer_labels_are_taken_at_their_first_vertices(mmp, tmp_path, rng):
    path, labels, key = mmp
    for side, own in zip("LR", labels.reshape(2, -1), strict=True):
        finer = np.concatenate([own, rng.integers(1, 5, FSAVERAGE["fsaverage6"] - len(own))])
        table = {number: name if number == 0 else f"{side}_{name}_ROI" for name, number in key.items()}
        label_file(tmp_path / f"finer_hemi-{side}.label.gii", finer, table)

    finer = Rois(set="hcp_mmp_language", labels=str(tmp_path / "finer_hemi-L.label.gii")).of(surface())

    for roi, columns in Rois(set="hcp_mmp_language", labels=str(path)).of(surface()).rois.items():
        np.testing.assert_array_equal(finer.rois[roi], columns)


def test_areas_count_alike_where_asked_for(mmp):
    path, labels, key = mmp

    space = Rois(set="hcp_mmp_language", labels=str(path), weights="areas").of(surface())

    parts = space.areas["IFG"]
    assert [len(part) for part in parts] == [(labels == key[area]).sum() for area in ("44", "45", "IFJa", "IFSp")]
    assert "MFG" not in space.areas  # one area
    assert Rois(set="hcp_mmp_language", labels=str(path)).of(surface()).areas == {}


def test_voxels_behind_a_mapper_belong_where_most_of_their_weight_lies(tmp_path):
    """Four voxels: wholly in 44, mostly in V1, half in 44 and half in 45, and on no vertex."""
    labels = np.zeros(FSAVERAGE["fsaverage3"], int)
    labels[:6] = [1, 1, 6, 6, 2, 5]
    names = dict(enumerate(["???", *AREAS]))
    rest = {7 + at: name for at, name in enumerate(areas_of_all_sets()) if name not in AREAS}
    for side in "LR":
        label_file(
            tmp_path / f"hemi-{side}.label.gii",
            labels,
            {key: f"{side}_{name}_ROI" if key else name for key, name in (names | rest).items()},
        )
    weights = np.zeros((2 * FSAVERAGE["fsaverage3"], 4))
    weights[[0, 1], 0] = 0.5
    weights[[2, 3, 0], 1] = 0.4, 0.4, 0.2
    weights[[1, 4], 2] = 0.5
    space = Space(kind="surface", n_voxels=4, rois={}, mesh="fsaverage3", mapper=csr_array(weights))

    found = Rois(set="hcp_mmp_language", labels=str(tmp_path / "hemi-L.label.gii"), weights="areas").of(space)

    assert {roi: columns.tolist() for roi, columns in found.rois.items()} == {"IFG": [0, 2], "EVC": [1]}
    assert found.note.startswith("Outside of the data: AG, ATL")


def test_a_label_volume_is_brought_to_the_grid_of_the_data(tmp_path):
    """Labels at 2 mm, data at 4 mm whose voxels' centres lie on every second one."""
    labels = np.zeros((20, 20, 20))
    labels[4:8, 4:8, 4:8], labels[12:16, 4:8, 4:8] = 1, 7
    file = nifti(tmp_path / "parcels.nii.gz", labels)
    names = {str(number) for areas in ROI_SETS["fedorenko_language"].groups.values() for number in areas}
    for number in range(1, 13):
        labels[0, 0, number] = number
    file = nifti(tmp_path / "parcels.nii.gz", labels)
    space = volume(np.ones((10, 10, 10), bool), voxel_mm=4.0)

    found = Rois(set="fedorenko_language", labels=file).of(space)

    grid = labels[::2, ::2, ::2]
    assert len(names) == 12
    np.testing.assert_array_equal(found.rois["LH_IFGorb"], np.flatnonzero(grid.ravel() == 1))
    np.testing.assert_array_equal(found.rois["RH_IFGorb"], np.flatnonzero(grid.ravel() == 7))
    assert found.rois["LH_language"].size == np.isin(grid, [1, 2, 3, 4, 5, 6]).sum()


def test_labels_outside_of_the_mask_are_not_columns(tmp_path):
    labels = np.zeros((6, 6, 6))
    labels[1:5, 2, 2] = 3
    mask = np.zeros((6, 6, 6), bool)
    mask[2:, 2, 2] = True

    found = Rois(set="labels", labels=nifti(tmp_path / "labels.nii", labels)).of(volume(mask))

    np.testing.assert_array_equal(found.rois["3"], [0, 1, 2])


def test_masks_are_rois_by_their_file_names_and_of_each_subject(tmp_path):
    mask = np.zeros((5, 5, 5))
    mask[1:3, 1, 1] = 0.9
    (tmp_path / "s1").mkdir()
    nifti(tmp_path / "s1" / "localizer.nii.gz", mask)
    nifti(tmp_path / "all.nii.gz", np.ones((5, 5, 5)))
    rois = Rois(set="masks", labels=(f"{tmp_path}/{{subject}}/localizer.nii.gz", f"{tmp_path}/all.nii.gz"))

    found = rois.of(volume(np.ones((5, 5, 5), bool), frame="native"), "s1")

    np.testing.assert_array_equal(found.rois["localizer"], np.flatnonzero(mask))
    assert len(found.rois["all"]) == 125
    with pytest.raises(DataError, match=r"missing file .*s2/localizer.nii.gz"):
        rois.of(volume(np.ones((5, 5, 5), bool)), "s2")


def test_the_left_half_of_a_volume_is_where_x_is_negative(tmp_path):
    labels = np.ones((90, 2, 2))

    left = Rois(set="labels", labels=nifti(tmp_path / "l.nii", labels), hemisphere="left").of(volume(labels > 0))

    assert len(left.rois["1"]) == 45 * 4
    assert left.rois["1"].max() < 45 * 4


def test_named_labels_make_networks_of_schaefers_parcels(tmp_path):
    labels = np.arange(8).reshape(2, 2, 2)
    table = tmp_path / "lut.txt"
    table.write_text(
        "".join(f"{number}\t7Networks_{side}H_{network}_{number}\t1 2 3 0\n" for number, side, network in [
            (1, "L", "Vis"), (2, "L", "Default"), (3, "L", "Default"), (4, "R", "Vis"), (5, "R", "Default"), (6, "R", "Cont"),
        ])
    )  # fmt: skip
    file = nifti(tmp_path / "schaefer.nii.gz", labels)
    space = volume(np.ones((2, 2, 2), bool))

    networks = Rois(set="schaefer_networks", labels=file, names=str(table)).of(space).rois
    parcels = Rois(set="labels", labels=file, names=str(table)).of(space).rois

    assert {name: columns.tolist() for name, columns in networks.items()} == {
        "Vis": [1, 4],
        "Default": [2, 3, 5],
        "Cont": [6],
    }
    assert parcels["7Networks_LH_Vis_1"].tolist() == [1]
    assert parcels["7"].tolist() == [7]  # a label without a name keeps its number


def test_tables_of_names_may_have_a_header_as_in_bids(tmp_path):
    (tmp_path / "dseg.tsv").write_text("index\tname\tcolor\n1\tV1\t#fff\n2\tV2\t#000\n")

    assert named_labels(tmp_path / "dseg.tsv", "") == {1: "V1", 2: "V2"}


def test_columns_that_are_parcels_with_names_need_no_file():
    names = ["7Networks_LH_Vis_1", "7Networks_RH_Vis_1", "7Networks_LH_Default_1"]
    space = Space(
        kind="rois",
        n_voxels=3,
        rois={name: np.array([at]) for at, name in enumerate(names)},
        coordinates_mm=np.array([[-1.0, 0, 0], [1, 0, 0], [-1, 0, 0]]),
    )

    assert {name: columns.tolist() for name, columns in Rois(set="schaefer_networks").of(space).rois.items()} == {
        "Vis": [0, 1],
        "Default": [2],
    }
    left = Rois(set="schaefer_networks", hemisphere="left").of(space)
    assert left.rois["Vis"].tolist() == [0]


def test_data_elsewhere_in_the_brain_are_refused(tmp_path):
    file = nifti(tmp_path / "l.nii.gz", np.ones((4, 4, 4)), corner_mm=(500.0, 500.0, 500.0))

    with pytest.raises(
        DataError, match="no area of l.nii.gz lies where the data have columns. Are both in the same space"
    ):
        Rois(set="labels", labels=file).of(volume(np.ones((4, 4, 4), bool)))


@pytest.mark.parametrize(
    ("options", "space", "error", "message"),
    [
        ({"set": "hcp_mmp_langage"}, None, ConfigError, "unknown set 'hcp_mmp_langage'. Did you mean 'hcp_mmp_language'?"),
        ({"labels": "x.gii"}, None, ConfigError, "rois: labels and names need a set. Known: fedorenko_language"),
        ({"set": "hcp_mmp"}, "surface", ConfigError, "set 'hcp_mmp' needs label files. Label files on fsaverage6"),
        ({"set": "masks", "labels": "m.nii"}, "surface", ConfigError, "the data lie on fsaverage5, but m.nii is a volume"),
        ({"set": "hcp_mmp", "labels": "mmp.annot"}, "surface", ConfigError, "mmp.annot does not tell that it is the left"),
        ({"set": "hcp_mmp", "labels": ("a", "b", "c")}, "surface", ConfigError, "two label files, left and right, got 3"),
        ({"set": "hcp_mmp", "labels": "lh.x.annot"}, "surface", DataError, "missing file lh.x.annot. Label files on"),
        ({"set": "yeo7", "labels": "y.nii"}, "native", ConfigError, "set 'yeo7' comes in MNI space, but these volumes are in"),
        ({"set": "yeo7", "labels": ("a.nii", "b.nii")}, "volume", ConfigError, "takes one volume, got 2 files. For masks give"),
        ({"set": "masks", "labels": ("a/m.nii", "b/m.nii.gz")}, "volume", ConfigError, "by their file names, which must differ, got m.nii, m.nii.gz"),
        ({"set": "labels", "labels": "a.nii"}, "rois", ConfigError, r"columns are ROIs already \(A\), so label files do not"),
        ({"set": "hcp_mmp_language"}, "rois", DataError, "rois: the dataset lacks 10d, 23c.* it has A. Label files"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_words(options, space, error, message):
    spaces = {
        "surface": surface(),
        "volume": volume(np.ones((2, 2, 2), bool)),
        "native": volume(np.ones((2, 2, 2), bool), frame="native"),
        "rois": Space(kind="rois", n_voxels=1, rois={"A": np.array([0])}, coordinates_mm=np.zeros((1, 3))),
        None: surface(),
    }

    with pytest.raises(error, match=message):
        Rois(**options).of(spaces[space])


def test_files_of_another_kind_or_mesh_are_refused(tmp_path, mmp):
    path, *_ = mmp
    (tmp_path / "lh.bad.annot").write_bytes(b"no labels")
    (tmp_path / "bad.nii.gz").write_bytes(b"no volume")
    ones = volume(np.ones((2, 2, 2), bool))

    with pytest.raises(DataError, match=r"lh.bad.annot cannot be read as labels of a surface"):
        Rois(set="hcp_mmp", labels=str(tmp_path / "lh.bad.annot")).of(surface())
    with pytest.raises(
        DataError, match=r"has labels of 10242 vertices, but the data lie on fsaverage6 with 40962 per hemi"
    ):
        Rois(set="hcp_mmp", labels=str(path)).of(surface("fsaverage6"))
    with pytest.raises(DataError, match=r"bad.nii.gz cannot be read as a volume"):
        Rois(set="labels", labels=str(tmp_path / "bad.nii.gz")).of(ones)
    with pytest.raises(DataError, match=r"values that are not whole numbers, such as 0.5: it holds no labels"):
        Rois(set="labels", labels=nifti(tmp_path / "p.nii.gz", np.full((2, 2, 2), 0.5))).of(ones)
    with pytest.raises(DataError, match=r"t.nii.gz has shape \(2, 2, 2, 3\), but a single volume is needed"):
        Rois(set="labels", labels=nifti(tmp_path / "t.nii.gz", np.ones((2, 2, 2, 3)))).of(ones)
    (tmp_path / "names.txt").write_text("nothing\n")
    with pytest.raises(DataError, match=r"no row of a number and a name"):
        named_labels(tmp_path / "names.txt", "")


def test_an_atlas_that_lacks_areas_of_the_set_is_refused_and_they_are_named(tmp_path):
    for side in "LR":
        label_file(tmp_path / f"a_hemi-{side}.label.gii", np.ones(10242, int), {0: "???", 1: f"{side}_V1_ROI"})

    with pytest.raises(
        DataError, match=r"a_hemi-L.label.gii lacks V2 of the set 'hcp_mmp_reading'|lacks 44, 45, A1, A4"
    ):
        Rois(set="hcp_mmp_reading", labels=str(tmp_path / "a_hemi-L.label.gii")).of(surface())


def test_a_volume_without_names_is_told_that_it_needs_them(tmp_path):
    file = nifti(tmp_path / "mmp.nii.gz", np.arange(8).reshape(2, 2, 2))

    with pytest.raises(DataError, match=r"lacks 10d, .*it has 1, 2, 3, .*Labels have names by rois.names=FILE"):
        Rois(set="hcp_mmp_language", labels=file).of(volume(np.ones((2, 2, 2), bool)))


def test_known_traps_of_published_groups_are_kept_apart():
    """A4 is auditory belt and a9-46v dorsolateral prefrontal; the published list of numbers lacks MST."""
    published, strict = ROI_SETS["hcp_mmp_language"].groups, ROI_SETS["hcp_mmp_language_strict"].groups

    assert set(published["PTL"]) - set(strict["PTL"]) == {"A4"}
    assert set(published["IFGOrb"]) - set(strict["IFGOrb"]) == {"a9-46v"}
    assert {roi: areas for roi, areas in published.items() if roi not in ("PTL", "IFGOrb")} == {
        roi: areas for roi, areas in strict.items() if roi not in ("PTL", "IFGOrb")
    }
    assert "MST" in ROI_SETS["hcp_mmp_visual"].groups["MT"]
    assert set(ROI_SETS["hcp_mmp_language_ltc"].groups["LTC"]) == set(strict["ATL"]) | set(strict["PTL"])
    assert len(published) == 10


@pytest.mark.parametrize("name", ROI_SETS)
def test_every_set_says_whose_it_is_and_no_area_is_named_twice_in_an_roi(name):
    one = ROI_SETS[name]

    assert one.citation or one.note
    assert one.how_to_get
    for areas in (one.groups or {}).values():
        assert len(set(areas)) == len(areas)


def test_options_come_back_from_plain_values():
    rois = Rois(set="hcp_mmp_language", labels=("left.gii", "right.gii"), weights="areas")

    assert validated(Rois, plain_fields(rois), "rois") == rois


@pytest.mark.data
@pytest.mark.parametrize(
    ("set_name", "mesh", "counts"),
    [
        (
            "hcp_mmp_language",
            "fsaverage6",
            {"AG": 3374, "ATL": 3061, "PTL": 3315, "IFG": 1295, "MFG": 266, "IFGOrb": 1063, "PCC": 3095, "dmPFC": 1296, "EVC": 4580, "EAC": 1446},
        ),
        (
            "hcp_mmp_language",
            "fsaverage5",
            {"AG": 848, "ATL": 759, "PTL": 826, "IFG": 328, "MFG": 66, "IFGOrb": 264, "PCC": 770, "dmPFC": 318, "EVC": 1148, "EAC": 367},
        ),
    ],
)  # fmt: skip
def test_real_labels_have_these_vertices_per_group(set_name, mesh, counts):
    """Counted with nibabel and numpy alone, from the names in the files."""
    folder = DATA / "narratives_21styear" / "brain_dataset"
    path = folder / "tpl-fsaverage6_hemi-L_desc-MMP_dseg.label.gii"

    found = Rois(set=set_name, labels=str(path)).of(surface(mesh)).rois

    counted = dict.fromkeys(counts, 0)
    for side in "LR":
        image = nibabel.load(folder / f"tpl-fsaverage6_hemi-{side}_desc-MMP_dseg.label.gii")
        names = image.labeltable.get_labels_as_dict()
        told = [names[label][2:-4] for label in image.darrays[0].data[: FSAVERAGE[mesh]]]
        for roi in counts:
            counted[roi] += sum(name in ROI_SETS[set_name].groups[roi] for name in told)
    assert {roi: len(columns) for roi, columns in found.items()} == counts == counted


@pytest.mark.data
def test_real_labels_know_every_area_of_every_set_and_180_in_all():
    path = DATA / "narratives_21styear" / "brain_dataset" / "tpl-fsaverage6_hemi-L_desc-MMP_dseg.label.gii"

    for name in (one for one in ROI_SETS if one.startswith("hcp_mmp_")):
        assert Rois(set=name, labels=str(path)).of(surface("fsaverage6")).rois.keys() == ROI_SETS[name].groups.keys()
    assert len(Rois(set="hcp_mmp", labels=str(path)).of(surface("fsaverage6")).rois) == 180


@pytest.mark.data
def test_areas_at_the_first_vertices_hang_together_on_the_coarse_mesh():
    """fsaverage5 is the start of fsaverage6: neighbours there mostly share an area, which shuffled vertices do not."""
    from nilearn.datasets import load_fsaverage

    file = DATA / "narratives_21styear" / "brain_dataset" / "tpl-fsaverage6_hemi-L_desc-MMP_dseg.label.gii"
    labels = nibabel.load(file).darrays[0].data
    faces = load_fsaverage("fsaverage5")["sphere"].parts["left"].faces
    first = labels[: FSAVERAGE["fsaverage5"]]
    shuffled = np.random.default_rng(0).permutation(first)
    every_fourth = labels[:: len(labels) // len(first)][: len(first)]

    def share(one):
        return (one[faces[:, 0]] == one[faces[:, 1]]).mean()

    assert share(first) > 0.7  # an area has some 60 vertices here, many of them at its border
    assert share(shuffled) < 0.15
    assert share(every_fourth) < 0.4


@pytest.mark.data
def test_real_parcels_cover_the_group_mask_of_the_little_prince():
    """Counts of 2 mm parcels, and of the 4 mm voxels whose centres lie in them."""
    image = nibabel.load(DATA / "lpp_masks_isc" / "mask_lpp_en.nii.gz")
    mask = np.asarray(image.dataobj) > 0
    file = DATA / "fedorenko_parcels" / "allParcels-language-SN220.nii.gz"
    parcels = nibabel.load(file)
    labels = np.asarray(parcels.dataobj)
    space = Space(kind="volume", n_voxels=int(mask.sum()), rois={}, mask=mask, affine=image.affine)

    found = Rois(set="fedorenko_language", labels=str(file)).of(space)

    assert mask.sum() == 25870
    assert [int((labels == number).sum()) for number in range(1, 13)] == [370, 743, 462, 1627, 2948, 644] * 2
    centres = nibabel.affines.apply_affine(np.linalg.inv(parcels.affine) @ image.affine, np.argwhere(mask))
    at = np.round(centres).astype(int)
    assert np.array_equal(at, centres)
    for number, roi in enumerate(list(found.rois)[:12], start=1):
        np.testing.assert_array_equal(found.rois[roi], np.flatnonzero(labels[tuple(at.T)] == number))
    assert len(found.rois["LH_language"]) == len(found.rois["RH_language"]) == 870
