import pytest

from brainexp.compression.awq import Awq
from brainexp.compression.workarounds import llmcompressor_pin_memory
from brainexp.compression.workarounds.llmcompressor_pin_memory import without_pinned_memory
from tests.compression.quantized import TEXT, compressed, tiny

METHOD = Awq(bits=4, group_size=32, n_grid=4, calibration=TEXT)


def cpu_only():
    import torch

    return not torch.accelerator.is_available()


@pytest.mark.skipif(not cpu_only(), reason="with a GPU nothing has to be gone around")
def test_it_is_still_needed(monkeypatch):
    """When this fails, llm-compressor has mended it: delete the work-around and its use in awq.py."""
    from contextlib import nullcontext

    monkeypatch.setattr("brainexp.compression.awq.without_pinned_memory", nullcontext)

    with pytest.raises(RuntimeError, match="Cannot access accelerator device when none is available"):
        compressed(METHOD, tiny("xs"))


def test_with_it_awq_runs_and_nothing_is_left_changed():
    from llmcompressor.pipelines.cache import IntermediatesCache

    before = IntermediatesCache.pin_memory
    compressed(METHOD, tiny("xs"))

    assert IntermediatesCache.pin_memory is before


def test_it_is_undone_after_an_error():
    from llmcompressor.pipelines.cache import IntermediatesCache

    before = IntermediatesCache.pin_memory
    inside = []

    def fail():
        with without_pinned_memory():
            inside.append(IntermediatesCache.pin_memory)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert (inside[0] is llmcompressor_pin_memory._leave) == cpu_only()
    assert IntermediatesCache.pin_memory is before
