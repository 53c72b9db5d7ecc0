"""What users have on disk when something went wrong, and what they are told: one table."""

import dataclasses
import json
import re
import shutil

import h5py
import nibabel
import numpy as np
import pytest

from brainexp.dataset.cleaning import Cleaning
from brainexp.dataset.deniz2019 import Deniz2019
from brainexp.dataset.lebel2023 import Lebel2023
from brainexp.dataset.rois import Rois
from brainexp.errors import BrainexpError
from brainexp.experiment import Experiment, held_out, require_possible, to_predict
from brainexp.recordings import recorded
from brainexp.registry import DATASETS
from tests.dataset.array_files import rewritten_mat, write_assembly
from tests.dataset.replicas import REPLICAS, WITH_REPEATS, declare, textgrid

#: Options beside the folder, where the usual ones take long.
USUAL = {"alice_ds002322": {"columns": "spheres"}}
#: Nothing is wrong with the files, but with what is asked of them.
NOTHING = str
ANNEX = "../../.git/annex/objects/3Z/4F/MD5E-s279075488--8628.hf5/MD5E-s279075488--8628.hf5"
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 279075488\n"


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
    """One replica of each layout, to be copied and damaged."""
    made = tmp_path_factory.mktemp("intact")
    with pytest.MonkeyPatch.context() as patch:
        for name, (write, _, _) in REPLICAS.items():
            declare(name, patch)
            write(made / name)
    return made


def edit(path, change):
    """Read an array file's contents, change them and write it anew."""
    with h5py.File(path, "r+") as file:
        held = {key: file[key][:] for key in file}
        for key in held:
            del file[key]
        for key, values in change(held).items():
            file[key] = values


def link(path):
    path.unlink()
    path.symlink_to(ANNEX)


def cut(path, share=0.6):
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])


def swap(one, other):
    kept = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(kept)


def retimed(path, change):
    """Change every time of a TextGrid."""
    lines = [line.partition("=") for line in path.read_text().splitlines()]
    path.write_text(
        "\n".join(
            f"{name}= {change(float(value))}" if name.strip() in {"xmin", "xmax"} else name + sign + value
            for name, sign, value in lines
        )
    )


def no_words(path):
    lines = path.read_text().splitlines()
    path.write_text("\n".join('text = "sp"' if line.lstrip().startswith("text") else line for line in lines))


def one_more(path):
    counts = json.loads(path.read_text())
    path.write_text(json.dumps({**counts, "avatar": counts["avatar"] + 1}))


def shorter(path):
    """Leave out the last TR of an image or an array file."""
    if path.suffix == ".npy":
        np.save(path, np.load(path)[:-1])
    elif path.suffix == ".gii":
        image = nibabel.load(path)
        image.darrays.pop()
        image.to_filename(path)
    else:
        image = nibabel.load(path)
        nibabel.Nifti1Image(image.get_fdata(dtype=np.float32)[..., :-1], image.affine, image.header).to_filename(path)


def longer(path, n_trs):
    """Repeat the first TRs of an image at its end."""
    image = nibabel.load(path)
    values = image.get_fdata(dtype=np.float32)
    nibabel.Nifti1Image(np.concatenate([values, values[..., :n_trs]], axis=3), image.affine, image.header).to_filename(
        path
    )


def moved_away(path):
    image = nibabel.load(path)
    affine = image.affine + np.array([[0, 0, 0, 500.0]] * 3 + [[0] * 4])
    nibabel.Nifti1Image(image.get_fdata(dtype=np.float32), affine, image.header).to_filename(path)


def spoiled(path, value):
    """Put one value into all of an image."""
    image = nibabel.load(path)
    if path.suffix == ".gii":
        for array in image.darrays:
            array.data[:] = value
        image.to_filename(path)
        return
    filled = np.full(image.shape, value, np.float32)
    nibabel.Nifti1Image(filled, image.affine, image.header).to_filename(path)


def retimed_header(path, tr_s):
    image = nibabel.load(path)
    image.header.set_zooms((*image.header.get_zooms()[:3], tr_s))
    image.to_filename(path)


def rewritten(path, change):
    np.save(path, change(np.load(path)))


def rewritten_assembly(path, change):
    """Read an assembly, change its values and coordinates and write it anew."""
    with h5py.File(path) as file:
        values = file["data"][()]
        axes = {name: file[held.attrs["DIMENSION_LIST"][0][0]].name[1:] for name, held in file.items() if name != "data" and
                "DIMENSION_LIST" in held.attrs}  # fmt: skip
        held = {name: file[name].asstr()[()] if file[name].dtype.kind == "O" else file[name][()] for name in axes}
    values, held = change(values, held)
    own = {axis: {name: held[name] for name in held if axes.get(name) == axis} for axis in ("presentation", "neuroid")}
    write_assembly(path, values, own["presentation"], own["neuroid"])


def without(*names):
    return lambda held: {key: value for key, value in held.items() if key not in names}


UTS01 = "derivative/preprocessed_data/UTS01"
GRIDS = "derivative/TextGrids"
TRAINING = "responses/subject01_listening_fmri_data_trn.hdf"
TESTING = "responses/subject01_listening_fmri_data_val.hdf"
VERTICES = "derivatives/afni-nosmooth/sub-{}/func/sub-{}_task-21styear_space-fsaverage3_hemi-{}_desc-clean.func.gii"
LEFT, RIGHT = VERTICES.format("244", "244", "L"), VERTICES.format("244", "244", "R")
ALIGN = "stimuli/gentle/21styear/align.csv"
RUN = "derivatives/sub-{}/func/sub-{}_task-lppEN_run-{:02}_space-MNIColin27_desc-preproc_bold.nii.gz"
FIRST, SECOND = RUN.format("EN057", "EN057", 8), RUN.format("EN057", "EN057", 9)
SECTION = "annotation/EN/lppEN_section2.TextGrid"
POTTER = "fMRI/data_subject_F.npy"
SENTENCES = "brain-lang-data_participant_20230728.csv"
M02, P01 = "M02/examples_384sentences.mat", "P01/P01/data_384sentences.mat"
PIECES = "assy_Blank2014_fROI.nc"
VOLUMES = "derivatives/sub-18/sub-18_task-alice_bold_preprocessed.nii.gz"
ANNOTATIONS, EVENTS = "code/annotations.tsv", "sub-18/sub-18_task-alice_events.tsv"


