"""A compressed checkpoint is made once, under the digest of what made it, and read from there ever after."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from brainexp.cache import FolderCache, digest, readable_bytes, require_room, stored_entry
from brainexp.compressed.proof import let_go, probe_features, proved
from brainexp.compression.calibration import samples_digest, windows
from brainexp.compression.cost import bits, disk_bytes
from brainexp.compression.none import NoCompression
from brainexp.compression.parts import Parts, parts, save
from brainexp.containers import IntArray, Stimulus
from brainexp.environment import memory_available, peak_gpu_memory_bytes, peak_memory_bytes
from brainexp.errors import ConfigError, ModelError
from brainexp.interfaces import Compression, LanguageModel, LoadedModel, Model, Uncompressed
from brainexp.model.transformer import Transformer
from brainexp.progress import Stopwatch, bars_on_terminals_only
from brainexp.registry import COMPRESSIONS, MODELS

log = logging.getLogger(__name__)

#: Raise when the same options make other checkpoints; every one is then made anew.
ARTIFACT_VERSION = 1
#: Where checkpoints are, in the folder of the cache.
FOLDER = "checkpoints"
#: Share of the memory that weights may take while they are compressed; the rest is for what a method reckons with.
MOST = 0.7
#: Share of it that weights take all the time where most stay on the disk.
HELD = 0.2
#: Packages that decide what a compression makes of the weights.
LIBRARIES = ("torch", "transformers", "llmcompressor", "compressed-tensors", "bitsandbytes")


def uncompressed(model: Model, compression: Compression, stimuli: Sequence[Stimulus]) -> Uncompressed:
    """Return what a compression works on; weights are read when it asks for them.

    Parameters
    ----------
    model : Model
        Full precision, a network.
    compression : Compression
        Says what text it needs.
    stimuli : sequence of Stimulus
        Stories of the study, for calibrations that read them.
    """
    assert isinstance(model, Transformer)  # compressions object to all others
    tokenizer = model.tokenizer()
    samples: IntArray = np.empty((0, 0), np.intp)
    text = compression.calibration
    if text is not None:
        limit = model.blueprint().n_positions
        samples = windows(text.texts(stimuli), tokenizer, text.samples, text.tokens, text.seed, limit)
    return Uncompressed(model.blueprint(), tokenizer, samples, model.network_with_head)


def artifact_key(model: Model, compression: Compression, samples: IntArray) -> dict[str, Any]:
    """Return everything that decides a compressed checkpoint.

    Parameters
    ----------
    model : Model
        Its weights, and in which precision and of which half they are read.
    compression : Compression
        Method and all options.
    samples : array of int of shape (n_samples, n_tokens)
        Tokens that it is calibrated on; their source may tell other stories tomorrow.
    """
    options = MODELS.cache_key(model)
    return {
        "version": ARTIFACT_VERSION,
        "model": {"identity": model.identity(), "dtype": options["dtype"], "states": options["states"]},
        "compression": COMPRESSIONS.cache_key(compression),
        "calibration": calibration_digest(samples),
        "libraries": {name: _version(name) for name in LIBRARIES},
    }


def calibration_digest(samples: IntArray) -> str | None:
    """Digest of the tokens that a compression is calibrated on; None where it needs none."""
    return samples_digest(samples) if samples.size else None


@dataclass(frozen=True, eq=False)
class CompressedModel:
    """A model and what makes it smaller; weights are read, and made, when they are first needed.

    Parameters
    ----------
    model : Model
        As it was before.
    compression : Compression
        What makes it smaller.
    stimuli : tuple of Stimulus
        Stories of the study, for calibrations that read them.
    cache_dir : Path
        Folder of the cache.
    memory_bytes : float or None
        That making it may take; None for what is free. Weights that take more than `MOST` of it stay on the disk, and are
        read and changed layer by layer.
    """

    model: Model
    compression: Compression
    stimuli: tuple[Stimulus, ...]
    cache_dir: Path
    memory_bytes: float | None = None

    @cached_property
    def key(self) -> dict[str, Any]:
        """What decides the features, but for the text: part of their cache key."""
        compression = COMPRESSIONS.cache_key(self.compression)
        if self._changes:
            compression["artifact"] = digest(self._artifact_key)
        return {
            "model": {**MODELS.cache_key(self.model), "identity": self.model.identity()},
            "compression": compression,
        }

    @cached_property
    def blocks_dropped(self) -> int:
        """Return how many blocks go."""
        if not self._changes:
            return 0
        n_blocks = self.model.blueprint().n_blocks
        return n_blocks - self.compression.blocks_left(n_blocks)

    def shape(self) -> tuple[int, int]:
        """Layers and width of the features, known without reading weights."""
        return len(self.layer_numbers()), self.model.shape()[1]

    def layer_numbers(self) -> tuple[int, ...]:
        """Which layers the features are of; 0 is the embedding output, and blocks that went have no number.

        Raises
        ------
        ConfigError
            If ``model.layers`` names a layer that is not left.
        """
        numbers = self.model.layer_numbers()
        if not self.blocks_dropped:
            return numbers
        left = self.model.blueprint().n_blocks - self.blocks_dropped
        if MODELS.options(self.model)["layers"] == "all":
            return tuple(number for number in numbers if number <= left)
        if numbers[-1] > left:
            raise ConfigError(
                f"model.layers={list(numbers)}, but compression {COMPRESSIONS.name_of(self.compression)!r} leaves {left} "
                f"blocks, so that layers 0 to {left} remain. Give model.layers=all, or none above {left}."
            )
        return numbers

    def load(self) -> LoadedModel:
        """Return the compressed network; it is read once.

        Raises
        ------
        ConfigError
            If the checkpoint does not fit on the disk.
        ModelError
            If the compressed checkpoint is not what was asked for.
        """
        return self._loaded

    def language_model(self) -> LanguageModel:
        """Return the compressed network with its head; it is read once.

        Raises
        ------
        ModelError
            If there is no network.
        """
        return self._language_model

    def facts(self) -> dict[str, float]:
        """Return what making it took and took away, ``compression/…``; empty where nothing is changed."""
        if not self._changes:
            return {}
        found = {**self.artifact[1], "blocks_dropped": float(self.blocks_dropped)}
        return {f"compression/{name}": value for name, value in found.items()}

    @cached_property
    def artifact(self) -> tuple[Path, dict[str, float]]:
        """Folder of the compressed checkpoint and its facts; it is made if it is not there."""
        store = FolderCache(self.cache_dir / FOLDER)
        name = COMPRESSIONS.name_of(self.compression)
        about = {"model": MODELS.options(self.model), "compression": COMPRESSIONS.options(self.compression)}
        what = f"the checkpoint of {about['model']['path']!r} with compression {name!r}"
        return store.get_or_put(self._artifact_key, self._make, about, what)

    def kept(self) -> dict[str, Any] | None:
        """Return what the compressed checkpoint's entry in the cache says of itself; None where it is not there."""
        return stored_entry(FolderCache(self.cache_dir / FOLDER).folder(self._artifact_key))

    @cached_property
    def given(self) -> Uncompressed:
        """What the compression works on."""
        return uncompressed(self.model, self.compression, self.stimuli)

    @property
    def _changes(self) -> bool:
        return not isinstance(self.compression, NoCompression)

    @cached_property
    def _artifact_key(self) -> dict[str, Any]:
        return artifact_key(self.model, self.compression, self.given.samples)

    @cached_property
    def _language_model(self) -> LanguageModel:
        if not isinstance(self._source, Transformer):
            raise ModelError(
                "a table of words has no head that tells how likely a text is. Give another model, or leave this probe out."
            )
        return self._source.language_model()

    @cached_property
    def _source(self) -> Model:
        """The model, or the same options at the compressed checkpoint."""
        return self.model.at(self.artifact[0]) if self._changes and isinstance(self.model, Transformer) else self.model

    @cached_property
    def _loaded(self) -> LoadedModel:
        network = self._source.load()
        if network.arithmetic:
            log.info("features are computed with %s", network.arithmetic)
        return network

    def _make(self, folder: Path) -> dict[str, float]:
        """Compress, save, read again and prove."""
        assert isinstance(self.model, Transformer)
        n_bytes = int(base_bytes(self.model))
        may_take = memory_available() if self.memory_bytes is None else self.memory_bytes
        name = COMPRESSIONS.name_of(self.compression)
        if fits(n_bytes, may_take):
            free = require_room(folder, n_bytes, "as much as the uncompressed weights", of="compressed checkpoint")
            log.info("compression %r: up to %s, %s free", name, readable_bytes(n_bytes), readable_bytes(free))
            return self._made(folder)
        require_layer_by_layer(self.compression, n_bytes, may_take)
        require_room(folder, 2 * n_bytes, "weights that do not fit into memory, twice", of="compressed checkpoint")
        log.info(
            "compression %r: weights take %s, but %s of memory may be used; they stay on the disk, and are read and changed "
            "layer by layer",
            name,
            readable_bytes(n_bytes),
            readable_bytes(may_take),
        )
        with parts(folder, int(may_take * HELD), self.model.blueprint().device) as in_parts:
            return self._made(folder, in_parts)

    def _made(self, folder: Path, in_parts: Parts | None = None) -> dict[str, float]:
        """Compress, save, read again and prove, with weights in memory or, in parts, on the disk."""
        assert isinstance(self.model, Transformer)
        name, watch, given, most = COMPRESSIONS.name_of(self.compression), Stopwatch(), self.given, None
        if in_parts is not None:
            given, most = replace(given, network=partial(in_parts.read, given.network)), in_parts.most_bytes
        with watch.stage("compress"):
            network = self.compression.compress(given)
        held, held_on_gpu = peak_memory_bytes(), peak_gpu_memory_bytes()
        with watch.stage("prove"):
            expected = probe_features(self.model, network, self.given.tokenizer)
            on_a_device = (one.device for one in network.parameters() if one.device.type != "meta")
            device = next(on_a_device, "cpu")  # weights that are on the disk are computed with there
            with bars_on_terminals_only():
                save(network, folder, most)
            self.given.tokenizer.save_pretrained(folder)
            ranks = getattr(network.config, "low_rank", None)
            del network
            let_go(self.given.blueprint)  # the proof reads others
            found = proved(self.model, self.compression, folder, expected, str(device), in_parts)
        facts = {
            "seconds": watch.seconds["compress"],
            "proof_seconds": watch.seconds["prove"],
            "peak_memory_bytes": held,
            "peak_gpu_memory_bytes": held_on_gpu,
            "disk_bytes": float(disk_bytes(folder)),
            **(bits(self.model, self.compression, ranks) if ranks else {}),
            **found,
        }
        log.info("compression %r: %s", name, _told(facts))
        return facts


