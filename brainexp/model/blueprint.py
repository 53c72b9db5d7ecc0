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

    return {
        name: (module.out_features, module.in_features)
        for name, module in network.named_modules()
        if isinstance(module, torch.nn.Linear)
    }


def heads_of(network: Any, linear: Mapping[str, tuple[int, int]]) -> tuple[str, ...]:
    """Return which of the linear layers are not in the part that gives features.

    Parameters
    ----------
    network : transformers.PreTrainedModel
    linear : mapping
        From `linear_layers`.
    """
    base = getattr(network, "base_model_prefix", "")
    if not base or getattr(network, base, None) is None:
        return ()
    return tuple(name for name in linear if not name.startswith(f"{base}."))


def reads(config: Any) -> Literal["causal", "bidirectional", "encoder-decoder"]:
    """Return which words a state may depend on, as far as the config tells."""
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_MASKED_LM_MAPPING

    if config.is_encoder_decoder:
        return "encoder-decoder"
    causal = type(config) in MODEL_FOR_CAUSAL_LM_MAPPING
    masked = type(config) in MODEL_FOR_MASKED_LM_MAPPING and not getattr(config, "is_decoder", False)
    return "causal" if causal and not masked else "bidirectional"


def quantized(config: Any) -> str | None:
    """Return the method by which the checkpoint says that it is quantized already, or None."""
    told = getattr(config, "quantization_config", None)
    if told is None:
        return None
    told = told if isinstance(told, Mapping) else told.to_dict()
    return str(getattr(told.get("quant_method"), "value", told.get("quant_method", "unknown")))


def most_tokens(network: Any) -> int | None:
    """Return how many tokens a network can read at once, or None where nothing limits them."""
    limit: int | None = getattr(network.config.get_text_config(), "max_position_embeddings", None)
    for name, module in network.named_modules():
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
            return int(module.num_embeddings) - int(module.padding_idx) - 1  # RoBERTa counts from after its padding
    return limit
