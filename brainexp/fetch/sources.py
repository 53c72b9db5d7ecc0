"""Where datasets are, and which of their files an analysis needs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import translate

from brainexp.errors import ConfigError, DataError
from brainexp.fetch.stores import S3, Files, GitAnnex, Osf, RemoteFile, Store
from brainexp.fetch.web import Web
from brainexp.registry import did_you_mean

OPENNEURO = "https://s3.amazonaws.com/openneuro.org"
#: What Brain-Score packs.
BRAIN_SCORE = "https://brainscore-storage.s3.amazonaws.com/brainscore-language"


@dataclass(frozen=True)
class Part:
    """Files of a dataset that belong together.

    Parameters
    ----------
    store : Store
        Where they are.
    patterns : tuple of str
        Their paths; ``*`` stands for anything, folders too, ``{subject}`` and ``{story}`` for names.
    folders : tuple of str
        Beginnings of the paths: the first one under which there are files is taken, for releases that were renamed.
    """

    store: Store
    patterns: tuple[str, ...]
    folders: tuple[str, ...] = ("",)


@dataclass(frozen=True)
class Source:
    """A public dataset.

    Parameters
    ----------
    parts : mapping of str to Part
        By what they hold.
    usual : tuple of str
        Parts that an analysis needs.
    subjects : tuple of str
        Names of all subjects as files have them, without "sub-"; empty where any name may be given, or there are none.
    licence, doi : str
        Whose it is.
    takes : str
        About how much, in words, for whom there is no network.
    note : str
        What to know or do.
    """

    parts: Mapping[str, Part]
    usual: tuple[str, ...]
    subjects: tuple[str, ...] = ()
    licence: str = ""
    doi: str = ""
    takes: str = ""
    note: str = ""

    def has(self, place: str) -> bool:
        """Whether files are told apart by "subject" or "story"."""
        return any(f"{{{place}}}" in pattern for part in self.parts.values() for pattern in part.patterns)


_LEBEL = S3(OPENNEURO, "ds003020")
_DENIZ = GitAnnex(
    "https://gin.g-node.org/denizenslab/narratives_reading_listening_fmri",
    "https://gin.g-node.org/denizenslab/narratives_reading_listening_fmri/raw/{commit}/{path}",
)
_NARRATIVES = S3("https://fcp-indi.s3.amazonaws.com", "data/Projects/narratives")
_PRINCE = S3(OPENNEURO, "ds003643")
_ALICE = S3(OPENNEURO, "ds002322")
#: Names of the derivatives' folder, newer releases first.
_DERIVATIVES = ("derivatives/", "derivative/")

SOURCES: dict[str, Source] = {
    "lebel2023": Source(
        parts={
            "responses": Part(_LEBEL, ("preprocessed_data/{subject}/{story}.hf5",), _DERIVATIVES),
            "transcripts": Part(_LEBEL, ("TextGrids/{story}.TextGrid", "respdict.json"), _DERIVATIVES),
            "masks": Part(_LEBEL, ("pycortex-db/{subject}/transforms/*",), _DERIVATIVES),
            "surfaces": Part(
                _LEBEL,
                (
                    "pycortex-db/{subject}/surfaces/wm_*.gii",
                    "pycortex-db/{subject}/surfaces/pia_*.gii",
                    "freesurfer_subjdir/{subject}/surf/*.sphere.reg",
                ),
                _DERIVATIVES,
            ),
            "pycortex": Part(_LEBEL, ("pycortex-db/{subject}/*",), _DERIVATIVES),
            "freesurfer": Part(_LEBEL, ("freesurfer_subjdir/{subject}/*",), _DERIVATIVES),
            "audio": Part(_LEBEL, ("stimuli/{story}.wav",)),
            "raw": Part(_LEBEL, ("sub-{subject}/*",)),
        },
        usual=("responses", "transcripts", "masks", "surfaces"),
        subjects=tuple(f"UTS{number:02d}" for number in range(1, 9)),
        licence="CC0",
        doi="10.1038/s41597-023-02437-z",
        takes="about 20 GB for each of UTS01 to UTS03 and 7 GB for each of the others",
    ),
    "deniz2019": Source(
        parts={
            "responses": Part(_DENIZ, ("responses/subject{subject}_*.hdf",)),
            "features": Part(_DENIZ, ("features/*",)),
            "stimuli": Part(_DENIZ, ("stimuli/*",)),
            "mappers": Part(_DENIZ, ("mappers/subject{subject}_mappers.hdf",)),
            "about": Part(_DENIZ, ("README*", "LICENSE*", "datacite.yml")),
        },
        usual=("responses", "stimuli", "mappers", "about"),
        subjects=tuple(f"{number:02d}" for number in range(1, 10)),
        licence="CC0",
        doi="10.1523/JNEUROSCI.0675-19.2019",
        takes="about 3 to 6 GB for each subject, for reading and listening together",
    ),
    "narratives": Source(
        parts={
            "responses": Part(
                _NARRATIVES,
                ("afni-nosmooth/sub-{subject}/func/sub-{subject}_task-{story}_*space-fsaverage6_*desc-clean.func.gii",),
                ("derivatives/",),
            ),
            "smoothed": Part(
                _NARRATIVES,
                ("afni-smooth/sub-{subject}/func/sub-{subject}_task-{story}_*space-fsaverage6_*desc-clean.func.gii",),
                ("derivatives/",),
            ),
            "transcripts": Part(_NARRATIVES, ("stimuli/gentle/{story}/*",)),
            "events": Part(
                _NARRATIVES,
                (
                    "sub-{subject}/func/sub-{subject}_task-{story}_*events.tsv",
                    "sub-{subject}/func/sub-{subject}_task-{story}_*bold.json",
                    "participants.tsv",
                ),
            ),
        },
        usual=("responses", "transcripts", "events"),
        subjects=tuple(f"{number:03d}" for number in range(1, 346)),
        licence="CC0",
        doi="10.1038/s41597-021-01033-3",
        takes="about 0.5 GB for each subject and story",
        note=(
            "Choose stories, such as stories=[21styear]: each was heard by other subjects. Of the Milky Way name the task "
            "and the version: stories=[milkyway,milkywayvodka]."
        ),
    ),
    "little_prince": Source(
        parts={
            "responses": Part(_PRINCE, ("sub-{subject}/func/*space-MNIColin27*.nii.gz",), ("derivatives/", "")),
            "annotations": Part(_PRINCE, ("annotation/*",)),
            "about": Part(_PRINCE, ("README*", "participants.*", "dataset_description.json")),
            "raw": Part(_PRINCE, ("sub-{subject}/*",)),
        },
        usual=("responses", "annotations", "about"),
        licence="CC0",
        doi="10.1038/s41597-022-01625-7",
        takes="about 2 GB for each subject",
        note="Subjects by their names, such as subjects=[EN057,CN001,FR001].",
    ),
    "alice_ds002322": Source(
        parts={
            "responses": Part(_ALICE, ("derivatives/sub-{subject}/sub-{subject}_task-alice_bold_preprocessed.nii.gz",)),
            "events": Part(_ALICE, ("sub-{subject}/*events.tsv", "sub-{subject}/*bold.json")),
            "words": Part(_ALICE, ("code/annotations.tsv",)),
            "about": Part(_ALICE, ("README*", "participants.*", "dataset_description.json")),
            "parameters": Part(_ALICE, ("derivatives/sub-{subject}/sub-{subject}_preprocess.mat",)),
            "audio": Part(_ALICE, ("stimuli/*",)),
            "raw": Part(_ALICE, ("sub-{subject}/anat/*", "sub-{subject}/func/*")),
        },
        usual=("responses", "events", "words", "about"),
        subjects=tuple(map(str, (18, 22, 23, 24, 26, 28, 30, 31, *range(35, 40), *range(41, 54)))),
        licence="CC0",
        doi="10.18112/openneuro.ds002322.v1.0.4",
        takes="about 0.3 GB for each subject",
        note="38, 46 and 52 have no preprocessed recording in the release, so all are 23 of its 26 subjects.",
    ),
    "tuckute2024": Source(
        parts={
            "responses": Part(
                Files(
                    "https://github.com/gretatuckute/drive_suppress_brains",
                    (
                        RemoteFile(
                            "data.tar",
                            "https://evlabwebapps.mit.edu/public_data/tuckute2024_driving_suppressing/data.tar",
                        ),
                    ),
                ),
                ("data.tar",),
            ),
            "supplement": Part(
                Files(
                    "https://github.com/gretatuckute/drive_suppress_brains",
                    (
                        RemoteFile(
                            "data_SI.tar",
                            "https://evlabwebapps.mit.edu/public_data/tuckute2024_driving_suppressing/data_SI.tar",
                        ),
                    ),
                ),
                ("data_SI.tar",),
            ),
        },
        usual=("responses",),
        licence="MIT",
        doi="10.1038/s41562-023-01783-7",
        takes="about 28 MB, the supplement 300 MB more",
        note="Unpack it where it lies: tar -xf data.tar",
    ),
    "pereira2018": Source(
        parts={
            "responses": Part(
                Files(
                    "https://www.brain-score.org",
                    (
                        RemoteFile(
                            "assy_Pereira2018_language.nc",
                            f"{BRAIN_SCORE}/assy_Pereira2018_language.nc",
                            digest="sha1:f8434b4022f5b2c862f0ff2854d5b3f5f2a7fb96",
                        ),
                    ),
                ),
                ("assy_Pereira2018_language.nc",),
            ),
            "materials": Part(Osf("crwz7"), ("*",)),
        },
        usual=("responses", "materials"),
        licence="see the project",
        doi="10.1038/s41467-018-03068-4",
        takes="about 1 GB",
        note=(
            "responses: voxels of the language network as Brain-Score packs them. Subjects' own .mat files are linked from "
            "https://evlab.mit.edu/sites/default/files/documents/index2.html and have to be fetched by hand."
        ),
    ),
    "blank2014": Source(
        parts={
            "responses": Part(
                Files(
                    "https://www.brain-score.org",
                    (
                        RemoteFile(
                            "assy_Blank2014_fROI.nc",
                            f"{BRAIN_SCORE}/assy_Blank2014_fROI.nc",
                            digest="sha1:af1e868821b897cb1684e4c8dcd33977121ef552",
                        ),
                    ),
                ),
                ("assy_Blank2014_fROI.nc",),
            ),
        },
        usual=("responses",),
        licence="none given",
        doi="10.1152/jn.00884.2013",
        takes="about 1 MB",
        note="Regions' time courses as Brain-Score packs them; the recordings themselves are not public.",
    ),
}

#: Datasets that no program can fetch, and where they are.
BY_HAND = {
    "alice": (
        "Its six regions' time courses are on the authors' page: doi:10.1016/j.bandl.2016.04.008. Whole brains of the same "
        "recordings are dataset=alice_ds002322."
    ),
    "harry_potter": (
        "A link to the folder fMRI stands in https://github.com/mtoneva/brain_language_nlp; a browser has to follow it."
    ),
    "passage": "It comes with the program.",
    "synthetic": "It comes with the program.",
    "custom": "It is a folder of your own.",
}


def chosen_subjects(asked: str | int | Sequence[str | int], name: str, source: Source) -> tuple[str, ...]:
    """Names of subjects as files have them; numbers stand for names that end so.

    Raises
    ------
    ConfigError
        If a subject is unknown, or the dataset tells none apart.
    """
    if asked == "all":
        return ("*",)
    if not source.has("subject"):
        raise ConfigError(f"{name} has no files by subject. Leave out subjects=.")
    given = (asked,) if isinstance(asked, (str, int)) else tuple(asked)
    return tuple(_subject(str(one), name, source) for one in given)


def _subject(asked: str, name: str, source: Source) -> str:
    asked = asked.removeprefix("sub-")
    if not source.subjects:
        return asked
    for subject in source.subjects:
        ending = re.search(r"\d+$", subject)
        if asked == subject or (asked.isdigit() and ending is not None and int(ending[0]) == int(asked)):
            return subject
    raise ConfigError(f"unknown subject {asked!r} of {name}.{did_you_mean(asked, source.subjects)}")


def listed(
    source: Source, parts: Sequence[str], subjects: Sequence[str], stories: Sequence[str], web: Web
) -> tuple[list[RemoteFile], tuple[str, ...]]:
    """List the files of some parts, subjects and stories, each once.

    Parameters
    ----------
    source : Source
        Where they are.
    parts, subjects, stories : sequences of str
        Which ones; ``*`` stands for any.
    web : Web
        How to ask.

    Returns
    -------
    files : list of RemoteFile
    empty : tuple of str
        Parts of which the store holds nothing.

    Raises
    ------
    DataError
        If a store cannot be listed, or holds nothing of a subject or a story that was named, or nothing at all.
    """
    found: dict[str, RemoteFile] = {}
    empty = []
    for name in parts:
        part = source.parts[name]
        of_part = next(filter(None, (_of_folder(part, folder, subjects, stories, web) for folder in part.folders)), [])
        found |= {file.path: file for file in of_part}
        empty += [] if of_part else [name]
    if not found:
        first = source.parts[parts[0]]
        raise DataError(
            f"{first.store.address} holds nothing of what was asked for, such as {first.folders[0]}{first.patterns[0]}. "
            "Check subjects and stories."
        )
    for place, names in (("subject", subjects), ("story", stories)):
        lacking = [name for name in names if name != "*" and not _any_of(source, parts, place, name, found)]
        if lacking:
            raise DataError(f"the store has no file of {place} {', '.join(lacking)}. Leave it out, or check its name.")
    return list(found.values()), tuple(empty)


def _any_of(source: Source, parts: Sequence[str], place: str, name: str, paths: Iterable[str]) -> bool:
    """Whether a path is of one subject or story."""
    own = [
        pattern
        for part in (source.parts[one] for one in parts)
        for raw in part.patterns
        if f"{{{place}}}" in raw
        for folder in part.folders
        for pattern in patterns(Part(part.store, (raw.replace(f"{{{place}}}", name),)), folder, ["*"], ["*"])
    ]
    whole = re.compile("|".join(translate(pattern) for pattern in own) or r"(?!)")
    return any(whole.match(path) for path in paths)


def patterns(part: Part, folder: str, subjects: Sequence[str], stories: Sequence[str]) -> list[str]:
    """Paths of a part with names put in; a pattern per subject and story where it tells them apart."""
    return list(
        dict.fromkeys(
            f"{folder}{pattern}".replace("{subject}", subject).replace("{story}", story)
            for pattern in part.patterns
            for subject in subjects
            for story in stories
        )
    )


def _of_folder(part: Part, folder: str, subjects: Sequence[str], stories: Sequence[str], web: Web) -> list[RemoteFile]:
    asked = patterns(part, folder, subjects, stories)
    whole = re.compile("|".join(translate(pattern) for pattern in asked))
    beginnings: list[str] = []
    for prefix in sorted({pattern.split("*")[0] for pattern in asked}):
        if not any(prefix.startswith(shorter) for shorter in beginnings):
            beginnings.append(prefix)
    return [
        file
        for prefix in _few(part.store, beginnings)
        for file in part.store.files(web, prefix)
        if whole.match(file.path)
    ]


def _few(store: Store, beginnings: Sequence[str]) -> Sequence[str]:
    """One listing of all where a store has to be listed whole anyway."""
    return beginnings if isinstance(store, S3) else [""]
