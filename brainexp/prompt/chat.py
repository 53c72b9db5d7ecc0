"""The stimulus as a turn of a conversation, in the words of the model's own chat template."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from brainexp.errors import ConfigError, ModelError
from brainexp.interfaces import Frame
from brainexp.prompt.task import require_tokens
from brainexp.registry import PROMPTS

#: Stands for the stimulus while the template is filled in; no template has it.
PLACE = "Stimulus2718281828459045"
#: Some templates tell the model what day it is: always the same, or features would change overnight.
DAY = datetime(2025, 1, 1)


@PROMPTS.register("chat")
@dataclass(frozen=True)
class Chat:
    """The words of the stimulus inside a conversation, as an instruction-tuned model was trained to read it.

    Parameters
    ----------
    system : str or None
        The system message; None for the template's own, or none.
    before, after : str
        Text of the stimulus' turn around the words, blanks included.
    role : {"user", "assistant"}
        Whose turn the stimulus is. Before an assistant's turn stands a user's, ``question``.
    question : str
        The user's turn before an assistant's; not used with ``role="user"``.
    generation_prompt : bool
        Whether the text ends with the head of the assistant's next turn. Only after a user's turn.
    template_options : mapping
        Further variables of the template, such as ``{enable_thinking: false}`` for Qwen3.
    features : {"stimulus", "last", "generated"}
        Which states are a word's features: those of its tokens; that of the last token of the whole text; or the mean of
        those from which the tokens of the model's answer were chosen (greedily; without the one that ends it). The last
        two read one text per word.
    max_new_tokens : int
        Longest answer, for ``features="generated"``.
    """

    system: str | None = None
    before: str = ""
    after: str = ""
    role: Literal["user", "assistant"] = "user"
    question: str = "Tell me a story."
    generation_prompt: bool = True
    template_options: Mapping[str, bool | int | float | str] = field(default_factory=dict)
    features: Literal["stimulus", "last", "generated"] = "stimulus"
    max_new_tokens: int = 20

    def __post_init__(self) -> None:
        require_tokens(self.max_new_tokens, "chat")
        if self.role == "assistant" and self.features == "generated":
            raise ConfigError(
                "prompt 'chat': with role=assistant the answer is the stimulus itself, so there is nothing to generate. "
                "Give features=stimulus or last, or role=user."
            )

    def around(self, tokenizer: Any) -> Frame:
        """Fill in the tokenizer's template and return what it puts around the words.

        Raises
        ------
        ModelError
            If the tokenizer has no chat template, or the template refuses the messages or changes the words.
        """
        if getattr(tokenizer, "chat_template", None) is None:
            raise ModelError(
                "the model's tokenizer has no chat template, so it was not trained on conversations. "
                "Give prompt=plain or prompt=task, or an instruction-tuned model."
            )
        text = self._filled_in(tokenizer)
        before, found, after = text.partition(PLACE)
        if not found or PLACE in after:
            raise ModelError(
                f"the model's chat template shows the {self.role}'s turn {text.count(PLACE)} times, so the words of the "
                "stimulus have no one place in it. Give prompt=task."
            )
        return Frame(
            before=before,
            after=after,
            special_tokens=False,
            reads=self.features,
            max_new_tokens=self.max_new_tokens if self.features == "generated" else 0,
        )

    def _filled_in(self, tokenizer: Any) -> str:
        from jinja2.exceptions import TemplateError

        messages = [] if self.system is None else [{"role": "system", "content": self.system}]
        if self.role == "assistant":
            messages.append({"role": "user", "content": self.question})
        messages.append({"role": self.role, "content": f"{self.before}{PLACE}{self.after}"})
        try:
            text: str = tokenizer.apply_chat_template(
                messages,
                tokenize=False,
                add_generation_prompt=self.generation_prompt and self.role == "user",
                date_string=DAY.strftime("%d %b %Y"),
                strftime_now=DAY.strftime,
                **self.template_options,
            )
        except TemplateError as error:
            raise ModelError(
                f"the model's chat template refuses the conversation: {error}. Some know no system message: give "
                "prompt.system=null and put its text into prompt.before."
            ) from error
        return text
