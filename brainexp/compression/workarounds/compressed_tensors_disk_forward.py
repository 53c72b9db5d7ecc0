"""A layer whose weights stay on the disk computes with weights that are not quantized.

compressed-tensors 0.19, `set_forward_quantized`: the quantized forward reads ``self.weight`` ("onload once"), puts rounded
values into it and calls the class's forward, which reads ``self.weight`` again. Where that gives the same tensor, the
weights are rounded; a `DiskCache` reads another from the file, so that the layer's output is that of full weights, while
what is saved is right.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any


@contextmanager
def weights_read_once(network: Any) -> Iterator[None]:
    """Let each layer read its weights once for each pass inside the block; they are let go after it.

    Parameters
    ----------
    network : torch.nn.Module
        Dispatched by compressed-tensors.
    """
    from compressed_tensors.offload import disable_offloading

    held: list[ExitStack] = []

    def begin(*_: Any) -> None:
        stack = ExitStack()
        stack.enter_context(disable_offloading())
        held.append(stack)

    def end(*_: Any) -> None:
        held.pop().close()

    layers = [one for one in network.modules() if hasattr(one, "quantization_scheme")]
    hooks = [one.register_forward_pre_hook(begin) for one in layers]
    hooks += [one.register_forward_hook(end, always_call=True) for one in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        while held:
            held.pop().close()
