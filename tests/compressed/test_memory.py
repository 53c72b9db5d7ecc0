"""Weights that do not fit into memory stay on the disk, and what is made of them is the same."""

import dataclasses
import logging

import numpy as np
import pytest

from brainexp.compressed import CompressedModel
from brainexp.compression.awq import Awq
from brainexp.compression.bnb_nf4 import BnbNf4
from brainexp.compression.dynamic_int8 import DynamicInt8
from brainexp.compression.fp8 import Fp8
from brainexp.compression.gptq import Gptq
from brainexp.compression.layer_drop import LayerDrop
from brainexp.compression.low_rank import LowRank
from brainexp.compression.magnitude import Magnitude
from brainexp.compression.recipe import Recipe
from brainexp.compression.rtn import RoundToNearest
from brainexp.compression.smoothquant import SmoothQuant
from brainexp.compression.sparsegpt import SparseGPT
from brainexp.compression.wanda import Wanda
from brainexp.errors import ConfigError
from brainexp.model.transformer import Transformer
from tests.compressed.members import Pruning
from tests.compression.quantized import TEXT

#: Bytes; the weights of tiny_xs take three times as many with their head.
LITTLE = 60_000.0
MUCH = 1e12


@pytest.fixture
def model():
    return Transformer(path="package:brainexp/model/tiny/xs", dtype="bfloat16", device="cpu")


def tensors(source):
    """All tensors of the artifact, by name, from all its files."""
    from safetensors.torch import load_file

    found = {}
    for file in source.artifact[0].glob("*.safetensors"):
        found |= load_file(file)
    return found


METHODS = [
    RoundToNearest(4, 32),
    RoundToNearest(8, None, activations=8),
    Gptq(bits=4, group_size=32, calibration=TEXT),
    Awq(bits=4, group_size=32, n_grid=4, calibration=TEXT),
    SmoothQuant(calibration=TEXT),
    Fp8(),
    DynamicInt8(),
    Wanda(calibration=TEXT),
    SparseGPT(calibration=TEXT),
    Magnitude(),
    Magnitude(criterion="structured_random"),
    LowRank(),
    LayerDrop(calibration=TEXT),
    Recipe((Wanda(calibration=TEXT), RoundToNearest(4, 32))),
    Recipe((LayerDrop(by="last"), Magnitude(), Gptq(bits=4, group_size=32, calibration=TEXT))),
]


@pytest.mark.parametrize("method", METHODS, ids=lambda one: type(one).__name__)
def test_what_is_made_layer_by_layer_is_what_is_made_at_once(model, method, tmp_path, caplog):
    import torch

    at_once = CompressedModel(model, method, (), tmp_path / "at once", MUCH)
    with caplog.at_level(logging.INFO):
        by_layer = CompressedModel(model, method, (), tmp_path / "by layer", LITTLE)
        found = tensors(by_layer)
    told = "they stay on the disk, and are read and changed layer by layer" in caplog.text

    expected = tensors(at_once)
    assert told
    assert by_layer.key == at_once.key
    assert by_layer.facts()["compression/reload_error"] <= at_once.facts()["compression/reload_error"] + 1e-4
    assert {name: one for name, one in found.items() if name not in expected} == {}
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert not list((tmp_path / "by layer").rglob(".parts-*"))
