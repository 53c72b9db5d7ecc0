"""From a checkpoint to a network in memory, every weight of which was read."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from brainexp.errors import ModelError
from brainexp.model.blueprint import class_with_head
from brainexp.model.checkpoint import from_pretrained
from brainexp.model.prequantized import (
    READ_HERE,
    quantization,
    quiet_bitsandbytes,
    unpacked_network,
)
from brainexp.model.workarounds.bitsandbytes_cpu_blocks import multiply_by_blocks
from brainexp.model.workarounds.bitsandbytes_cpu_repack import keep_plain
from brainexp.progress import bars_on_terminals_only

#: Parts that no feature depends on: what a BERT makes of its first token for a classifier.
WITHOUT_FEATURES = ("pooler",)


def body(network: Any, states: str | None) -> Any:
    """Return the part of a network that gives features: without head and, unless decoder states are read, decoder.

    Parameters
    ----------
    network : transformers.PreTrainedModel
        With or without head.
    states : {"encoder", "decoder"} or None
        Which half of an encoder–decoder is read; None for the encoder.
    """
    part = network.base_model
    return part.get_encoder() if network.config.is_encoder_decoder and states != "decoder" else part


def read_network(
    kind: Any, path: str, revision: str | None, config: Any, device: str, states: str | None, **options: Any
) -> tuple[Any, tuple[str, ...]]:
    """Read the weights of a checkpoint.

    A quantized checkpoint is read into the class that it was saved from, whatever is asked for, since the names in its
    quantization config are those of the network with its head. Its weights go to ``device`` at once, for some kinds cannot
    move later. Those of compressed-tensors are dequantized when they are read, not in the first pass of the network with
    its head, which may never come; GPTQ and AWQ are unpacked here (`brainexp.model.prequantized`).

    Parameters
    ----------
    kind : class of transformers
        For checkpoints that are not quantized.
    path, revision
        As for `from_pretrained`.
    config : transformers.PretrainedConfig
        Of the checkpoint.
    device : str
        Where the weights of a quantized checkpoint go, unless options have a ``device_map``.
    states : {"encoder", "decoder"} or None
        Which half of an encoder–decoder is read.
    **options
        Handed on.

    Returns
    -------
    network : transformers.PreTrainedModel
    missing : tuple of str
        Weights that are not in the checkpoint, and on which no feature depends.

    Raises
    ------
    ModelError
        If a weight on which features depend is not in the checkpoint.
    """
    told = quantization(config)
    if told is not None and told["quant_method"] in READ_HERE:
        network, loading = unpacked_network(class_with_head(config), path, revision, config, **options)
        network = network if "device_map" in options else network.to(device)
    else:
        if told is not None:
            kind = class_with_head(config)
            options = {"config": _dequantized_when_read(config), "device_map": {"": device}, **options}
        quiet_bitsandbytes()
        with bars_on_terminals_only():
            network, loading = from_pretrained(kind, path, revision, output_loading_info=True, **options)
        multiply_by_blocks(keep_plain(network))
    require_every_weight(network, body(network, states), loading["missing_keys"], path)
    return network, tuple(sorted(loading["missing_keys"]))


def require_every_weight(network: Any, part: Any, missing: set[str], path: str) -> None:
    """Raise ModelError if weights of the part that gives features are not in the checkpoint; poolers may be missing.

    Parameters
    ----------
    network : torch.nn.Module
        As it was read.
    part : torch.nn.Module
        The part of it that gives features.
    missing : set of str
        Names of parameters that transformers did not find, and has initialised at random.
    path : str
        For the message.
    """
    inside = {id(module) for module in part.modules()}
    lost = sorted(
        name
        for name in missing
        if id(network.get_submodule(name.rpartition(".")[0])) in inside and not {*WITHOUT_FEATURES} & {*name.split(".")}
    )
    if lost:
        named = ", ".join(lost[:3])
        raise ModelError(
            f"the checkpoint of {path!r} lacks {len(lost)} weights that its config.json declares ({named}"
            f"{', …' if len(lost) > 3 else ''}); transformers would fill them with random numbers. Give a whole checkpoint."
        )


def _dequantized_when_read(config: Any) -> Any:
    told = config.quantization_config
    if not isinstance(told, Mapping) or told.get("quant_method") != "compressed-tensors":
        return config
    config = copy.deepcopy(config)
    config.quantization_config = {**told, "dequantize": True}
    return config