def fits(n_bytes: float, may_take: float) -> bool:
    """Whether weights of a compression may be in memory all at once."""
    return n_bytes <= MOST * may_take


def require_layer_by_layer(compression: Compression, n_bytes: float, may_take: float) -> None:
    """Raise ConfigError if a compression needs all weights in memory, or what reads them layer by layer is missing."""
    why = compression.needs_all_weights
    if why is None and importlib.util.find_spec("compressed_tensors") is None:
        why = "layer by layer needs compressed-tensors; pip install brainexp[compress]"
    if why is not None:
        raise ConfigError(
            f"compression {COMPRESSIONS.name_of(compression)!r} needs all weights in memory at once, "
            f"{readable_bytes(n_bytes)}, but {readable_bytes(may_take)} may be used: {why}. Or give a smaller "
            "model.dtype, a method that goes layer by layer (rtn, gptq, awq, wanda, magnitude), or more resources.memory_gb."
        )


def base_bytes(model: Model) -> float:
    """Bytes of the uncompressed weights with their head, as they are in memory while a compression works."""
    blueprint, size = model.blueprint(), model.size()
    n_in_head = sum(n_out * n_in for name, (n_out, n_in) in blueprint.linear.items() if name in blueprint.head)
    return size.n_bytes + n_in_head * (4 if blueprint.dtype == "float32" else 2)


def _told(facts: Mapping[str, float]) -> str:
    changed = "" if "weight_change" not in facts else f"weights changed by {100 * facts['weight_change']:.2g} %, "
    return (
        f"made in {facts['seconds']:.1f} s, {readable_bytes(facts['disk_bytes'])} on disk; {changed}read again with features "
        f"that differ by {100 * facts['reload_error']:.2g} %"
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
