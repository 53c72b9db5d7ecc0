"""LeBel et al. (2023), OpenNeuro ds003020: fMRI of people who listened to stories, up to 84 each, voxel by voxel."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Literal

import numpy as np

from brainexp.containers import Clock, Facts, FloatArray, Responses, Space, Stimulus, Timing
from brainexp.dataset.binaryfile import hdf5, hdf5_array, published_ceilings, require_shape, stored_rows
from brainexp.dataset.cleaning import Cleaning
from brainexp.dataset.pycortex import fsaverage_space, pycortex_space
from brainexp.dataset.rois import Rois
from brainexp.dataset.subjects import named, present
from brainexp.dataset.textfile import WORDS, json_of, require_folder, words_of_textgrid
from brainexp.dataset.triggers import trigger_timing
from brainexp.errors import ConfigError, DataError
from brainexp.registry import DATASETS, did_you_mean

#: TRs of each story as scanned: respdict.json of the release. Sizes of the response files of all subjects agree with it.
FIRST_STORIES = """
    adollshouse:261 adventuresinsayingyes:411 alternateithicatom:363 avatar:387 buck:352 exorcism:487
    eyespy:399 fromboyhoodtofatherhood:368 hangtime:344 haveyoumethimyet:516 howtodraw:374 inamoment:225
    itsabox:375 legacy:420 life:450 myfirstdaywiththeyankees:378 naked:442 odetostepfather:424 sloth:457
    souls:375 stagefright:313 swimmingwithastronauts:405 thatthingonmyarm:454 theclosetthatateeverything:334
    tildeath:343 undertheinfluence:324 wheretheressmoke:311
"""
MORE_STORIES = """
    againstthewind:190 backsideofthestorm:365 becomingindian:408 bluehope:429 breakingupintheageofgoogle:541
    catfishingstrangerstofindmyself:346 christmas1940:263 forgettingfear:257 goingthelibertyway:414
    gpsformylostidentity:346 ifthishaircouldtalk:269 kiksuya:352 lifeanddeathontheoregontrail:381
    lifereimagined:347 onlyonewaytofindout:402 penpal:275 shoppinginchina:357 singlewomanseekingmanwich:317
    stumblinginthedark:509 superheroesjustforeachother:345 sweetaspie:177 thefreedomridersandme:354
    thepostmanalwayscalls:474 thetiniestbouquet:191 thumbsup:434 treasureisland:414 waitingtogo:369
    whenmothersbullyback:327
"""
LATER_STORIES = """
    afatherscover:332 beneaththemushroomcloud:362 birthofanation:284 cautioneating:299 cocoonoflove:449
    comingofageondeathrow:369 firetestforlove:338 food:390 gangstersandcookies:276 goldiethegoldfish:337
    golfclubbing:221 jugglingandjesus:213 leavingbaghdad:347 listo:380 mayorofthefreaks:495 metsmagic:248
    mybackseatviewofagreatromance:404 myfathershands:190 notontheusualtour:265 quietfire:475
    reachingoutbetweenthebars:316 theadvancedbeginner:338 thecurse:427 theinterview:241 theshower:412
    thetriangleshirtwaistconnection:222 threemonths:373 vixenandtheussr:411 wildwomenanddancingqueens:209
