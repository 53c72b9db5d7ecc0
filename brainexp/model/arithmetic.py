"""With what a network multiplies, in words: which path a run took."""

from __future__ import annotations

from typing import Any

from brainexp.model.prequantized import UNPACKED_FROM, quantization

#: Begins what is said of weights that are as wide as the numbers they multiply.
DENSE = "dense matrix products"
#: Classes of bitsandbytes, and how its kernels are called.
BITSANDBYTES = {"Linear8bitLt": "int8", "Linear4bit": "4-bit", "LinearNF4": "4-bit", "LinearFP4": "4-bit"}


def arithmetic(network: Any, dtype: str, device: str) -> str:
    """Return how the matrix products of a network are computed.

    Parameters
    ----------
    network : torch.nn.Module
        As it was read.
    dtype, device : str
        In which and where it computes.

    Returns
    -------
    str
        Such as "dense matrix products in bfloat16 on cpu" or "bitsandbytes int8 kernels on cuda".
    """
    dense = f"{DENSE} in {dtype} on {device}"
    rounded = rounds_inputs(network)
    found = {"weights dequantized when read"} if hasattr(network, UNPACKED_FROM) else set()
    for module in network.modules():
        kind = type(module)
        if kind.__module__.startswith("bitsandbytes"):
            found.add(f"bitsandbytes {BITSANDBYTES.get(kind.__name__, kind.__name__)} kernels on {device}")
        scheme = getattr(module, "quantization_scheme", None)
        if scheme is not None and getattr(module, "weight", None) is not None:
            found.add("weights dequantized when read")
    if "weights dequantized when read" not in found:
        return "; ".join(sorted(found)) or dense
    return f"weights dequantized when read, {'inputs rounded on the way, ' if rounded else ''}{dense}"


def rounds_inputs(network: Any) -> bool:
    """Return whether the inputs of quantized layers are rounded too, to eight bits or fewer.

    Parameters
    ----------
    network : torch.nn.Module
        As it was read.
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
        As it was read.
    """
    told = quantization(getattr(network, "config", None)) or {}
    return bool(told.get("load_in_8bit")) and float(told.get("llm_int8_threshold", 6.0)) > 0
