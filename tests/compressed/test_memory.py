"""Weights that do not fit into memory stay on the disk, and what is made of them is the same."""

import logging
import subprocess
import sys

import pytest

from brainexp.compressed import HELD, CompressedModel, base_bytes
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
from brainexp.errors import ConfigError, ModelError
from brainexp.experiment import Experiment
from brainexp.model.transformer import Transformer
from brainexp.preflight import _held_while_compressing
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


FEW = [
    RoundToNearest(4, 32, symmetric=False),
    DynamicInt8(),
    Wanda(calibration=TEXT),
    Magnitude(),
    LowRank(),
    Recipe((LayerDrop(by="last"), Magnitude(), Gptq(bits=4, group_size=32, calibration=TEXT))),
]
MORE = [
    RoundToNearest(4, 32),
    RoundToNearest(8, None, activations=8),
    Gptq(bits=4, group_size=32, calibration=TEXT),
    Awq(bits=4, group_size=32, n_grid=4, calibration=TEXT),
    SmoothQuant(calibration=TEXT),
    Fp8(),
    SparseGPT(calibration=TEXT),
    Magnitude(criterion="structured_random"),
    LayerDrop(calibration=TEXT),
    Recipe((Wanda(calibration=TEXT), RoundToNearest(4, 32))),
]


@pytest.mark.parametrize(
    "method", [*FEW, *(pytest.param(one, marks=pytest.mark.slow) for one in MORE)], ids=lambda one: type(one).__name__
)
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


def test_what_needs_all_weights_is_refused_before_they_are_read(model, members, tmp_path, monkeypatch):
    monkeypatch.setattr(Transformer, "network_with_head", lambda *_, **__: pytest.fail("weights were read"))

    for method, words in (
        (Magnitude(across="model"), "weights of all layers compete; give compression.across=layer"),
        (Magnitude(modules="head"), "a head may share its weights with the embedding"),
        (BnbNf4(), "bitsandbytes cannot leave packed weights on the disk"),
        (Recipe((Magnitude(across="model"), RoundToNearest(4, 32))), "weights of all layers compete"),
        (Pruning(), "it was not written to work on some of them at a time"),
    ):
        source = CompressedModel(model, method, (), tmp_path, LITTLE)
        with pytest.raises(
            ConfigError, match=rf"all weights in memory at once, [\d.]+ kB, but 60.0 kB may be used: {words}"
        ):
            source.load()
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and not file.name.endswith(".lock")]


def test_without_the_work_around_the_features_of_quantized_weights_are_those_of_full_ones(model, tmp_path, monkeypatch):
    """When this fails, compressed-tensors has mended it: delete compressed_tensors_disk_forward.py."""
    from contextlib import nullcontext

    monkeypatch.setattr("brainexp.compressed.proof.weights_read_once", nullcontext)

    with pytest.raises(ModelError, match="features of layer . were to be the same"):
        CompressedModel(model, RoundToNearest(4, 32), (), tmp_path, LITTLE).load()


@pytest.mark.parametrize("method", [DynamicInt8(), RoundToNearest(4, 32, symmetric=False)])
def test_without_the_work_around_integers_on_the_disk_are_taken_for_others(model, tmp_path, monkeypatch, method):
    """When this fails, transformers has mended it: delete transformers_disk_integers.py."""
    from contextlib import nullcontext

    monkeypatch.setattr("brainexp.compression.parts.integers_as_in_the_file", nullcontext)

    with pytest.raises(
        (ModelError, RuntimeError), match=r"got dtype=torch.int8|Expected torch.int32 but got torch.int8"
    ):
        CompressedModel(model, method, (), tmp_path, LITTLE).load()


def test_it_is_quiet_where_stderr_is_no_terminal(model, tmp_path, capfd):
    for may_take in (LITTLE, MUCH):
        CompressedModel(model, RoundToNearest(4, 32), (), tmp_path / str(may_take), may_take).load()

    assert capfd.readouterr() == ("", "")


def test_what_is_in_memory_at_once_is_reckoned_with(composed, model):
    def needed(memory_gb, *overrides):
        options = ["compression=magnitude", "compression.across=layer", f"resources.memory_gb={memory_gb}", *overrides]
        experiment = Experiment.from_config(composed("model=tiny_l", *options))
        assert experiment.memory_bytes == 1e9 * memory_gb
        return _held_while_compressing(experiment, base_bytes(experiment.model))

    whole = needed(10)

    assert needed(1e-9 * whole) == pytest.approx(HELD * whole)
    assert needed(1e-9 * whole, "compression.across=model") == whole


def test_notes_of_files_that_are_gone_are_gone_too(model, tmp_path):
    from compressed_tensors.offload.cache import DiskCache

    before = len(DiskCache.index)
    CompressedModel(model, Magnitude(), (), tmp_path, LITTLE).load()

    assert len(DiskCache.index) == before


MAKING = """
import sys
from pathlib import Path

import llmcompressor, transformers

from brainexp.compressed import CompressedModel
from brainexp.compression.rtn import RoundToNearest
from brainexp.environment import peak_memory_bytes
from brainexp.model.transformer import Transformer

path, cache_dir, may_take = sys.argv[1:]
libraries = peak_memory_bytes()
model = Transformer(path=path, dtype="bfloat16", device="cpu")
CompressedModel(model, RoundToNearest(4, 128), (), Path(cache_dir), float(may_take)).artifact
print(peak_memory_bytes() - libraries)
"""


@pytest.mark.slow
def test_memory_stays_well_below_the_weights(tmp_path):
    """Beyond the libraries: less than the weights take, where all at once take several times as much."""
    import torch
    import transformers as hf

    from tests.model.families import FAMILIES, TOKENIZERS

    config = hf.LlamaConfig(
        vocab_size=600,
        hidden_size=768,
        intermediate_size=2048,
        num_hidden_layers=24,
        num_attention_heads=6,
        max_position_embeddings=256,
    )
    torch.manual_seed(0)
    network = hf.LlamaForCausalLM._from_config(config, dtype=torch.bfloat16)
    n_bytes = sum(weight.nbytes for weight in network.parameters())
    network.save_pretrained(tmp_path / "model", max_shard_size="100MB")
    TOKENIZERS[FAMILIES["llama"][2]]().save_pretrained(tmp_path / "model")
    del network

    def rise(may_take):
        words = [sys.executable, "-c", MAKING, str(tmp_path / "model"), str(tmp_path / str(may_take)), str(may_take)]
        return float(subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()[-1])

    assert 3e8 < n_bytes < 4e8
    assert rise(1e8) < 0.7 * n_bytes
    assert rise(1e12) > 1.5 * n_bytes
