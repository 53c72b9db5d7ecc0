"""Weights in memory, and how words are read with them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from brainexp.containers import FloatArray, IntArray, Passage, Stimulus
from brainexp.errors import ModelError
from brainexp.interfaces import Frame, Prompt
from brainexp.model.arithmetic import arithmetic, mixes_texts, rounds_inputs
from brainexp.model.blueprint import most_tokens, n_blocks_of
from brainexp.model.context import Reading, first_words, readings, tokens_of_stretches, tokens_of_words
from brainexp.model.generation import answers, last_token
from brainexp.model.layers import Anatomy, Pool, examined, run, to_numpy

if TYPE_CHECKING:
    from brainexp.model.transformer import Transformer


@dataclass
class Room:
    """Tokens that fit into one forward pass, as far as is known."""

    tokens: int


@dataclass(frozen=True, eq=False)
class LoadedTransformer:
    """A transformers network in memory.

    Parameters
    ----------
    model : Transformer
        The options it was loaded with.
    network : torch.nn.Module
        Without a language-model head; of an encoder–decoder, the encoder, unless decoder states are asked for.
    tokenizer : fast tokenizer of transformers
    """

    model: Transformer
    network: Any
    tokenizer: Any

    @property
    def layer_numbers(self) -> tuple[int, ...]:
        """Which layers are kept; 0 is the embedding output."""
        return tuple(range(self._n_blocks + 1)) if self.model.layers == "all" else self.model.layers

    @property
    def n_layers(self) -> int:
        """Number of layers that are kept; without ``model.layers``, all blocks and the embedding output."""
        return len(self.layer_numbers)

    @property
    def n_dims(self) -> int:
        """Width of a layer."""
        return int(self.network.config.get_text_config().hidden_size)

    @property
    def arithmetic(self) -> str:
        """With what it multiplies, in words."""
        return arithmetic(self.network, self.model.dtype, self._device.type)

    def extract(self, stimulus: Stimulus, prompt: Prompt) -> Iterator[tuple[IntArray, FloatArray]]:
        """Read every word in its context.

        Parameters
        ----------
        stimulus : Stimulus
            A story.
        prompt : Prompt
            What stands around the context, and which states are read.

        Yields
        ------
        at : array of int of shape (n,)
            Which words; every word comes once.
        values : array of float32 of shape (n_layers, n, n_dims)
            Hidden states pooled over the word's sub-tokens, or as the prompt says; layer 0 is the embedding output, the
            last one what transformers returns last (for Llama-like models after the final norm).

        Raises
        ------
        DataError
            If the tokenizer makes no token of a word, or one token of two words.
        ModelError
            If a context is longer than the model can read, or does not fit into memory.
        """
        frame = prompt.around(self.tokenizer)
        found = self._readings(stimulus, frame)
        texts = self._encoded([one.text for one in found], special_tokens=frame.special_tokens)
        spans = [tokens_of_words(offsets, one, stimulus) for one, (_, offsets) in zip(found, texts, strict=True)]
        self._n_tokens[stimulus.story] = sum(len(ids) for ids, _ in texts)
        lengths = np.array([len(ids) for ids, _ in texts])
        self._require_readable(lengths + frame.max_new_tokens, [one.text for one in found])
        if frame.reads == "generated":
            if not self._anatomy.told_embedding:
                raise ModelError(
                    f"model {self.model.path!r} does not tell its embedding, so prompt.features=generated would count its "
                    "layers in another way. Give prompt.features=stimulus or last."
                )
            for at, answered in answers(self, [ids for ids, _ in texts], frame.max_new_tokens, self._room.tokens):
                yield at, answered[list(self.layer_numbers)]
            return
        if frame.reads == "last":
            spans = [last_token(offsets) for _, offsets in texts]
        for batch, values in self._batches([ids for ids, _ in texts], spans):
            yield np.concatenate([np.asarray(found[i].words) for i in batch]), values

    def read(self, passages: Sequence[Passage]) -> Iterator[tuple[IntArray, FloatArray]]:
        """Read every passage as a whole, with no prompt.

        Parameters
        ----------
        passages : sequence of Passage
            Texts and their stretches; ``model.context`` does not cut them.

        Yields
        ------
        at : array of int of shape (n,)
            Which stretches, counted through all passages; every stretch comes once.
        values : array of float32 of shape (n_layers, n, n_dims)
            As for `extract`, pooled over the tokens that a stretch overlaps, special tokens left out.

        Raises
        ------
        DataError
            If the tokenizer makes no token of a stretch.
        ModelError
            If a passage is longer than the model can read, or does not fit into memory.
        """
        texts = self._encoded([one.text for one in passages], special_tokens=True)
        spans = [tokens_of_stretches(offsets, one) for one, (_, offsets) in zip(passages, texts, strict=True)]
        self._require_readable(np.array([len(ids) for ids, _ in texts]), [one.text for one in passages])
        first = np.cumsum([0, *(len(one.parts) for one in passages)])
        for batch, values in self._batches([ids for ids, _ in texts], spans):
            yield np.concatenate([np.arange(first[i], first[i + 1]) for i in batch]), values

    def _batches(
        self, ids: Sequence[list[int]], spans: Sequence[tuple[IntArray, IntArray]]
    ) -> Iterator[tuple[IntArray, FloatArray]]:
        """Indices of texts that were read together, and features of their spans, one text after the other."""
        lengths = np.array([len(row) for row in ids])
        order = np.argsort(-lengths, kind="stable")  # like lengths together: little padding; the longest must fit first
        while len(order):
            width = int(lengths[order[0]])
            batch = order[: max(self._room.tokens // width, 1)]
            values = self._tried([ids[i] for i in batch], [spans[i] for i in batch])
            if values is None:
                self._make_do_with_half(len(batch), width)
                continue
            yield batch, values
            order = order[len(batch) :]

    def facts(self, stimulus: Stimulus) -> dict[str, float]:
        """Count the tokens that were read, those of a word's context each time anew, padding left out."""
        return {"tokens": float(self._n_tokens[stimulus.story])} if stimulus.story in self._n_tokens else {}

    def _readings(self, stimulus: Stimulus, frame: Frame) -> list[Reading]:
        model = self.model
        if model.later_words and self._anatomy.causal:
            raise ModelError(
                f"model {model.path!r} is causal: it cannot see later words. Give model.later_words=false."
            )
        own_states = model.context != "window" and frame.reads == "stimulus"
        shared = own_states and (model.later_words or self._anatomy.causal)
        first = first_words(stimulus, model.context, model.context_words, model.stride_words)
        return readings(stimulus, first, frame, shared=shared)

    def _encoded(self, written: list[str], *, special_tokens: bool) -> list[tuple[list[int], list[tuple[int, int]]]]:
        """Token numbers of every text, and the characters of each token."""
        encoded = self.tokenizer(written, return_offsets_mapping=True, add_special_tokens=special_tokens, verbose=False)
        texts = list(zip(encoded["input_ids"], encoded["offset_mapping"], strict=True))
        if self.model.states == "decoder":
            return [self._shifted(ids, offsets) for ids, offsets in texts]
        if self.model.start_token:
            start = self._start_token
            return [text if _begins_with(start, *text) else ([start, *text[0]], [(0, 0), *text[1]]) for text in texts]
        return texts

    def _shifted(self, ids: list[int], offsets: list[tuple[int, int]]) -> tuple[list[int], list[tuple[int, int]]]:
        """Put the decoder's start token first and leave out the end token, as in training."""
        ended = bool(offsets) and offsets[-1][0] == offsets[-1][1]
        kept = slice(0, len(ids) - ended)
        return [self.network.config.decoder_start_token_id, *ids[kept]], [(0, 0), *offsets[kept]]

    @cached_property
    def _start_token(self) -> int:
        if not self._anatomy.causal:
            raise ModelError(f"model {self.model.path!r} is bidirectional: give model.start_token=false.")
        named = (self.tokenizer.bos_token_id, self.tokenizer.eos_token_id)
        start = next((token for token in named if token is not None), None)
        if start is None:
            raise ModelError(f"the tokenizer of {self.model.path!r} has no start token: give model.start_token=false.")
        return int(start)

    def _tried(self, ids: list[list[int]], spans: list[tuple[IntArray, IntArray]]) -> FloatArray | None:
        """Features of a batch, array of shape (n_layers, n_words, n_dims); None if memory does not suffice."""
        import torch

        try:
            return self._pooled(ids, spans)
        except torch.OutOfMemoryError:
            return None  # what the pass held is let go when the exception is

    def _pooled(self, ids: list[list[int]], spans: list[tuple[IntArray, IntArray]]) -> FloatArray:
        import torch

        width = max(map(len, ids))
        padding = self.tokenizer.pad_token_id
        # Right padding with a mask: a causal model never sees it, a bidirectional one does not attend to it.
        tokens = torch.tensor([row + [padding] * (width - len(row)) for row in ids], device=self._device)
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in ids], device=self._device)
        start = np.concatenate([begin + row * width for row, (begin, _) in enumerate(spans)])
        stop = np.concatenate([end + row * width for row, (_, end) in enumerate(spans)])
        pool = Pool.of(start, stop, self.model.pooling, self._device)
        rows = []
        with torch.inference_mode():
            run(
                self._anatomy,
                self._forward,
                tokens,
                mask,
                self.layer_numbers,
                lambda _, state: rows.append(pool(state)),
            )
        return to_numpy(rows)

    def _make_do_with_half(self, n_texts: int, width: int) -> None:
        import torch

        torch.cuda.empty_cache()
        if n_texts == 1:
            raise ModelError(
                f"one text of {width} tokens does not fit into the memory of {self._device}. Lower model.context_words (now "
                f"{self.model.context_words}), or give model.dtype=bfloat16, model.device_map=auto or model.device=cpu."
            )
        self._room.tokens = n_texts * width // 2

    @property
    def _n_blocks(self) -> int:
        return n_blocks_of(self.network.config, self.model.states)

    @cached_property
    def _room(self) -> Room:
        if mixes_texts(self.network):
            return Room(1)  # each text alone: its features are then its own, whatever the batch size
        return Room(self.model.tokens_per_batch or (512 if self._device.type == "cpu" else 16_384))

    @cached_property
    def _n_tokens(self) -> dict[str, int]:
        return {}  # by story

    @cached_property
    def _anatomy(self) -> Anatomy:
        part = self.network.get_decoder() if self.model.states == "decoder" else self.network
        vocabulary = self.network.config.get_text_config().vocab_size
        rounded = rounds_inputs(self.network)
        return examined(part, self._forward, self._n_blocks, vocabulary, self._device, rounded=rounded)

    @cached_property
    def _device(self) -> Any:
        import torch

        weights = self.network.parameters()  # accelerate holds what is spread over host and disk as "meta"
        return next((one.device for one in weights if one.device.type != "meta"), torch.device("cpu"))

    @cached_property
    def _known_options(self) -> dict[str, bool]:
        """Options that save memory, where the network knows them."""
        return {"use_cache": False} if "use_cache" in inspect.signature(self.network.forward).parameters else {}

    def _forward(self, tokens: Any, mask: Any, **options: Any) -> Any:
        import torch

        options = {**self._known_options, **options}
        if self.model.states != "decoder":
            return self.network(input_ids=tokens, attention_mask=mask, **options)
        silence = self.tokenizer("")["input_ids"] or [self.tokenizer.eos_token_id]
        empty = torch.tensor([silence] * len(tokens), device=tokens.device)
        return self.network(input_ids=empty, decoder_input_ids=tokens, decoder_attention_mask=mask, **options)

    def _require_readable(self, lengths: IntArray, written: Sequence[str]) -> None:
        longest = int(lengths.argmax())
        if self._n_positions is not None and lengths[longest] > self._n_positions:
            raise ModelError(
                f"the context {written[longest][:60]!r}... has {lengths[longest]} tokens, but the model reads at most "
                f"{self._n_positions}. Lower model.context_words (now {self.model.context_words})."
            )

    @cached_property
    def _n_positions(self) -> int | None:
        """Tokens that the model can read at once, or None where nothing limits them."""
        return most_tokens(self.network)


def _begins_with(start: int, ids: list[int], offsets: list[tuple[int, int]]) -> bool:
    """Whether the tokenizer, or the prompt, has put a special token first."""
    return bool(ids) and (offsets[0][0] == offsets[0][1] or ids[0] == start)
