"""Nothing but the words of the stimulus."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from brainexp.interfaces import Frame
from brainexp.registry import PROMPTS


@PROMPTS.register("plain")
@dataclass(frozen=True)
class Plain:
    """The model reads the words and nothing else."""

    def around(self, tokenizer: Any) -> Frame:
        """Return a frame with nothing in it."""
        return Frame()