def respelled(path, change):
    path.write_text(change(path.read_text()))


def both_wrong(root):
    """Four faults of three files."""
    respelled(root / "story0/words.tsv", lambda text: text.replace("onset_s", "onset"))
    (root / "anna/story1.npy").unlink()
    np.save(root / "ben/story9.npy", np.zeros((3, 20)))
    respelled(root / "rois.tsv", lambda text: text + "20\tmore\n")


#: Dataset, what is wrong (a function of the replica's folder), further options, and the words of the message.
DAMAGE = {
    "sentences cut off": (
        "tuckute2024", lambda root: cut(root / SENTENCES, 0.3), {},
        r"20230728\.csv: subject '848' has no response for 2 of the declared items and regions, the first region 'lang_LH_PostTemp'",
    ),
    "a table without a column": (
        "tuckute2024", lambda root: respelled(root / SENTENCES, lambda text: text.replace("item_id", "item")), {},
        r"20230728\.csv has no column item_id; it has: target_UID, item, roi",
    ),
    "a response twice": (
        "tuckute2024", lambda root: respelled(root / SENTENCES, lambda text: text + text.splitlines()[1] + "\n"), {},
        r"subject '848' has several responses of lang_LH_AntTemp to item 'B\.1', but one is needed",
    ),
    "words where responses should be": (
        "tuckute2024", lambda root: respelled(root / SENTENCES, lambda text: text.replace(",B,B", "x,B,B", 1)),
        {"normalised": False}, r"column 'response_target_non_norm' holds '[-.\d]+x', but numbers are needed",
    ),
    "an item with two sentences": (
        "tuckute2024", lambda root: respelled(root / SENTENCES, lambda text: text.replace('."', '!"', 1)), {},
        r"item 'B\.1' stands for several sentences or rows",
    ),
    "another table": (
        "tuckute2024", lambda root: (root / SENTENCES).rename(root / "other.csv"), {},
        r"missing file .*20230728\.csv\. Get data\.tar of Tuckute et al\. .* The folder has: other\.csv",
    ),
    "a region that is not there": (
        "tuckute2024", NOTHING, {"regions": "lang_LH_net"}, r"regions=\['lang_LH_net'\] .* Did you mean 'lang_LH_netw'",
    ),
    "several problems of one's own folder": (
        "custom", both_wrong, {},
        r"has 4 problems: \(1\) story0/words\.tsv: its first line .* lacks onset_s\. \(2\) anna has no responses to story1\. "
        r"\(3\) ben has responses to story9, but there is no such story\. \(4\) rois\.tsv: 1 lines do not name a column 0\.\.19",
    ),
    "milliseconds in one's own words": (
        "custom", lambda root: respelled(root / "story0/words.tsv", lambda text: re.sub(r"(\d+)\.(\d{3})\d", r"\1\2", text)), {},
        r"story0: \d+ of \d+ words lie outside the recording, .* Times look like milliseconds",
    ),
    "no seconds per TR": (
        "custom", lambda root: (root / "dataset.yaml").unlink(), {}, r"1 problem: \(1\) dataset\.yaml must say tr_s",
    ),
    "a misspelt fact": (
        "custom", lambda root: respelled(root / "dataset.yaml", lambda text: text + "licens: CC0\n"), {},
        r"unknown option of dataset\.yaml: 'licens'\. Did you mean 'licence'",
    ),
    "columns that differ between stories": (
        "custom", lambda root: np.save(root / "anna/story0.npy", np.zeros((100, 19))), {},
        r"anna: stories differ in their number of columns: story0 19, story1 20",
    ),
    "rows that differ between subjects": (
        "custom", lambda root: np.save(root / "anna/story0.npy", np.zeros((99, 20))), {},
        r"story0: subjects differ in their number of rows: anna 99, ben 100",
    ),
    "two files of one story": (
        "custom", lambda root: shutil.copy(root / "ben/story0.h5", root / "anna"), {},
        r"anna has several files for story0: story0\.h5, story0\.npy",
    ),
    "one hemisphere": (
        "custom", lambda root: (root / "anna/story0.npy").rename(root / "anna/story0_hemi-R.func.gii"), {},
        r"anna/story0_hemi-R\.func\.gii is one hemisphere",
    ),
    "a cell that is no time": (
        "custom", lambda root: respelled(root / "story1/words.tsv", lambda text: text + "end\tnow\tthen\n"), {},
        r"story1/words\.tsv: 1 lines have no number as time, the first is line \d+",
    ),
    "words where sentences are asked for": (
        "custom", NOTHING, {"items": True}, r"story0, .*: items\.tsv is needed \(dataset\.items=true\), but another is there",
    ),
    "link into an annex that is not fetched": (
        "lebel2023", lambda root: link(root / UTS01 / "avatar.hf5"), {},
        r"UTS01/avatar\.hf5 is a pointer of git-annex or git-lfs, not the data\. Fetch it: datalad get avatar\.hf5",
    ),
    "annex pointer of an unlocked file": (
        "lebel2023", lambda root: (root / UTS01 / "avatar.hf5").write_text("/annex/objects/MD5E-s279--86.hf5\n"), {},
        r"avatar\.hf5 is a pointer of git-annex",
    ),
    "pointer of git-lfs": (
        "deniz2019", lambda root: (root / TRAINING).write_text(LFS), {}, r"data_trn\.hdf is a pointer of git-annex or git-lfs",
    ),
    "truncated HDF5": (
        "lebel2023", lambda root: cut(root / UTS01 / "avatar.hf5"), {},
        r"avatar\.hf5 of \d+ bytes is truncated or damaged \(.*\)\. Remove it and fetch it again\. Get OpenNeuro ds003020",
    ),
    "a web page saved under the file's name": (
        "deniz2019", lambda root: (root / TRAINING).write_text("<!DOCTYPE html><html>Sign in</html>"), {},
        r"data_trn\.hdf is no HDF5 file: it begins with b'<!DOCTYP'\. Remove it and fetch it again",
    ),
    "empty file": (
        "lebel2023", lambda root: (root / UTS01 / "avatar.hf5").write_bytes(b""), {},
        r"avatar\.hf5 is empty: its download broke off",
    ),
    "missing response file": (
        "lebel2023", lambda root: (root / UTS01 / "avatar.hf5").unlink(), {},
        r"missing file .*UTS01/avatar\.hf5\. Get OpenNeuro .* The folder has: alternateithicatom\.hf5, legacy\.hf5",
    ),
    "missing respdict": (
        "lebel2023", lambda root: (root / "derivative/respdict.json").unlink(), {}, r"missing file .*derivative/respdict\.json",
    ),
    "respdict of another version": (
        "lebel2023", lambda root: one_more(root / "derivative/respdict.json"), {},
        r"respdict\.json is of another version\. TRs: avatar 106 \(declared: 105\)",
    ),
    "respdict cut off": (
        "lebel2023", lambda root: cut(root / "derivative/respdict.json"), {}, r"respdict\.json is damaged: .*line 1 column",
    ),
    "two stories in each other's place": (
        "lebel2023", lambda root: swap(root / UTS01 / "avatar.hf5", root / UTS01 / "legacy.hf5"), {},
        r"avatar\.hf5: story 'avatar' has 98 rows, but 85 are declared\. So many has legacy: were stories swapped\?",
    ),
    "stories numbered in another order": (
        "deniz2019",
        lambda root: edit(
            root / TRAINING, lambda held: {**held, "story_03": held["story_07"], "story_07": held["story_03"]}
        ),
        {}, r"story 'howtodraw' has 119 rows, but 107 are declared\. So many has naked: were stories swapped\?",
    ),
    "one TR less": (
        "deniz2019", lambda root: edit(root / TRAINING, lambda held: {**held, "story_02": held["story_02"][:-1]}), {},
        r"story 'avatar' has 103 rows, but 104 are declared\. It is of another story or version",
    ),
    "voxels of another subject": (
        "lebel2023", lambda root: edit(root / UTS01 / "avatar.hf5", lambda held: {"data": held["data"][:, :-3]}), {},
        r"avatar\.hf5: 17 voxels, but 20 are declared: it is of another subject or version",
    ),
    "another key": (
        "lebel2023", lambda root: edit(root / UTS01 / "avatar.hf5", lambda held: {"dta": held["data"]}), {},
        r"avatar\.hf5 has no array 'data'\. Did you mean 'dta'\? Known: dta",
    ),
    "test story without its repeats": (
        "deniz2019", lambda root: edit(root / TESTING, lambda held: {"story_11": held["story_11"][0]}), {},
        r"'story_11' has shape \(131, 20\) and type float32, but numbers along 3 axes are needed",
    ),
    "one repeat too few": (
        "deniz2019", lambda root: edit(root / TESTING, lambda held: {"story_11": held["story_11"][:1]}), {},
        r"'story_11' has 1 recordings, but 2 are declared",
    ),
    "repeats of another length": (
        "lebel2023",
        lambda root: edit(
            root / UTS01 / "wheretheressmoke.hf5", lambda held: {**held, "individual_repeats": held["individual_repeats"][:, 3:]}
        ),
        {"ceiling": "repeats"}, r"'individual_repeats' has shape \(5, 98, 20\), but at least 2 recordings of 101 rows and 20",
    ),
    "every voxel has NaN": (
        "lebel2023",
        lambda root: [
            edit(root / "derivative/preprocessed_data" / who / "avatar.hf5", lambda held: {"data": held["data"] * np.nan})
            for who in ("UTS01", "UTS04")
        ],
        {}, r"every voxel has NaN or is constant in a held-out block",
    ),
    "transcript in another encoding": (
        "lebel2023",
        lambda root: (root / GRIDS / "avatar.TextGrid").write_bytes(
            (root / GRIDS / "avatar.TextGrid").read_text().replace('"AH0"', '"café"').encode("latin1")
        ),
        {}, r"avatar\.TextGrid is not UTF-8: byte 0xe9 in line \d+\. Save it as UTF-8, for instance with iconv -f latin1",
    ),
    "transcript without a word": (
        "lebel2023", lambda root: no_words(root / GRIDS / "avatar.TextGrid"), {},
        r"avatar\.TextGrid: tier 'word' has \d+ intervals, but no word",
    ),
    "transcript without its tier of words": (
        "lebel2023",
        lambda root: (root / GRIDS / "avatar.TextGrid").write_text(
            (root / GRIDS / "avatar.TextGrid").read_text().replace('name = "word"', 'name = "words"')
        ),
        {}, r"avatar\.TextGrid has no tier 'word'; it has: phone, words",
    ),
    "transcript cut off": (
        "lebel2023", lambda root: cut(root / GRIDS / "avatar.TextGrid"), {}, r"avatar\.TextGrid is damaged",
    ),
    "milliseconds for seconds": (
        "lebel2023", lambda root: retimed(root / GRIDS / "avatar.TextGrid", lambda at_s: 1000 * at_s), {},
        r"story 'avatar': \d+ of \d+ words lie outside the recording .* Times look like milliseconds: give seconds",
    ),
    "transcript of another take": (
        "lebel2023", lambda root: retimed(root / GRIDS / "avatar.TextGrid", lambda at_s: at_s + 30), {},
        r"story 'avatar': \d+ of \d+ words lie outside the recording of subject 'UTS01', which runs from -10 s to 190 s",
    ),
    "sidecar with another TR": (
        "lebel2023", lambda root: (root / "task-avatar_bold.json").write_text('{"RepetitionTime": 1.5}'), {},
        r"clocks disagree by more than align.clock_tolerance_s=0.5 s\. story 'avatar': task-avatar_bold.json states 1.5 s per TR",
    ),
    "a report with a trigger too many": (
        "deniz2019",
        lambda root: (root / "trfiles/avatar.report").write_text(
            (root / "trfiles/avatar.report").read_text() + "198.5 trigger\n"
        ),
        {}, r"story 'avatar': the recording has 104 TRs, but triggers .* are 105",
    ),
    "a report without the start of the sound": (
        "deniz2019",
        lambda root: (root / "trfiles/avatar.report").write_text(
            (root / "trfiles/avatar.report").read_text().replace("sound-start", "sound-begins")
        ),
        {}, r"avatar\.report has 99 triggers and no line 'sound-start'",
    ),
    "a report that is none": (
        "deniz2019", lambda root: (root / "trfiles/avatar.report").write_text("onset,label\n0,trigger\n"), {},
        r"avatar\.report, line 1: 'onset,label' is not a time in seconds and what happened",
    ),
    "no transcripts": (
        "deniz2019", lambda root: shutil.rmtree(root / "TextGrids"), {},
        r"there is no folder .*TextGrids with the words\. Give dataset\.textgrids=FOLDER .*derivative/TextGrids of OpenNeuro",
    ),
    "a folder above the data": (
        "lebel2023", lambda root: (root / "derivative").rename(root / "ds003020"), {},
        r"has neither derivative/preprocessed_data nor derivatives/preprocessed_data",
    ),
    "a folder that is not there": (
        "deniz2019", shutil.rmtree, {}, r"dataset 'deniz2019': there is no folder .*deniz2019\. Get denizenslab",
    ),
    "unknown subject": (
        "lebel2023", NOTHING, {"subjects": "UTS1"}, r"unknown subject 'UTS1' of lebel2023\. Did you mean 'UTS01'\?",
    ),
    "subject that is not on disk": (
        "deniz2019", lambda root: (root / TRAINING).unlink(), {"subjects": ("01", "02")},
        r"deniz2019 \(listening\): .*responses has no subject 01; there are: 02\. Fetch what is missing, or choose",
    ),
    "no subject at all": (
        "lebel2023", lambda root: [shutil.rmtree(one) for one in (root / "derivative/preprocessed_data").iterdir()], {},
        r"preprocessed_data has no subject at all; there are: none",
    ),
    "a story that a subject did not hear": (
        "lebel2023", NOTHING, {"stories": ("avatar", "life")},
        r"lebel2023: UTS04 did not hear 'life'\. Leave it out of dataset\.stories, or leave them out of dataset\.subjects",
    ),
    "unknown story": (
        "lebel2023", NOTHING, {"stories": "avtar"}, r"unknown story 'avtar' of lebel2023\. Did you mean 'avatar'\?",
    ),
    "a story named twice": (
        "lebel2023", NOTHING, {"stories": ("avatar", "avatar")}, r"name each story once, or give dataset\.stories=all",
    ),
    "trimmed less than the release": (
        "lebel2023", NOTHING, {"trim_start_s": 10.0},
        r"trim_start_s=10, but the release has no responses in these 10 TRs\. Give at least trim_start_s=20",
    ),
    "a TR that cannot be": (
        "lebel2023", NOTHING, {"tr_s": 2004.5}, r"tr_s must be about 2 \(2\.0 or 2\.0045\), in seconds, got 2004\.5",
    ),
    "ROIs of voxels whose places are not there": (
        "deniz2019", lambda root: shutil.rmtree(root / "mappers"),
        {"rois": Rois(set="hcp_mmp_language", labels="tpl-fsaverage6_hemi-L_dseg.label.gii")},
        r"rois: nobody knows where the columns of 01 lie, so 'hcp_mmp_language' cannot be found\. Places of voxels are in mappers/",
    ),
    "mappers of another subject": (
        "deniz2019",
        lambda root: edit(
            root / "mappers/subject01_mappers.hdf",
            lambda held: {**held, "voxel_to_fsaverage_shape": np.array([1284, 24])},
        ),
        {}, r"subject01_mappers\.hdf maps 24 voxels, but the responses have 20: it is of another subject",
    ),
    "nuisance that the dataset lacks": (
        "lebel2023", NOTHING, {"cleaning": Cleaning(nuisance=("motion",))},
        r"cleaning: subject 'UTS01', story '\w+' has no nuisance regressor 'motion'\. Known: none",
    ),
    "missing hemisphere": (
        "narratives", lambda root: (root / RIGHT).unlink(), {},
        r"missing file .*hemi-R_desc-clean\.func\.gii\. Get Narratives .* The folder has: sub-244_task-21styear_",
    ),
    "missing left hemisphere": (
        "narratives", lambda root: (root / LEFT).unlink(), {}, r"missing file .*task-21styear_space-fsaverage3_hemi-L_desc-clean",
    ),
    "one hemisphere a TR shorter": (
        "narratives", lambda root: shorter(root / RIGHT), {},
        r"hemi-L.* has 143 TRs, but .*hemi-R.* has 142: hemispheres are of different recordings",
    ),
    "both hemispheres a TR shorter": (
        "narratives", lambda root: [shorter(root / LEFT), shorter(root / RIGHT)], {},
        r"hemi-L.*: 142 TRs and 1284 vertices of both hemispheres, but 143 and 1284 are declared",
    ),
    "truncated GIfTI": (
        "narratives", lambda root: cut(root / LEFT), {},
        r"hemi-L_desc-clean\.func\.gii of \d+ bytes is truncated or no GIfTI \(.*\)\. Remove it and fetch it again",
    ),
    "GIfTI link into an annex": (
        "narratives", lambda root: link(root / LEFT), {}, r"hemi-L_desc-clean\.func\.gii is a pointer of git-annex or git-lfs",
    ),
    "a web page for a GIfTI": (
        "narratives", lambda root: (root / LEFT).write_text("<!DOCTYPE html><html>Sign in</html>"), {},
        r"hemi-L.* is no GIfTI file of responses: it begins with b'<!DOCTYP'",
    ),
    "every vertex is NaN": (
        "narratives",
        lambda root: [spoiled(root / VERTICES.format(who, who, side), np.nan) for who in ("244", "254") for side in "LR"],
        {}, r"every voxel has NaN or is constant in a held-out block",
    ),
    "words of another story": (
        "narratives",
        lambda root: (root / ALIGN).write_text("".join(f"a,a,{3600 + at},{3600.5 + at}\n" for at in range(50))), {},
        r"story '21styear': 50 of 50 words lie outside the recording of subject '244'",
    ),
    "aligned words with a header": (
        "narratives", lambda root: (root / ALIGN).write_text("word,alignedWord,start,end\n" + (root / ALIGN).read_text()), {},
        r"align\.csv, row 1: 'start' and 'end' are not seconds\. The file should have no header",
    ),
    "words in milliseconds": (
        "narratives",
        lambda root: (root / ALIGN).write_text("".join(f"a,a,{21000 + 500 * at},{21300 + 500 * at}\n" for at in range(300))),
        {}, r"story '21styear': \d+ of 300 words lie outside the recording .* Times look like milliseconds: give seconds",
    ),
    "a scan whose sidecar states another TR": (
        "narratives",
        lambda root: (root / "sub-254/func/sub-254_task-21styear_bold.json").write_text('{"RepetitionTime": 1.52}'), {},
        r"sub-254_task-21styear_bold\.json states 1\.52 s per TR, the clock has 1\.5 s, which is 2\.86 s after 143 TRs",
    ),
    "no smoothed derivative": (
        "narratives", NOTHING, {"smoothing": "smooth"}, r"smoothing=smooth: there is no folder .*derivatives/afni-smooth",
    ),
    "a subject who did not hear the story": (
        "narratives", NOTHING, {"subjects": ("001",)}, r"narratives: .* task 21styear, has no subject 001; there are: 244, 254",
    ),
    "a run is missing": (
        "little_prince", lambda root: (root / FIRST).unlink(), {},
        r"sub-EN057/func has 8 recordings .*\(runs 9, 10, 11, 12, 13, 14, 15, 16\), but 9 are declared",
    ),
    "runs in each other's place": (
        "little_prince", lambda root: swap(root / FIRST, root / SECOND), {},
        r"story 'section1' has 84 rows, but 90 are declared\. So many has section2: were stories swapped\?",
    ),
    "a run a TR shorter": (
        "little_prince", lambda root: shorter(root / FIRST), {}, r"story 'section1' has 89 rows, but 90 are declared",
    ),
    "truncated NIfTI": (
        "little_prince", lambda root: cut(root / FIRST), {},
        r"run-08_.*nii\.gz of \d+ bytes is truncated or no NIfTI \(.*\)\. Remove it and fetch it again",
    ),
    "a header with another TR": (
        "little_prince", lambda root: retimed_header(root / FIRST, 2.5), {},
        r"story 'section1': header of sub-EN057_task-lppEN_run-08_.* states 2\.5 s per TR, the clock has 2 s",
    ),
    "recordings of zeros": (
        "little_prince",
        lambda root: [spoiled(root / RUN.format(who, who, number), 0) for who in ("EN057", "EN058") for number in range(8, 17)],
        {}, r"every voxel has NaN or is constant in a held-out block",
    ),
    "a recording for the mask": (
        "little_prince", NOTHING, {"mask": FIRST}, r"run-08_.* has shape \(5, 4, 3, 90\) and \d+ voxels: it is no mask",
    ),
    "words of a longer section": (
        "little_prince", lambda root: shutil.copy(root / SECTION.replace("2", "9"), root / SECTION), {},
        r"story 'section2': \d+ of \d+ words lie outside the recording of subject 'EN057'",
    ),
    "two tiers of words": (
        "little_prince",
        lambda root: (root / SECTION).write_text(textgrid("section2", 168.0, tiers=("phone", "TokensAlign"))), {},
        r"lppEN_section2\.TextGrid needs a single tier of words, but it has: phone, TokensAlign",
    ),
    "another language than is on disk": (
        "little_prince", NOTHING, {"language": "french"}, r"little_prince \(french\): .*derivatives has no subject at all",
    ),
    "readers with a row less": (
        "harry_potter", lambda root: shorter(root / POTTER), {}, r"data_subject_F\.npy has 400 rows, but 401 are declared",
    ),
    "recordings whose edges are not cut": (
        "harry_potter", lambda root: np.save(root / POTTER, np.zeros((541, 20))), {},
        r"data_subject_F\.npy has 541 rows, but 401 are declared\. These are all TRs: their edges are not cut",
    ),
    "truncated array": (
        "harry_potter", lambda root: cut(root / POTTER), {}, r"data_subject_F\.npy of \d+ bytes is truncated or no array",
    ),
    "runs of other lengths": (
        "harry_potter", lambda root: rewritten(root / "fMRI/runs_fmri.npy", lambda held: np.sort(np.append(held[:-1], 1))),
        {}, r"runs_fmri\.npy has runs of \[131, 142, 119, 149\] TRs, but \[130, 142, 119, 150\] are declared",
    ),
    "words of another chapter": (
        "harry_potter", lambda root: rewritten(root / "fMRI/words_fmri.npy", lambda held: held[:-3]), {},
        r"words_fmri\.npy has 1841 values of type <U20, but 1844 words are declared",
    ),
    "words that are pickled objects": (
        "harry_potter", lambda root: np.save(root / "fMRI/words_fmri.npy", np.array(["a"] * 1844, object)), {},
        r"words_fmri\.npy of \d+ bytes is truncated or no array of plain",
    ),
    "a clock that runs at another TR": (
        "harry_potter", lambda root: rewritten(root / "fMRI/time_fmri.npy", lambda held: held * 1.01), {},
        r"story 'run1': triggers lie up to 2\.58 s beside the clock; they measure 2\.0200 s per TR, the clock has 2 s",
    ),
    "readers whose voxels are all NaN": (
        "harry_potter", lambda root: [rewritten(root / POTTER.replace("F", who), lambda held: held * np.nan) for who in ("F", "H")], {},
        r"every voxel has NaN or is constant in a held-out block",
    ),
    "no reader": (
        "harry_potter", lambda root: [one.unlink() for one in (root / "fMRI").glob("data_subject_*")], {},
        r"harry_potter: .*fMRI has no subject at all; there are: none",
    ),
    "a truncated MATLAB file": (
        "pereira2018", lambda root: cut(root / M02, 0.3), {},
        r"examples_384sentences\.mat of \d+ bytes is truncated or damaged \(.*\)\. Remove it and fetch it again\. Get the subjects'",
    ),
    "a truncated MATLAB file of version 7.3": (
        "pereira2018", lambda root: cut(root / P01), {}, r"data_384sentences\.mat of \d+ bytes is truncated or damaged",
    ),
    "a web page for a MATLAB file": (
        "pereira2018", lambda root: (root / M02).write_text("<!DOCTYPE html><html>Sign in</html>"), {},
        r"examples_384sentences\.mat is no MATLAB file: it begins with b'<!DOCTYP.*'",
    ),
    "MATLAB link into an annex": (
        "pereira2018", lambda root: link(root / M02), {}, r"examples_384sentences\.mat is a pointer of git-annex or git-lfs",
    ),
    "the other experiment under the file's name": (
        "pereira2018", lambda root: shutil.copy(root / M02.replace("384", "243"), root / M02), {},
        r"384sentences, M02: 42 sentences, 12 passages and 4 topics, but 96, 24 and 8 are declared\. It is of another experiment",
    ),
    "responses to fewer sentences than there are": (
        "pereira2018", lambda root: rewritten_mat(root / M02, lambda held: {**held, "examples": held["examples"][:-1]}), {},
        r"'examples' has shape \(95, 6\), but 96 sentences are declared of 384sentences: it is of another experiment or version",
    ),
    "a MATLAB file without responses": (
        "pereira2018", lambda root: rewritten_mat(root / M02, without("examples")), {},
        r"has no variable 'examples'\..* Known: ",
    ),
    "a MATLAB file without its passages": (
        "pereira2018", lambda root: rewritten_mat(root / M02, without("labelsPassageForEachSentence")), {},
        r"has no variable 'labelsPassageForEachSentence'\. Did you mean 'labelsPassageCategory'",
    ),
    "a passage that is not there": (
        "pereira2018",
        lambda root: rewritten_mat(
            root / M02, lambda held: {**held, "labelsPassageForEachSentence": held["labelsPassageForEachSentence"] + 20}
        ),
        {}, r"96 sentences with 96 passage numbers from 21 to 44, but there are 24 passages and topics of 24",
    ),
    "passages that are called by letters": (
        "pereira2018",
        lambda root: rewritten_mat(root / M02, lambda held: {**held, "labelsPassageForEachSentence": [["a"]] * 96}), {},
        r"'labelsPassageForEachSentence' needs whole numbers, but holds others",
    ),
    "passages that are one": (
        "pereira2018",
        lambda root: rewritten_mat(
            root / M02, lambda held: {**held, "labelsPassageForEachSentence": np.minimum(held["labelsPassageForEachSentence"], 23)}
        ),
        {}, r"96 sentences, 23 passages and 8 topics, but 96, 24 and 8 are declared",
    ),
    "sentences in another order than other people's": (
        "pereira2018", lambda root: rewritten_mat(root / M02, lambda held: {**held, "keySentences": held["keySentences"][::-1]}), {},
        r"sentences of P01 are others, or in another order, than those of M02",
    ),
    "a sentence that is empty": (
        "pereira2018",
        lambda root: rewritten_mat(root / M02, lambda held: {**held, "keySentences": [["a"]] * 9 + [[" "]] + [["b"]] * 86}), {},
        r"examples_384sentences\.mat: sentence 10 is empty",
    ),
    "people whose voxels are all NaN": (
        "pereira2018", lambda root: rewritten_mat(root / M02, lambda held: {**held, "examples": held["examples"] * np.nan}),
        {"subjects": "M02"}, r"every voxel has NaN or is constant in a held-out block",
    ),
    "an atlas that is not there": (
        "pereira2018", NOTHING, {"atlas": "Gordan"}, r"dataset\.atlas='Gordan' is not in .*\. .*Known: AAL, halves, languageLH",
    ),
    "an atlas of another subject": (
        "pereira2018",
        lambda root: rewritten_mat(root / M02, lambda held: {**held, "examples": np.hstack([held["examples"]] * 2)}),
        {"atlas": "AAL"}, r"atlas 'AAL' has labels of 6 voxels up to 2, but there are 12 voxels and 2 names",
    ),
    "a person who did not take part": (
        "pereira2018", NOTHING, {"subjects": "M03"}, r"unknown subject 'M03' of pereira2018 \(384sentences\)\..*M02, P01",
    ),
    "no person's file": (
        "pereira2018", lambda root: [shutil.rmtree(root / who) for who in ("M02", "P01")], {},
        r"pereira2018 \(384sentences\): .* has no subject at all; there are: none",
    ),
    "no assembly": (
        "blank2014", lambda root: (root / PIECES).rename(root / "other.nc"), {},
        r"missing file .*assy_Blank2014_fROI\.nc\. Get assy_Blank2014_fROI\.nc, as Brain-Score .* The folder has: other\.nc",
    ),
    "a truncated assembly": (
        "blank2014", lambda root: cut(root / PIECES), {}, r"assy_Blank2014_fROI\.nc of \d+ bytes is truncated or damaged",
    ),
    "an assembly of the older netCDF": (
        "blank2014", lambda root: (root / PIECES).write_bytes(b"CDF\x02" + bytes(400)), {},
        r"assy_Blank2014_fROI\.nc is no HDF5 file: it begins with b'CDF",
    ),
    "pointer for an assembly": (
        "blank2014", lambda root: (root / PIECES).write_text(LFS), {}, r"fROI\.nc is a pointer of git-annex or git-lfs",
    ),
    "an assembly of something else": (
        "blank2014", lambda root: edit(root / PIECES, lambda held: {"data": held["data"]}), {},
        r"needs one array of numbers along presentation and neuroid, but it has 0; there are: data",
    ),
    "an assembly without its texts": (
        "blank2014",
        lambda root: rewritten_assembly(root / PIECES, lambda values, held: (values, {k: v for k, v in held.items() if k != "stimulus"})),
        {}, r"has no coordinate 'stimulus' of each presentation\. Did you mean 'stimulus_id'",
    ),
    "a story cut off": (
        "blank2014",
        lambda root: rewritten_assembly(
            root / PIECES, lambda values, held: (values[:-4], {k: v[:-4] if len(v) == len(values) else v for k, v in held.items()})
        ),
        {}, r"fROI\.nc has 196 rows \(200 are declared\): it is of another version",
    ),
    "rows with the same identifier": (
        "blank2014",
        lambda root: rewritten_assembly(
            root / PIECES, lambda values, held: (values, {**held, "stimulus_id": np.append(held["stimulus_id"][:-1], "Aqua.0.0")})
        ),
        {}, r"stimulus_id does not tell rows apart: there is an identifier twice",
    ),
    "an identifier without a text": (
        "blank2014",
        lambda root: rewritten_assembly(
            root / PIECES, lambda values, held: (values, {**held, "stimulus_id": np.append(held["stimulus_id"][:-1], "Aqua.99.0")})
        ),
        {}, r"stimulus_id does not tell rows apart: there is no text of 'Aqua\.99\.0'",
    ),
    "a story of another name": (
        "blank2014",
        lambda root: rewritten_assembly(
            root / PIECES,
            lambda values, held: (
                values,
                {k: np.char.replace(v.astype(str), "Tulips", "Tulip") if k in ("story", "stimulus_id") else v for k, v in held.items()},
            ),
        ),
        {}, r"unknown story 'Tulip'\. Did you mean 'Tulips'",
    ),
    "a person without a region": (
        "blank2014",
        lambda root: rewritten_assembly(
            root / PIECES, lambda values, held: (values, {**held, "fROI_area": np.append(held["fROI_area"][:-1], "01_LH_PostTemp")})
        ),
        {}, r"subject '098' has no region 12_RH_AngG",
    ),
    "regions whose responses are all NaN": (
        "blank2014", lambda root: rewritten_assembly(root / PIECES, lambda values, held: (values * np.nan, held)), {},
        r"every voxel has NaN or is constant in a held-out block",
    ),
    "a misspelt region": (
        "blank2014", NOTHING, {"regions": ("03_LH_IGF",)}, r"regions=\['03_LH_IGF'\] .* Did you mean '03_LH_IFG'",
    ),
    "volumes that are missing": (
        "alice_ds002322", lambda root: (root / VOLUMES).unlink(), {},
        r"missing file .*sub-18_task-alice_bold_preprocessed\.nii\.gz\. Get OpenNeuro ds002322",
    ),
    "volumes that are cut off": (
        "alice_ds002322", lambda root: cut(root / VOLUMES, 0.5), {}, r"preprocessed\.nii\.gz of \d+ bytes is truncated or no NIfTI",
    ),
    "volumes that are a link": (
        "alice_ds002322", lambda root: link(root / VOLUMES), {}, r"preprocessed\.nii\.gz is a pointer of git-annex or git-lfs",
    ),
    "volumes of which none is discarded": (
        "alice_ds002322", lambda root: longer(root / VOLUMES, 10), {},
        r"has 120 TRs, but 110 are declared\. These are all volumes: the first 10 are not discarded",
    ),
    "volumes of which one is lacking": (
        "alice_ds002322", lambda root: shorter(root / VOLUMES), {}, r"has 109 TRs, but 110 are declared\. It is of another version",
    ),
    "volumes of zeros": (
        "alice_ds002322", lambda root: spoiled(root / VOLUMES, 0), {"subjects": "18"},
        r"every voxel has NaN or is constant in a held-out block",
    ),
    "volumes with another TR": (
        "alice_ds002322", lambda root: retimed_header(root / VOLUMES, 2.2), {},
        r"header of sub-18_task-alice_bold_preprocessed\.nii\.gz states 2\.2 s per TR, the clock has 2 s",
    ),
    "volumes whose sidecar has another TR": (
        "alice_ds002322", lambda root: (root / EVENTS.replace("events.tsv", "bold.json")).write_text('{"RepetitionTime": 1.5}'), {},
        r"sub-18_task-alice_bold\.json states 1\.5 s per TR",
    ),
    "a sound whose start nobody noted": (
        "alice_ds002322", lambda root: respelled(root / EVENTS, lambda text: text.replace("0.657", "n/a")), {},
        r"sub-18_task-alice_events\.tsv has 1 events with onset 'n/a', but one with the second when the sound began",
    ),
    "a sound that began much later": (
        "alice_ds002322", lambda root: respelled(root / EVENTS, lambda text: text.replace("0.657", "1.657")), {},
        r"story 'alice_chapter_1': triggers lie up to 0\.83 s beside the clock",
    ),
    "words of the chapter cut off": (
        "alice_ds002322", lambda root: cut(root / ANNOTATIONS, 0.5), {}, r"annotations\.tsv has \d+ words, but \d+ are declared: it is",
    ),
    "words without a column": (
        "alice_ds002322", lambda root: respelled(root / ANNOTATIONS, lambda text: text.replace("Word Onset", "Onset")), {},
        r"annotations\.tsv has no column Word Onset; it has: Words, Onset, Word Offset",
    ),
    "a word whose time is none": (
        "alice_ds002322",
        lambda root: respelled(root / ANNOTATIONS, lambda text: re.sub(r"\t\d\d\.\d+\t", "\tsoon\t", text, count=1)), {},
        r"annotations\.tsv, row 2: 'soon' is no time in seconds",
    ),
    "a first word without times": (
        "alice_ds002322", lambda root: respelled(root / ANNOTATIONS, lambda text: re.sub(r"\t[\d.]+\t[\d.]+\t", "\t\t\t", text, count=1)),
        {}, r"annotations\.tsv, row 2: the first word, '\w+', has no times",
    ),
    "a person without preprocessed volumes": (
        "alice_ds002322", NOTHING, {"subjects": ("18", "38")},
        r"subject '38' of alice_ds002322 cannot be analysed: the release has no preprocessed recording\. Leave it out",
    ),
    "a recording in place of a brain mask": (
        "alice_ds002322", NOTHING, {"columns": "mask", "mask": VOLUMES}, r"has shape \(19, 22, 17, 110\) and \d+ voxels: it is no mask",
    ),
    "spheres where there is no brain": (
        "alice_ds002322", lambda root: moved_away(root / VOLUMES), {}, r"has no voxel within 10 mm of LATL at \(-50\.0, 10\.0, -26\.0\) mm",
    ),
}  # fmt: skip


