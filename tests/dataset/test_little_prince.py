import nibabel
import numpy as np
import pytest

from brainexp.dataset.binaryfile import stored_voxels
from brainexp.dataset.cleaning import Cleaning
from brainexp.dataset.little_prince import SCANNED_TRS, SUBJECTS, LittlePrince, spelled
from brainexp.dataset.rois import Rois
from brainexp.errors import DataError
from tests.conftest import DATA
from tests.dataset.replicas import N_VOXELS, PRINCE_TRS, declare, little_prince_replica

REAL = DATA / "lpp_english_annotation"
MASKS = DATA / "lpp_masks_isc"


@pytest.fixture
def replica(tmp_path, monkeypatch):
    declare("little_prince", monkeypatch)
    return little_prince_replica(tmp_path / "replica")


@pytest.fixture
def real(tmp_path):
    (tmp_path / "annotation").mkdir()
    (tmp_path / "annotation" / "EN").symlink_to(REAL / "annotation")
    return LittlePrince(root=str(tmp_path), mask=str(MASKS / "mask_lpp_en.nii.gz"))


def test_declared_subjects_are_as_many_as_published():
    assert {language: len(own) for language, own in SUBJECTS.items()} == {"english": 49, "chinese": 35, "french": 28}
    assert SUBJECTS["english"][0] == "EN057"


