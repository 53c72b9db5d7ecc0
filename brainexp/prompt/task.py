"""An instruction before or after the words of the stimulus, as plain text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from brainexp.errors import ConfigError
from brainexp.interfaces import Frame
from brainexp.registry import PROMPTS


@PROMPTS.register("task")
@dataclass(frozen=True)
class Task:
    """The model reads the words with a task beside them, such as "Summarize the story:".

    Parameters
    ----------
    before, after : str
        Text around the words, blanks included. In a causal model the words' own states know only what stands before.
    features : {"stimulus", "last", "generated"}
        Which states are a word's features: those of its tokens; that of the last token of the whole text; or the mean of
        those from which the tokens of the model's answer were chosen (greedily; without the one that ends it). The last
        two read one text per word: the word, the words before it, and the task.
    max_new_tokens : int
        Longest answer, for ``features="generated"``.
    """

    before: str = "Summarize the story: "
    after: str = ""
    features: Literal["stimulus", "last", "generated"] = "stimulus"
    max_new_tokens: int = 20

    def __post_init__(self) -> None:
        require_tokens(self.max_new_tokens, "task")

    def around(self, tokenizer: Any) -> Frame:
        """Return the task's text."""
        return Frame(
            before=self.before,
            after=self.after,
            reads=self.features,
            max_new_tokens=self.max_new_tokens if self.features == "generated" else 0,
        )


def require_tokens(max_new_tokens: int, prompt: str) -> None:
    """Raise ConfigError unless an answer may have a token."""
    if max_new_tokens < 1:
        raise ConfigError(f"prompt {prompt!r}: max_new_tokens must be at least 1, got {max_new_tokens}")
