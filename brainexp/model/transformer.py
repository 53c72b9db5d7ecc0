"""Any text model that transformers loads: hidden states of every layer for every word."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from brainexp.cache import digest
from brainexp.containers import FloatArray, IntArray, Stimulus
from brainexp.errors import ConfigError, ModelError
from brainexp.interfaces import NOT_IN_CACHE_KEY, Compression, Prompt
from brainexp.model.checkpoint import checkpoint_digest, from_pretrained, located
from brainexp.model.generation import answers, last_token, no_answer
from brainexp.model.window import Window, tokens_of_word, windows
from brainexp.registry import MODELS

#: Raise when features of the same options change; every cached feature is then computed again.
FEATURES_VERSION = 1


@MODELS.register("transformer")
@dataclass(frozen=True)
class Transformer:
    """A causal or bidirectional language model, read word by word in the context of the words before.

    Parameters
    ----------
    path : str
        A folder with a checkpoint, a Hugging Face id, or ``package:NAME/SUB`` for weights inside a Python package.
    blocks : int or None
        Declared number of transformer blocks, checked when the model is loaded.
    revision : str or None
        Branch, tag or commit on the hub.
    weights : {"pretrained", "random"}
        Random gives the untrained twin: the same architecture and tokenizer, initialised with ``seed``.
    seed : int
        Of the random weights.
    dtype : {"float32", "bfloat16", "float16"}
        In which the network computes.
    device : str
        "auto" takes a GPU if there is one; "cpu", "cuda" or "cuda:1" insist.
    context_words : int
        Words that the model reads, the word itself included.
    pooling : {"mean", "last"}
        Over the sub-tokens of the word.
    batch_size : int
        Windows per forward pass.
    """

    # identity() stands for the first three and the seed in the cache key
    path: str = field(metadata=NOT_IN_CACHE_KEY)
    blocks: int | None = field(default=None, metadata=NOT_IN_CACHE_KEY)
    revision: str | None = field(default=None, metadata=NOT_IN_CACHE_KEY)
    weights: Literal["pretrained", "random"] = "pretrained"
    seed: int = field(default=0, metadata=NOT_IN_CACHE_KEY)
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    device: str = field(default="auto", metadata=NOT_IN_CACHE_KEY)
    context_words: int = 20
    pooling: Literal["mean", "last"] = "mean"
    batch_size: int = field(default=32, metadata=NOT_IN_CACHE_KEY)

    def __post_init__(self) -> None:
        for name in ("context_words", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"model 'transformer': {name} must be at least 1, got {getattr(self, name)}")

    def identity(self) -> str:
        """Return a digest of the checkpoint, the code version and, for random weights, the seed."""
        import transformers

        path = located(self.path)
        config = self._config(path)
        if self.weights == "random":
            source = {"config": config.to_dict(), "seed": self.seed}
        elif Path(path).is_dir():
            source = {"files": checkpoint_digest(Path(path))}
        else:
            source = {"hub": path, "commit": config._commit_hash}
        return digest({"source": source, "features": FEATURES_VERSION, "transformers": transformers.__version__})

    def load(self) -> LoadedTransformer:
        """Read tokenizer and weights and put them on the device.

        Raises
        ------
        ModelError
            If weights or device are not there, or the number of blocks is not the declared one.
        """
        import torch
        from transformers import AutoModel
        from transformers.utils import logging as transformers_logging

        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        path = located(self.path)
        config = self._config(path)
        tokenizer = self.tokenizer()
        dtype = getattr(torch, self.dtype)
        if self.weights == "random":
            with torch.random.fork_rng():
                torch.manual_seed(self.seed)
                network = AutoModel.from_config(config, dtype=dtype)  # type: ignore[no-untyped-call]
        else:
            network = from_pretrained(AutoModel, path, self.revision, dtype=dtype)
        return LoadedTransformer(model=self, network=network.to(self._device()).eval(), tokenizer=tokenizer)

    def tokenizer(self) -> Any:
        """Return the checkpoint's tokenizer, with a token to pad with.

        Raises
        ------
        ModelError
            If it is not there, or cannot tell which characters a token is made of.
        """
        from transformers import AutoTokenizer

        tokenizer = from_pretrained(AutoTokenizer, located(self.path), self.revision, use_fast=True)
        if not tokenizer.is_fast:
            raise ModelError(
                f"model {self.path!r} has no fast tokenizer, so tokens cannot be mapped to words by their characters. "
                "Convert it to tokenizer.json."
            )
        if tokenizer.pad_token is None:  # never attended to, so any token will do
            tokenizer.pad_token = tokenizer.eos_token or tokenizer.convert_ids_to_tokens(0)
        return tokenizer

    def require_ready(self) -> None:
        """Raise ModelError if checkpoint or device are not there, or the checkpoint is not the declared one."""
        self._device()
        self._config(located(self.path))

    def objection(self, compression: Compression, prompt: Prompt) -> str | None:
        """Return why the model cannot answer the prompt, or None; raise ModelError if it has no chat template."""
        frame = prompt.around(self.tokenizer())
        return no_answer(self._config(located(self.path))) if frame.reads == "generated" else None

    def shape(self) -> tuple[int, int]:
        """Layers (one more than blocks) and width of the features."""
        config = self._config(located(self.path)).get_text_config()
        return int(config.num_hidden_layers) + 1, int(config.hidden_size)

    def _device(self) -> str:
        import torch

        if self.device == "auto":
            return "cuda" if torch.cuda.is_available() else "cpu"
        if self.device.startswith("cuda") and not torch.cuda.is_available():
            raise ModelError(
                f"model.device={self.device}, but torch {torch.__version__} finds no GPU. "
                "Give model.device=cpu, or install a CUDA build of torch on a machine with a GPU."
            )
        return self.device

    def _config(self, path: str) -> Any:
        from transformers import AutoConfig

        config = from_pretrained(AutoConfig, path, self.revision)
        found = config.get_text_config().num_hidden_layers
        if self.blocks is not None and found != self.blocks:
            raise ModelError(
                f"model {self.path!r} has {found} blocks, but {self.blocks} are declared. "
                f"It is another checkpoint than the config means; check model.path, or give model.blocks={found}."
            )
        return config


@dataclass(frozen=True, eq=False)
class LoadedTransformer:
    """A transformers network in memory.

    Parameters
    ----------
    model : Transformer
        The options it was loaded with.
    network : torch.nn.Module
        Without a language-model head.
    tokenizer : fast tokenizer of transformers
    """

    model: Transformer
    network: Any
    tokenizer: Any

    @property
    def n_layers(self) -> int:
        """Number of layers including the embedding output."""
        return int(self.network.config.get_text_config().num_hidden_layers) + 1

    @property
    def n_dims(self) -> int:
        """Width of a layer."""
        return int(self.network.config.get_text_config().hidden_size)

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
            Which words.
        values : array of float32 of shape (n_layers, n, n_dims)
            Hidden states pooled over the word's sub-tokens, or as the prompt says; layer 0 is the embedding output, the
            last one what transformers returns last (for Llama-like models after the final norm).

        Raises
        ------
        DataError
            If the tokenizer makes no token of a word.
        ModelError
            If a context is longer than the model can read.
        """
        frame = prompt.around(self.tokenizer)
        found = windows(stimulus, self.model.context_words, frame)
        encoded = self.tokenizer(
            [window.text for window in found], return_offsets_mapping=True, add_special_tokens=frame.special_tokens
        )
        spans = [
            tokens_of_word(offsets, window, stimulus, at)
            for at, (offsets, window) in enumerate(zip(encoded["offset_mapping"], found, strict=True))
        ]
        lengths = np.array([len(ids) for ids in encoded["input_ids"]])
        self._require_readable(lengths + frame.max_new_tokens, found)
        if frame.reads == "generated":
            longest = int(lengths.max()) + frame.max_new_tokens
            yield from answers(self, encoded["input_ids"], frame.max_new_tokens, longest * self.model.batch_size)
            return
        if frame.reads == "last":
            spans = [last_token(offsets) for offsets in encoded["offset_mapping"]]
        order = np.argsort(lengths, kind="stable")  # like lengths together: little padding
        for first in range(0, len(order), self.model.batch_size):
            at = order[first : first + self.model.batch_size]
            yield at, self._pooled([encoded["input_ids"][i] for i in at], [spans[i] for i in at])

    def facts(self, stimulus: Stimulus) -> dict[str, float]:
        """Return nothing: every word has features, or reading it was an error."""
        return {}

    def _pooled(self, ids: list[list[int]], spans: list[tuple[int, int]]) -> FloatArray:
        import torch

        device = next(self.network.parameters()).device
        width = max(map(len, ids))
        padding = self.tokenizer.pad_token_id
        # Right padding with a mask: a causal model never sees it, a bidirectional one does not attend to it.
        tokens = torch.tensor([row + [padding] * (width - len(row)) for row in ids], device=device)
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in ids], device=device)
        position = torch.arange(width, device=device)
        start = torch.tensor([span[0] for span in spans], device=device)[:, None]
        stop = torch.tensor([span[1] for span in spans], device=device)[:, None]
        if self.model.pooling == "last":
            start = stop - 1
        weight = ((position >= start) & (position < stop)).float()
        weight /= weight.sum(dim=1, keepdim=True)
        with torch.inference_mode():
            states = self.network(input_ids=tokens, attention_mask=mask, output_hidden_states=True).hidden_states
            pooled = torch.stack([torch.einsum("nt,ntd->nd", weight, state.float()) for state in states])
        return np.asarray(pooled.cpu().numpy())

    def _require_readable(self, lengths: IntArray, found: list[Window]) -> None:
        limit = getattr(self.network.config.get_text_config(), "max_position_embeddings", None)
        longest = int(lengths.argmax())
        if limit is not None and lengths[longest] > limit:
            raise ModelError(
                f"the context {found[longest].text[:60]!r}... has {lengths[longest]} tokens, but the model reads at most "
                f"{limit}. Lower model.context_words (now {self.model.context_words})."
            )