@pytest.mark.data
def test_real_textgrids_have_the_words_of_the_published_table(real):
    """The table has 15,376 words; TextGrids hold some as pieces, such as "didn" and "t", and marks of their own."""
    import csv

    with (REAL / "annotation" / "lppEN_word_information.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    told = real.stimuli()

    assert len(rows) == 15_376
    assert sum(len(one.units) for one in told) == 15_429
    for number, one in enumerate(told, 1):
        listed = [row for row in rows if row["section"] == str(number)]
        assert abs(len(one.units) - len(listed)) <= 17
        # The same words at the same times: of nine words in ten the table's onset stands in the TextGrid to 1 ms.
        near = np.abs(one.onset_s[:, None] - np.array([float(row["onset"]) for row in listed])).min(axis=0)
        assert (near < 0.001).mean() > 0.9
    assert not [unit for one in told for unit in one.units if "#" in unit or "\\" in unit or "_" in unit]


@pytest.mark.data
def test_real_textgrids_last_as_long_as_the_declared_recordings(real):
    from brainexp.dataset.textfile import text_of

    for number, n_trs in enumerate(SCANNED_TRS["english"], 1):
        head = text_of(REAL / "annotation" / f"lppEN_section{number}.TextGrid", "")[:200]
        (end,) = [float(line.split("=")[1]) for line in head.splitlines() if line.startswith("xmax")]
        assert end == 2.0 * n_trs


@pytest.mark.data
@pytest.mark.parametrize(("code", "n_voxels"), [("en", 25_870), ("cn", 26_050), ("fr", 27_773)])
def test_real_masks_have_the_published_voxels(tmp_path, code, n_voxels):
    language = {"en": "english", "cn": "chinese", "fr": "french"}[code]
    (tmp_path / f"mask_lpp_{code}.nii.gz").write_bytes((MASKS / f"mask_lpp_{code}.nii.gz").read_bytes())

    space = LittlePrince(root=str(tmp_path), language=language).space(SUBJECTS[language][0])

    assert (space.kind, space.n_voxels, space.frame) == ("volume", n_voxels, "mni")
    assert space.mask.shape == (37, 46, 38)


def test_words_are_spelled_as_usual():
    assert [spelled(mark) for mark in ("#", "—", " i ", r"i\` d", "«bonjour»", "l'", "小王子", "three_hundred_twenty-five")] == [
        "", "", "i", "i'd", "bonjour", "l'", "小王子", "three-hundred-twenty-five",
    ]  # fmt: skip


def test_runs_count_in_the_order_of_their_numbers(replica):
    """Numbered from 8 to 16: as text, 10 would come before 8."""
    folder = replica / "derivatives" / "sub-EN057" / "func"
    for path in sorted(folder.iterdir()):
        path.rename(path.with_name(path.name.replace("run-0", "run-")))

    runs = LittlePrince(root=str(replica)).responses("EN057")

    assert [run.clock.n_trs for run in runs] == list(PRINCE_TRS)


def test_columns_are_the_voxels_of_the_mask(replica):
    dataset = LittlePrince(root=str(replica), sound_s=8.0)
    run = dataset.responses("EN058")[2]
    image = nibabel.load(sorted((replica / "derivatives/sub-EN058/func").iterdir())[2])
    mask = nibabel.load(replica / "mask_lpp_en.nii.gz").get_fdata() != 0

    np.testing.assert_array_equal(run.values[:], image.get_fdata()[mask].T.astype(np.float32))
    np.testing.assert_array_equal(run.values[10:20], image.get_fdata()[mask].T[10:20].astype(np.float32))
    assert run.clock.start_s == -8.0
    assert dataset.space("EN057").same_places(dataset.space("EN058"))  # so that there is a map of the mean subject
    assert dataset.facts().n_voxels == {"EN057": N_VOXELS, "EN058": N_VOXELS}


def test_a_finer_recording_is_brought_to_the_grid_of_the_mask(tmp_path):
    """A linear ramp is kept by linear interpolation, wherever the grids lie."""
    fine = np.diag([2.0, 2.0, 2.0, 1.0])
    coarse = np.array([[4.0, 0, 0, 1], [0, 4, 0, 1], [0, 0, 4, 1], [0, 0, 0, 1]])
    x, y, z = (2.0 * axis for axis in np.indices((9, 9, 9)))
    ramp = np.stack([x + 3 * y, z - 2 * x], axis=-1).astype(np.float32)
    nibabel.Nifti1Image(ramp, fine).to_filename(tmp_path / "fine.nii.gz")
    mask = np.ones((3, 3, 3), bool)

    found = stored_voxels(tmp_path / "fine.nii.gz", mask, coarse, "")[:]

    x, y, z = 4.0 * np.argwhere(mask).T + 1
    np.testing.assert_allclose(found, [x + 3 * y, z - 2 * x], rtol=1e-5)


def test_other_languages_have_their_own_names_and_lengths(replica, tmp_path):
    root = tmp_path / "cn"
    (root / "annotation").mkdir(parents=True)
    (root / "mask_lpp_cn.nii.gz").write_bytes((replica / "mask_lpp_en.nii.gz").read_bytes())
    for source, target in (
        ("annotation/EN", "annotation/CN"),
        ("derivatives/sub-EN057/func", "derivatives/sub-CN001/func"),
    ):
        (root / target).mkdir(parents=True)
        for path in (replica / source).iterdir():
            name = path.name.replace("EN057", "CN001").replace("lppEN", "lppCN")
            (root / target / name).write_bytes(path.read_bytes())

    dataset = LittlePrince(root=str(root), language="chinese")

    assert dataset.facts().language == "zh"
    assert tuple(dataset.facts().n_trs.values()) == PRINCE_TRS
    assert len(dataset.stimuli()) == len(dataset.responses("CN001")) == 9


def test_cleaning_and_masks_of_rois_are_options(replica):
    whole = nibabel.load(replica / "mask_lpp_en.nii.gz")
    half = whole.get_fdata() * (np.arange(5) < 3)[:, None, None]
    nibabel.Nifti1Image(half.astype(np.uint8), whole.affine).to_filename(replica / "front.nii.gz")
    dataset = LittlePrince(
        root=str(replica),
        rois=Rois(set="masks", labels=str(replica / "front.nii.gz")),
        cleaning=Cleaning(standardise="run"),
    )

    values = dataset.responses("EN057")[0].values[:]

    np.testing.assert_allclose(values.std(axis=0, ddof=1), 1.0, rtol=1e-4)
    assert len(dataset.space("EN057").rois["front"]) == int(half.sum())


def test_without_a_mask_the_message_says_where_one_is(replica):
    (replica / "mask_lpp_en.nii.gz").unlink()

    with pytest.raises(DataError, match=r"missing file .*mask_lpp_en.nii.gz. Give dataset.mask=FILE, a NIfTI mask"):
        LittlePrince(root=str(replica)).facts()
