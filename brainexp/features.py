"""Features of every word of every story: read by the compressed model, or found in the cache."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np

from brainexp.cache import ArrayCache, Write, digest, features_cost, readable_bytes, require_room
from brainexp.compressed import CompressedModel
from brainexp.compression.cost import bits, cost, stored
from brainexp.containers import Layers, Passage, Stimulus
from brainexp.environment import peak_gpu_memory_bytes, peak_memory_bytes
from brainexp.errors import ModelError
from brainexp.interfaces import LoadedModel, Prompt
from brainexp.progress import Stopwatch, counter, pace
from brainexp.registry import COMPRESSIONS, MODELS, PROMPTS

log = logging.getLogger(__name__)


def word_features(
    source: CompressedModel, prompt: Prompt, stimuli: Sequence[Stimulus], cache: ArrayCache
) -> tuple[dict[str, Layers], dict[str, Any]]:
    """Read every story with the compressed model, or find in the cache what was read before.

    Parameters
    ----------
    source : CompressedModel
        The model, or its untrained twin, and what makes it smaller; read only if features are to be computed.
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
        Measured when the features were made: what the model costs, ``compression/…``, what reading took,
        ``features/…``, and in words with what the network multiplied, ``arithmetic``. Bits per weight are reckoned.

    Raises
    ------
    ConfigError
        If what is still to be read does not fit on the disk; before the model is loaded.
    """
    common = {**source.key, "prompt": PROMPTS.cache_key(prompt)}
    keys = {
        stimulus.story: {**common, "units": digest(stimulus.units), **({"separate": True} if stimulus.separate else {})}
        for stimulus in stimuli
    }
    entries = {story: cache.get(key) for story, key in keys.items()}
    unread = [stimulus for stimulus in stimuli if entries[stimulus.story] is None]
    n_layers, n_dims = source.shape()
    n_units = sum(len(stimulus.units) for stimulus in unread)
    if unread:
        require_room_for(n_layers, n_units, n_dims, cache)

    def fill(stimulus: Stimulus, bar: Any, write: Write) -> dict[str, Any]:  # else nothing is loaded
        return {**_read(source.load(), stimulus, prompt, bar, write), **source.facts()}

    start, n_done = perf_counter(), 0
    with counter(n_units, "words") as bar:
        for stimulus in unread:
            bar.set_description(f"words, now of {stimulus.story}")
            shape = (n_layers, len(stimulus.units), n_dims)
            about = {
                "model": MODELS.options(source.model),
                "compression": COMPRESSIONS.options(source.compression),
                "prompt": PROMPTS.options(prompt),
                "story": stimulus.story,
            }
            entries[stimulus.story] = cache.get_or_put(keys[stimulus.story], shape, partial(fill, stimulus, bar), about)
            n_done += len(stimulus.units)
            bar.update(n_done - bar.n)  # another job may have read it
            log.info("story %r: %s", stimulus.story, pace(n_done, n_units, perf_counter() - start, "words"))
    found = {story: entry for story, entry in entries.items() if entry is not None}
    facts = _together([facts for _, facts in found.values()])
    kept = {f"compression/{name}": value for name, value in stored(source.model).items()}  # a smaller one's come after
    reckoned = bits(source.model, source.compression).items()
    told = {f"compression/{name}": value for name, value in reckoned if np.isfinite(value)}  # else the weights told
    return {story: layers for story, (layers, _) in found.items()}, {**kept, **facts, **told}


def passage_features(source: CompressedModel, passages: Sequence[Passage], cache: ArrayCache, name: str) -> Layers:
    """Read passages with the compressed model, or find in the cache what was read before.

    Parameters
    ----------
    source, cache
        As for `word_features`.
    passages : sequence of Passage
        Texts and the stretches of them that get features.
    name : str
        How messages and the list of the cache call the passages.

    Returns
    -------
    Layers of shape (n_layers, n_stretches, n_dims)
        Stretches counted through all passages.
    """
    key = {**source.key, "passages": digest([[one.text, one.parts] for one in passages])}
    n_layers, n_dims = source.shape()
    n_stretches = sum(len(one.parts) for one in passages)

    def fill(write: Write) -> dict[str, float]:
        with counter(n_stretches, "stretches") as bar:
            bar.set_description(f"passages of {name}")
            for at, values in source.load().read(passages):
                write(at, values)
                bar.update(len(at))
        return {"features/stretches": float(n_stretches)}

    about = {
        "model": MODELS.options(source.model),
        "compression": COMPRESSIONS.options(source.compression),
        "story": name,
    }
    found, _ = cache.get_or_put(key, (n_layers, n_stretches, n_dims), fill, about)
    return found


def require_room_for(n_layers: int, n_units: int, n_dims: int, cache: ArrayCache) -> None:
    """Say what features will cost on the disk, and raise ConfigError if they do not fit."""
    n_bytes = features_cost(n_layers, n_units, n_dims, cache.dtype)
    what = f"{n_layers} layers × {n_units:,} words × {n_dims:,} × {np.dtype(cache.dtype).itemsize} bytes"
    free = require_room(cache.root, n_bytes, what)
    log.info("features to read: %s (%s), %s free", readable_bytes(n_bytes), what, readable_bytes(free))


def _read(reader: LoadedModel, stimulus: Stimulus, words: Prompt, bar: Any, write: Write) -> dict[str, Any]:
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
        "arithmetic": reader.arithmetic,
    }


def _together(per_story: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Facts of all stories: sums of what reading took, the largest peak, and the cost of the one model."""
    together = dict(per_story[-1])
    for name in [name for name in together if name.startswith("features/")]:
        join = max if "peak" in name else sum
        if all(name in facts for facts in per_story):  # what was read by an earlier version may lack some
            together[name] = join(facts[name] for facts in per_story)
        else:
            del together[name]
    if together.get("features/tokens") and together["features/seconds"] > 0:
        together["features/tokens_per_second"] = together["features/tokens"] / together["features/seconds"]
    together["arithmetic"] = "; ".join(dict.fromkeys(told for facts in per_story if (told := facts.get("arithmetic"))))
    return together
