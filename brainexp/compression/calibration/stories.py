"""Stories of the study itself, as its subjects heard them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from brainexp.compression.calibration.options import Sampling
from brainexp.containers import Stimulus
from brainexp.errors import ConfigError
from brainexp.registry import CALIBRATIONS, did_you_mean


@CALIBRATIONS.register("stories")
@dataclass(frozen=True, kw_only=True)
class StudyText(Sampling):
    """Words of named stories of the dataset; none of them may be tested on.

    Parameters
    ----------
    names : tuple of str
        Which stories.
    samples, tokens, seed
        See `Sampling`.
    """

    names: tuple[str, ...]

    def _objections(self) -> Iterator[str]:
        yield from super()._objections()
        if not self.names or len(set(self.names)) < len(self.names):
            yield f"names must be one or more different stories of the dataset, got {list(self.names)}"

    def stories(self) -> tuple[str, ...]:
        """Return the stories that it reads."""
        return self.names

    def texts(self, stimuli: Sequence[Stimulus]) -> tuple[str, ...]:
        """Put the words of each story together.

        Raises
        ------
        ConfigError
            If the dataset has no such story.
        """
        known = {stimulus.story: " ".join(stimulus.units) for stimulus in stimuli}
        for name in self.names:
            if name not in known:
                raise ConfigError(
                    f"calibration 'stories': the dataset has no story {name!r}.{did_you_mean(name, known)}"
                )
        return tuple(known[name] for name in self.names)
