"""The way a run multiplies is told, and the numbers are those of the quantized weights whatever the way."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from brainexp.compression.bnb_int8 import BnbInt8
from brainexp.compression.bnb_nf4 import BnbNf4
from brainexp.model.arithmetic import mixes_texts, rounds_inputs
from brainexp.model.layers import examined
from brainexp.model.prequantized import quantization, stored_bits, unpacked
from brainexp.model.transformer import Transformer
from tests.compression.bnb_cases import TINY, features, relative, saved

pytest.importorskip("compressed_tensors", reason="compressed-tensors is not installed: pip install brainexp[compress]")


@pytest.fixture
def packed_by_compressed_tensors(checkpoints, tmp_path):
    """A checkpoint in the packed format of compressed-tensors, and the dense one of the same weights.

    A word holds 8 numbers of an output, lowest bits first, 8 more than they are; a scale for 32 inputs.
    """

    def write():
        dense, small = (shutil.copytree(checkpoints["llama"], tmp_path / name) for name in ("dense", "small"))
        tensors = load_file(dense / "model.safetensors")
        whole, packed = dict(tensors), dict(tensors)
        for name in [name for name in tensors if name.endswith("_proj.weight")]:
            weight = packed.pop(name)
            n_out, n_in = weight.shape
            scales = weight.reshape(n_out, -1, 32).abs().amax(dim=2) / 7
            q = (weight / scales.repeat_interleave(32, dim=1)).round().long()
            whole[name] = q * scales.repeat_interleave(32, dim=1)
            words = ((q + 8).reshape(n_out, -1, 8) << (4 * torch.arange(8))).sum(dim=2)
            layer = name.removesuffix(".weight")
            packed[f"{layer}.weight_packed"] = (words - (words >= 2**31) * 2**32).to(torch.int32)
            packed[f"{layer}.weight_scale"] = scales
            packed[f"{layer}.weight_shape"] = torch.tensor([n_out, n_in])
        save_file(whole, dense / "model.safetensors", {"format": "pt"})
        save_file(packed, small / "model.safetensors", {"format": "pt"})
        weights = {"num_bits": 4, "type": "int", "symmetric": True, "strategy": "group", "group_size": 32}
        told = {
            "quant_method": "compressed-tensors",
            "format": "pack-quantized",
            "quantization_status": "compressed",
            "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights}},
            "ignore": ["lm_head"],
        }
        config = json.loads((small / "config.json").read_text())
        (small / "config.json").write_text(json.dumps(config | {"quantization_config": told}))
        return tuple(Transformer(path=str(folder), device="cpu") for folder in (small, dense))

    return write


def test_checkpoints_of_compressed_tensors_give_features_of_their_weights(packed_by_compressed_tensors, story):
    small, dense = packed_by_compressed_tensors()

    assert small.blueprint().quantized == "compressed-tensors w4 g32"
    np.testing.assert_allclose(features(small, story), features(dense, story), atol=1e-6)
    assert small.load().arithmetic == "weights dequantized when read, dense matrix products in float32 on cpu"
    bits = stored_bits(small.path, None, quantization(small._config(small.path)), small.blueprint().linear)
    assert bits["layers.0.mlp.up_proj"] == 4 + 32 / 32 + 2 * 64 / (32 * 64)
    stored = load_file(f"{small.path}/model.safetensors")
    layer = "layers.0.mlp.up_proj"
    by_hand = (unpacked(stored[f"{layer}.weight_packed"].T, 4).T - 8) * stored[f"{layer}.weight_scale"]
    torch.testing.assert_close(by_hand, load_file(f"{dense.path}/model.safetensors")[f"{layer}.weight"])


def test_rounded_inputs_are_told(checkpoints, tmp_path, story):
    """Eight bits for weights, a scale per output, and for inputs, a scale per token."""
    folder = shutil.copytree(checkpoints["llama"], tmp_path / "small")
    tensors = load_file(folder / "model.safetensors")
    for name in [name for name in tensors if name.endswith("_proj.weight")]:
        scales = tensors[name].abs().amax(dim=1, keepdim=True) / 127
        tensors[name] = (tensors[name] / scales).round().to(torch.int8)
        tensors[f"{name}_scale"] = scales
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    common = {"num_bits": 8, "type": "int", "symmetric": True}
    group = {
        "targets": ["Linear"],
        "weights": {**common, "strategy": "channel"},
        "input_activations": {**common, "strategy": "token", "dynamic": True},
    }
    told = {
        "quant_method": "compressed-tensors",
        "format": "int-quantized",
        "quantization_status": "compressed",
        "config_groups": {"group_0": group},
        "ignore": ["lm_head"],
    }
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": told}))
    small = Transformer(path=str(folder), device="cpu")
    loaded = small.load()

    assert small.blueprint().quantized == "compressed-tensors w8 a8"
    assert loaded.arithmetic == (
        "weights dequantized when read, inputs rounded on the way, dense matrix products in float32 on cpu"
    )
    assert rounds_inputs(loaded.network)
    assert not mixes_texts(loaded.network)
    full = Transformer(path=str(checkpoints["llama"]), device="cpu")
    assert 1e-5 < relative(features(small, story), features(full, story)) < 0.05


def test_full_networks_round_nothing():
    network = TINY.load().network

    assert not rounds_inputs(network)
    assert not mixes_texts(network)


@pytest.mark.parametrize(("compression", "words"), [(BnbInt8(), "int8"), (BnbNf4(), "4-bit")], ids=["int8", "nf4"])
def test_the_way_of_bitsandbytes_is_told(compression, words, tmp_path):
    assert saved(compression, TINY, tmp_path).load().arithmetic == f"bitsandbytes {words} kernels on cpu"


def test_a_network_that_rounds_to_eight_bits_may_differ_by_as_much():
    """A mask that is not heeded is still found."""

    class Leaky(torch.nn.Module):
        """Two layers; a hidden token adds its part to the first one."""

        def __init__(self, leak):
            super().__init__()
            self.blocks = torch.nn.ModuleList([torch.nn.Identity()])
            self.leak = leak

        def forward(self, tokens, mask, **_):
            first = torch.nn.functional.one_hot(tokens, 20).float() + 1
            first = first * (1 + self.leak * tokens[:, 1:2, None])
            states = self.blocks[0](first)
            return type("Output", (dict,), {"__getattr__": dict.get})(
                hidden_states=(first, states), last_hidden_state=states
            )

    small, large = Leaky(1e-3), Leaky(1e-1)

    assert examined(small, small, 1, 20, "cpu", rounded=True)
    for network, rounded in ((small, False), (large, True)):
        with pytest.raises(Exception, match="depend on tokens that the attention mask hides"):
            examined(network, network, 1, 20, "cpu", rounded=rounded)


@pytest.mark.gpu
@pytest.mark.parametrize("compression", [BnbInt8(threshold=0.0), BnbNf4()], ids=["int8", "nf4"])
def test_a_gpu_gives_the_features_of_a_cpu(compression, story, tmp_path):
    import dataclasses

    small = saved(compression, TINY, tmp_path)

    assert relative(features(dataclasses.replace(small, device="cuda"), story), features(small, story)) < 0.02
