"""W8A8: layers compute what numpy does, and only those that were chosen."""

import numpy as np
import pytest

from brainexp.compression.dynamic_int8 import DynamicInt8
from brainexp.compression.rtn import RoundToNearest
from tests.compression.quantized import compressed, error, saved, saved_weights, tiny, tokens, weights


def test_all_is_what_round_to_nearest_does_with_eight_bits(tmp_path):
    model = tiny("xs")

    ours = saved_weights(DynamicInt8(), model, tmp_path / "int8")
    theirs = saved_weights(RoundToNearest(8, None, activations=8), model, tmp_path / "rtn")

    assert all((ours[name] == theirs[name]).all() for name in theirs)
    assert DynamicInt8().bits_per_weight((96, 32), 32) == RoundToNearest(8, None).bits_per_weight((96, 32), 32) == 9


@pytest.mark.parametrize(("modules", "kept"), [("attention", "mlp"), ("feed_forward", "self_attn")])
def test_only_the_chosen_part_is_rounded(tmp_path, modules, kept):
    model, method = tiny("xs"), DynamicInt8(modules=modules)
    dense, found = weights(model), saved_weights(method, model, tmp_path)

    for name in dense:
        same = (found[name] == dense[name]).all()
        assert same == (kept in name or name == "embed_tokens"), name
    assert all(kept not in name for name in method.claims(model.blueprint()).modules)


def test_parts_lose_less_than_the_whole():
    model = tiny("s")
    ids = tokens(model)
    whole = error(DynamicInt8(), model, ids)

    assert all(error(DynamicInt8(modules=part), model, ids) < whole for part in ("attention", "feed_forward"))


def test_a_layer_puts_out_rounded_inputs_times_rounded_weights(tmp_path):
    import torch

    model = tiny("xs")
    network = saved(compressed(DynamicInt8(), model), tmp_path, model).load().network
    network(input_ids=torch.zeros((1, 2), dtype=torch.long))
    layer = network.layers[0].mlp.up_proj
    given = np.random.default_rng(0).normal(size=(1, 5, 32)).astype(np.float32)

    step = np.abs(given).max(-1, keepdims=True) / np.float32(127.5)
    inputs = np.rint(np.clip(given / step, -128, 127)) * step
    with torch.inference_mode():
        found = layer(torch.tensor(given)).numpy()

    np.testing.assert_allclose(
        found, inputs @ weights(model.at(tmp_path))["layers.0.mlp.up_proj"].T, rtol=1e-4, atol=1e-5
    )
    assert np.abs(found - given @ weights(model.at(tmp_path))["layers.0.mlp.up_proj"].T).max() > 1e-3