def analysed(dataset, composed, ceiling="dataset"):
    """As far as a run goes before a model is read."""
    experiment = Experiment.from_config(
        composed(
            f"dataset={DATASETS.name_of(dataset)}",
            "model=tiny_xs",
            "split.folds=3",
            f"ceiling.method={ceiling}",
            "ceiling.bootstraps=0",
        )
    )
    experiment = dataclasses.replace(experiment, dataset=dataset)
    require_possible(experiment)
    recordings = recorded(dataset)
    for subject in dataset.chosen_subjects():
        dataset.space(subject)
    to_predict(experiment, recordings, held_out(experiment, recordings.run_lengths))
    if ceiling == "repeats":
        dataset.repeats(dataset.chosen_subjects()[0])


@pytest.mark.parametrize("what", DAMAGE)
def test_the_message_says_what_is_wrong_and_what_to_do(what, intact, tmp_path, composed, monkeypatch):
    name, damage, options, message = DAMAGE[what]
    declare(name, monkeypatch)
    shutil.copytree(intact / name, tmp_path / name)
    damage(tmp_path / name)
    options = dict(options)
    if "mask" in options:
        options["mask"] = str(tmp_path / name / options["mask"])
    ceiling = options.pop("ceiling", "dataset")
    options = {**USUAL.get(name, {}), **options}

    with pytest.raises(BrainexpError, match=rf"(?s){message}") as refused:
        analysed(DATASETS.member(name)(root=str(tmp_path / name), **options), composed, ceiling)

    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", REPLICAS)
