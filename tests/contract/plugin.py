"""A dataset as somebody else's package brings it: found by its entry point, and held to what all datasets owe."""

from dataclasses import dataclass

import numpy as np

from brainexp.containers import Clock, Facts, FloatArray, Responses, Space, Stimulus
from brainexp.registry import DATASETS

STORIES = {"fox": 80, "crow": 90}
WORDS = ("the", "fox", "saw", "an", "extraordinary", "grandmother")


@DATASETS.register("whistles")
@dataclass(frozen=True)
class Whistles:
    """Two people who heard two stories, as two regions, of which the first responds to long words.

    Parameters
    ----------
    n_words : int
        Words of each story.
    trim_start_s, trim_stop_s : float
        Seconds cut from the edges of every run.
    """

    n_words: int = 300
    trim_start_s: float = 6.0
    trim_stop_s: float = 0.0

    def facts(self) -> Facts:
        """Return what it holds."""
        return Facts(
            subjects=("anna", "ben"),
            stories=tuple(STORIES),
            n_trs=STORIES,
            n_voxels={"anna": 2, "ben": 2},
            tr_s=1.5,
            licence="CC0",
            doi="",
            citation="somebody",
            trim_s=(6.0, 0.0),
        )

    def chosen_subjects(self) -> tuple[str, ...]:
        """Return both."""
        return ("anna", "ben")

    def stimuli(self) -> tuple[Stimulus, ...]:
        """Return the stories."""
        onset_s = np.arange(self.n_words) * 0.38
        return tuple(Stimulus(story, self._words(story), onset_s, onset_s + 0.3) for story in STORIES)

    def responses(self, subject: str) -> tuple[Responses, ...]:
        """Return noise, and in the first region the letters of the words of two TRs before."""
        runs = []
        for number, (story, n_trs) in enumerate(STORIES.items()):
            rng = np.random.default_rng([len(subject), number])
            values = rng.standard_normal((n_trs, 2))
            row = (np.arange(self.n_words) * 0.38 / 1.5).astype(int) + 2
            letters = np.zeros(n_trs)
            np.add.at(letters, row[row < n_trs], np.char.str_len(self._words(story)).astype(float)[row < n_trs])
            values[:, 0] += 2 * (letters - letters.mean()) / letters.std()
            runs.append(Responses(subject, story, values, Clock(start_s=0.0, tr_s=1.5, n_trs=n_trs)))
        return tuple(runs)

    def ceiling(self, subject: str) -> FloatArray:
        """Return that none is known."""
        return np.full(2, np.nan)

    def space(self, subject: str) -> Space:
        """Return two regions."""
        places_mm = np.array([[-50.0, 22.0, 12.0], [-58.0, -44.0, 4.0]])
        return Space("rois", 2, {"LIFG": np.array([0]), "LPTL": np.array([1])}, coordinates_mm=places_mm)

    def _words(self, story: str) -> tuple[str, ...]:
        return tuple(map(str, np.random.default_rng(len(story)).choice(WORDS, self.n_words)))
