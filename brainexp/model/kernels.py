"""Which way a loaded network multiplies: said once in a run, so that nobody has to guess."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from brainexp.model.prequantized import UNPACKED_FROM, description, quantization


def kernel_path(network: Any, device: str) -> str:
    """Say in one sentence how a network's quantized weights are used.

    Parameters
    ----------
    network : torch.nn.Module
        Of transformers, as loaded.
    device : str
        Where it runs, such as "cpu" or "cuda".

    Returns
    -------
    str
        Such as "gptq w4 g128, unpacked when read: dense products in bfloat16 on cpu".
    """
    dtype = str(network.dtype).removeprefix("torch.")
    told = quantization(network.config)
    if told is None:
        source = getattr(network, UNPACKED_FROM, None)
        before = f"{source}, unpacked when read: " if source else ""
        return f"{before}dense products in {dtype} on {device}"
    method = told["quant_method"]
    if method == "compressed-tensors":
        return f"{description(told)}, {_of_compressed_tensors(told, dtype, device)}"
    if method == "bitsandbytes":
        return f"{description(told)}, {_of_bitsandbytes(told, device)}"
    return f"{description(told)}, as transformers runs it in {dtype} on {device}"


def _of_compressed_tensors(told: Mapping[str, Any], dtype: str, device: str) -> str:
    groups = (told.get("config_groups") or {}).values()
    rounded = {f"{inputs.get('type', 'int')}{inputs.get('num_bits')}" for group in groups if (inputs := group.get("input_activations"))}
    activations = f", inputs rounded to {' and '.join(sorted(rounded))} and back" if rounded else ""
    return f"unpacked to dense weights in the first pass: dense products in {dtype} on {device}{activations}"


def _of_bitsandbytes(told: Mapping[str, Any], device: str) -> str:
    if told.get("load_in_4bit"):
        compute = str(told.get("bnb_4bit_compute_dtype", "float32"))
        own = "by its kernel" if device.startswith("cuda") else "to a dense layer"
        return f"weights unpacked {own} in each pass: products in {compute} on {device}"
    outliers = told.get("llm_int8_threshold", 6.0)
    beside = f", those of at least {outliers:g} beside them in their own" if outliers else ""
    return f"products of int8 weights with inputs rounded to int8{beside} on {device}"


def rounds_inputs(network: Any) -> bool:
    """Return whether the inputs of quantized layers are rounded too, to eight bits or fewer.

    Parameters
    ----------
    network : torch.nn.Module
        Of transformers, as loaded.
    """
    told = quantization(network.config)
    if told is None:
        return False
    groups = (told.get("config_groups") or {}).values()
    return bool(told.get("load_in_8bit")) or any(group.get("input_activations") for group in groups)


def mixes_texts(network: Any) -> bool:
    """Return whether what is read in one pass is rounded together, so that features depend on what is read beside a text.

    LLM.int8() leaves out of rounding all columns in which any token of the pass has a large value.

    Parameters
    ----------
    network : torch.nn.Module
        Of transformers, as loaded.
    """
    told = quantization(network.config) or {}
    return bool(told.get("load_in_8bit")) and float(told.get("llm_int8_threshold", 6.0)) > 0
