"""Saving or moving a 4-bit network of bitsandbytes after it has run on a CPU writes other weights than it had.

On a CPU with AVX512-BF16, ``bitsandbytes.nn.Linear4bit`` lays its weights out anew in the first pass in evaluation mode
(``_convert_weight_packed_for_cpu``): scales are transposed and rounded to bfloat16. Whatever asks for them later, such as
``state_dict`` and ``save_pretrained``, undoes the layout (``_convert_weight_packed_for_cpu_inverse``), but leaves the scales
as they are, so they stand at the wrong blocks, in the file and in memory. Without an error, states change by half of their
size. With double quantization the scales are put back and quantized anew, which changes them a little. Layers whose outputs
are no multiple of 32 end in ``AssertionError: N must be divisible by block_n``.

Seen in bitsandbytes 0.50.2; moving a repacked network has the same cause
(https://github.com/bitsandbytes-foundation/bitsandbytes/issues/2078). Weights that are never laid out anew go the plain way,
a dense block-wise dequantization in each pass, with the scales as they are in the file: the layer's own switch chooses it.
"""

from __future__ import annotations

import sys
from typing import Any


def keep_plain(network: Any) -> Any:
    """Let no 4-bit layer lay out its weights anew.

    Parameters
    ----------
    network : torch.nn.Module
        Before its first pass; one without such layers stays as it is.

    Returns
    -------
    torch.nn.Module
        The same.
    """
    bitsandbytes = sys.modules.get("bitsandbytes")  # no network has such layers if nobody has imported it
    if bitsandbytes is not None:
        for layer in network.modules():
            if isinstance(layer, bitsandbytes.nn.Linear4bit):
                layer.support_avx512bf16_for_cpu = False
    return network
