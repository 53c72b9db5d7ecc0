"""What a network is made of, known from its config without reading weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal


def class_with_head(config: Any) -> Any:
    """Return the class of transformers that the checkpoint was saved from, with its head where it has one.

    Parameters
    ----------
    config : transformers.PretrainedConfig
    """
    import transformers

    for name in config.architectures or ():
        kind = getattr(transformers, name, None)
        if kind is not None:
            return kind
    return transformers.AutoModel


def skeleton(config: Any) -> Any:
    """Return the network of a config, with its head and without weights (on torch's meta device)."""
    import torch

    kind = class_with_head(config)
    with torch.device("meta"):
        return kind._from_config(config) if hasattr(kind, "_from_config") else kind.from_config(config)


def linear_layers(network: Any) -> dict[str, tuple[int, int]]:
    """Outputs and inputs of every linear layer, by name."""
    import torch
    from transformers.pytorch_utils import Conv1D

    found = {}
    for name, module in network.named_modules():
        if isinstance(module, torch.nn.Linear):
            found[name] = (module.out_features, module.in_features)
        elif isinstance(module, Conv1D):
            found[name] = (module.nf, module.nx)
    return found


def transposed(network: Any) -> tuple[str, ...]:
    """Return which linear layers hold their weights as inputs times outputs: those of GPT-2 and its kin."""
    from transformers.pytorch_utils import Conv1D

    return tuple(name for name, module in network.named_modules() if isinstance(module, Conv1D))


def heads_of(network: Any, linear: Mapping[str, tuple[int, int]]) -> tuple[str, ...]:
    """Return which of the linear layers no feature depends on: the head, and the pooler of BERT and its kin.

    Parameters
    ----------
    network : transformers.PreTrainedModel
    linear : mapping
        From `linear_layers`.
    """
    base = getattr(network, "base_model_prefix", "")
    inside = f"{base}." if base and getattr(network, base, None) is not None else ""
    words = network.get_output_embeddings()  # T5's lies beside its halves, which have no common base
    return tuple(
        name
        for name in linear
        if not name.startswith(inside) or "pooler" in name.split(".") or network.get_submodule(name) is words
    )


def reads(config: Any) -> Literal["causal", "bidirectional", "encoder-decoder"]:
    """Return which words a state may depend on, as far as the config tells."""
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_MASKED_LM_MAPPING

    if config.is_encoder_decoder:
        return "encoder-decoder"
    causal = type(config) in MODEL_FOR_CAUSAL_LM_MAPPING
    masked = type(config) in MODEL_FOR_MASKED_LM_MAPPING and not getattr(config, "is_decoder", False)
    return "causal" if causal and not masked else "bidirectional"


def most_tokens(network: Any) -> int | None:
    """Return how many tokens a network can read at once, or None where nothing limits them."""
    limit: int | None = getattr(network.config.get_text_config(), "max_position_embeddings", None)
    for name, module in network.named_modules():
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
            return int(module.num_embeddings) - int(module.padding_idx) - 1  # RoBERTa counts from after its padding
    return limit


def n_blocks_of(config: Any, states: Literal["encoder", "decoder"] | None) -> int:
    """Return how many blocks a checkpoint has; of an encoder–decoder, in the half that is read.

    Parameters
    ----------
    config : transformers.PretrainedConfig
    states : {"encoder", "decoder"} or None
        None for the encoder.
    """
    if config.is_encoder_decoder:
        half = states or "encoder"
        names = (f"{half}_layers", f"num_{half}_layers", "num_layers")  # BART, ProphetNet, T5
        found = [value for name in names if (value := getattr(config, name, None)) is not None]
        return int(found[0] if found else getattr(config, half).num_hidden_layers)  # T5Gemma
    return int(config.get_text_config().num_hidden_layers)
