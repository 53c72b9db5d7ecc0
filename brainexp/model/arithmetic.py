"""With what a network multiplies, in words: which path a run took."""

from __future__ import annotations

from typing import Any

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
    rounded = False
    found = set()
    for module in network.modules():
        kind = type(module)
        if kind.__module__.startswith("bitsandbytes"):
            found.add(f"bitsandbytes {BITSANDBYTES.get(kind.__name__, kind.__name__)} kernels on {device}")
        scheme = getattr(module, "quantization_scheme", None)
        if scheme is not None and getattr(module, "weight", None) is not None:
            rounded = rounded or getattr(scheme, "input_activations", None) is not None
            found.add("weights dequantized when read")
    if "weights dequantized when read" not in found:
        return "; ".join(sorted(found)) or dense
    return f"weights dequantized when read, {'inputs rounded on the way, ' if rounded else ''}{dense}"
