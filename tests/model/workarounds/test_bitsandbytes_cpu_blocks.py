"""Is the work-around still needed, and does it work on any CPU?"""

import numpy as np
import pytest
import torch

from brainexp.model.workarounds.bitsandbytes_cpu_blocks import multiply_by_blocks, unpacked_by_blocks
from brainexp.model.workarounds.bitsandbytes_cpu_repack import keep_plain

bitsandbytes = pytest.importorskip(
    "bitsandbytes", reason="bitsandbytes is not installed: pip install brainexp[compress]"
)
functional = pytest.importorskip("bitsandbytes.functional")


def layer_of(n_out, n_in, kind="nf4", bias=True):
    torch.manual_seed(0)
    layer = bitsandbytes.nn.Linear4bit(n_in, n_out, bias=bias, quant_type=kind, compute_dtype=torch.float32)
    layer.weight = bitsandbytes.nn.Params4bit(
        torch.randn(n_out, n_in), requires_grad=False, quant_type=kind, module=layer
    )
    return keep_plain(layer.to("cpu").eval())


def by_hand(layer):
    """A level for each half byte, the upper first, times the scale of its 64 in the flattened matrix."""
    state, codes = layer.weight.quant_state, layer.weight.data.reshape(-1).numpy()
    levels = state.code.numpy()[np.stack([codes >> 4, codes & 15], axis=1).reshape(-1)]
    scales = (
        functional.dequantize_blockwise(state.absmax, state.state2) + state.offset if state.nested else state.absmax
    )
    return (levels * np.repeat(scales.numpy(), 64)[: len(levels)]).reshape(tuple(state.shape))


@pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() != "AVX512",
    reason="cannot be seen on this CPU: only bitsandbytes' AVX-512 code is wrong. Run it on a CPU with AVX-512 to decide.",
)
def test_rows_that_do_not_end_with_a_block_are_unpacked_wrongly_without_it():
    layer = layer_of(96, 32)

    told = functional.dequantize_4bit(layer.weight.data, layer.weight.quant_state).numpy()

    assert not np.allclose(told, by_hand(layer), atol=1e-5), (
        "bitsandbytes counts blocks over the flattened matrix now: remove "
        "brainexp/model/workarounds/bitsandbytes_cpu_blocks.py"
    )


@pytest.mark.parametrize("kind", ["nf4", "fp4"])
@pytest.mark.parametrize("shape", [(96, 32), (3, 96), (33, 48), (10, 224), (64, 64), (5, 128), (7, 2)], ids=str)
def test_with_it_outputs_are_those_of_the_weights_by_hand(shape, kind):
    layer = layer_of(*shape, kind)
    assert multiply_by_blocks(layer) is layer
    given = torch.randn(5, shape[1])

    with torch.inference_mode():
        told = layer(given)

    np.testing.assert_allclose(unpacked_by_blocks(layer.weight), by_hand(layer), rtol=1e-6, atol=1e-7)
    expected = given.numpy() @ by_hand(layer).T + layer.bias.detach().numpy()
    np.testing.assert_allclose(told, expected, rtol=1e-5, atol=1e-5)


def test_gradients_flow_to_the_input():
    layer = multiply_by_blocks(layer_of(8, 32, bias=False))
    given = torch.randn(2, 32, requires_grad=True)

    layer(given).sum().backward()

    np.testing.assert_allclose(given.grad, np.tile(by_hand(layer).sum(axis=0), (2, 1)), rtol=1e-5, atol=1e-6)


def test_layers_that_need_it_not_stay_as_they_are():
    assert "forward" not in vars(multiply_by_blocks(layer_of(8, 128)))
    assert "forward" in vars(multiply_by_blocks(layer_of(8, 96)))
