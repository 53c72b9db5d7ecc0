"""What compression does to the model as such: how well it predicts held-out text, and how far each layer's features move."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from brainexp.cache import ArrayCache, Notes, digest
from brainexp.compressed import CompressedModel
from brainexp.compression.cost import sparsity
from brainexp.compression.none import NoCompression
from brainexp.containers import FloatArray, IntArray, Layers, Stimulus
from brainexp.errors import ConfigError
from brainexp.features import word_features
from brainexp.interfaces import Blueprint, Model
from brainexp.model.layers import block_list
from brainexp.model.perplexity import (
    MASKED_WINDOW,
    WINDOW,
    around,
    encoded,
    logits_of,
    masked_losses,
    token_losses,
    windows,
)
from brainexp.model.transformer import Transformer
from brainexp.prompt.plain import Plain
from brainexp.registry import CALIBRATIONS
from brainexp.score.similarity import linear_cka, relative_error, unbiased_linear_cka
from brainexp.score.surprisal import perplexities
from brainexp.settings import Damage

#: Raise when the same options give other numbers.
DAMAGE_VERSION = 1
WINDOW_METRIC = "compression/perplexity_window_tokens"
#: A common stretch of so many tokens is no chance (as in Lee et al. 2022 on duplicates in training text).
SHARED_TOKENS = 50
#: How the cache and the log call the text.
HELD_OUT = "held-out text"


@dataclass(frozen=True)
class Measured:
    """Scalars by name, curves over layers by name, and what the user should know."""

    metrics: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, list[float]] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


def damage(
    base: Model,
    compressed: Model | None,
    settings: Damage,
    cache_dir: Path,
    stimuli: Sequence[Stimulus] = (),
    calibrated_on: IntArray | None = None,
    cache_dtype: Literal["float32", "float16"] = "float32",
) -> Measured:
    """Compare a compressed model with the one that it was made from, on text that neither compression nor study has used.

    Parameters
    ----------
    base : Model
        Before compression.
    compressed : Model or None
        The same options at the compressed checkpoint; None where nothing was compressed, which gives the base's own numbers.
    settings : Damage
        On which text, and how.
    cache_dir : Path
        Where numbers and features are kept.
    stimuli : sequence of Stimulus
        Stories of the study, for texts that are some of them.
    calibrated_on : array of int of shape (n_samples, n_tokens), optional
        Tokens that the compression has seen.
    cache_dtype : {"float32", "float16"}
        As which features are kept.

    Returns
    -------
    Measured
        ``compression/perplexity``, ``…/perplexity_per_word`` and ``…/bits_per_byte`` of causal models,
        ``…/pseudo_perplexity`` of masked ones, with ``compression/base_…`` beside where something was compressed. Curves over
        layers: ``compression/layer_sparsity``, and where something was compressed ``compression/relative_error``,
        ``…/cka`` and ``…/cka_unbiased`` of its features with the base's. What cannot be measured is told in the remarks.

    Raises
    ------
    ConfigError
        If the text is too short, or the compression was calibrated on it.
    """
    words = held_out_words(settings, stimuli)
    if compressed is not None and calibrated_on is not None:
        require_apart(base, words, calibrated_on)
    reason = _unreadable(base)
    if reason is not None:
        return Measured(remarks=(f"Damage is not measured: {reason}.",))
    smaller = base if compressed is None else compressed
    assert isinstance(base, Transformer)
    assert isinstance(smaller, Transformer)
    found = _of_network(smaller, words, settings, cache_dir)
    metrics, curves, remarks = dict(found.metrics), dict(found.curves), list(found.remarks)
    if compressed is not None:
        before = _of_network(base, words, settings, cache_dir)
        metrics |= {
            name.replace("/", "/base_", 1): before.metrics[name] for name in before.metrics if name != WINDOW_METRIC
        }
        moved = _of_layers(
            base, smaller, words[: settings.feature_words], ArrayCache(cache_dir / "features", cache_dtype)
        )
        curves |= moved.curves
        remarks += moved.remarks
    return Measured(metrics, curves, tuple(remarks))


def held_out_words(settings: Damage, stimuli: Sequence[Stimulus] = ()) -> tuple[str, ...]:
    """Return the words of the held-out text; raise ConfigError if it has too few."""
    found: list[str] = []
    for text in CALIBRATIONS.build(settings.text).texts(stimuli):
        found += text.split()
        if len(found) >= settings.words:
            return tuple(found[: settings.words])
    raise ConfigError(
        f"damage: the held-out text has {len(found):,} words, but damage.words={settings.words}. Give damage.words="
        f"{len(found)} with damage.feature_words at most that, or a longer text."
    )


def require_apart(model: Model, words: Sequence[str], calibrated_on: IntArray) -> None:
    """Raise ConfigError if the held-out text and the calibration samples have a stretch of tokens in common.

    Stretches shorter than `SHARED_TOKENS` may be alike by chance; samples that are shorter are not looked at.
    """
    if calibrated_on.ndim != 2 or not len(calibrated_on) or calibrated_on.shape[1] < SHARED_TOKENS:
        return
    assert isinstance(model, Transformer)  # only networks are calibrated
    ids = np.array(encoded(model.tokenizer(), words)[0], np.int64)
    known = {ids[at : at + SHARED_TOKENS].tobytes() for at in range(len(ids) - SHARED_TOKENS + 1)}
    last = calibrated_on.shape[1] - SHARED_TOKENS + 1
    for number, row in enumerate(calibrated_on.astype(np.int64)):
        if any(row[at : at + SHARED_TOKENS].tobytes() in known for at in range(last)):
            raise ConfigError(
                f"damage: the held-out text and calibration sample {number} have {SHARED_TOKENS} tokens in a row in common, "
                "so damage would be measured on what the compression was fitted to. Give another damage.text (or its seed), "
                "or another compression.calibration."
            )


def _unreadable(model: Model) -> str | None:
    if not isinstance(model, Transformer):
        return "word vectors have no network that could be damaged"
    if model.weights == "random":
        return "random weights know nothing that could be lost"
    return None


def _of_network(model: Transformer, words: Sequence[str], settings: Damage, cache_dir: Path) -> Measured:
    """Perplexity and sparsity of one network, from the cache where it was measured before."""
    blueprint = model.blueprint()
    masked = blueprint.reads == "bidirectional"
    usual = MASKED_WINDOW if masked else WINDOW
    window, stride = windows(settings.window_tokens, settings.stride_tokens, blueprint.n_positions, usual, "damage")
    key = {
        "identity": model.identity(),
        "dtype": model.dtype,
        "states": model.states,
        "layers": list(model.layer_numbers()),
        "text": digest(list(words)),
        "window": window,
        **({"masked": settings.masked_tokens} if masked else {"stride": stride}),
        "version": DAMAGE_VERSION,
    }
    told = Notes(cache_dir / "damage").kept(
        key, lambda: asdict(_read_network(model, words, window, stride, settings.masked_tokens))
    )
    return Measured(told["metrics"], told["curves"], tuple(told["remarks"]))


def _read_network(model: Transformer, words: Sequence[str], window: int, stride: int, n_masked: int) -> Measured:
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    blueprint, loaded = model.blueprint(), model.language_model()
    network, tokenizer = loaded.network, loaded.tokenizer
    ids, ends = encoded(tokenizer, words)
    before, after = around(tokenizer)
    metrics: dict[str, float] = {}
    why_not = _no_perplexity(network, blueprint, tokenizer)
    if why_not is None and blueprint.reads == "causal":
        losses = token_losses(logits_of(network), ids, window, stride, before)
        found = perplexities(losses, words, ends)
        metrics = {**{f"compression/{name}": value for name, value in found.items()}, WINDOW_METRIC: float(window)}
    elif why_not is None:
        losses = masked_losses(logits_of(network), ids, tokenizer.mask_token_id, window, n_masked, before, after)
        metrics = {"compression/pseudo_perplexity": math.exp(losses.mean())}
    zeros = _layer_sparsity(model, network, blueprint.n_blocks, ids)
    curves = {"compression/layer_sparsity": zeros} if zeros else {}
    return Measured(metrics, curves, (f"Perplexity is not measured: {why_not}.",) if why_not else ())


def _no_perplexity(network: Any, blueprint: Blueprint, tokenizer: Any) -> str | None:
    if blueprint.reads == "encoder-decoder":
        return "an encoder–decoder predicts its output, not what it reads"
    if network.get_output_embeddings() is None:
        return f"the checkpoint was saved as {type(network).__name__}, without the head that predicts words"
    if blueprint.reads == "bidirectional" and tokenizer.mask_token_id is None:
        return "the tokenizer has no mask"
    return None


def _layer_sparsity(model: Transformer, network: Any, n_blocks: int, ids: Sequence[int]) -> list[float]:
    """Zeros of the matrices of each kept layer's block; of layer 0, of the embeddings. Empty where blocks are shared."""
    import torch

    part = network.get_decoder() if model.states == "decoder" else network
    if model.states != "decoder" and network.config.is_encoder_decoder:
        part = network.get_encoder()
    blocks = block_list(part, n_blocks)
    if blocks is None:
        return []
    device = next(network.parameters()).device
    with torch.inference_mode():  # what is stored packed is unpacked by the first pass
        part(input_ids=torch.tensor([list(ids[:8])], device=device))
    table = network.get_input_embeddings().weight
    found = [float((table == 0).sum()) / table.numel(), *(sparsity([block]) for block in blocks)]
    return [found[layer] for layer in model.layer_numbers()]


