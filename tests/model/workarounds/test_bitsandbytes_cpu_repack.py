"""Is the work-around still needed, and does it work? Tests on the layout itself decide on every CPU."""

import numpy as np
import pytest
import torch

from brainexp.model.workarounds.bitsandbytes_cpu_repack import keep_plain

bitsandbytes = pytest.importorskip(
    "bitsandbytes", reason="bitsandbytes is not installed: pip install brainexp[compress]"
)
functional = pytest.importorskip("bitsandbytes.functional")
NO_LONGER = "bitsandbytes keeps weights whole now: remove brainexp/model/workarounds/bitsandbytes_cpu_repack.py"


def four_bit_layer(n_out=64, n_in=128, double=False):
    generator = torch.Generator().manual_seed(0)
    layer = bitsandbytes.nn.Linear4bit(
        n_in, n_out, bias=False, quant_type="nf4", compress_statistics=double, compute_dtype=torch.float32
    )
    scales = torch.linspace(0.1, 10, n_out)[:, None]  # so that a scale at the wrong block is seen
    layer.weight = bitsandbytes.nn.Params4bit(
        scales * torch.randn(n_out, n_in, generator=generator),
        requires_grad=False,
        quant_type="nf4",
        compress_statistics=double,
        module=layer,
    )
    return layer.to("cpu").eval()


def dense_weights(layer):
    return functional.dequantize_4bit(layer.weight.data, layer.weight.quant_state).float()


def test_the_layout_cannot_be_undone_so_the_work_around_is_needed_whatever_this_cpu_is():
    layer = four_bit_layer()
    before = dense_weights(layer)

    packed, state = functional._convert_weight_packed_for_cpu(layer.weight.data, layer.weight.quant_state)
    plain, state = functional._convert_weight_packed_for_cpu_inverse(packed, state)

    same = state.absmax.shape == (64 * 128 // 64,) and torch.equal(
        functional.dequantize_4bit(plain, state).float(), before
    )
    assert not same, NO_LONGER


@pytest.mark.skipif(
    not functional.has_avx512bf16(),
    reason="cannot be seen on this CPU: without AVX512-BF16 bitsandbytes lays nothing out anew. The test of the layout decides.",
)
def test_a_network_that_has_run_is_saved_wrongly_without_the_work_around():
    layer = four_bit_layer()
    before = dense_weights(layer)

    with torch.inference_mode():
        layer(torch.ones(1, 128))
    stored = layer.state_dict()["weight.absmax"]

    whole = stored.shape == before.numel() // 64 and torch.equal(dense_weights(layer), before)
    assert not whole, NO_LONGER


@pytest.mark.parametrize("double", [False, True])
def test_with_it_nothing_changes_and_outputs_are_those_of_the_dense_weights(double):
    layer = four_bit_layer(double=double)
    assert keep_plain(layer) is layer
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    given = torch.randn(5, 128, generator=torch.Generator().manual_seed(1))

    with torch.inference_mode():
        told = layer(given)

    after = layer.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    np.testing.assert_allclose(told, given @ dense_weights(layer).T, rtol=1e-5, atol=1e-4)


def test_layers_whose_outputs_are_no_multiple_of_32_run_too():
    layer = keep_plain(four_bit_layer(n_out=48))

    with torch.inference_mode():
        assert torch.isfinite(layer(torch.ones(1, 128))).all()


def test_a_network_without_such_layers_stays_as_it_is():
    network = torch.nn.Linear(2, 2)

    assert keep_plain(network) is network
    assert not hasattr(network, "support_avx512bf16_for_cpu")
