"""What compression does to the model as such: how well it predicts held-out text, and how far each layer's features move."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import numpy as np

from brainexp.cache import ArrayCache, digest
from brainexp.compressed import CompressedModel
from brainexp.compression.cost import sparsity
from brainexp.compression.none import NoCompression
from brainexp.containers import FloatArray, IntArray, Layers, Stimulus
from brainexp.errors import ConfigError
from brainexp.features import word_features
from brainexp.interfaces import Blueprint, Model
from brainexp.model.layers import block_list
from brainexp.model.transformer import Transformer
from brainexp.prompt.plain import Plain
from brainexp.registry import CALIBRATIONS
from brainexp.score.similarity import linear_cka, relative_error, unbiased_linear_cka
from brainexp.settings import Damage

log = logging.getLogger(__name__)

#: Raise when the same options give other numbers.
DAMAGE_VERSION = 1
#: Tokens that a causal model reads at once, and a masked one, which makes a pass for each token.
WINDOW, MASKED_WINDOW = 512, 128
WINDOW_METRIC = "compression/perplexity_window_tokens"
#: A common stretch of so many tokens is no chance (as in Lee et al. 2022 on duplicates in training text).
SHARED_TOKENS = 50
#: How the cache and the log call the text.
HELD_OUT = "held-out text"
#: Masked texts in one forward pass.
PASSES = 8


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
    ids = np.array(_encoded(model.tokenizer(), words)[0], np.int64)
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
    window, stride = _windows(settings, blueprint.n_positions, MASKED_WINDOW if masked else WINDOW)
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
    return _kept(cache_dir, key, lambda: _read_network(model, words, window, stride, settings.masked_tokens))


def _windows(settings: Damage, n_positions: int | None, usual: int) -> tuple[int, int]:
    """Tokens of a window and from one to the next; raise ConfigError if they cannot be."""
    most = math.inf if n_positions is None else n_positions
    window = int(min(usual, most)) if settings.window_tokens is None else settings.window_tokens
    stride = max(window // 2, 1) if settings.stride_tokens is None else settings.stride_tokens
    if window > most:
        raise ConfigError(
            f"damage.window_tokens={window}, but the model reads at most {n_positions} tokens at once. Give at most "
            f"damage.window_tokens={n_positions}, or null."
        )
    if stride >= window:
        raise ConfigError(
            f"damage.stride_tokens={stride} must be less than a window ({window}), else tokens have nothing to be "
            "predicted from."
        )
    return window, stride


def _read_network(model: Transformer, words: Sequence[str], window: int, stride: int, n_masked: int) -> Measured:
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    blueprint, loaded = model.blueprint(), model.language_model()
    network, tokenizer = loaded.network, loaded.tokenizer
    ids, ends = _encoded(tokenizer, words)
    before, after = _around(tokenizer)
    metrics: dict[str, float] = {}
    why_not = _no_perplexity(network, blueprint, tokenizer)
    if why_not is None and blueprint.reads == "causal":
        losses = token_losses(_logits(network), ids, window, stride, before)
        metrics = {**_perplexities(losses, words, ends), WINDOW_METRIC: float(window)}
    elif why_not is None:
        losses = masked_losses(_logits(network), ids, tokenizer.mask_token_id, window, n_masked, before, after)
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


def token_losses(
    logits: Callable[[Any], Any], ids: Sequence[int], window: int, stride: int, before: Sequence[int] = ()
) -> FloatArray:
    """Predict each token of a text from those before it, in windows that overlap.

    Windows begin every ``stride`` tokens; in each, only tokens that no earlier window has predicted are scored, so that each
    but the first ones is predicted from at least ``window - stride`` tokens (the sliding window of transformers'
    documentation on perplexity).

    Parameters
    ----------
    logits : callable
        From tokens of shape (1, n_tokens) to logits of shape (1, n_tokens, n_vocabulary); each knows tokens up to its own.
    ids : sequence of int
        The text.
    window, stride : int
        In tokens, stride less than window; ``before`` counts in the window.
    before : sequence of int
        Special tokens before every window, as the tokenizer puts them before a text.

    Returns
    -------
    array of shape (n_tokens - 1,)
        -log p, in nats, of all tokens but the first.
    """
    import torch

    losses = np.empty(len(ids) - 1)
    done = 1
    for begin in range(0, len(ids), stride):
        end = min(begin + window - len(before), len(ids))
        told = torch.tensor([[*before, *ids[begin:end]]])
        # What stands at the place before a token predicts it.
        rows = logits(told)[0, len(before) + done - begin - 1 : -1].float()
        target = torch.tensor(ids[done:end], device=rows.device)
        losses[done - 1 : end - 1] = torch.nn.functional.cross_entropy(rows, target, reduction="none").double().cpu()
        done = end
        if end == len(ids):
            break
    return losses


def masked_losses(
    logits: Callable[[Any], Any],
    ids: Sequence[int],
    mask: int,
    window: int,
    n_masked: int,
    before: Sequence[int] = (),
    after: Sequence[int] = (),
) -> FloatArray:
    """Predict evenly spaced tokens of a text from what stands on both sides, each masked alone (Salazar et al. 2020).

    Not a perplexity: the probabilities do not multiply to that of the text. Compare only with other masked models.

    Parameters
    ----------
    logits : callable
        From tokens of shape (n_texts, n_tokens) to logits of shape (n_texts, n_tokens, n_vocabulary).
    ids : sequence of int
        The text.
    mask : int
        The token that stands for a masked one.
    window : int
        Tokens around, special tokens and the masked one included.
    n_masked : int
        How many tokens are predicted, at most.
    before, after : sequence of int
        Special tokens around every window.

    Returns
    -------
    array of shape (n_predicted,)
        -log p, in nats.
    """
    import torch

    inner = min(window - len(before) - len(after), len(ids))
    places = np.unique(np.linspace(0, len(ids) - 1, min(n_masked, len(ids))).round().astype(int))
    begins = np.clip(places - inner // 2, 0, len(ids) - inner)
    rows = [[*before, *ids[begin : begin + inner], *after] for begin in begins]
    at = places - begins + len(before)
    for row, place in zip(rows, at, strict=True):
        row[place] = mask
    losses = []
    for first in range(0, len(rows), PASSES):
        some = slice(first, first + PASSES)
        found = logits(torch.tensor(rows[some]))
        picked = found[torch.arange(len(found)), torch.as_tensor(at[some])].float()
        target = torch.tensor([ids[place] for place in places[some]], device=picked.device)
        losses.append(torch.nn.functional.cross_entropy(picked, target, reduction="none").double().cpu().numpy())
    return np.concatenate(losses)


def _logits(network: Any) -> Callable[[Any], Any]:
    import torch

    device = next((one.device for one in network.parameters() if one.device.type != "meta"), torch.device("cpu"))

    def logits(tokens: Any) -> Any:
        with torch.inference_mode():
            return network(input_ids=tokens.to(device)).logits

    return logits


def _encoded(tokenizer: Any, words: Sequence[str]) -> tuple[list[int], list[int]]:
    """Tokens of the words in a row, without special ones, and after which character each ends."""
    told = tokenizer(" ".join(words), return_offsets_mapping=True, add_special_tokens=False, verbose=False)
    return told["input_ids"], [end for _, end in told["offset_mapping"]]


def _around(tokenizer: Any) -> tuple[list[int], list[int]]:
    """Special tokens that the tokenizer puts before and after a text."""
    special = list(tokenizer("")["input_ids"])
    starts = {tokenizer.bos_token_id, tokenizer.cls_token_id} - {None}
    n_before = int(bool(special) and special[0] in starts)
    return special[:n_before], special[n_before:]


def _perplexities(losses: FloatArray, words: Sequence[str], ends: Sequence[int]) -> dict[str, float]:
    """Per token, per word and per byte, over all words but the first, which only is context: the same for any tokenizer."""
    after_first = next(at for at, end in enumerate(ends) if end > len(words[0]))
    scored = losses[after_first - 1 :]
    n_bytes = len(" ".join(["", *words[1:]]).encode())
    return {
        "compression/perplexity": math.exp(scored.mean()),
        "compression/perplexity_per_word": math.exp(scored.sum() / (len(words) - 1)),
        "compression/bits_per_byte": float(scored.sum()) / math.log(2) / n_bytes,
    }


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


def _kept(cache_dir: Path, key: Mapping[str, Any], measure: Callable[[], Measured]) -> Measured:
    """Return what is kept under a key, or measure it and keep it, whole or not at all."""
    name = digest(key)
    path = cache_dir / "damage" / name[:2] / f"{name}.json"
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return Measured(told["metrics"], told["curves"], tuple(told["remarks"]))
    except FileNotFoundError:
        pass
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s is broken (%s); it is measured again.", path, error)
    found = measure()
    told = {"key": key, "metrics": found.metrics, "curves": found.curves, "remarks": found.remarks}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}-{uuid4().hex}")
    try:
        temporary.write_text(json.dumps(told, indent=1), encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return found
