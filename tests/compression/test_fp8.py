"""FP8: the library's numbers are those of torch's type."""

import numpy as np
import pytest

from brainexp.compression.fp8 import Fp8
from tests.compression.quantized import (
    TEXT,
    compressed,
    error,
    saved,
    saved_weights,
    stored_bits,
    tiny,
    tokens,
    weights,
)

GREATEST = 448.0


def rounded(weight, largest):
    """To the nearest number of four bits of exponent and three of mantissa, times a scale."""
    import torch

    scale = torch.tensor(largest) / GREATEST
    return (
        torch.clamp(torch.tensor(weight) / scale, -GREATEST, GREATEST).to(torch.float8_e4m3fn).float() * scale
    ).numpy()


def largest(weight, scales):
    if scales == "dynamic":
        return np.abs(weight).max(1, keepdims=True)
    if scales == "static":
        return np.abs(weight).max(keepdims=True)
    blocks = np.abs(weight).reshape(len(weight) // 128, 128, -1, 128).max((1, 3))
    return blocks.repeat(128, 0).repeat(128, 1)


@pytest.mark.parametrize("scales", ["dynamic", "static", "block"])
def test_weights_and_bits_are_those_of_the_scheme(tmp_path, scales):
    model = tiny("m")
    method = Fp8(scales=scales, calibration=TEXT if scales == "static" else None)

    again = saved(compressed(method, model), tmp_path, model)

    dense, found = weights(model), weights(again)
    for name in ("layers.0.self_attn.o_proj", "layers.2.mlp.down_proj"):
        np.testing.assert_array_equal(found[name], rounded(dense[name], largest(dense[name], scales)))
        by_hand = method.bits_per_weight(dense[name].shape, 32) * dense[name].size
        assert stored_bits(tmp_path, f"model.{name}") == by_hand
    np.testing.assert_array_equal(found["embed_tokens"], dense["embed_tokens"])


def test_a_little_is_lost_and_more_on_a_text_that_was_not_calibrated_on():
    model = tiny("s")
    ids = tokens(model)

    assert 0.01 < error(Fp8(), model, ids) < 0.05
    assert 0.01 < error(Fp8(scales="static", calibration=TEXT), model, ids) < 0.06


def test_static_scales_depend_on_the_text(tmp_path):
    import dataclasses

    from safetensors import safe_open

    model = tiny("xs")
    method = Fp8(scales="static", calibration=TEXT)
    other = dataclasses.replace(method, calibration=dataclasses.replace(TEXT, seed=5))
    found = []
    for at, one in enumerate((method, other)):
        saved(compressed(one, model), tmp_path / str(at), model)
        with safe_open(tmp_path / str(at) / "model.safetensors", "np") as file:
            found.append(file.get_tensor("model.layers.1.mlp.down_proj.input_scale"))

    assert found[0] != found[1]


def test_weights_do_not_depend_on_the_text(tmp_path):
    model = tiny("xs")
    import dataclasses

    texts = (TEXT, dataclasses.replace(TEXT, seed=5))
    first, second = (
        saved_weights(Fp8(scales="static", calibration=text), model, tmp_path / str(text.seed)) for text in texts
    )

    np.testing.assert_array_equal(first["layers.0.mlp.up_proj"], second["layers.0.mlp.up_proj"])


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (
            Fp8(scales="block"),
            "scales=block needs inputs in multiples of 128, but model.layers.0.self_attn.q_proj has 32",
        ),
        (Fp8(scales="static"), r"static scales are found on a text. Give \+compression/calibration=grammar"),
        (Fp8(calibration=TEXT), "scales=dynamic needs no text"),
    ],
)
def test_what_does_not_fit_is_refused(method, message):
    import re

    assert re.search(message, method.objection(tiny("xs")))
