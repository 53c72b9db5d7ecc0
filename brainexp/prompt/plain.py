"""Nothing but the words of the stimulus."""

from __future__ import annotations

from dataclasses import dataclass

from brainexp.interfaces import RenderedText
from brainexp.registry import PROMPTS


@PROMPTS.register("plain")
@dataclass(frozen=True)
class Plain:
    """The model reads the words and nothing else."""

    def render(self, text: str) -> RenderedText:
        """Return the text unchanged."""
        return RenderedText(text=text, start=0)
