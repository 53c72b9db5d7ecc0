"""Small replicas of full layouts: right names, keys and time bases, few voxels, and a planted answer.

Half of the voxels respond to how many words are said and how long they are, through a response that peaks after about five
seconds; the others do not. `declare` tells the dataset's module of the replica's sizes, which are the only thing that differs
from a real copy.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from brainexp.containers import FSAVERAGE, Clock
from brainexp.dataset import (
    alice_ds002322,
    blank2014,
    custom,
    deniz2019,
    harry_potter,
    lebel2023,
    little_prince,
    narratives,
    pereira2018,
    tuckute2024,
)
from tests.dataset.item_replicas import (
    ALICE_TRS,
    BLANK_PIECES,
    N_ALICE_ROWS,
    PACKED_SUBJECTS,
    PEREIRA,
    alice_ds002322_replica,
    blank2014_replica,
    pereira2018_replica,
)
from tests.dataset.planting import (
    N_VOXELS,
    RESPONDS,
    WORDS,
    item_responses,
    responses,
    sentences,
    textgrid,
    told,
)

#: Stories and TRs scanned, of which the sound takes all but 10 s before and as much after.
LEBEL_TRS = {"alternateithicatom": 112, "avatar": 105, "legacy": 118, "life": 108, "wheretheressmoke": 121}
LEBEL_SUBJECTS = ("UTS01", "UTS04")
DENIZ_TRIGGERS = {name: 96 + 3 * at for at, name in enumerate(deniz2019.TRIGGERS)}
DENIZ_SUBJECTS = ("01", "02")
#: Narratives on a mesh of 2 × 642 vertices; every 64th vertex was measured, so that there are 21.
NARRATIVES_MESH = "fsaverage3"
NARRATIVES_STORIES = {
    "21styear": narratives.Told(14, 120, 143),
    "black": narratives.Told(14, 124),
    "milkywayvodka": narratives.Told(14, 110, task="milkyway", condition="vodka"),
}
NARRATIVES_SUBJECTS = ("244", "254")
NARRATIVES_VOXELS = 2 * FSAVERAGE[NARRATIVES_MESH]
MEASURED = np.arange(0, NARRATIVES_VOXELS, 64)
PRINCE_TRS = (90, 84, 92, 86, 88, 94, 96, 83, 98)
PRINCE_SUBJECTS = ("EN057", "EN058")
POTTER_TRS = (130, 142, 119, 150)
POTTER_SUBJECTS = ("F", "H")


N_POTTER_WORDS = sum(len(np.arange(20.0, 2.0 * n_trs - 20.0, 0.5)) for n_trs in POTTER_TRS)


def report(n_triggers: int, tr_s: float, silence_s: float, missing: int | None = None) -> str:
    """What the stimulus computer noted; triggers jitter by some milliseconds."""
    rng = np.random.default_rng(n_triggers)
    times = tr_s * np.arange(n_triggers) + np.concatenate([[0.0], rng.uniform(-0.02, 0.004, n_triggers - 1)])
    lines = [(time, "init-trigger" if at == 0 else "trigger") for at, time in enumerate(times) if at != missing]
    lines += [(silence_s, "sound-start"), (tr_s * (n_triggers - 5), "sound-stop")]
    return "".join(f"{time:.6f} {label}\n" for time, label in sorted(lines))


def lebel2023_replica(root: Path, derivative: str = "derivative", swapped: bool = False) -> Path:
    """Write ds003020 in small; ``swapped`` gives every recording to the next story, cut to its length."""
    import h5py

    folder = root / derivative
    (folder / "TextGrids").mkdir(parents=True)
    (folder / "respdict.json").write_text(json.dumps(LEBEL_TRS))
    stories = list(LEBEL_TRS)
    for story, n_trs in LEBEL_TRS.items():
        (folder / "TextGrids" / f"{story}.TextGrid").write_text(textgrid(story, 2.0 * (n_trs - 10)))
        (root / f"task-{story}_bold.json").write_text(json.dumps({"RepetitionTime": 2, "TaskName": story}))
    for number, subject in enumerate(LEBEL_SUBJECTS):
        own = folder / "preprocessed_data" / subject
        own.mkdir(parents=True)
        for at, (story, n_trs) in enumerate(LEBEL_TRS.items()):
            if subject == "UTS04" and story == "life":
                continue
            source = stories[(at + swapped) % len(stories)]
            test = story == lebel2023.TEST_STORY
            clock = Clock(-10.0, 2.0, n_trs - 5)
            rng = np.random.default_rng([number, at])
            takes = responses(source, 2.0 * (LEBEL_TRS[source] - 10), clock, rng, 5 if test else 1)[:, 10:-5]
            with h5py.File(own / f"{story}.hf5", "w") as file:
                file["data"] = takes.mean(axis=0)
                if test:
                    file["individual_repeats"] = takes
        _mask(folder / "pycortex-db" / subject / "transforms" / f"{subject}_auto")
        _surfaces(folder, subject)
    return root


def _mask(folder: Path) -> None:
    """A mask of as many voxels, with axes as scanners have them: pycortex turns them around."""
    import nibabel

    folder.mkdir(parents=True)
    values = np.zeros((5, 4, 3), np.float32)
    values.reshape(-1)[np.random.default_rng(3).permutation(60)[:N_VOXELS]] = 1
    image = nibabel.Nifti1Image(values, np.diag([2.2, 2.3, 4.1, 1.0]))
    image.to_filename(folder / "mask_thick.nii.gz")


def _surfaces(folder: Path, subject: str) -> None:
    """Surfaces with 200 vertices a side, each in a voxel of the mask, and on the sphere where fsaverage5 has a vertex."""
    import nibabel
    from nibabel.freesurfer import write_geometry
    from nibabel.gifti import GiftiDataArray, GiftiImage
    from nilearn.datasets import load_fsaverage

    store = folder / "pycortex-db" / subject
    (transform,) = (store / "transforms").iterdir()
    (transform / "matrices.xfm").write_text(json.dumps({"coord": np.eye(4).tolist()}))
    (store / "surfaces").mkdir()
    surfaces = folder / "freesurfer_subjdir" / subject / "surf"
    surfaces.mkdir(parents=True)
    places = np.argwhere(nibabel.load(transform / "mask_thick.nii.gz").get_fdata())  # x, y, z
    faces = np.array([[0, 1, 2]], np.int32)
    sphere = load_fsaverage("fsaverage5")["sphere"].parts
    for side, part in (("lh", "left"), ("rh", "right")):
        at = places[np.arange(200) % len(places)].astype(np.float32)
        for kind in ("wm", "pia"):
            arrays = [
                GiftiDataArray(at, intent="NIFTI_INTENT_POINTSET", datatype="NIFTI_TYPE_FLOAT32"),
                GiftiDataArray(faces, intent="NIFTI_INTENT_TRIANGLE", datatype="NIFTI_TYPE_INT32"),
            ]
            GiftiImage(darrays=arrays).to_filename(store / "surfaces" / f"{kind}_{side}.gii")
        write_geometry(surfaces / f"{side}.sphere.reg", sphere[part].coordinates[:200], faces)


def narratives_replica(root: Path, swapped: bool = False) -> Path:
    """Write Narratives in small: words of 21st Year on the scan's clock, of the others on the sound's."""
    (root / "stimuli").mkdir(parents=True)
    names = [name for name in NARRATIVES_STORIES if name != "milkywayvodka"]
    seconds = {name: 1.5 * one.sound_trs for name, one in NARRATIVES_STORIES.items()}
    for name, one in NARRATIVES_STORIES.items():
        units, onset, offset = told(name, seconds[name])
        shift_s = 1.5 * one.onset_trs if name == "21styear" else 0.0
        rows = [
            f"{unit},{unit if at % 9 else '<unk>'},{on + shift_s:.4f},{off + shift_s:.4f}"
            if at % 20 != 5
            else f"{unit},,,"
            for at, (unit, on, off) in enumerate(zip(units, onset, offset, strict=True))
        ]
        (root / "stimuli" / "gentle" / name).mkdir(parents=True)
        (root / "stimuli" / "gentle" / name / "align.csv").write_text("\n".join(rows) + "\n")
    told_rows = ["participant_id\tage\tsex\ttask\tcondition\tcomprehension"]
    for number, subject in enumerate(NARRATIVES_SUBJECTS):
        conditions = f"n/a,n/a,{('vodka', 'original')[number]}"
        told_rows.append(f"sub-{subject}\t20,20,20\tF,F,F\t21styear,black,milkyway\t{conditions}\tn/a,n/a,n/a")
        for at, name in enumerate(names):
            n_trs = 143 if name == "21styear" else 148
            source = names[(at + swapped) % len(names)]
            rng = np.random.default_rng([number, at])
            measured = responses(source, seconds[source], Clock(-21.0, 1.5, n_trs), rng)[0]
            _hemispheres(root, subject, f"task-{name}", measured)
            raw = root / f"sub-{subject}" / "func"
            raw.mkdir(parents=True, exist_ok=True)
            (raw / f"sub-{subject}_task-{name}_bold.json").write_text('{"RepetitionTime": 1.5}')
        _hemispheres(root, subject, "task-milkyway", responses("milkywayvodka", 165.0, Clock(-21.0, 1.5, 130), rng)[0])
    (root / "participants.tsv").write_text("\n".join(told_rows) + "\n")
    return root


def _hemispheres(root: Path, subject: str, task: str, measured: np.ndarray) -> None:
    from nibabel.gifti import GiftiDataArray, GiftiImage

    folder = root / "derivatives" / "afni-nosmooth" / f"sub-{subject}" / "func"
    folder.mkdir(parents=True, exist_ok=True)
    values = np.zeros((len(measured), NARRATIVES_VOXELS), np.float32)
    values[:, MEASURED[:N_VOXELS]] = measured
    for side, part in zip("LR", np.hsplit(values, 2), strict=True):
        arrays = [GiftiDataArray(row, intent="NIFTI_INTENT_TIME_SERIES", datatype="NIFTI_TYPE_FLOAT32") for row in part]
        name = f"sub-{subject}_{task}_space-{NARRATIVES_MESH}_hemi-{side}_desc-clean.func.gii"
        GiftiImage(darrays=arrays).to_filename(folder / name)


def little_prince_replica(root: Path, swapped: bool = False) -> Path:
    """Write ds003643 in small: one tier of words in UTF-16 now and then, runs numbered from 15, a mask of as many voxels."""
    import nibabel

    (root / "annotation" / "EN").mkdir(parents=True)
    affine = np.array([[4.0, 0, 0, -72], [0, 4, 0, -106], [0, 0, 4, -64], [0, 0, 0, 1]])
    mask = np.zeros((5, 4, 3), np.uint8)
    mask.reshape(-1)[np.random.default_rng(3).permutation(60)[:N_VOXELS]] = 1
    nibabel.Nifti1Image(mask, affine).to_filename(root / "mask_lpp_en.nii.gz")
    for at, n_trs in enumerate(PRINCE_TRS, 1):
        text = textgrid(f"section{at}", 2.0 * n_trs, tiers=("TokensAlign",), silence="#")
        encoding = "utf-16" if at == 3 else "utf-8"
        (root / "annotation" / "EN" / f"lppEN_section{at}.TextGrid").write_text(text, encoding)
    for number, subject in enumerate(PRINCE_SUBJECTS):
        folder = root / "derivatives" / f"sub-{subject}" / "func"
        folder.mkdir(parents=True)
        for at, n_trs in enumerate(PRINCE_TRS):
            source = (at + swapped) % len(PRINCE_TRS)
            rng = np.random.default_rng([number, at])
            values = np.zeros((*mask.shape, n_trs), np.float32)
            story = f"section{source + 1}"
            values[mask != 0] = responses(story, 2.0 * PRINCE_TRS[source], Clock(0.0, 2.0, n_trs), rng)[0].T
            image = nibabel.Nifti1Image(values, affine)
            image.header.set_zooms((4.0, 4.0, 4.0, 2.0))
            image.header.set_xyzt_units("mm", "sec")
            name = f"sub-{subject}_task-lppEN_run-{at + 8:02}_space-MNIColin27_desc-preproc_bold.nii.gz"
            image.to_filename(folder / name)
    return root


def harry_potter_replica(root: Path, swapped: bool = False) -> Path:
    """Write the Harry Potter data in small: a word every half second, marks among them, edges of runs cut off."""
    folder = root / "fMRI"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(8)
    edges = np.cumsum([0, *POTTER_TRS])
    np.save(folder / "time_fmri.npy", 2.0 * np.arange(edges[-1]))
    np.save(folder / "runs_fmri.npy", np.repeat([1, 2, 3, 4], POTTER_TRS))
    shown = [np.arange(20.0, 2.0 * n_trs - 20.0, 0.5) for n_trs in POTTER_TRS]
    # Of chapters that are read at an even pace only the words themselves tell: long ones come in bouts.
    words = []
    for onset in shown:
        long = np.repeat(rng.random(len(onset) // 6 + 1) < 0.4, 6)[: len(onset)]
        words.append(
            np.where(long, rng.choice(["extraordinary", "grandmother"], len(onset)), rng.choice(WORDS[:6], len(onset)))
        )
    marked = np.concatenate(words).astype("U20")
    marked[::40] = "+"
    marked[7::40] = np.char.add(np.char.add("@", marked[7::40]), "@")
    np.save(folder / "words_fmri.npy", marked[:, None])
    np.save(
        folder / "time_words_fmri.npy", np.concatenate([one + 2.0 * at for one, at in zip(shown, edges, strict=False)])
    )
    for number, subject in enumerate(POTTER_SUBJECTS):
        runs = []
        for at, n_trs in enumerate(POTTER_TRS):
            source = (at + swapped) % len(POTTER_TRS)
            heard = (words[source], shown[source], shown[source] + 0.5)
            clock = Clock(0.0, 2.0, n_trs)
            runs.append(responses("", 0.0, clock, np.random.default_rng([number, at]), words=heard)[0][20:-15])
        np.save(folder / f"data_subject_{subject}.npy", np.concatenate(runs))
    return root


def deniz2019_replica(root: Path, swapped: bool = False) -> Path:
    """Write the Moth subset in small, both modalities, reports with a missing trigger of "naked"."""
    import h5py

    for name in ("responses", "TextGrids", "trfiles", "mappers"):
        (root / name).mkdir(parents=True)
    clocks = {
        story: Clock(-deniz2019.SILENCE_S, deniz2019.TR_S, n_triggers + deniz2019.UNREPORTED_TRS)
        for story, n_triggers in DENIZ_TRIGGERS.items()
    }
    seconds = {story: clock.end_s - 20.0 for story, clock in clocks.items()}
    for story, n_triggers in DENIZ_TRIGGERS.items():
        (root / "TextGrids" / f"{story}.TextGrid").write_text(textgrid(story, seconds[story]))
        noted = report(n_triggers, deniz2019.TR_S, deniz2019.SILENCE_S, missing=40 if story == "naked" else None)
        (root / "trfiles" / f"{story}.report").write_text(noted)
    for subject in DENIZ_SUBJECTS:
        _mappers(root / "mappers" / f"subject{subject}_mappers.hdf")
    names = list(clocks)
    for modality in ("listening", "reading"):
        for number, subject in enumerate(DENIZ_SUBJECTS):
            files = {
                part: h5py.File(root / "responses" / f"subject{subject}_{modality}_fmri_data_{part}.hdf", "w")
                for part in ("trn", "val")
            }
            for at, (story, clock) in enumerate(clocks.items(), 1):
                source = names[(at - 1 + swapped) % len(names)]
                test = story == deniz2019.TEST_STORY
                rng = np.random.default_rng([number, at, len(modality)])
                takes = responses(source, seconds[source], clock, rng, 2 if test else 1).astype(np.float32)
                files["val" if test else "trn"][f"story_{at:02}"] = takes if test else takes[0]
            for file in files.values():
                file.close()
    return root


def _mappers(path: Path) -> None:
    """Each voxel at a vertex of its own, and an ROI of three voxels."""
    import h5py
    from scipy.sparse import csr_matrix

    at = np.arange(0, 2 * FSAVERAGE["fsaverage3"], 64)[:N_VOXELS]
    to_mesh = csr_matrix((np.ones(N_VOXELS), (at, np.arange(N_VOXELS))), shape=(2 * FSAVERAGE["fsaverage3"], N_VOXELS))
    with h5py.File(path, "w") as file:
        for part in ("data", "indices", "indptr", "shape"):
            file[f"voxel_to_fsaverage_{part}"] = getattr(to_mesh, part)
        file["roi_mask_AC"] = np.arange(N_VOXELS) < 3


def tuckute2024_replica(root: Path, swapped: bool = False) -> Path:
    """Write the table of people in small; ``swapped`` gives every response to another sentence."""
    root.mkdir(parents=True)
    items = sentences(tuckute2024.N_ITEMS)
    lines = ["target_UID,item_id,roi,sentence,response_target,response_target_non_norm,cond,cond_approach"]
    for subject in tuckute2024.SUBJECTS:
        rng = np.random.default_rng(int(subject))
        values = item_responses(items, len(tuckute2024.REGIONS), rng)
        values = rng.permutation(values) if swapped else values
        for at, roi in enumerate(tuckute2024.REGIONS):
            lines += [
                f'{subject},B.{number},{roi},"{item}",{values[number - 1, at]:.6f},{3 * values[number - 1, at]:.6f},B,B'
                for number, item in enumerate(items, 1)
            ]
        lines += [f"{subject},D.1,{roi},Drive this.,9.0,9.0,D,D_search" for roi in tuckute2024.REGIONS]
    (root / tuckute2024.LONG).write_text("\n".join(lines) + "\n")
    return root


def custom_replica(root: Path, swapped: bool = False) -> Path:
    """Write a folder of one's own: four stories, a subject in .npy and one in .h5."""
    import h5py

    names = [f"story{number}" for number in range(4)]
    trs = {name: 100 + 5 * at for at, name in enumerate(names)}
    for name, n_trs in trs.items():
        (root / name).mkdir(parents=True)
        rows = zip(*told(name, 2.0 * n_trs), strict=True)
        lines = [f"{unit}\t{onset:.4f}\t{offset:.4f}" for unit, onset, offset in rows]
        (root / name / "words.tsv").write_text("word\tonset_s\toffset_s\n" + "\n".join(lines) + "\n")
    for number, subject in enumerate(("anna", "ben")):
        (root / subject).mkdir()
        for at, (name, n_trs) in enumerate(trs.items()):
            source = names[(at + 1) % len(names)] if swapped else name
            rng = np.random.default_rng([number, at])
            (values,) = responses(source, 2.0 * trs[source], Clock(0.0, 2.0, max(trs.values())), rng)[:, :n_trs]
            if subject == "anna":
                np.save(root / subject / f"{name}.npy", values)
            else:
                with h5py.File(root / subject / f"{name}.h5", "w") as file:
                    file["data"] = values
    (root / "dataset.yaml").write_text("tr_s: 2.0\ntrim_s: [10.0, 4.0]\nlicence: CC0\ncitation: me\n")
    halves = [f"{column}\t{'responds' if responds else 'does_not'}" for column, responds in enumerate(RESPONDS)]
    (root / "rois.tsv").write_text("column\troi\n" + "\n".join(halves) + "\n")
    return root


