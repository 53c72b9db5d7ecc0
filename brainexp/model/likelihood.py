"""How likely a model with its head finds a text, token by token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from brainexp.containers import FloatArray, Likelihoods
from brainexp.errors import ModelError
from brainexp.interfaces import BLANK
from brainexp.model.blueprint import most_tokens
from brainexp.model.perplexity import (
    MASKED_WINDOW,
    WINDOW,
    around,
    encoded,
    logits_of,
    masked_losses,
    masked_places,
    token_losses,
    windows,
)

#: How T5 marks the first gap of a text.
SENTINEL = "<extra_id_0>"
#: Tokens, padding included, in one pass: logits of a large vocabulary fill the memory sooner than states do.
TOKENS_PER_BATCH = {"cpu": 1024, "cuda": 16_384}


@dataclass(frozen=True, eq=False)
class LoadedLanguageModel:
    """A network with its head, and the tokenizer that goes with it.

    Parameters
    ----------
    network : transformers model
        Causal or masked, with its head.
    tokenizer : fast tokenizer of transformers
    reads : {"causal", "bidirectional", "encoder-decoder", "table"}
        A bidirectional model is asked for pseudo-likelihoods.
    name : str
        For messages.
    """

    network: Any
    tokenizer: Any
    reads: Literal["causal", "bidirectional", "encoder-decoder", "table"]
    name: str

    def likelihoods(self, texts: Sequence[str], *, within_words: Literal["all", "left"] = "all") -> list[Likelihoods]:
        """Score every text on its own.

        Parameters
        ----------
        texts : sequence of str
            Each is read after the start token (or the end token of the text before, for tokenizers that have no other).
        within_words : {"all", "left"}
            For masked models, what a token is told from: all other tokens (Salazar et al. 2020), or all but those that
            follow it in its word (Kauf & Ivanova 2023), which does not make rare words of many tokens look likely.

        Returns
        -------
        list of Likelihoods
            For causal models log p of each token after those before it, for masked models its pseudo log-likelihood.

        Raises
        ------
        ModelError
            If the model has no such head, or a text is too long for it.
        """
        self._require_head()
        encoded = [self._encoded(text) for text in texts]
        self._require_readable([len(ids) for ids, _ in encoded], texts)
        scored = self._causal(encoded) if self.reads == "causal" else self._masked(encoded, within_words)
        found = []
        for (_, offsets), log_p in zip(encoded, scored, strict=True):
            own = [(at, *span) for at, span in enumerate(offsets) if span[1] > span[0]]
            at, start, stop = np.array(own, np.intp).reshape(-1, 3).T
            found.append(Likelihoods(log_p[at], start, stop))
        return found

    def in_windows(
        self,
        words: Sequence[str],
        *,
        window: int | None = None,
        stride: int | None = None,
        n_masked: int | None = None,
        section: str = "probe.perplexity",
    ) -> Likelihoods:
        """Score a text that may be longer than what the model reads at once, see `brainexp.model.perplexity.token_losses`.

        Parameters
        ----------
        words : sequence of str
            The text, joined by single spaces.
        window, stride : int or None
            Tokens that are read at once, and from one window to the next; None for 512 (128 for masked models), or what the
            model can read, and half a window. A masked model sees each token in the middle of its window.
        n_masked : int or None
            Of a masked model, how many tokens, evenly spaced, are predicted; None for all.
        section : str
            Where the window stands in the config, for messages.

        Returns
        -------
        Likelihoods
            A token begins where the one before it ended. NaN for tokens that were not predicted; the first one of a causal
            model is predicted from the start token alone, where the tokenizer has one.

        Raises
        ------
        ConfigError
            If there can be no such windows.
        ModelError
            If the model has no such head.
        """
        self._require_head()
        is_masked = self.reads != "causal"
        usual = MASKED_WINDOW if is_masked else WINDOW
        window, stride = windows(window, stride, most_tokens(self.network), usual, section)
        ids, stop = encoded(self.tokenizer, words)
        before, after = around(self.tokenizer)
        log_p = np.full(len(ids), np.nan)
        logits = logits_of(self.network)
        if is_masked:
            n_masked = len(ids) if n_masked is None else n_masked
            told = masked_losses(logits, ids, self._mask, window, n_masked, before, after)
            log_p[masked_places(len(ids), n_masked)] = -told
        else:
            log_p[1:] = -token_losses(logits, ids, window, stride, before)
            if self._start is not None:
                log_p[:1] = -token_losses(logits, [self._start, ids[0]], 2, 1)
        return Likelihoods(log_p, np.array([0, *stop[:-1]], np.intp), np.array(stop, np.intp))

    def fillers(self, texts: Sequence[str], n_best: int) -> list[list[str] | None]:
        """Say which single tokens are likeliest in the place of a blank.

        Parameters
        ----------
        texts : sequence of str
            Each with one ``BLANK``. A masked model sees both sides. A causal one sees what stands before, so texts that go
            on after the blank with more than punctuation are not asked. An encoder–decoder is told to fill a gap (its
            first sentinel token) and answers with the token that follows the sentinel.
        n_best : int
            How many.

        Returns
        -------
        list of (list of str) or None
            Decoded, without spaces around, best first; None where the text was not asked.

        Raises
        ------
        ModelError
            If the model has no such head or no token that marks a gap, or a text is too long for it.
        """
        if self.network.get_output_embeddings() is None:
            self._require_head()
        asked = [at for at, text in enumerate(texts) if self.reads != "causal" or _ends_with_blank(text)]
        found: list[list[str] | None] = [None] * len(texts)
        rows = [self._with_gap(texts[at]) for at in asked]
        self._require_readable([len(ids) for ids, _ in rows], [texts[at] for at in asked])
        for batch in self._batches([len(ids) for ids, _ in rows]):
            logits = self._logits([rows[i][0] for i in batch])
            for row, i in enumerate(batch):
                best = logits[row, rows[i][1]].topk(n_best).indices.tolist()
                found[asked[i]] = [self.tokenizer.decode([token]).strip() for token in best]
        return found

    def is_one_token(self, words: Sequence[str]) -> list[bool]:
        """Whether each word, after a space as inside a sentence, is a single token."""
        # Behind another word, for some tokenizers put a space before a text of their own.
        ids = self.tokenizer(["the", *(f"the {word}" for word in words)], add_special_tokens=False)["input_ids"]
        return [len(one) == len(ids[0]) + 1 for one in ids[1:]]

    def _with_gap(self, text: str) -> tuple[list[int], int]:
        """Token numbers, and the position whose prediction fills the gap."""
        if self.reads == "causal":
            ids, _ = self._encoded(text[: text.index(BLANK)].rstrip())
            return ids, len(ids) - 1
        gap = self.tokenizer.mask_token if self.reads == "bidirectional" else SENTINEL
        gap_id = None if gap is None else self.tokenizer.convert_tokens_to_ids(gap)
        if gap_id is None or gap_id == self.tokenizer.unk_token_id:
            raise ModelError(f"the tokenizer of {self.name!r} has no token for a gap, so the model cannot fill one.")
        ids = list(self.tokenizer(text.replace(BLANK, gap), verbose=False)["input_ids"])
        return ids, 1 if self.reads == "encoder-decoder" else ids.index(gap_id)

    def _require_head(self) -> None:
        if self.reads in ("encoder-decoder", "table") or self.network.get_output_embeddings() is None:
            raise ModelError(
                f"model {self.name!r} has no head that tells how likely a text is. Give a causal or masked language model "
                "whose checkpoint holds its head, or leave this probe out."
            )

    def _encoded(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        found = self.tokenizer(text, return_offsets_mapping=True, verbose=False)
        ids, offsets = list(found["input_ids"]), list(found["offset_mapping"])
        if self.reads == "causal" and self._start is not None and not (ids and ids[0] == self._start):
            ids, offsets = [self._start, *ids], [(0, 0), *offsets]
        return ids, offsets

    @cached_property
    def _start(self) -> int | None:
        named = (self.tokenizer.bos_token_id, self.tokenizer.eos_token_id)
        return next((int(token) for token in named if token is not None), None)

    def _causal(self, encoded: Sequence[tuple[list[int], Any]]) -> list[FloatArray]:
        found: list[FloatArray] = [np.full(len(ids), np.nan) for ids, _ in encoded]
        for batch in self._batches([len(ids) for ids, _ in encoded]):
            rows = [encoded[at][0] for at in batch]
            log_p = self._log_softmax(rows)
            for row, at in enumerate(batch):
                ids = encoded[at][0]
                found[at][1:] = log_p[row, np.arange(len(ids) - 1), ids[1:]]
        return found

    def _masked(self, encoded: Sequence[tuple[list[int], Any]], within_words: str) -> list[FloatArray]:
        mask = self._mask
        hidden: list[tuple[int, int, list[int]]] = []  # text, token, the text with what is hidden
        for number, (ids, offsets) in enumerate(encoded):
            for at, (start, stop) in enumerate(offsets):
                if stop > start:
                    also = _later_in_word(offsets, at) if within_words == "left" else ()
                    hidden.append(
                        (number, at, [mask if i == at or i in also else token for i, token in enumerate(ids)])
                    )
        found: list[FloatArray] = [np.full(len(ids), np.nan) for ids, _ in encoded]
        for batch in self._batches([len(ids) for _, _, ids in hidden]):
            log_p = self._log_softmax([hidden[i][2] for i in batch])
            for row, i in enumerate(batch):
                number, at, _ = hidden[i]
                found[number][at] = log_p[row, at, encoded[number][0][at]]
        return found

    @property
    def _mask(self) -> int:
        mask = self.tokenizer.mask_token_id
        if mask is None:
            raise ModelError(
                f"the tokenizer of {self.name!r} has no mask token, so tokens cannot be hidden one by one."
            )
        return int(mask)

    def _batches(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        """Indices of texts of like length."""
        order = np.argsort(-np.asarray(lengths), kind="stable").tolist()
        budget = TOKENS_PER_BATCH["cuda" if self._device.type == "cuda" else "cpu"]
        while order:
            n_texts = max(budget // lengths[order[0]], 1)
            yield order[:n_texts]
            order = order[n_texts:]

    def _log_softmax(self, rows: Sequence[list[int]]) -> FloatArray:
        """Log-probabilities after each token, array of shape (n_texts, n_tokens, n_vocabulary)."""
        return np.asarray(self._logits(rows).log_softmax(-1).cpu().numpy())

    def _logits(self, rows: Sequence[list[int]]) -> Any:
        import torch

        width = max(map(len, rows))
        padding = self.tokenizer.pad_token_id
        tokens = torch.tensor([row + [padding] * (width - len(row)) for row in rows], device=self._device)
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=self._device)
        options = {}
        if self.reads == "encoder-decoder":  # the answer begins with the sentinel of the gap
            begin = [self.network.config.decoder_start_token_id, self.tokenizer.convert_tokens_to_ids(SENTINEL)]
            options = {"decoder_input_ids": torch.tensor([begin] * len(rows), device=self._device)}
        with torch.inference_mode():
            return self.network(input_ids=tokens, attention_mask=mask, **options).logits.float()

    def _require_readable(self, lengths: Sequence[int], texts: Sequence[str]) -> None:
        limit = most_tokens(self.network)
        longest = int(np.argmax(lengths))
        if limit is not None and lengths[longest] > limit:
            raise ModelError(
                f"the text {texts[longest][:60]!r}... has {lengths[longest]} tokens, but model {self.name!r} reads at most "
                f"{limit}. Leave it out, or use another model."
            )

    @property
    def _device(self) -> Any:
        return next(self.network.parameters()).device


def _ends_with_blank(text: str) -> bool:
    """Whether nothing but punctuation follows the blank."""
    return not any(map(str.isalnum, text[text.index(BLANK) + len(BLANK) :]))


def _later_in_word(offsets: Sequence[tuple[int, int]], at: int) -> set[int]:
    """Tokens that follow a token in its word: those that go on where the one before ended."""
    later = set()
    for other in range(at + 1, len(offsets)):
        if offsets[other][0] != offsets[other - 1][1] or offsets[other][1] == offsets[other][0]:
            break
        later.add(other)
    return later
