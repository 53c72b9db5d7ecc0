"""Small replicas of datasets whose rows are sentences or pieces of stories, and of whole brains that heard Alice."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from brainexp.containers import Clock
from brainexp.dataset import alice, blank2014, pereira2018
from tests.dataset.array_files import write_assembly, write_mat5, write_mat73
from tests.dataset.planting import WORDS, item_responses, responses, sentences, told

#: Sentences, passages and topics of the replica's two experiments; topics take turns, as the authors' numbers may.
PEREIRA = {
    "384sentences": pereira2018.Told(96, 24, 8, ("M02", "P01")),
    "243sentences": pereira2018.Told(42, 12, 4, ("M02",)),
}
PEREIRA_SUBJECTS = ("M02", "P01")
PEREIRA_VOXELS = 6
PACKED_SUBJECTS = ("018", "199")
#: Pieces of each story.
BLANK_PIECES = dict(zip(blank2014.STORIES, (22, 30, 21, 25, 27, 24, 28, 23), strict=True))
ALICE_TRS = 110
ALICE_ONSET_S = {"18": 0.657, "53": 0.0052}
#: Edge of the voxels of the whole brains.
ALICE_MM = 10.0


def passages_of(experiment: str) -> dict:
    """What a MATLAB file tells of an experiment."""
    one = PEREIRA[experiment]
    lengths = [4] * one.n_passages if experiment == "384sentences" else [3, 4] * (one.n_passages // 2)
    numbers = np.repeat(np.arange(1, one.n_passages + 1), lengths)
    return {
        "keySentences": sentences(len(numbers)),
        "labelsSentences": np.arange(1.0, len(numbers) + 1)[:, None],
        "labelsPassageForEachSentence": numbers[:, None].astype(float),
        "keyPassages": [f"Passage {number}" for number in range(1, one.n_passages + 1)],
        "labelsPassageCategory": (np.arange(one.n_passages) % one.n_topics + 1.0)[:, None],
        "keyPassageCategory": [[f"topic {number}"] for number in range(1, one.n_topics + 1)],
    }


def meta_of(order: np.ndarray) -> dict:
    """Places of voxels in a volume of 3 × 2 × 2, and two atlases, one of each kind."""
    size = (3, 2, 2)
    places = np.array(np.unravel_index(order, size)).T + 1.0
    halves = np.where(np.arange(PEREIRA_VOXELS) < PEREIRA_VOXELS // 2, 1.0, 2.0)
    only_one = np.where(np.arange(PEREIRA_VOXELS) == 1, 1.0, np.nan)
    return {
        "dimx": 3.0, "dimy": 2.0, "dimz": 2.0, "colToCoord": places,
        "roiMultimaskAAL": halves[:, None], "roisAAL": ["Responding_L", "Other_R"],
        "atlases": ["halves", "languageLH"], "roiMultimask": [halves[:, None], only_one[:, None]],
        "rois": [["first", "second"], ["LH_IFG"]],
    }  # fmt: skip


def pereira2018_replica(root: Path, swapped: bool = False) -> Path:
    """Write people's files: one of version 5 in a folder of its own, one of 7.3 in a folder within, under the other name."""
    held = passages_of("384sentences")
    for number, subject in enumerate(PEREIRA_SUBJECTS):
        rng = np.random.default_rng(number)
        values = item_responses(held["keySentences"], PEREIRA_VOXELS, rng)
        values = rng.permutation(values) if swapped else values
        meta = meta_of(np.array([7, 3, 0, 11, 5, 2]))
        if subject == "M02":
            (root / subject).mkdir(parents=True)
            write_mat5(root / subject / "examples_384sentences.mat", {"examples": values, "meta": meta, **held})
        else:
            (root / subject / subject).mkdir(parents=True)
            file = root / subject / subject / "data_384sentences.mat"
            write_mat73(file, {"examples_passagesentences": values, "meta": meta, **held})
    other = passages_of("243sentences")
    values = item_responses(other["keySentences"], PEREIRA_VOXELS, np.random.default_rng(9))
    write_mat5(root / "M02" / "examples_243sentences.mat", {"examples": values, "meta": meta, **other})
    return root


def packed_pereira2018_replica(root: Path) -> Path:
    """Write both experiments as one assembly, sorted by text; one person took part in only one of them."""
    root.mkdir(parents=True)
    rows: dict[str, list] = {name: [] for name in
                             ("experiment", "stimulus_num", "stimulus", "passage_index", "passage_label", "passage_category")}  # fmt: skip
    parts = []
    for experiment in PEREIRA:
        held = passages_of(experiment)
        n_sentences = len(held["keySentences"])
        numbers = held["labelsPassageForEachSentence"].ravel().astype(int)
        topics = [held["keyPassageCategory"][int(one) - 1][0] for one in held["labelsPassageCategory"].ravel()]
        rows["experiment"] += [experiment] * n_sentences
        rows["stimulus_num"] += range(n_sentences)
        rows["stimulus"] += held["keySentences"]
        rows["passage_index"] += numbers.tolist()
        rows["passage_label"] += [held["keyPassages"][one - 1] for one in numbers]
        rows["passage_category"] += [topics[one - 1] for one in numbers]
        people = [
            item_responses(held["keySentences"], PEREIRA_VOXELS, np.random.default_rng(at))
            for at in range(len(PACKED_SUBJECTS))
        ]
        parts.append(np.hstack(people))
    values = np.concatenate(parts)
    values[PEREIRA["384sentences"].n_sentences :, PEREIRA_VOXELS:] = np.nan
    order = np.argsort(rows["stimulus"], kind="stable")
    columns = {
        "subject": np.repeat(PACKED_SUBJECTS, PEREIRA_VOXELS),
        "roi": np.tile(["LH_IFG", "LH_IFG", "LH_MFG", "LH_MFG", "RH_IFG", "RH_IFG"], len(PACKED_SUBJECTS)),
    }
    write_assembly(
        root / pereira2018.PACKED,
        values[order],
        {name: np.array(one)[order] for name, one in rows.items()},
        columns,
    )
    return root