"""
TEST_STORY = "wheretheressmoke"
TR_S = 2.0
N_VOXELS = {
    "UTS01": 81126, "UTS02": 94251, "UTS03": 95556, "UTS04": 109469, "UTS05": 99322, "UTS06": 92198, "UTS07": 94395,
    "UTS08": 97023, "UTS09": 98336,
}  # fmt: skip
#: The published time base: the sound starts 10 s after the first TR, and of the TRs scanned the last 5 are not counted.
SILENCE_S = 10.0
UNCOUNTED_TRS = 5
#: TRs of that time base that the released responses lack: the first 10 and the last 5.
CUT_START_TRS, CUT_STOP_TRS = 10, 5
HOW_TO_GET = (
    "Get OpenNeuro ds003020 (https://openneuro.org/datasets/ds003020: datalad, aws s3 sync or the web page) with "
    "derivative/preprocessed_data, derivative/TextGrids and derivative/respdict.json, and give dataset.root=FOLDER of "
    "ds003020."
)


def _counts(table: str) -> dict[str, int]:
    return {story: int(n_trs) for story, n_trs in (entry.split(":") for entry in table.split())}


#: All stories in alphabetical order, the test story last.
SCANNED_TRS = dict(
    sorted(
        _counts(FIRST_STORIES + MORE_STORIES + LATER_STORIES).items(), key=lambda item: (item[0] == TEST_STORY, item[0])
    )
)
#: Stories that each subject heard; the others heard all.
HEARD = {
    "UTS04": _counts(FIRST_STORIES).keys() - {"life"},
    **dict.fromkeys(("UTS05", "UTS06", "UTS07", "UTS08"), _counts(FIRST_STORIES).keys()),
    "UTS09": _counts(FIRST_STORIES + MORE_STORIES).keys() - {"fromboyhoodtofatherhood"},
}


@DATASETS.register("lebel2023")
@dataclass(frozen=True)
class Lebel2023:
    """Nine listeners, 26 to 84 stories of about 12 minutes, all voxels of the cortex, TR 2 s; tested on one story.

    Parameters
    ----------
    root : str
        Folder of ds003020, with ``derivative/`` or ``derivatives/``.
    subjects : "all", a name or names
        Who is analysed: UTS01 to UTS09, or 1 to 9; all are those whose responses are on disk.
    stories : "all", a name or names
        Which stories; all are those that every analysed subject heard. The test story is "wheretheressmoke".
    tr_s : float
        Seconds per TR: 2, as published. The scanner's own triggers, where somebody has them, measure 2.0045.
    trfiles : str or None
        Folder or zip of ``<story>.report`` with those triggers, to hold the clock against.
    ceilings : str or None
        Folder of ``UTS01.npy`` and so on, one published ceiling per voxel.
    trim_start_s, trim_stop_s : float
        Seconds cut from the edges of every run; the release has no responses in the first 20 s and the last 10 s.
    places : {"auto", "volume", "fsaverage5"}
        Where voxels are shown: in the subject's own volume, or brought to fsaverage5, where ROIs have names and subjects are
        averaged. "auto" takes fsaverage5 where the release's surfaces are on disk.
    rois : Rois
        Which ROIs are summarised.
    cleaning : Cleaning
        What is done to each run's responses, over the rows that the release has.
    """

    root: str | None = None
    subjects: str | int | tuple[str | int, ...] = "all"
    stories: str | tuple[str, ...] = "all"
    tr_s: float = TR_S
    trfiles: str | None = None
    ceilings: str | None = None
    trim_start_s: float = 20.0
    trim_stop_s: float = 10.0
    places: Literal["auto", "volume", "fsaverage5"] = "auto"
    rois: Rois = field(default_factory=Rois)
    cleaning: Cleaning = field(default_factory=Cleaning)

    def __post_init__(self) -> None:
        if not 1.9 < self.tr_s < 2.1:
            raise ConfigError(f"dataset 'lebel2023': tr_s must be about 2 (2.0 or 2.0045), in seconds, got {self.tr_s}")
        for name, cut in (("trim_start_s", CUT_START_TRS), ("trim_stop_s", CUT_STOP_TRS)):
            if math.ceil(round(getattr(self, name) / self.tr_s, 9)) < cut:
                raise ConfigError(
                    f"dataset 'lebel2023': {name}={getattr(self, name):g}, but the release has no responses in these {cut} "
                    f"TRs. Give at least {name}={2.0 * cut:g}."
                )

    def facts(self) -> Facts:
        """Return what a correct copy holds, of the stories that are asked for."""
        return Facts(
            subjects=tuple(N_VOXELS),
            stories=self._stories,
            n_trs={story: SCANNED_TRS[story] - UNCOUNTED_TRS for story in self._stories},
            n_voxels=N_VOXELS,
            tr_s=self.tr_s,
            licence="CC0",
            doi="10.1038/s41597-023-02437-z",
            citation=(
                "LeBel, Wagner, Jain, Adhikari-Desai, Gupta, Morgenthal, Tang, Xu & Huth (2023). A natural language fMRI "
                "dataset for voxelwise encoding models. Scientific Data 10, 555."
            ),
            words=WORDS,
            trim_s=(type(self).trim_start_s, type(self).trim_stop_s),
            test_stories=tuple(story for story in self._stories if story == TEST_STORY),
            read_by_story=True,
        )

    def chosen_subjects(self) -> tuple[str, ...]:
        """Return the subjects that the config asks for; raise ConfigError if one is not there."""
        folder = require_folder(self._folder / "preprocessed_data", "dataset 'lebel2023'", HOW_TO_GET)
        found = [one.name for one in folder.iterdir() if one.is_dir()]
        return present(self.subjects, found, tuple(N_VOXELS), "lebel2023", str(folder))

    def remarks(self) -> tuple[str, ...]:
        """Say who was left out, and which stories."""
        subjects = self.chosen_subjects()
        told = []
        absent = [name for name in N_VOXELS if name not in subjects]
        if self.subjects == "all" and absent:
            told.append(f"lebel2023: {', '.join(absent)} not on disk, and not analysed.")
        if self.stories == "all":
            heard = set.union(*({*_heard(subject)} for subject in subjects))
            dropped = [story for story in SCANNED_TRS if story in heard and story not in self._stories]
            if dropped:
                told.append(f"lebel2023: {', '.join(dropped)} left out: not heard by all of {', '.join(subjects)}.")
        for subject in subjects if self.ceilings else ():
            n_impossible = self._published(subject)[1]
            if n_impossible:
                told.append(
                    f"lebel2023: {n_impossible} published ceilings of {subject} are above 1, and taken as unknown."
                )
        return tuple(told)

    def stimuli(self) -> tuple[Stimulus, ...]:
        """Return the stories, word by word."""
        self._require_same_counts()
        folder = self._folder / "TextGrids"
        return tuple(
            words_of_textgrid(folder / f"{story}.TextGrid", story, "word", HOW_TO_GET) for story in self._stories
        )

    def responses(self, subject: str) -> tuple[Responses, ...]:
        """Return one subject's responses, which stay on disk until they are asked for.

        The release cut TRs off the edges of every run; they are NaN here, and trimmed.
        """
        rows = self._released_rows
        runs = []
        for story in self._stories:
            path = self._path(subject, story)
            key, n_repeats = self._recording(path, story)
            values = stored_rows(
                path,
                key,
                HOW_TO_GET,
                before=CUT_START_TRS,
                after=CUT_STOP_TRS,
                n_repeats=n_repeats,
                change=self._change(subject, story) if self.cleaning.crosses_rows else None,
                only_first=self.cleaning.repeats == "first",
            )
            found = (values.shape[0] - CUT_START_TRS - CUT_STOP_TRS, values.shape[1])
            require_shape(path, story, found, rows, N_VOXELS[subject], HOW_TO_GET)
            clock = Clock(start_s=-SILENCE_S, tr_s=self.tr_s, n_trs=values.shape[0])
            runs.append(Responses(subject=subject, story=story, values=values, clock=clock))
        return tuple(runs)

    def repeats(self, subject: str) -> dict[str, FloatArray]:
        """Return the single recordings of the test story, array of shape (n_repeats, n_trs, n_voxels), float32."""
        if TEST_STORY not in self._stories:
            return {}
        path, rows = self._path(subject, TEST_STORY), self._released_rows[TEST_STORY]
        with hdf5(path, HOW_TO_GET) as file:
            held = hdf5_array(file, "individual_repeats", 3, HOW_TO_GET)
            if len(held) < 2 or held.shape[1:] != (rows, N_VOXELS[subject]):
                raise DataError(
                    f"{path}: 'individual_repeats' has shape {held.shape}, but at least 2 recordings of {rows} rows and "
                    f"{N_VOXELS[subject]} voxels are declared. {HOW_TO_GET}"
                )
            takes = np.full((len(held), CUT_START_TRS + rows + CUT_STOP_TRS, held.shape[2]), np.nan, np.float32)
            for at, take in enumerate(takes):
                held.read_direct(take, np.s_[at], np.s_[CUT_START_TRS : CUT_START_TRS + rows])
                own = take[CUT_START_TRS : CUT_START_TRS + rows]
                own[:] = self._change(subject, TEST_STORY)(own)
        return {TEST_STORY: takes}

    def ceiling(self, subject: str) -> FloatArray:
        """Return the published ceilings, where ``ceilings`` names them; array of shape (n_voxels,), NaN where unknown."""
        if self.ceilings is None:
            return np.full(N_VOXELS[subject], np.nan)
        return self._published(subject)[0]

    def space(self, subject: str) -> Space:
        """Return the voxels on fsaverage5 or in the subject's own volume; unplaced without the release's files."""
        n_voxels, store = N_VOXELS[subject], self._folder / "pycortex-db"
        surfaces = self._folder / "freesurfer_subjdir"
        placed = (store / subject / "transforms").is_dir()
        if self.places == "fsaverage5" or (self.places == "auto" and placed and (surfaces / subject / "surf").is_dir()):
            return self.rois.of(fsaverage_space(store, surfaces, subject, n_voxels, HOW_TO_GET), subject)
        if self.places == "volume" or placed:
            space = pycortex_space(store, subject, n_voxels, HOW_TO_GET)
            return self.rois.of(replace(space, note="The subject's own space, not MNI."), subject)
        note = f"Places of voxels are in derivative/pycortex-db/{subject}/transforms of ds003020."
        return self.rois.of(Space(kind="unplaced", n_voxels=n_voxels, rois={}, note=note), subject)

    def timings(self) -> dict[str, Timing]:
        """Return what reports and the release's sidecars say of the clock, by story."""
        found = {}
        for story in self._stories:
            sidecar = self._release / f"task-{story}_bold.json"
            stated = {}
            # Another TR than the published one is the user's wish, who knows better than a header.
            if sidecar.is_file() and self.tr_s == TR_S:
                stated[sidecar.name] = float(json_of(sidecar, HOW_TO_GET).get("RepetitionTime", self.tr_s))
            timing = Timing() if self.trfiles is None else trigger_timing(Path(self.trfiles), story, 0, HOW_TO_GET)
            found[story] = replace(timing, stated_tr_s=stated)
        return found

    @cached_property
    def _release(self) -> Path:
        root = None if self.root is None else Path(self.root).expanduser()
        return require_folder(root, "dataset 'lebel2023'", HOW_TO_GET)

    @cached_property
    def _folder(self) -> Path:
        """The derivatives: current releases and old clones spell them differently, and some users have only them."""
        tried = [self._release / "derivative", self._release / "derivatives", self._release]
        found = [one for one in tried if (one / "preprocessed_data").is_dir()]
        if not found:
            raise DataError(
                f"dataset 'lebel2023': {self._release} has neither derivative/preprocessed_data nor "
                f"derivatives/preprocessed_data. {HOW_TO_GET}"
            )
        return found[0]

    @cached_property
    def _stories(self) -> tuple[str, ...]:
        everyone = tuple(N_VOXELS)
        subjects = named(self.subjects, everyone, "lebel2023") if self.root is None else self.chosen_subjects()
        if self.stories == "all":
            return tuple(story for story in SCANNED_TRS if all(story in _heard(subject) for subject in subjects))
        asked = (self.stories,) if isinstance(self.stories, str) else self.stories
        for story in asked:
            if story not in SCANNED_TRS:
                raise ConfigError(f"unknown story {story!r} of lebel2023.{did_you_mean(story, SCANNED_TRS)}")
            deaf = [subject for subject in subjects if story not in _heard(subject)]
            if deaf:
                raise ConfigError(
                    f"lebel2023: {', '.join(deaf)} did not hear {story!r}. Leave it out of dataset.stories, or leave them "
                    "out of dataset.subjects."
                )
        if not asked or len(set(asked)) < len(asked):
            raise ConfigError(f"dataset.stories={list(asked)}: name each story once, or give dataset.stories=all.")
        return tuple(story for story in SCANNED_TRS if story in asked)

    @cached_property
    def _released_rows(self) -> dict[str, int]:
        """Rows of each response file, by story."""
        return {story: n_trs - UNCOUNTED_TRS - CUT_START_TRS - CUT_STOP_TRS for story, n_trs in SCANNED_TRS.items()}

    def _path(self, subject: str, story: str) -> Path:
        return self._folder / "preprocessed_data" / subject / f"{story}.hf5"

    def _recording(self, path: Path, story: str) -> tuple[str, int | None]:
        """Which array, and how many repeats it has: single ones are read where each is cleaned, or one is taken."""
        if story != TEST_STORY or not (self.cleaning.crosses_rows or self.cleaning.repeats == "first"):
            return "data", None
        with hdf5(path, HOW_TO_GET) as file:
            return "individual_repeats", hdf5_array(file, "individual_repeats", 3, HOW_TO_GET).shape[0]

    def _change(self, subject: str, story: str) -> Callable[[FloatArray], FloatArray]:
        where = f"subject {subject!r}, story {story!r}"
        return partial(self.cleaning.of_run, tr_s=self.tr_s, nuisance={}, where=where)

    def _published(self, subject: str) -> tuple[FloatArray, int]:
        assert self.ceilings is not None
        return published_ceilings(Path(self.ceilings).expanduser() / f"{subject}.npy", N_VOXELS[subject], HOW_TO_GET)

    def _require_same_counts(self) -> None:
        """Raise DataError where the release counts other TRs than are declared."""
        path = self._folder / "respdict.json"
        found = json_of(path, HOW_TO_GET)
        other = {story: found.get(story) for story in self._stories if found.get(story) != SCANNED_TRS[story]}
        if other:
            told = ", ".join(f"{story} {count} (declared: {SCANNED_TRS[story]})" for story, count in other.items())
            raise DataError(f"{path} is of another version. TRs: {told}. {HOW_TO_GET}")


def _heard(subject: str) -> set[str]:
    return set(HEARD.get(subject, SCANNED_TRS))
