"""What holds of every quantization, for networks of several families."""

import dataclasses
import importlib.util
import json
import re

import numpy as np
import pytest

from brainexp.compression.awq import Awq
from brainexp.compression.dynamic_int8 import DynamicInt8
from brainexp.compression.fp8 import Fp8
from brainexp.compression.gptq import Gptq
from brainexp.compression.rtn import RoundToNearest
from brainexp.compression.smoothquant import SmoothQuant
from tests.compression.quantized import TEXT, compressed, local, most_values, saved, states, stored_bits, tiny, weights
from tests.model.families import checkpoint

METHODS = {
    "rtn": RoundToNearest(3, 16, symmetric=False),
    "rtn_row": RoundToNearest(5, None),
    "rtn_w8a8": RoundToNearest(8, None, activations=8),
    "gptq": Gptq(bits=3, group_size=16, calibration=TEXT),
    "gptq_asymmetric": Gptq(bits=4, group_size=16, symmetric=False, act_order="none", calibration=TEXT),
    "awq": Awq(bits=4, group_size=16, n_grid=4, calibration=TEXT),
    "smoothquant": SmoothQuant(calibration=TEXT),
    "smoothquant_gptq": SmoothQuant(then="gptq", calibration=TEXT),
    "fp8": Fp8(),
    "fp8_static": Fp8(scales="static", calibration=TEXT),
    "dynamic_int8": DynamicInt8(),
    "dynamic_int8_attention": DynamicInt8(modules="attention"),
}
CASES = [
    *((family, name) for family in ("llama", "qwen3") for name in METHODS),
    *(
        (family, name)
        for family in ("bert", "gpt_neox", "albert")  # in both directions, in parallel, the same block again and again
        for name in ("rtn", "gptq_asymmetric", "fp8_static", "dynamic_int8_attention")
    ),
    ("tiny_xs", "gptq"),
    ("tiny_xs", "awq"),
]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    made = {}

    def model(family):
        if family not in made:
            folder = None if family == "tiny_xs" else checkpoint(family, tmp_path_factory.mktemp(family))
            made[family] = tiny("xs") if folder is None else local(folder)
        return made[family]

    return model


@pytest.mark.parametrize(("family", "name"), CASES)
def test_what_is_saved_is_what_was_in_memory_and_what_was_claimed(models, tmp_path, family, name):
    import torch

    model, method = models(family), METHODS[name]
    blueprint = model.blueprint()
    ids = torch.arange(3, 243).reshape(6, 40)
    base = weights(model)

    network = compressed(method, model)
    in_memory = states(network, ids)
    again = saved(network, tmp_path, model)
    found = weights(again)

    np.testing.assert_array_equal(states(again.load().network, ids), in_memory)
    claims = method.claims(blueprint)
    inside = {full: full.removeprefix(_prefix(model)) for full in blueprint.linear}
    changed = {inside[full] for full in claims.modules}
    for layer in changed:
        assert most_values(found[layer], claims.group_size) <= 2**claims.bits
        assert (found[layer] != base[layer]).any()
    for layer in found.keys() - changed:
        np.testing.assert_array_equal(found[layer], base[layer])  # embeddings, poolers, what was not chosen
    for full in claims.modules:
        by_hand = method.bits_per_weight(blueprint.linear[full], 32) * np.prod(blueprint.linear[full])
        outputs, inputs = blueprint.linear[full]
        assert 0 <= _stored(tmp_path, full) - by_hand < 32 * (outputs + inputs)  # whole words of 32 bits
    assert again.blueprint().quantized.startswith("compressed-tensors")


def _prefix(model):
    return f"{model.network_with_head().base_model_prefix}." if model.path.startswith("package:") else ""


def _stored(folder, layer):
    from safetensors import safe_open

    n_outputs = None
    with safe_open(folder / "model.safetensors", "np") as file:
        names = file.keys()
        if f"{layer}.bias" in names:
            n_outputs = file.get_slice(f"{layer}.bias").get_shape()[0]
    return stored_bits(folder, layer) - 32 * (n_outputs or 0)


def test_without_padding_the_file_holds_exactly_the_bits_by_hand(tmp_path):
    model = tiny("xs")
    for bits, symmetric in [(4, True), (4, False), (3, False), (8, True)]:
        method = RoundToNearest(bits, 32, symmetric)
        folder = tmp_path / f"{bits}{symmetric}"
        saved(compressed(method, model), folder, model)

        assert stored_bits(folder, "model.layers.0.mlp.down_proj") == 32 * 96 * method.bits_per_weight((32, 96), 32)


def test_half_of_the_bits_of_scales_are_saved_in_bfloat16(tmp_path):
    model, method = tiny("xs", dtype="bfloat16"), RoundToNearest(4, 32)
    saved(compressed(method, model), tmp_path, model)

    assert method.bits_per_weight((32, 96), 16) == 4 + 16 / 32
    assert stored_bits(tmp_path, "model.layers.0.mlp.down_proj") == 32 * 96 * method.bits_per_weight((32, 96), 16)


@pytest.mark.parametrize("name", ["gptq", "awq", "smoothquant_gptq"])
def test_the_same_seed_gives_the_same_weights_and_another_text_others(models, tmp_path, name):
    model, method = models("tiny_xs"), METHODS[name]
    other = dataclasses.replace(method, calibration=dataclasses.replace(TEXT, seed=1))

    first, second, third = (
        weights(saved(compressed(one, model), tmp_path / str(at), model))["layers.1.mlp.up_proj"]
        for at, one in enumerate((method, method, other))
    )

    np.testing.assert_array_equal(first, second)
    assert (first != third).any()


