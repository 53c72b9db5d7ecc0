"""What sources of calibration text have in common."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from brainexp.errors import ConfigError
from brainexp.registry import CALIBRATIONS


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How many stretches are drawn from a text, and how long they are.

    Parameters
    ----------
    samples : int
        Number of stretches of text.
    tokens : int
        Length of each, in tokens.
    seed : int
        Of which stretches are drawn.
    """

    samples: int = 128
    tokens: int = 256
    seed: int = 0

    def __post_init__(self) -> None:
        for objection in self._objections():
            raise ConfigError(f"calibration {CALIBRATIONS.name_of(self)!r}: {objection}")

    def _objections(self) -> Iterator[str]:
        """What is wrong with the options, in words."""
        for name in ("samples", "tokens"):
            if getattr(self, name) < 1:
                yield f"{name} must be at least 1, got {getattr(self, name)}"
        if self.seed < 0:
            yield f"seed must not be negative, got {self.seed}"

    def stories(self) -> tuple[str, ...]:
        """Return none: it reads no story of the study."""
        return ()
