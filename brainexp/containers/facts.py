"""What a dataset declares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from brainexp.errors import DataError


@dataclass(frozen=True)
class Facts:
    """What a dataset declares about itself; a test holds the declaration against the data.

    Parameters
    ----------
    subjects, stories : tuple of str
        Usable subjects and the stories in order.
    n_trs : mapping of str to int
        TRs of each story.
    n_voxels : mapping of str to int
        Columns of each subject.
    tr_s : float
        Seconds per TR.
    licence, doi, citation : str
        Whose it is and how to say so.
    language : str
        Code of the stimuli's language, such as "en".
    words : str
        What counts as a word of the stimuli, and what is left out.
    trim_s : (float, float)
        Seconds that published work cuts from the start and the end of every run.
    test_stories : tuple of str
        Stories that published work tests on, and trains on the others; empty where there is no such habit.
    read_by_story : bool
        Whether responses are `OnDisk`, so that no more than the kept rows are in memory.
    items : bool
        Whether a row of the responses is one unit, such as a sentence, and no TR: rows have no time, ``tr_s`` is 1, unit i
        lasts from i to i + 1, and a story is a group of items that folds keep together, such as a passage.
    """

    subjects: tuple[str, ...]
    stories: tuple[str, ...]
    n_trs: Mapping[str, int]
    n_voxels: Mapping[str, int]
    tr_s: float
    licence: str
    doi: str
    citation: str
    language: str = "en"
    words: str = "every word, with the marks that are written on it"
    trim_s: tuple[float, float] = (0.0, 0.0)
    test_stories: tuple[str, ...] = ()
    read_by_story: bool = False
    items: bool = False

    def __post_init__(self) -> None:
        unknown = [story for story in self.test_stories if story not in self.stories]
        if unknown:
            raise DataError(f"test stories {', '.join(unknown)} are declared, but no such stories.")
