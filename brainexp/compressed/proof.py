"""What a compressed checkpoint must show before it is kept."""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from brainexp.compressed.weights import Measured, dense, fault, measured, sparsity_fault, weight_change
from brainexp.compression.parts import Parts, on_disk
from brainexp.compression.workarounds.compressed_tensors_disk_forward import weights_read_once
from brainexp.containers import FloatArray, Stimulus
from brainexp.errors import ModelError
from brainexp.interfaces import Blueprint, Claims, Compression
from brainexp.model.loaded import LoadedTransformer
from brainexp.model.reading import body
from brainexp.model.transformer import Transformer
from brainexp.prompt.plain import Plain
from brainexp.registry import COMPRESSIONS

#: Most that features of the saved network may differ from those of the network in memory, relative to their norm, in the
#: layer where they do most: rounding of other kernels. Most methods give the same bits.
RELOAD_TOLERANCE: Mapping[str, float] = {"float32": 1e-4, "bfloat16": 1e-2, "float16": 2e-3}
#: Weights of a network that must not stay in memory beside another one.
LARGE = 10_000_000
#: What is read on both sides.
PROBE_TEXT = (
    "When the old clock struck nine, seven grey geese crossed the river, and a boy in a red coat wrote down what each of "
    "them said."
)


def probe_features(model: Transformer, network: Any, tokenizer: Any) -> FloatArray:
    """Features of `PROBE_TEXT` from a network in memory, array of shape (n_layers, n_words, n_dims).

    Parameters
    ----------
    model : Transformer
        Says which half of an encoder–decoder is read.
    network : transformers.PreTrainedModel
        With or without head.
    tokenizer : fast tokenizer of transformers
    """
    part = body(network, model.states).eval()
    with weights_read_once(network) if on_disk(network) else nullcontext():
        return _features(LoadedTransformer(model=_whole(model), network=part, tokenizer=tokenizer))


def proved(
    model: Transformer,
    compression: Compression,
    folder: Path,
    expected: FloatArray,
    device: str,
    in_parts: Parts | None = None,
) -> dict[str, float]:
    """Read a saved checkpoint again and hold it to what was in memory and to what was claimed.

    One network is in memory at a time: the saved one, then the uncompressed one, of whose weights only random projections
    are compared (see `brainexp.compressed.weights.measured`).

    Parameters
    ----------
    model : Transformer
        As it was before.
    compression : Compression
        What it claims is held against the weights.
    folder : Path
        Where the checkpoint is.
    expected : array of shape (n_layers, n_words, n_dims)
        From `probe_features`.
    device : str
        Where these were computed.
    in_parts : Parts or None
        What reads networks that do not fit into memory; all is then read of them, layer by layer.

    Returns
    -------
    dict
        ``reload_error``, and ``weight_change`` where weights were to change: relative to their norm.

    Raises
    ------
    ModelError
        If it is not what was in memory, or not what was claimed.
    """
    what = f"compression {COMPRESSIONS.name_of(compression)!r}"
    blueprint = model.blueprint()
    saved = dataclasses.replace(_whole(model.at(folder)), device=device)
    error = _reload_error(what, saved, expected, in_parts)

    left, found_blocks = compression.blocks_left(blueprint.n_blocks), saved.blueprint().n_blocks
    if found_blocks != left:
        raise _broken(what, f"{left} blocks were to be left, but the saved checkpoint has {found_blocks}")
    claims = compression.claims(blueprint)
    dropped = left < blueprint.n_blocks
    network = _read(saved, in_parts)
    after = {}
    for name, weight in _weights(network, claims.modules or _matrices(network), what, may_lack=dropped):
        wrong = fault(weight, name, claims) if claims.modules else None
        if wrong is not None:
            raise _broken(what, f"{name} {wrong}")
        after[name] = measured(weight)
    del network
    let_go(blueprint)
    if dropped:  # blocks have moved up: their weights cannot be held against those that had their names
        before: dict[str, Measured] = {}
    else:
        before = {name: measured(weight) for name, weight in _weights(_read(model, in_parts), tuple(after), what)}
    wrong = sparsity_fault(before, after, claims)
    if wrong is not None:
        raise _broken(what, wrong)
    changes = weight_change(before, after)
    if changes and not any(changes.values()) and _is_to_change(claims):
        raise _broken(what, f"weights were to change, but {len(changes)} layers have those that they had")
    return {"reload_error": error} | ({"weight_change": float(np.mean([*changes.values()]))} if changes else {})