def blank2014_replica(root: Path, swapped: bool = False, labels_moved: bool = False) -> Path:
    """Write the assembly, sorted by identifier as text; ``labels_moved`` moves all labels of rows but the identifier."""
    root.mkdir(parents=True)
    identifier, story, text, sentence, part = [], [], [], [], []
    rng = np.random.default_rng(12)
    for name, n_pieces in BLANK_PIECES.items():
        for at in range(n_pieces):
            identifier.append(f"{name}.{at // 3}.{at % 3}")
            story.append(name)
            text.append(" ".join(rng.choice(WORDS, rng.integers(2, 8))) + " ")
            sentence.append(at // 3)
            part.append(at % 3)
    people = []
    for number in range(len(blank2014.SUBJECTS)):
        own = np.random.default_rng(number)
        values = item_responses(text, len(blank2014.REGIONS), own)
        people.append(own.permutation(values) if swapped else values)
    order = np.argsort(identifier)
    moved = np.roll(order, 5) if labels_moved else order
    labels = {"story": story, "stimulus": text, "sentence_number_in_story": sentence, "part_number_in_sentence": part}
    write_assembly(
        root / blank2014.FILE,
        np.hstack(people)[order],
        {"stimulus_id": np.array(identifier)[order], **{name: np.array(one)[moved] for name, one in labels.items()}},
        {
            "subject_id": np.repeat(blank2014.SUBJECTS, len(blank2014.REGIONS)),
            "fROI_area": np.tile(blank2014.REGIONS, len(blank2014.SUBJECTS)),
        },
    )
    return root


def alice_words() -> list[tuple[str, float, float]]:
    """Words of the replica's chapter; the sound begins with silence in place of the volumes that are discarded."""
    silence_s = alice.DROPPED_TRS * alice.TR_S
    units, onset, offset = told(alice.STORY, 2.0 * ALICE_TRS)
    return list(zip(map(str, units), (onset + silence_s).tolist(), (offset + silence_s).tolist(), strict=True))


def alice_ds002322_replica(root: Path, swapped: bool = False) -> Path:
    """Write ds002322 in small: clitics without times, Windows' line ends; three of the six regions' places respond."""
    import nibabel

    words = alice_words()
    rows = []
    for at, (unit, onset, offset) in enumerate(words):
        rows.append(f"{unit}\t{onset:.7f}\t{offset:.7f}\t1")
        if at % 40 == 7:
            rows.append("’s\t\t\t0")
        elif at % 40 == 20:
            rows.append("ll\t\t\t0")
    rows[3] = f"when\t{words[3][1]:.7f}\t{words[3][1] - 0.4:.7f}\t1"
    (root / "code").mkdir(parents=True)
    header = "Words\tWord Onset\tWord Offset\tIsLex"
    (root / "code" / "annotations.tsv").write_bytes("\r\n".join([header, *rows]).encode())
    affine = np.diag([ALICE_MM, ALICE_MM, ALICE_MM, 1.0])
    affine[:3, 3] = (-90.0, -120.0, -70.0)
    size = (19, 22, 17)
    places_mm = np.moveaxis(np.indices(size), 0, -1) * ALICE_MM + affine[:3, 3]
    units = np.array([unit for unit, _, _ in words])
    times = np.array([times for _, *times in words]).T
    for number, (subject, onset_s) in enumerate(ALICE_ONSET_S.items()):
        rng = np.random.default_rng(number)
        clock = Clock(alice.DROPPED_TRS * alice.TR_S - onset_s, alice.TR_S, ALICE_TRS)
        heard = responses("", 0.0, clock, rng, words=(units, *times))[0]
        values = rng.standard_normal((*size, ALICE_TRS)).astype(np.float32)
        for at, centre_mm in enumerate(alice.APPROXIMATE_MNI_MM):
            near = np.linalg.norm(places_mm - np.array(centre_mm), axis=-1) <= 15
            course = heard[:, at] if at < 3 else rng.standard_normal(ALICE_TRS)
            values[near] = np.roll(course, ALICE_TRS // 2) if swapped else course
        folder = root / "derivatives" / f"sub-{subject}"
        folder.mkdir(parents=True)
        image = nibabel.Nifti1Image(100 + values, affine)
        image.header.set_zooms((ALICE_MM, ALICE_MM, ALICE_MM, alice.TR_S))
        image.header.set_xyzt_units("mm", "sec")
        image.to_filename(folder / f"sub-{subject}_task-alice_bold_preprocessed.nii.gz")
        raw = root / f"sub-{subject}"
        raw.mkdir()
        sound = "DownTheRabbitHoleFinal_mono_exp120_NR16_pad.wav"
        (raw / f"sub-{subject}_task-alice_events.tsv").write_text(
            f"onset\tduration\tstim_file\n{onset_s}\t240\t{sound}\n"
        )
        (raw / f"sub-{subject}_task-alice_bold.json").write_text('{"TaskName": "alice", "RepetitionTime": 2}')
    return root


N_ALICE_ROWS = len(alice_words()) + sum(at % 40 in (7, 20) for at in range(len(alice_words())))