def test_tied_embeddings_stay_tied_and_untouched(tmp_path):
    from safetensors import safe_open

    model = tiny("xs")
    base = model.network_with_head()

    saved(compressed(METHODS["gptq"], model), tmp_path, model)

    assert json.loads((tmp_path / "config.json").read_text())["tie_word_embeddings"]
    with safe_open(tmp_path / "model.safetensors", "np") as file:
        names = file.keys()
        assert not [name for name in names if "lm_head" in name]
        np.testing.assert_array_equal(
            file.get_tensor("model.embed_tokens.weight"), base.get_input_embeddings().weight.detach().numpy()
        )


def test_a_network_saved_with_another_head_is_read_without_it(tmp_path):
    """BERT's head for masked words goes, and the pooler, which the checkpoint lacks, is not looked for in packed form."""
    import torch
    from transformers import BertForMaskedLM, BertModel

    checkpoint("bert", tmp_path / "bert")
    torch.manual_seed(0)
    BertForMaskedLM(BertModel.from_pretrained(tmp_path / "bert").config).save_pretrained(tmp_path / "bert")
    model = local(tmp_path / "bert")
    ids = torch.arange(3, 103).reshape(4, 25)

    network = compressed(METHODS["rtn"], model)
    again = saved(network, tmp_path / "saved", model)

    np.testing.assert_array_equal(states(again.load().network, ids), states(network, ids))
    assert not [name for name in METHODS["rtn"].rounded(model.blueprint()) if "cls" in name or "pooler" in name]


@pytest.mark.parametrize(
    ("family", "name", "message"),
    [
        (
            "gpt2",
            "rtn",
            r"a gpt2 has no linear layer that it could round .*Conv1D.* Give compression=bnb_int8 or bnb_nf4",
        ),
        ("gpt2", "dynamic_int8", "a gpt2 has no linear layer"),
        ("t5", "rtn", "cannot read packed weights of a t5 again. Give compression=dynamic_int8 or fp8"),
        (
            "bart",
            "gptq",
            "cannot run a text through a bart, an encoder–decoder. Give compression=rtn, dynamic_int8 or fp8",
        ),
        ("mamba", "dynamic_int8", "the blocks of a mamba read the weights .* themselves.* Give compression=magnitude"),
        ("mixtral", "rtn", "the experts of a mixtral are one tensor per block.* Give a model without experts"),
        ("qwen3_moe", "dynamic_int8_attention", "the experts of a qwen3_moe"),
        ("modernbert", "rtn", "cannot read packed weights of a modernbert again. Give compression=dynamic_int8 or fp8"),
    ],
)
def test_networks_that_it_cannot_serve_are_refused_with_the_way_out(models, family, name, message):
    assert re.search(message, METHODS[name].objection(models(family)))


@pytest.mark.parametrize(
    ("family", "name"),
    [("bart", "rtn"), ("bart", "fp8"), ("t5", "dynamic_int8"), ("modernbert", "fp8"), ("modernbert", "dynamic_int8")],
)
def test_weights_unpacked_when_they_are_read_are_those_that_were_in_memory(models, tmp_path, family, name):
    """Of an encoder–decoder one half is read, so the first pass of the whole, which would unpack them, never comes."""
    import torch
    from transformers import AutoConfig, AutoModel

    model = models(family)
    ids = torch.arange(3, 103).reshape(4, 25)
    network = compressed(METHODS[name], model)
    half = network.get_encoder() if network.config.is_encoder_decoder else network
    in_memory = states(half, ids)

    saved(network, tmp_path, model)
    config = AutoConfig.from_pretrained(tmp_path)
    config.quantization_config["dequantize"] = True
    again = AutoModel.from_pretrained(tmp_path, config=config).eval()

    half = again.get_encoder() if again.config.is_encoder_decoder else again
    np.testing.assert_array_equal(states(half, ids), in_memory)


def test_a_table_of_words_is_refused(tmp_path):
    from brainexp.model.static_vectors import StaticVectors

    (tmp_path / "vectors.txt").write_text("the 1 2 3\ncrow 4 5 6\n")

    assert "a table of word vectors has no layers" in METHODS["rtn"].objection(
        StaticVectors(path=str(tmp_path / "vectors.txt"))
    )


def test_groups_that_do_not_fit_name_the_layer_and_what_would(models):
    assert RoundToNearest(4, 128).objection(models("tiny_xs")) == (
        "compression 'rtn': group_size=128 does not divide the 32 inputs of model.layers.0.self_attn.q_proj (and of 13 more "
        "layers). Give compression.group_size=8, 16, 32 or null (one scale per output)."
    )
    assert RoundToNearest(4, None).objection(models("tiny_xs")) is None


def test_too_little_text_is_refused_with_how_much_would_do(models):
    short = Gptq(bits=4, group_size=32, calibration=dataclasses.replace(TEXT, samples=2))

    assert short.objection(models("tiny_xs")) == (
        "compression 'gptq': the calibration has 2 × 32 = 64 tokens, fewer than model.layers.0.mlp.down_proj has inputs "
        "(96), so it says nothing of some. Give compression.calibration.samples=3 or more."
    )


def test_without_llm_compressor_it_says_how_to_install_it(models, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "llmcompressor" else find_spec(name))

    for method in METHODS.values():
        assert "Install it: pip install brainexp[compress]" in method.objection(models("tiny_xs"))
