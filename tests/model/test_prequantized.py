"""Checkpoints of others: what they were made by unpacks them to the same weights, and so does a packer written from the format."""

import dataclasses
import hashlib
import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from brainexp.compression.bnb_nf4 import BnbNf4
from brainexp.errors import ModelError
from brainexp.model import prequantized
from brainexp.model.prequantized import awq_weight, description, gptq_weight, quantization, stored_bits, unpacked
from brainexp.model.transformer import Transformer
from brainexp.prompt.plain import Plain
from brainexp.prompt.task import Task

MADE = Path(__file__).parent / "prequantized"
CHECKPOINTS = {
    "awq_w4": "awq w4 g32",
    "gptq_w4_act_order": "gptq w4 g32 act-order",
    "gptq_w3": "gptq w3 g32",
    "gptq_v2_w2": "gptq w2 g32",
}


# ---- what other libraries made ----


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_weights_are_those_to_which_the_library_that_made_them_unpacks_them(name):
    network = Transformer(path=str(MADE / name), dtype="float16", device="cpu").network_with_head()

    told = json.loads((MADE / name / "weights.json").read_text())

    assert len(told) == 7
    for layer, digest in told.items():
        weight = network.get_submodule(layer).weight.detach()
        assert weight.dtype == torch.float16
        assert hashlib.sha256(weight.contiguous().numpy().tobytes()).hexdigest() == digest, layer


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_they_are_recognised_and_counted_by_what_the_file_holds(name):
    model = Transformer(path=str(MADE / name), device="cpu")
    blueprint = model.blueprint()

    bits = stored_bits(model.path, None, quantization(model._config(model.path)), blueprint.linear)

    assert blueprint.quantized == CHECKPOINTS[name]
    told = json.loads((MADE / name / "config.json").read_text())["quantization_config"]
    for layer, (n_out, n_in) in blueprint.linear.items():
        if layer in blueprint.head:  # tied to the embedding
            assert layer not in bits
            continue
        n_groups = n_in // told["group_size"]
        group_of_each_input = 0 if told["quant_method"] == "awq" else 32 * n_in
        by_hand = told["bits"] + n_groups * (16 + told["bits"]) / n_in + group_of_each_input / (n_out * n_in)
        assert bits[layer] == pytest.approx(by_hand, abs=1e-12)


def test_awq_is_what_the_converter_of_compressed_tensors_makes_of_it():
    converters = pytest.importorskip(
        "compressed_tensors.entrypoints.convert.converters", reason="pip install brainexp[compress]"
    )
    stored = load_file(MADE / "awq_w4" / "model.safetensors")
    layer = "model.layers.0.mlp.down_proj"
    parts = {part: stored[f"{layer}.{part}"] for part in ("qweight", "qzeros", "scales")}

    q, scales, zeros = converters.AutoAWQConverter(group_size=32)._convert_gemm_module(
        parts["qweight"], parts["scales"], parts["qzeros"]
    )

    group = torch.arange(q.shape[1]) // 32
    expected = (q.float() - zeros.float()[:, group]) * scales.float()[:, group]
    torch.testing.assert_close(awq_weight(**parts), expected, rtol=0, atol=0)


# ---- a packer of our own, number by number, from the format ----


