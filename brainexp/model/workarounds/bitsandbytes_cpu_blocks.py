"""On a CPU with AVX-512, 4-bit weights of bitsandbytes are unpacked with scales of other blocks.

``bitsandbytes.functional.dequantize_4bit``, by which each pass and each reader unpacks, goes through a matrix row by row and
begins a block of 64 at the start of each row. But blocks were counted over the flattened matrix when the weights were
quantized, so if a row is no multiple of 64 long, most weights get a scale that is not theirs. Without an error, features of
a network with rows of 32 differ by 0.9 of their size. All versions of the function that count over the flattened matrix
(scalar, CUDA) are right.

Seen in bitsandbytes 0.50.2 on rows of 16, 32, 48, 80, 96, 160, 224; the scalar code and the intended count are described in
https://github.com/bitsandbytes-foundation/bitsandbytes/pull/2072. A matrix that is handed over as one long row is unpacked
rightly, so layers with such rows are given a ``forward`` that does that.
"""

from __future__ import annotations

import copy
import sys
from functools import partial
from typing import Any


def multiply_by_blocks(network: Any) -> Any:
    """Let 4-bit layers on a CPU whose rows do not end with a block unpack their weights as one long row.

    Parameters
    ----------
    network : torch.nn.Module
        As it was read; one without such layers stays as it is.

    Returns
    -------
    torch.nn.Module
        The same.
    """
    bitsandbytes = sys.modules.get("bitsandbytes")  # no network has such layers if nobody has imported it
    if bitsandbytes is not None:
        for layer in network.modules():
            if isinstance(layer, bitsandbytes.nn.Linear4bit) and _is_unpacked_wrongly(layer.weight):
                layer.forward = partial(_forward, layer)
    return network


def unpacked_by_blocks(weight: Any) -> Any:
    """Return the weights of a 4-bit layer, blocks counted over the flattened matrix.

    Parameters
    ----------
    weight : bitsandbytes.nn.Params4bit

    Returns
    -------
    torch.Tensor of shape (n_outputs, n_inputs)
    """
    from bitsandbytes.functional import dequantize_4bit

    row = copy.copy(weight.quant_state)
    row.shape = (1, row.shape[0] * row.shape[1])
    return dequantize_4bit(weight.data, row).reshape(weight.quant_state.shape)


def _is_unpacked_wrongly(weight: Any) -> bool:
    state = weight.quant_state
    return state is not None and weight.device.type == "cpu" and state.shape[-1] % state.blocksize != 0


def _forward(layer: Any, given: Any) -> Any:
    from torch.nn.functional import linear

    dtype = layer.compute_dtype or given.dtype
    bias = None if layer.bias is None else layer.bias.to(dtype)
    return linear(given.to(dtype), unpacked_by_blocks(layer.weight).to(dtype), bias).to(given.dtype)
