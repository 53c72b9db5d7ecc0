"""Stories of the built-in grammar: text that is always at hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from brainexp.compression.calibration.options import Sampling
from brainexp.containers import Stimulus
from brainexp.registry import CALIBRATIONS

#: Seeds from here on are of the tiny models' training, so below it no synthetic brain listens to them; from far on,
#: no model was trained on them either.
FIRST_SEED = 1_000_000_000
#: About how many tokens a word makes, at the least.
TOKENS_PER_WORD = 1.0
WORDS_PER_STORY = 2_000


@CALIBRATIONS.register("grammar")
@dataclass(frozen=True, kw_only=True)
class GrammarText(Sampling):
    """Stories of the grammar that no dataset and no training has used; other stories for each ``seed``."""

    def texts(self, stimuli: Sequence[Stimulus]) -> tuple[str, ...]:
        """Tell as many stories as the stretches need."""
        from brainexp.grammar import text

        n_stories = -(-int(self.samples * self.tokens / TOKENS_PER_WORD) // WORDS_PER_STORY) + 1
        first = FIRST_SEED + 10_000 * self.seed
        return tuple(text(first + at, WORDS_PER_STORY) for at in range(n_stories))
