"""Features of every word of every story: read by the compressed model, or found in the cache."""

from __future__ import annotations

import logging
import resource
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np

from brainexp.cache import ArrayCache, Write, digest, features_cost, readable_bytes, require_room
from brainexp.compressed import loaded as load_compressed
from brainexp.compression.cost import cost
from brainexp.containers import Layers, Passage, Stimulus
from brainexp.errors import ModelError
from brainexp.interfaces import Compression, LoadedModel, Model, Prompt
from brainexp.progress import Stopwatch, counter, pace
from brainexp.registry import COMPRESSIONS, MODELS, PROMPTS

log = logging.getLogger(__name__)


def word_features(
    source: Model, compression: Compression, prompt: Prompt, stimuli: Sequence[Stimulus], cache: ArrayCache
) -> tuple[dict[str, Layers], dict[str, float]]:
    """Read every story with the compressed model, or find in the cache what was read before.

    Parameters
    ----------
    source : Model
        The model, or its untrained twin.
    compression : Compression
        What makes it smaller.
    prompt : Prompt
        What stands around the words.
    stimuli : sequence of Stimulus
        The stories.
    cache : ArrayCache
        Where features are kept.

    Returns
    -------
    features : dict of str to Layers of shape (n_layers, n_units, n_dims)
        By story.
    facts : dict
        Measured when the features were made: what the model costs, ``compression/…``, and what reading took,
        ``features/…``.

    Raises
    ------
    ConfigError
        If what is still to be read does not fit on the disk; before the model is loaded.
    """
    common = {
        "model": {**MODELS.cache_key(source), "identity": source.identity()},
        "compression": COMPRESSIONS.cache_key(compression),
        "prompt": PROMPTS.cache_key(prompt),
    }
    keys = {stimulus.story: {**common, "units": digest(stimulus.units)} for stimulus in stimuli}
    entries = {story: cache.get(key) for story, key in keys.items()}
    unread = [stimulus for stimulus in stimuli if entries[stimulus.story] is None]
    n_layers, n_dims = source.shape()
    n_units = sum(len(stimulus.units) for stimulus in unread)
    if unread:
        require_room_for(n_layers, n_units, n_dims, cache)
    loaded: list[LoadedModel] = []  # filled on first need: a run whose features are all cached loads no weights

    def fill(stimulus: Stimulus, bar: Any, write: Write) -> dict[str, float]:
        if not loaded:
            loaded.append(load_compressed(source, compression, stimuli))
        return _read(loaded[0], stimulus, prompt, bar, write)

    start, n_done = perf_counter(), 0
    with counter(n_units, "words") as bar:
        for stimulus in unread:
            bar.set_description(f"words, now of {stimulus.story}")
            shape = (n_layers, len(stimulus.units), n_dims)
            about = {
                "model": MODELS.options(source),
                "compression": COMPRESSIONS.options(compression),
                "prompt": PROMPTS.options(prompt),
                "story": stimulus.story,
            }
            entries[stimulus.story] = cache.get_or_put(keys[stimulus.story], shape, partial(fill, stimulus, bar), about)
            n_done += len(stimulus.units)
            bar.update(n_done - bar.n)  # another job may have read it
            log.info("story %r: %s", stimulus.story, pace(n_done, n_units, perf_counter() - start, "words"))
    found = {story: entry for story, entry in entries.items() if entry is not None}
    return {story: layers for story, (layers, _) in found.items()}, _together([facts for _, facts in found.values()])


def passage_features(
    source: Model,
    compression: Compression,
    passages: Sequence[Passage],
    cache: ArrayCache,
    loaded: Callable[[], LoadedModel],
    name: str,
) -> Layers:
    """Read passages with the compressed model, or find in the cache what was read before.

    Parameters
    ----------
    source, compression, cache
        As for `word_features`.
    passages : sequence of Passage
        Texts and the stretches of them that get features.
    loaded : callable
        Returns the compressed model; called only if something is to be read.
    name : str
        How messages and the list of the cache call the passages.

    Returns
    -------
    Layers of shape (n_layers, n_stretches, n_dims)
        Stretches counted through all passages.
    """
    key = {
        "model": {**MODELS.cache_key(source), "identity": source.identity()},
        "compression": COMPRESSIONS.cache_key(compression),
        "passages": digest([[one.text, one.parts] for one in passages]),
    }
    n_layers, n_dims = source.shape()
    n_stretches = sum(len(one.parts) for one in passages)

    def fill(write: Write) -> dict[str, float]:
        with counter(n_stretches, "stretches") as bar:
            bar.set_description(f"passages of {name}")
            for at, values in loaded().read(passages):
                write(at, values)
                bar.update(len(at))
        return {"features/stretches": float(n_stretches)}

    about = {"model": MODELS.options(source), "compression": COMPRESSIONS.options(compression), "story": name}
    found, _ = cache.get_or_put(key, (n_layers, n_stretches, n_dims), fill, about)
    return found


def require_room_for(n_layers: int, n_units: int, n_dims: int, cache: ArrayCache) -> None:
    """Say what features will cost on the disk, and raise ConfigError if they do not fit."""
    n_bytes = features_cost(n_layers, n_units, n_dims, cache.dtype)
    what = f"{n_layers} layers × {n_units:,} words × {n_dims:,} × {np.dtype(cache.dtype).itemsize} bytes"
    free = require_room(cache.root, n_bytes, what)
    log.info("features to read: %s (%s), %s free", readable_bytes(n_bytes), what, readable_bytes(free))


def _read(reader: LoadedModel, stimulus: Stimulus, words: Prompt, bar: Any, write: Write) -> dict[str, float]:
    watch = Stopwatch()
    missing = np.ones(len(stimulus.units), bool)
    with watch.stage("read"):
        for at, batch in reader.extract(stimulus, words):
            if not np.isfinite(batch).all():
                raise ModelError(
                    f"the model's features of story {stimulus.story!r} have NaN or infinite values. "
                    "Give model.dtype=float32 or bfloat16; float16 overflows in some models."
                )
            write(at, batch)
            missing[at] = False
            bar.update(len(at))
    if missing.any():
        first = int(missing.argmax())
        raise ModelError(
            f"the model gave no features of {missing.sum()} words of story {stimulus.story!r}, the first of them word "
            f"{first} ({stimulus.units[first]!r}). Every word needs them: correct the model's extract."
        )
    return {
        **{f"compression/{name}": value for name, value in cost(reader).items()},
        **{f"features/{name}": value for name, value in reader.facts(stimulus).items()},
        "features/words": float(len(missing)),
        "features/seconds": watch.seconds["read"],
        "features/peak_memory_bytes": peak_memory_bytes(),
        "features/peak_gpu_memory_bytes": peak_gpu_memory_bytes(),
    }


def _together(per_story: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Facts of all stories: sums of what reading took, the largest peak, and the cost of the one model."""
    together = dict(per_story[-1])
    for name in together:
        if name.startswith("features/"):
            join = max if "peak" in name else sum
            together[name] = join(facts[name] for facts in per_story)
    return together


def peak_gpu_memory_bytes() -> float:
    """Most memory that torch has held on any one GPU, in bytes; 0 without one."""
    if "torch" not in sys.modules:
        return 0.0
    import torch

    return float(max((torch.cuda.max_memory_allocated(gpu) for gpu in range(torch.cuda.device_count())), default=0))


def peak_memory_bytes() -> float:
    """Most memory that this process has held, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)