def let_go(blueprint: Blueprint) -> None:
    """Free networks that hold themselves by their hooks; it takes half a second, so small ones may stay for a while."""
    if sum(n_out * n_in for n_out, n_in in blueprint.linear.values()) > LARGE:
        gc.collect()


def _read(model: Transformer, in_parts: Parts | None) -> Any:
    return model.network_with_head() if in_parts is None else in_parts.read(model.network_with_head)


def _reload_error(what: str, saved: Transformer, expected: FloatArray, in_parts: Parts | None) -> float:
    """How much the saved network's features differ from what they were in memory."""
    in_memory = in_parts is None
    found = _features(saved.load()) if in_memory else probe_features(saved, _read(saved, in_parts), saved.tokenizer())
    if not np.isfinite(expected).all():
        raise ModelError(f"{what}: the compressed network gives features that are NaN or infinite. Nothing is kept.")
    if found.shape != expected.shape:
        raise _broken(what, f"features of shape {expected.shape} were in memory, but {found.shape} were read again")
    norms = np.linalg.norm(expected, axis=(1, 2))
    errors = np.linalg.norm(found - expected, axis=(1, 2)) / np.maximum(norms, np.finfo(np.float32).tiny)
    worst = int(np.argmax(np.where(np.isfinite(errors), errors, np.inf)))
    if not errors[worst] <= RELOAD_TOLERANCE[saved.dtype]:
        raise _broken(
            what,
            f"features of layer {worst} were to be the same when the checkpoint is read again, to "
            f"{RELOAD_TOLERANCE[saved.dtype]:g} of their norm, but differ by {errors[worst]:.3g}",
        )
    return float(errors[worst])


def _is_to_change(claims: Claims) -> bool:
    """Whether anything must change: not where no zeros are asked for."""
    return claims.sparsity != 0 or claims.bits is not None or bool(claims.ranks)


def _weights(network: Any, names: Sequence[str], what: str, *, may_lack: bool = False) -> Iterator[tuple[str, Any]]:
    """Weights of linear layers by name; raise ModelError if one is not there, unless blocks were dropped."""
    modules = dict(network.named_modules())
    for name in names:
        if name in modules:
            yield name, dense(modules[name])
        elif not may_lack:
            raise _broken(what, f"{name} was to be in the network with its head, but is not")


def _matrices(network: Any) -> tuple[str, ...]:
    """Names of all modules that have a matrix of weights."""
    return tuple(name for name, one in network.named_modules() if getattr(getattr(one, "weight", None), "ndim", 0) == 2)


def _broken(what: str, words: str) -> ModelError:
    return ModelError(f"{what} did not do what it claims: {words}. Nothing is kept.")


def _features(loaded: LoadedTransformer) -> FloatArray:
    words = tuple(PROBE_TEXT.split())
    onset_s = np.arange(len(words), dtype=float)
    stimulus = Stimulus(story="probe", units=words, onset_s=onset_s, offset_s=onset_s + 0.5)
    values = np.empty((loaded.n_layers, len(words), loaded.n_dims), np.float32)
    for at, batch in loaded.extract(stimulus, Plain()):
        values[:, at] = batch
    return values


def _whole(model: Transformer) -> Transformer:
    """Return the model with options under which the probe text is read: all layers, in one pass where it is causal."""
    plain = Transformer(path=model.path, dtype=model.dtype, states=model.states, revision=model.revision)
    return dataclasses.replace(plain, context="growing", context_words=None)
