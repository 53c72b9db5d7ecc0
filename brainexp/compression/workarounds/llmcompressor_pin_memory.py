"""AWQ of llm-compressor needs a GPU for nothing but pinned memory.

llm-compressor 0.14.0.1, `AWQModifier._apply_smoothing` calls `IntermediatesCache.pin_memory` whatever the device (since
vllm-project/llm-compressor pull request 2813), and torch 2.13 answers on a machine without one: "RuntimeError: Cannot
access accelerator device when none is available." Pinned memory makes copies to a GPU faster and changes no number.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def without_pinned_memory() -> Iterator[None]:
    """Let llm-compressor pin no memory inside the block, where there is no GPU to copy it to."""
    import torch
    from llmcompressor.pipelines.cache import IntermediatesCache

    if torch.accelerator.is_available():
        yield
        return
    pin_memory = IntermediatesCache.pin_memory
    IntermediatesCache.pin_memory = _leave
    try:
        yield
    finally:
        IntermediatesCache.pin_memory = pin_memory


def _leave(cache: Any, batch_index: int, input_names: Any = None) -> None:
    """Pin nothing."""