def _of_layers(base: Transformer, compressed: Transformer, words: Sequence[str], cache: ArrayCache) -> Measured:
    """How far each layer's features of the text move."""
    if base.layer_numbers() != compressed.layer_numbers():
        return Measured(
            remarks=(
                f"Features are not compared layer by layer: the model had layers 0 to {base.layer_numbers()[-1]}, and has "
                f"0 to {compressed.layer_numbers()[-1]} after compression.",
            )
        )
    onset_s = np.arange(len(words), dtype=float)
    text = Stimulus(HELD_OUT, tuple(words), onset_s, onset_s + 1.0)
    before, after = (_features(one, text, cache) for one in (base, compressed))
    measures: dict[str, Callable[[FloatArray, FloatArray], float]] = {
        "relative_error": relative_error,
        "cka": linear_cka,
        "cka_unbiased": unbiased_linear_cka,
    }
    layers = [(np.asarray(before[at]), np.asarray(after[at])) for at in range(len(base.layer_numbers()))]
    return Measured(
        curves={f"compression/{name}": [measure(*pair) for pair in layers] for name, measure in measures.items()}
    )


def _features(model: Transformer, text: Stimulus, cache: ArrayCache) -> Layers:
    as_it_is = CompressedModel(model, NoCompression(), (), cache.root.parent)
    return word_features(as_it_is, Plain(), [text], cache)[0][text.story]
