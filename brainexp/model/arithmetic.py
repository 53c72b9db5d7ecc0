"""With what a network multiplies, in words: which path a run took."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from brainexp.model.prequantized import UNPACKED_FROM, description, quantization

#: Begins what is said of weights that are as wide as the numbers they multiply.
DENSE = "dense matrix products"


def arithmetic(network: Any, dtype: str, device: str) -> str:
    """Return in one sentence how the matrix products of a network are computed.

    Parameters
    ----------
    network : torch.nn.Module
        As it was read, without its head.
    dtype, device : str
        In which and where it computes.

    Returns
    -------
    str
        Such as "dense matrix products in bfloat16 on cpu" or "gptq w4 g128, unpacked when read: dense matrix products in
        bfloat16 on cpu".
    """
    dense = f"{DENSE} in {dtype} on {device}" + (", inputs rounded on the way" if rounds_inputs(network) else "")
    source = getattr(network, UNPACKED_FROM, None)
    if source is not None:
        return f"{source}, unpacked when read: {dense}"
    told = quantization(network.config)
    if told is None:
        return dense
    if told["quant_method"] == "bitsandbytes":
        return f"{description(told)}, {_of_bitsandbytes(told, device)}"
    return f"{description(told)}, as transformers multiplies it in {dtype} on {device}"


def _of_bitsandbytes(told: Mapping[str, Any], device: str) -> str:
    if told.get("load_in_4bit"):
        compute = str(told.get("bnb_4bit_compute_dtype", "float32")).removeprefix("torch.")
        return f"unpacked layer by layer in each pass: matrix products in {compute} on {device}"
    threshold = float(told.get("llm_int8_threshold", 6.0))
    beside = f", columns with inputs of {threshold:g} or more apart," if threshold else ""
    return f"integer products with inputs rounded to int8{beside} on {device}"


def rounds_inputs(network: Any) -> bool:
    """Return whether the inputs of quantized layers are rounded too, to eight bits or fewer.

    Parameters
    ----------
    network : torch.nn.Module
        Of transformers, as it was read.
    """
    told = quantization(getattr(network, "config", None)) or {}
    schemes = (getattr(module, "quantization_scheme", None) for module in network.modules())  # of compressed-tensors
    return bool(told.get("load_in_8bit")) or any(getattr(scheme, "input_activations", None) for scheme in schemes)


def mixes_texts(network: Any) -> bool:
    """Return whether what is read in one pass is rounded together, so that features depend on what is read beside a text.

    LLM.int8() leaves out of rounding all columns in which any token of the pass has a large value.

    Parameters
    ----------
    network : torch.nn.Module
        Of transformers, as it was read.
    """
    told = quantization(getattr(network, "config", None)) or {}
    return bool(told.get("load_in_8bit")) and float(told.get("llm_int8_threshold", 6.0)) > 0