def custom_items_replica(root: Path, swapped: bool = False) -> Path:
    """Write a folder of one's own with passages of four sentences, a row of responses each."""
    items = sentences(160)
    values = item_responses(items, 6, np.random.default_rng(4))
    values = np.random.default_rng(1).permutation(values) if swapped else values
    (root / "carla").mkdir(parents=True)
    for at in range(0, len(items), 4):
        (root / f"p{at:03}").mkdir()
        (root / f"p{at:03}" / "items.tsv").write_text("item\n" + "\n".join(items[at : at + 4]) + "\n")
        np.save(root / "carla" / f"p{at:03}.npy", values[at : at + 4])
    (root / "dataset.yaml").write_text("separate: false\n")
    return root


#: Name of the dataset: what writes its replica, and what a replica declares.
REPLICAS = {
    "lebel2023": (lebel2023_replica, lebel2023, {
        "SCANNED_TRS": LEBEL_TRS,
        "N_VOXELS": dict.fromkeys(LEBEL_SUBJECTS, N_VOXELS),
        "HEARD": {"UTS04": LEBEL_TRS.keys() - {"life"}},
    }),
    "deniz2019": (deniz2019_replica, deniz2019, {
        "TRIGGERS": DENIZ_TRIGGERS,
        "N_VOXELS": dict.fromkeys(DENIZ_SUBJECTS, N_VOXELS),
        "SUBJECTS": DENIZ_SUBJECTS,
    }),
    "narratives": (narratives_replica, narratives, {"STORIES": NARRATIVES_STORIES, "MESH": NARRATIVES_MESH}),
    "little_prince": (little_prince_replica, little_prince, {"SCANNED_TRS": {"english": PRINCE_TRS}}),
    "harry_potter": (harry_potter_replica, harry_potter, {"SCANNED_TRS": POTTER_TRS, "N_WORDS": N_POTTER_WORDS}),
    "tuckute2024": (tuckute2024_replica, tuckute2024, {"N_ITEMS": 150, "SUBJECTS": ("848", "853")}),
    "custom": (custom_replica, custom, {}),
    "pereira2018": (pereira2018_replica, pereira2018, {"EXPERIMENTS": PEREIRA, "PACKED_SUBJECTS": PACKED_SUBJECTS}),
    "blank2014": (blank2014_replica, blank2014, {"N_ROWS": sum(BLANK_PIECES.values())}),
    "alice_ds002322": (alice_ds002322_replica, alice_ds002322, {"N_TRS": ALICE_TRS, "N_ROWS": N_ALICE_ROWS}),
}  # fmt: skip


def columns(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Columns of all subjects side by side that respond to words, and those that are noise."""
    if name == "alice_ds002322":  # six spheres
        return np.tile(np.arange(6) < 3, 2), np.tile(np.arange(6) >= 3, 2)
    at, width = (MEASURED[:N_VOXELS], NARRATIVES_VOXELS) if name == "narratives" else (np.arange(N_VOXELS), N_VOXELS)
    responding, noise = np.zeros((2, width), bool)
    responding[at[RESPONDS]], noise[at[~RESPONDS]] = True, True
    return np.tile(responding, 2), np.tile(noise, 2)


#: Those whose repeats and triggers are tested, too.
WITH_REPEATS = ("lebel2023", "deniz2019")


def declare(name: str, monkeypatch) -> None:
    """Let the dataset's module declare what its replica holds."""
    _, module, declared = REPLICAS[name]
    for constant, value in declared.items():
        monkeypatch.setattr(module, constant, value)
