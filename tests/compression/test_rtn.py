"""Round to nearest: the library's numbers are those of the formula, computed here in numpy."""

import numpy as np
import pytest

from brainexp.compression.rtn import RoundToNearest
from brainexp.errors import ConfigError
from tests.compression.quantized import (
    compressed,
    error,
    most_values,
    saved,
    saved_weights,
    states,
    tiny,
    tokens,
    weights,
)

ONE = np.float32(1)


def rounded(weight, bits, group_size, symmetric):
    """What the docstring of `Integers` says, in single precision."""
    groups = weight.reshape(len(weight), -1, group_size or weight.shape[1])
    least, most = np.minimum(groups.min(-1, keepdims=True), 0), np.maximum(groups.max(-1, keepdims=True), 0)
    low, high = ONE * -(2 ** (bits - 1)), ONE * (2 ** (bits - 1) - 1)
    if symmetric:
        scale, zero = np.maximum(-least, most) / ((high - low) / 2), np.zeros_like(least)
    else:
        scale = (most - least) / (high - low)
        zero = np.rint(np.clip(low - least / scale, low, high))
    q = np.rint(np.clip(groups / scale + zero, low, high))
    return ((q - zero) * scale).reshape(weight.shape)


@pytest.fixture(scope="module")
def dense():
    return weights(tiny("xs"))


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 8])
@pytest.mark.parametrize("group_size", [16, None])
@pytest.mark.parametrize("symmetric", [True, False])
def test_weights_are_those_of_the_formula_to_the_bit(tmp_path, dense, bits, group_size, symmetric):
    found = saved_weights(RoundToNearest(bits, group_size, symmetric), tiny("xs"), tmp_path)

    for name, weight in dense.items():
        if name == "embed_tokens":
            np.testing.assert_array_equal(found[name], weight)
            continue
        expected = rounded(weight, bits, group_size, symmetric)
        np.testing.assert_array_equal(found[name], expected)
        assert most_values(found[name], group_size) <= 2**bits
        assert (found[name] != weight).any()


def test_in_bfloat16_all_is_computed_in_bfloat16(tmp_path):
    """The same formula, each step rounded to bfloat16: with eight bits that matters."""
    import torch

    model = tiny("xs", dtype="bfloat16")
    weight = torch.tensor(weights(model)["layers.0.mlp.up_proj"]).bfloat16()
    scale = weight.abs().amax(1, keepdim=True) / 127.5
    expected = (torch.round(torch.clamp(weight / scale, -128, 127)) * scale).float().numpy()

    found = saved_weights(RoundToNearest(8, None), model, tmp_path)["layers.0.mlp.up_proj"]

    np.testing.assert_array_equal(found, expected)
    assert (found != rounded(weight.float().numpy(), 8, None, True)).any()


def test_error_falls_as_bits_rise_and_groups_shrink():
    model = tiny("s")
    ids = tokens(model)

    by_bits = [error(RoundToNearest(bits, 32), model, ids) for bits in (2, 3, 4, 8)]
    by_group = [error(RoundToNearest(3, group), model, ids) for group in (None, 32, 8)]

    assert by_bits == sorted(by_bits, reverse=True)
    assert by_bits[-1] < 0.01 < by_bits[-2]
    assert by_group == sorted(by_group, reverse=True)


def test_a_zero_point_helps():
    model = tiny("s")
    ids = tokens(model)

    assert error(RoundToNearest(2, 32, symmetric=False), model, ids) < error(RoundToNearest(2, 32), model, ids)


def test_rounded_activations_lose_more_and_stop_gradients(tmp_path):
    model = tiny("s")
    ids = tokens(model)
    only_weights = RoundToNearest(8, None)
    both = RoundToNearest(8, None, activations=8)

    network = compressed(both, model)
    again = saved(network, tmp_path, model).load().network

    np.testing.assert_array_equal(states(again, ids), states(network, ids))
    assert error(only_weights, model, ids) < error(both, model, ids) < 0.05
    assert only_weights.differentiable
    assert not both.differentiable


def test_gradients_are_what_differentiable_says(tmp_path):
    """At a layer's input: they pass rounded weights, and do not pass rounded activations."""
    import torch

    model = tiny("xs")
    for method in (RoundToNearest(8, None), RoundToNearest(8, None, activations=8)):
        network = saved(compressed(method, model), tmp_path / str(method.activations), model).load().network
        network(input_ids=torch.zeros((1, 2), dtype=torch.long))
        given = torch.ones(1, 2, 32, requires_grad=True)
        out = network.layers[0].self_attn.q_proj(given)

        passes = out.requires_grad and bool(torch.autograd.grad(out.sum(), given, allow_unused=True)[0] is not None)
        assert passes == method.differentiable


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bits": 1}, "bits must be from 2 to 8, got 1"),
        ({"bits": 16}, "bits must be from 2 to 8, got 16"),
        ({"group_size": 0}, "group_size must be at least 2, or null, got 0"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        RoundToNearest(**options)


def test_rounded_activations_need_eight_bits():
    assert "activations=8 goes with bits=8, got bits=4" in RoundToNearest(4, 32, activations=8).objection(tiny("xs"))