def test_undamaged_replicas_pass(name, intact, composed, monkeypatch):
    declare(name, monkeypatch)

    ceiling = "repeats" if name in WITH_REPEATS else "dataset"
    analysed(DATASETS.member(name)(root=str(intact / name), **USUAL.get(name, {})), composed, ceiling)


def test_line_ends_of_windows_and_byte_order_marks_change_nothing(intact, tmp_path, monkeypatch):
    declare("deniz2019", monkeypatch)
    shutil.copytree(intact / "deniz2019", tmp_path / "copy")
    for path in [*(tmp_path / "copy/TextGrids").iterdir(), *(tmp_path / "copy/trfiles").iterdir()]:
        path.write_bytes(b"\xef\xbb\xbf" * (path.suffix == ".TextGrid") + path.read_bytes().replace(b"\n", b"\r\n"))

    one, other = (Deniz2019(root=str(root)) for root in (intact / "deniz2019", tmp_path / "copy"))

    for plain, windows in zip(one.stimuli(), other.stimuli(), strict=True):
        assert plain.units == windows.units
        np.testing.assert_array_equal(plain.onset_s, windows.onset_s)
    for story, timing in one.timings().items():
        np.testing.assert_array_equal(timing.trigger_s, other.timings()[story].trigger_s)


def test_a_voxel_with_nan_stays_nan_and_is_the_only_one_left_out(intact, tmp_path, monkeypatch):
    declare("lebel2023", monkeypatch)
    shutil.copytree(intact / "lebel2023", tmp_path / "copy")

    def spoil(held):
        held["data"][40, 3] = np.nan
        return held

    edit(tmp_path / "copy" / UTS01 / "avatar.hf5", spoil)

    found = recorded(Lebel2023(root=str(tmp_path / "copy"), subjects="UTS01")).responses["UTS01"]

    assert np.flatnonzero(np.isnan(found).any(axis=0)).tolist() == [3]
