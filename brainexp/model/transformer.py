"""Any text model that transformers loads: hidden states of its layers for every word."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from brainexp.cache import digest
from brainexp.errors import ConfigError, ModelError
from brainexp.interfaces import NOT_IN_CACHE_KEY, Blueprint, Compression, ModelSize, Prompt
from brainexp.model.arithmetic import arithmetic
from brainexp.model.blueprint import (
    class_with_head,
    heads_of,
    linear_layers,
    most_tokens,
    n_blocks_of,
    reads,
    skeleton,
    transposed,
)
from brainexp.model.checkpoint import checkpoint_digest, from_pretrained, located
from brainexp.model.context import Mode
from brainexp.model.generation import no_answer
from brainexp.model.likelihood import LoadedLanguageModel
from brainexp.model.loaded import LoadedTransformer
from brainexp.model.prequantized import (
    bytes_in_memory,
    dense,
    description,
    quantization,
    recognised,
    require_readable,
)
from brainexp.model.reading import body, read_network
from brainexp.registry import MODELS

log = logging.getLogger(__name__)

#: Raise when features of the same options change; every cached feature is then computed again.
FEATURES_VERSION = 2
#: About how many tokens a word makes.
TOKENS_PER_WORD = 1.4


@MODELS.register("transformer")
@dataclass(frozen=True)
class Transformer:
    """A language model, read word by word in a stated context: causal, bidirectional or an encoder–decoder.

    Parameters
    ----------
    path : str
        A folder with a checkpoint, a Hugging Face id, or ``package:NAME/SUB`` for weights inside a Python package.
    blocks : int or None
        Declared number of transformer blocks (of the half that ``states`` names), checked when the model is loaded.
    revision : str or None
        Branch, tag or commit on the hub.
    weights : {"pretrained", "random"}
        Random gives the untrained twin: the same architecture and tokenizer, initialised with ``seed``.
    seed : int
        Of the random weights.
    dtype : {"float32", "bfloat16", "float16"}
        In which the network computes; features are pooled in float32.
    device : str
        "auto" takes a GPU if there is one; "cpu", "cuda" or "cuda:1" insist.
    device_map : str or None
        How accelerate spreads a model that is larger than a device ("auto", "balanced", "sequential"); device is then
        "auto".
    states : {"encoder", "decoder"} or None
        Which half of an encoder–decoder gives features; None for the encoder, and for models that have one half. The
        encoder reads the words. The decoder reads them as in training, after its start token, while the encoder reads
        the empty text with its special tokens: a word is then known from the words before it alone, as in a causal model.
    layers : "all" or tuple of int
        Which layers are kept, increasing; 0 is the embedding output. Blocks above the deepest are not run.
    context : {"window", "growing", "sliding", "sentence"}
        What a word is read with; `brainexp.model.context.first_words` has the table. Window: the last words, the same number
        for every word. Growing: all words up to a number, then half of them, and so on. Sliding: chunks that overlap.
        Sentence: its sentence. The word itself is always included, and no later word unless ``later_words``.
    context_words : int or None
        Words that the model reads at most, the word itself included; None for no limit.
    stride_words : int or None
        From one chunk to the next with context=sliding; None for an eighth of ``context_words``.
    later_words : bool
        Let a bidirectional model also see what comes after a word in its chunk or sentence, one pass for all its words.
    pooling : {"mean", "last", "first", "sum"}
        Over the sub-tokens of the word. Special tokens and the prompt never count.
    start_token : bool
        Put the tokenizer's start token (or its end token, if it has no other) before every text where the tokenizer does
        not do so itself. What stands at position 0 is in many causal models an attention sink, with a state unlike all
        others; without a start token that is the first word of the story, or of every sentence with context=sentence.
    tokens_per_batch : int or None
        Tokens, padding included, in one forward pass; None for 512 on a CPU, which gains nothing from more, and 16,384 on a
        GPU. Halved and remembered when memory does not suffice.

    Notes
    -----
    Each word's features are those of a pass of its own over its context, to rounding, in every mode. In a causal model
    words with the same first context word share one pass, so growing, sliding and sentence cost a pass per chunk and window a
    pass per word; in a bidirectional model each word costs a pass, unless ``later_words``.
    """

    # identity() stands for the first three and the seed in the cache key
    path: str = field(metadata=NOT_IN_CACHE_KEY)
    blocks: int | None = field(default=None, metadata=NOT_IN_CACHE_KEY)
    revision: str | None = field(default=None, metadata=NOT_IN_CACHE_KEY)
    weights: Literal["pretrained", "random"] = "pretrained"
    seed: int = field(default=0, metadata=NOT_IN_CACHE_KEY)
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    device: str = field(default="auto", metadata=NOT_IN_CACHE_KEY)
    device_map: Literal["auto", "balanced", "sequential"] | None = field(default=None, metadata=NOT_IN_CACHE_KEY)
    states: Literal["encoder", "decoder"] | None = None
    layers: Literal["all"] | tuple[int, ...] = "all"
    context: Mode = "window"
    context_words: int | None = 20
    stride_words: int | None = None
    later_words: bool = False
    pooling: Literal["mean", "last", "first", "sum"] = "mean"
    start_token: bool = False
    tokens_per_batch: int | None = field(default=None, metadata=NOT_IN_CACHE_KEY)

    def __post_init__(self) -> None:
        for name in ("context_words", "stride_words", "tokens_per_batch"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"model 'transformer': {name} must be at least 1, got {value}")
        for objection in self._objections():
            raise ConfigError(f"model 'transformer': {objection}")

    def _objections(self) -> Iterator[str]:
        if self.layers != "all" and (
            not self.layers or self.layers[0] < 0 or list(self.layers) != sorted({*self.layers})
        ):
            yield f"layers must be 'all' or increasing numbers from 0, got {list(self.layers)}"
        if self.context == "sliding" and self.context_words is None:
            yield "context=sliding needs context_words, the length of a chunk"
        if self.stride_words is not None and self.context != "sliding":
            yield f"stride_words belongs to context=sliding, but context={self.context}. Leave it null"
        if self.stride_words is not None and self.context_words is not None and self.stride_words > self.context_words:
            yield f"stride_words={self.stride_words} would skip words: it must be at most context_words={self.context_words}"
        if self.later_words and self.context == "window":
            yield "context=window ends with its word, so later_words must be false; or take another context"
        if self.device_map is not None and self.device != "auto":
            yield f"device_map={self.device_map} places the model itself, so device must be auto, got {self.device!r}"

    def identity(self) -> str:
        """Return a digest of the checkpoint, the code version and, for random weights, the seed."""
        import transformers

        return digest({"source": self.source(), "features": FEATURES_VERSION, "transformers": transformers.__version__})

    def source(self) -> dict[str, Any]:
        """Return the digest of a checkpoint's files, its commit on the hub, or config and seed of random weights."""
        path = located(self.path)
        config = self._config(path)
        if self.weights == "random":
            return {"config": dense(config).to_dict(), "seed": self.seed}
        if Path(path).is_dir():
            return {"files": checkpoint_digest(Path(path))}
        return {"hub": path, "commit": config._commit_hash}

    def load(self) -> LoadedTransformer:
        """Read tokenizer and weights and put them on the device.

        Raises
        ------
        ModelError
            If weights or device are not there, or the number of blocks is not the declared one.
        """
        from transformers.utils import logging as transformers_logging

        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        self._require_accelerate()
        path = located(self.path)
        config = self._config(path)
        tokenizer = self.tokenizer()
        network = body(self._network(path, config), self.states)  # head and, if it is not read, decoder are let go
        told = self._quantization(config)
        if told is not None:
            way = arithmetic(network, self.dtype, self._device())
            log.info("%s is quantized already (%s): %s", self.path, description(told), way)
        return LoadedTransformer(model=self, network=network.eval(), tokenizer=tokenizer)

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
        self._require_accelerate()
        self._config(located(self.path))

    def size(self) -> ModelSize:
        """Return what the network takes, reckoned from its config."""
        import torch
        from transformers import AutoModel

        config = self._config(located(self.path))
        with torch.device("meta"):
            network = AutoModel.from_config(config, dtype=getattr(torch, self.dtype))  # type: ignore[no-untyped-call]
        n_parameters = sum(weight.numel() for weight in network.parameters())
        return ModelSize(
            n_bytes=bytes_in_memory(network, self._quantization(config)),
            multiplications_per_unit=2.0 * n_parameters * TOKENS_PER_WORD * self._words_read_per_word(),
        )

    def _words_read_per_word(self) -> float:
        if self.context_words is None or self.context == "sentence":
            return 1.0
        if self.context == "window":
            return float(self.context_words)
        if self.context == "growing":
            return 2.0
        return self.context_words / (self.stride_words or max(self.context_words // 8, 1))

    def objection(self, compression: Compression, prompt: Prompt) -> str | None:
        """Return why the model cannot answer the prompt, or None; raise ModelError if it has no chat template."""
        frame = prompt.around(self.tokenizer())
        if frame.reads != "stimulus" and self.later_words:
            return (
                f"model.later_words is for a word's own states, but prompt.features={frame.reads}. Give one of them up."
            )
        return no_answer(self._config(located(self.path))) if frame.reads == "generated" else None

    def shape(self) -> tuple[int, int]:
        """Layers (with all of them, one more than blocks) and width of the features."""
        width = self._config(located(self.path)).get_text_config().hidden_size
        return len(self.layer_numbers()), int(width)

    def layer_numbers(self) -> tuple[int, ...]:
        """Return which layers are kept, without reading weights; 0 is the embedding output."""
        if self.layers != "all":
            return self.layers
        return tuple(range(n_blocks_of(self._config(located(self.path)), self.states) + 1))

    def blueprint(self) -> Blueprint:
        """Return what the network is made of, with its head, without reading weights."""
        config = self._config(located(self.path))
        network = skeleton(config)
        linear = linear_layers(network)
        return Blueprint(
            family=config.model_type,
            reads=reads(config),
            n_blocks=n_blocks_of(config, self.states),
            linear=linear,
            head=heads_of(network, linear),
            quantized=None if (told := self._quantization(config)) is None else description(told),
            device=self._device(),
            dtype=self.dtype,
            transposed=transposed(network),
            n_positions=most_tokens(network),
        )

    def network_with_head(self, **options: Any) -> Any:
        """Read the weights with the head that the checkpoint was saved with, on the CPU unless options say otherwise.

        Parameters
        ----------
        **options
            Of ``from_pretrained``, such as ``quantization_config`` or ``device_map``.
        """
        import torch

        path = located(self.path)
        config = self._config(path)
        given = {"dtype": getattr(torch, self.dtype), **options}
        network, _ = read_network(class_with_head(config), path, self.revision, config, "cpu", self.states, **given)
        return network.eval()

    def folder(self) -> Path:
        """Return the folder of the checkpoint's files; of a hub model, the one that it was fetched into."""
        from transformers.utils.hub import cached_file

        path = located(self.path)
        if Path(path).is_dir():
            return Path(path)
        self._config(path)  # fetches it
        found = cached_file(path, "config.json", revision=self.revision or "main", local_files_only=True)
        return Path(str(found)).parent

    def language_model(self) -> LoadedLanguageModel:
        """Read tokenizer and weights with the head and put them on the device."""
        blueprint = self.blueprint()
        at_once = blueprint.quantized is not None and blueprint.device != "cpu"  # some kinds cannot move later
        network = self.network_with_head(**({"device_map": blueprint.device} if at_once else {}))
        network = network if at_once else network.to(blueprint.device)
        return LoadedLanguageModel(network, self.tokenizer(), blueprint.reads, self.path)

    def at(self, folder: Path) -> Transformer:
        """Return the same options for a checkpoint in a folder, such as this one compressed."""
        return replace(self, path=str(folder), revision=None, blocks=None)

    def _network(self, path: str, config: Any) -> Any:
        import torch
        from transformers import AutoModel

        dtype = getattr(torch, self.dtype)
        if self.weights == "pretrained":
            spread = {} if self.device_map is None else {"device_map": self.device_map}
            device = self._device()
            network, _ = read_network(
                AutoModel, path, self.revision, config, device, self.states, dtype=dtype, **spread
            )
            return network if spread or quantization(config) is not None else network.to(device)
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            network = AutoModel.from_config(dense(config), dtype=dtype)  # type: ignore[no-untyped-call]
        if self.device_map is None:
            return network.to(self._device())
        from accelerate import dispatch_model, infer_auto_device_map
        from accelerate.utils import get_balanced_memory

        whole = list(network._no_split_modules or ())  # blocks with residual connections stay on one device
        memory = (
            None if self.device_map == "sequential" else get_balanced_memory(network, no_split_module_classes=whole)
        )
        return dispatch_model(network, infer_auto_device_map(network, memory, no_split_module_classes=whole))

    def _quantization(self, config: Any) -> Mapping[str, Any] | None:
        """How the weights are quantized already; random ones are not."""
        return quantization(config) if self.weights == "pretrained" else None

    def _require_accelerate(self) -> None:
        if self.device_map is not None and importlib.util.find_spec("accelerate") is None:
            raise ModelError(
                f"model.device_map={self.device_map} needs accelerate, which is not installed. "
                "Install it: pip install brainexp[gpu]"
            )

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

        config = recognised(from_pretrained(AutoConfig, path, self.revision), path, self.revision)
        told = self._quantization(config)
        if told is not None:
            require_readable(told, self.path)
        if self.states is not None and not config.is_encoder_decoder:
            raise ModelError(
                f"model {self.path!r} is no encoder–decoder, so it has no {self.states} states. Give model.states=null."
            )
        found = n_blocks_of(config, self.states)
        if self.blocks is not None and found != self.blocks:
            raise ModelError(
                f"model {self.path!r} has {found} blocks, but {self.blocks} are declared. "
                f"It is another checkpoint than the config means; check model.path, or give model.blocks={found}."
            )
        if self.layers != "all" and self.layers[-1] > found:
            raise ModelError(
                f"model.layers={list(self.layers)}, but model {self.path!r} has layers 0 (the embedding output) to {found}."
            )
        return config