def packed(numbers, bits):
    """Pack along the first axis: number k of a column has bits k·b to k·b + b - 1 of one long integer per column."""
    n, n_columns = numbers.shape
    words = np.zeros((n * bits // 32, n_columns), np.uint32)
    for column in range(n_columns):
        stream = sum(int(number) << (bits * k) for k, number in enumerate(numbers[:, column]))
        for word in range(len(words)):
            words[word, column] = (stream >> (32 * word)) & 0xFFFFFFFF
    return torch.from_numpy(words.view(np.int32))


def made(rng, n_out, n_in, group, bits, act_order=False):
    """A layer's numbers, zero points, scales, groups and weights."""
    q = rng.integers(0, 2**bits, (n_in, n_out))
    zeros = rng.integers(0, 2**bits, (n_in // group, n_out))
    scales = rng.uniform(0.01, 0.1, zeros.shape).astype(np.float16)
    groups = np.arange(n_in) // group
    groups = rng.permutation(groups) if act_order else groups
    weights = np.empty((n_out, n_in), np.float32)
    for i in range(n_in):
        for o in range(n_out):
            weights[o, i] = np.float32(scales[groups[i], o]) * (q[i, o] - zeros[groups[i], o])
    return q, zeros, scales, groups, weights


def gptq_tensors(numbers, bits, form):
    q, zeros, scales, groups, _ = numbers
    stored = packed(zeros.T, bits)
    if form == "gptq" and bits == 3:
        stored = packed((zeros.T - 1) % 8, bits)
    elif form == "gptq":  # one is taken off each number of a word, in the arithmetic of the word
        stored = stored - sum(1 << at for at in range(0, 32, bits) if at < 31) if bits > 1 else stored
    return {
        "qweight": packed(q, bits),
        "qzeros": stored.to(torch.int32).T.contiguous(),
        "scales": torch.from_numpy(scales),
        "g_idx": torch.from_numpy(groups.astype(np.int32)),
    }


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("form", ["gptq", "gptq_v2"])
@pytest.mark.parametrize("act_order", [False, True])
def test_gptq_unpacks_to_what_was_packed(bits, form, act_order, rng):
    numbers = made(rng, 32, 64, 32, bits, act_order)
    tensors = gptq_tensors(numbers, bits, form)

    weight = gptq_weight(**tensors, first_format=form == "gptq")

    np.testing.assert_array_equal(weight, numbers[-1])
    if not act_order:
        without = {name: value for name, value in tensors.items() if name != "g_idx"}
        np.testing.assert_array_equal(gptq_weight(**without, first_format=form == "gptq"), numbers[-1])
    wrong = gptq_weight(**tensors, first_format=form != "gptq")
    assert not np.allclose(wrong, numbers[-1])


def test_a_zero_point_of_zero_borrows_from_its_neighbour_and_gets_it_back():
    zeros = np.array([[0, 5, 0, 0, 15, 1, 0, 7]])
    words = packed(zeros.T, 4) - 0x11111111

    told = prequantized._zero_points(words.to(torch.int32).T, 4, 8, first_format=True)

    np.testing.assert_array_equal(told, zeros)


def test_awq_unpacks_to_what_was_packed(rng):
    numbers = q, zeros, scales, _, weights = made(rng, 16, 64, 32, 4)
    order = [0, 2, 4, 6, 1, 3, 5, 7]

    def in_words(rows):
        mixed = rows.reshape(len(rows), -1, 8)[:, :, order].reshape(len(rows), -1)
        return packed(mixed.T, 4).T.contiguous()

    told = awq_weight(in_words(q), in_words(zeros), torch.from_numpy(scales))

    np.testing.assert_array_equal(told, weights)
    straight = awq_weight(packed(q.T, 4).T.contiguous(), in_words(zeros), torch.from_numpy(scales))
    assert not np.allclose(straight, weights)
    assert numbers[1].shape == (2, 16)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_unpacking_is_the_inverse_of_packing(bits, rng):
    numbers = rng.integers(0, 2**bits, (96, 5))

    np.testing.assert_array_equal(unpacked(packed(numbers, bits), bits), numbers)


# ---- whole models ----


@pytest.fixture
def packed_checkpoint(checkpoints, tmp_path, rng):
    """Write a GPTQ checkpoint of a tiny model's shapes; returns its folder and the same weights dense."""

    def write(name="qwen2", form="gptq", **told):
        dense, small = tmp_path / "dense", tmp_path / "packed"
        shutil.copytree(checkpoints[name], dense)
        shutil.copytree(checkpoints[name], small)
        config = json.loads((dense / "config.json").read_text())
        tensors = load_file(dense / "model.safetensors")
        whole, packed_ones = dict(tensors), dict(tensors)
        for key in [key for key in tensors if key.endswith("_proj.weight")]:
            numbers = made(rng, *tensors[key].shape, 32, 4)
            whole[key] = torch.from_numpy(numbers[-1])
            del packed_ones[key]
            layer = key.removesuffix(".weight")
            packed_ones |= {f"{layer}.{part}": value for part, value in gptq_tensors(numbers, 4, form).items()}
        save_file(whole, dense / "model.safetensors", {"format": "pt"})
        save_file(packed_ones, small / "model.safetensors", {"format": "pt"})
        told = {"quant_method": "gptq", "bits": 4, "group_size": 32, "checkpoint_format": form, **told}
        (small / "config.json").write_text(json.dumps(config | {"quantization_config": told}))
        return small, dense

    return write


def features(model, story):
    loaded = model.load()
    out = np.zeros((loaded.n_layers, len(story.units), loaded.n_dims), np.float32)
    for at, values in loaded.extract(story, Plain()):
        out[:, at] = values
    return out


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("form", ["gptq", "gptq_v2"])
def test_features_are_those_of_the_dense_weights_and_the_log_says_which_way(
    packed_checkpoint, form, dtype, story, caplog
):
    small, dense = packed_checkpoint(form=form)
    model = Transformer(path=str(small), device="cpu", dtype=dtype)

    with caplog.at_level(logging.INFO, logger="brainexp.model.transformer"):
        told = features(model, story)

    np.testing.assert_array_equal(told, features(Transformer(path=str(dense), device="cpu", dtype=dtype), story))
    way = f"weights dequantized when read, dense matrix products in {dtype} on cpu"
    assert f"{small} is quantized already (gptq w4 g32): {way}" in caplog.text
    assert model.load().arithmetic == way
    assert model.size() == Transformer(path=str(dense), device="cpu", dtype=dtype).size()


def test_old_checkpoints_say_it_in_a_file_beside_and_name_their_weights_by_it(packed_checkpoint, story):
    small, dense = packed_checkpoint()
    config = json.loads((small / "config.json").read_text())
    del config["quantization_config"]
    (small / "config.json").write_text(json.dumps(config))
    (small / "quantize_config.json").write_text(
        json.dumps({"bits": 4, "group_size": 32, "desc_act": False, "sym": False})
    )
    (small / "model.safetensors").rename(small / "gptq_model-4bit-32g.safetensors")
    model = Transformer(path=str(small), device="cpu")

    assert model.blueprint().quantized == "gptq w4 g32"
    np.testing.assert_array_equal(features(model, story), features(Transformer(path=str(dense), device="cpu"), story))


def test_old_names_of_awq_are_understood(checkpoints, tmp_path):
    folder = shutil.copytree(checkpoints["llama"], tmp_path / "awq")
    (folder / "quant_config.json").write_text(
        json.dumps({"zero_point": True, "q_group_size": 64, "w_bit": 4, "version": "GEMM"})
    )

    assert Transformer(path=str(folder), device="cpu").blueprint().quantized == "awq w4 g64"


def test_parts_of_a_layer_may_stand_in_several_files(packed_checkpoint, story):
    small, dense = packed_checkpoint()
    tensors = load_file(small / "model.safetensors")
    halves = [f"model-0000{1 + (name.endswith(('scales', 'g_idx')))}-of-00002.safetensors" for name in tensors]
    for file in sorted(set(halves)):
        save_file(
            {name: value for name, value, half in zip(tensors, tensors.values(), halves, strict=True) if half == file},
            small / file,
            {"format": "pt"},
        )
    (small / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": dict(zip(tensors, halves, strict=True))})
    )
    (small / "model.safetensors").unlink()
    model = Transformer(path=str(small), device="cpu")

    np.testing.assert_array_equal(features(model, story), features(Transformer(path=str(dense), device="cpu"), story))

    (small / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(ModelError, match="lacks model-00002-of-00002.safetensors. Fetch it anew"):
        model.load()


def test_a_model_with_a_head_can_be_read_whole_and_can_answer(story):
    model = Transformer(path=str(MADE / "gptq_w4_act_order"), device="cpu")
    network = model.network_with_head()
    tokens = torch.arange(3, 30)[None]

    with torch.inference_mode():
        loss = float(network(tokens, labels=tokens).loss)

    assert np.isfinite(loss)
    assert network.get_output_embeddings().weight is network.get_input_embeddings().weight
    assert quantization(network.config) is None


def test_it_answers_as_its_dense_twin(packed_checkpoint, story):
    small, dense = packed_checkpoint()
    for folder in (small, dense):  # as a checkpoint with a head is saved
        config = json.loads((folder / "config.json").read_text())
        config |= {"architectures": ["Qwen2ForCausalLM"], "tie_word_embeddings": True}
        (folder / "config.json").write_text(json.dumps(config))
        tensors = load_file(folder / "model.safetensors")
        save_file(
            {f"model.{name}": value for name, value in tensors.items()}, folder / "model.safetensors", {"format": "pt"}
        )
    prompt = Task(before="", after=" The", features="generated", max_new_tokens=3)

    def answers(folder):
        return np.concatenate(
            [values for _, values in Transformer(path=str(folder), device="cpu").load().extract(story, prompt)], axis=1
        )

    np.testing.assert_array_equal(answers(small), answers(dense))


def test_the_untrained_twin_is_that_of_the_architecture(packed_checkpoint, story):
    small, dense = packed_checkpoint()
    twins = [Transformer(path=str(folder), device="cpu", weights="random") for folder in (small, dense)]

    np.testing.assert_array_equal(*(features(twin, story) for twin in twins))
    assert twins[0].blueprint().quantized is None
    assert quantization(twins[0].load().network.config) is None


def test_experts_of_a_mixture_are_read_too(tmp_path, rng):
    import transformers as hf

    torch.manual_seed(0)
    size = {
        "vocab_size": 60,
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
    }
    config = hf.Qwen3MoeConfig(**size, num_experts=2, num_experts_per_tok=1, moe_intermediate_size=32, head_dim=16)
    dense = hf.Qwen3MoeForCausalLM._from_config(config)
    dense.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    layers = [name.removesuffix(".weight") for name in tensors if ".experts." in name]
    expected = {}
    for layer in layers:
        numbers = made(rng, *tensors.pop(f"{layer}.weight").shape, 32, 4)
        expected[layer] = numbers[-1]
        tensors |= {f"{layer}.{part}": value for part, value in gptq_tensors(numbers, 4, "gptq").items()}
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    told = json.loads((tmp_path / "config.json").read_text())
    told["quantization_config"] = {"quant_method": "gptq", "bits": 4, "group_size": 32}
    (tmp_path / "config.json").write_text(json.dumps(told))

    network = Transformer(path=str(tmp_path), device="cpu").network_with_head()
    network.save_pretrained(tmp_path / "dense")

    written = load_file(tmp_path / "dense" / "model.safetensors")
    assert len(layers) == 6
    for layer in layers:
        np.testing.assert_array_equal(written[f"{layer}.weight"], expected[layer])


# ---- what cannot be ----


def refused(small, **told):
    config = json.loads((small / "config.json").read_text())
    config["quantization_config"] |= told
    (small / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError) as error:
        Transformer(path=str(small), device="cpu").require_ready()
    return str(error.value)


def test_what_cannot_be_read_is_refused_before_anything_loads(packed_checkpoint, monkeypatch):
    small, _ = packed_checkpoint()

    assert "quantized by 'magic', which neither brainexp nor transformers reads. Supported: gptq, awq, " in refused(
        small, quant_method="magic"
    )
    assert "by gptq in the packing format 'marlin', made for one kernel. Understood: gptq, gptq_v2." in refused(
        small, quant_method="gptq", checkpoint_format="marlin"
    )
    assert "packing format 'marlin'" in refused(small, checkpoint_format="gptq", is_marlin_format=True)
    assert "packing format 'int64 words'" in refused(small, is_marlin_format=False, pack_dtype="int64")
    assert "by gptq to 5 bits. Understood: 2, 3, 4, 8." in refused(small, pack_dtype="int32", bits=5)
    assert "by awq in the packing format 'gemv'" in refused(small, quant_method="awq", version="gemv", bits=4)
    monkeypatch.setattr(prequantized, "READ_WITH", {"compressed-tensors": "no_such_library"})
    assert "whose library is not installed. Install it: pip install brainexp[compress]" in refused(
        small, quant_method="compressed-tensors"
    )


def test_a_broken_checkpoint_is_told(packed_checkpoint):
    small, _ = packed_checkpoint()
    model = Transformer(path=str(small), device="cpu")
    tensors = load_file(small / "model.safetensors")

    def without(part):
        left = {name: value for name, value in tensors.items() if part not in name}
        save_file(left, small / "model.safetensors", {"format": "pt"})

    without("layers.0.mlp.up_proj.scales")
    with pytest.raises(ModelError, match="lacks qweight, qzeros or scales of layers.0.mlp.up_proj"):
        model.load()
    without("layers.0.mlp.up_proj")
    with pytest.raises(ModelError, match=r"has no weights, or weights of another shape, for .*up_proj"):
        model.load()
    (small / "model.safetensors").rename(small / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"has no model.safetensors. Pickled weights"):
        model.load()


def test_it_is_not_compressed_again(packed_checkpoint):
    small, _ = packed_checkpoint()

    assert BnbNf4().objection(Transformer(path=str(small), device="cpu")) == (
        "compression 'bnb_nf4' needs full weights, but the checkpoint is already quantized (gptq w4 g32). Give "
        "compression=none to use it as it is, or the model that it was made from."
    )


def test_a_full_checkpoint_is_not_taken_for_a_quantized_one(checkpoints):
    model = Transformer(path=str(checkpoints["llama"]), device="cpu")

    assert model.blueprint().quantized is None
    assert model.load().arithmetic == "dense matrix products in float32 on cpu"
    assert dataclasses.replace(model, weights="random").blueprint().quantized is None


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"quant_method": "gptq", "bits": 4, "group_size": -1}, "gptq w4"),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "bitsandbytes int8"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}, "bitsandbytes nf4"),
        ({"quant_method": "fp8"}, "fp8"),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {"a": {"weights": {"num_bits": 4, "type": "int", "group_size": 128}}},
            },
            "compressed-tensors w4 g128",
        ),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {
                    "a": {"weights": {"num_bits": 8, "type": "float"}, "input_activations": {"num_bits": 8}},
                    "b": {"weights": {"num_bits": 8, "type": "int"}},
                },
            },
            "compressed-tensors wfp8 a8 and w8",
        ),
    ],
)
def test_descriptions(told, words):
    assert description(told) == words
