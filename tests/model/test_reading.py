"""Every weight that features depend on was read, and quantized checkpoints multiply with the weights that were saved."""

import json
import shutil
import warnings

import numpy as np
import pytest
import torch

from brainexp.errors import ModelError
from brainexp.model.transformer import Transformer
from brainexp.prompt.plain import Plain
from brainexp.prompt.task import Task


def features(model, story, prompt=None):
    loaded = model.load()
    values = np.full((loaded.n_layers, len(story.units), loaded.n_dims), np.nan, np.float32)
    for at, batch in loaded.extract(story, prompt or Plain()):
        values[:, at] = batch
    return values


def without(folder, target, lost):
    """A copy of a checkpoint that lacks some weights."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(folder, target)
    weights = load_file(target / "model.safetensors")
    kept = {name: value for name, value in weights.items() if not lost(name)}
    assert len(kept) < len(weights)
    save_file(kept, target / "model.safetensors", {"format": "pt"})
    return Transformer(path=str(target), device="cpu")


@pytest.mark.parametrize(
    ("family", "lost", "words"),
    [
        (
            "llama",
            "layers.1.mlp.up_proj",
            r"lacks 1 weights that its config.json declares \(layers.1.mlp.up_proj.weight\)",
        ),
        ("gpt2", "h.1.", r"lacks 12 weights that its config.json declares \(h.1.attn.c_attn.bias, .*, …\)"),
        ("bert", "embeddings.word", "lacks 1 weights that its config.json declares"),
    ],
)
def test_a_checkpoint_that_lacks_weights_is_refused(checkpoints, tmp_path, family, lost, words):
    model = without(checkpoints[family], tmp_path / "part", lambda name: name.startswith(lost))

    with pytest.raises(ModelError, match=f"{words}.*random numbers. Give a whole checkpoint"):
        model.load()
    with pytest.raises(ModelError, match="Give a whole checkpoint"):
        model.network_with_head()


def test_more_declared_blocks_than_there_are_is_refused(checkpoints, tmp_path):
    shutil.copytree(checkpoints["llama"], tmp_path / "deeper")
    config = json.loads((tmp_path / "deeper" / "config.json").read_text())
    config["num_hidden_layers"] = 3
    (tmp_path / "deeper" / "config.json").write_text(json.dumps(config))

    with pytest.raises(ModelError, match=r"lacks 9 weights.*\(layers.2."):
        Transformer(path=str(tmp_path / "deeper"), device="cpu").load()


def test_a_pooler_may_be_missing_and_changes_no_feature(checkpoints, tmp_path, story):
    part = without(checkpoints["bert"], tmp_path / "part", lambda name: name.startswith("pooler"))

    np.testing.assert_array_equal(
        features(part, story), features(Transformer(path=str(checkpoints["bert"]), device="cpu"), story)
    )


def test_the_head_of_a_checkpoint_may_be_missing_and_the_decoder_where_the_encoder_is_read(tmp_path, story):
    from tests.model.families import checkpoint

    folder = checkpoint("t5", tmp_path / "t5")
    part = without(folder, tmp_path / "encoder", lambda name: name.startswith("decoder"))

    np.testing.assert_array_equal(features(part, story), features(Transformer(path=str(folder), device="cpu"), story))
    with pytest.raises(ModelError, match="Give a whole checkpoint"):
        Transformer(path=part.path, device="cpu", states="decoder").load()


LEFT = "model.layers.0.mlp.down_proj"


@pytest.fixture(scope="module")
def quantized(tmp_path_factory):
    """The ladder's smallest model in four bits, and in eight with rounded inputs, one layer left as it is; and dense."""
    import os

    os.environ.setdefault("LLM_COMPRESSOR_LOG_LEVEL", "ERROR")
    folder = tmp_path_factory.mktemp("quantized")
    base = Transformer(path="package:brainexp/model/tiny/xs", dtype="bfloat16", device="cpu")
    inputs = {"num_bits": 8, "strategy": "token", "dynamic": True}
    for name, bits, rounds in (("w4", 4, None), ("w8a8", 8, inputs), ("dense", 0, None)):
        network = base.network_with_head()
        if name == "dense":  # what transformers makes of the four bits in the first pass of the network with its head
            whole = type(network).from_pretrained(folder / "w4", dtype=torch.bfloat16)
            whole(torch.tensor([[1]]))
            network.load_state_dict({key: whole.state_dict()[key] for key in network.state_dict()})
        else:
            rounded(network, bits, rounds)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of weights on the disk, of which there are none
            network.save_pretrained(folder / name)
        base.tokenizer().save_pretrained(folder / name)
    return folder


def rounded(network, bits, inputs):
    """Round to nearest by the library that stores it so."""
    from llmcompressor import oneshot
    from llmcompressor.modifiers.quantization import QuantizationModifier

    scheme = {"targets": ["Linear"], "weights": {"num_bits": bits, "strategy": "channel"}, "input_activations": inputs}
    oneshot(model=network, recipe=QuantizationModifier(config_groups={"all": scheme}, ignore=["lm_head", LEFT]))


def read(quantized, name):
    return Transformer(path=str(quantized / name), dtype="bfloat16", device="cpu")


def test_a_quantized_checkpoint_gives_the_features_of_its_dequantized_weights(quantized, story):
    base = Transformer(path="package:brainexp/model/tiny/xs", dtype="bfloat16", device="cpu")
    four, dense, full = (features(model, story) for model in (read(quantized, "w4"), read(quantized, "dense"), base))

    np.testing.assert_array_equal(four, dense)
    assert np.abs(four - full).max() > 0.1


def test_a_layer_that_was_left_is_left_though_names_have_a_prefix(quantized):
    part = read(quantized, "w4").load().network
    whole = read(quantized, "w4").network_with_head()
    base = Transformer(path="package:brainexp/model/tiny/xs", dtype="bfloat16").load().network

    assert (part.layers[0].mlp.down_proj.weight == base.layers[0].mlp.down_proj.weight).all()
    assert (part.layers[1].mlp.down_proj.weight != base.layers[1].mlp.down_proj.weight).any()
    assert (whole.model.layers[1].mlp.down_proj.weight == part.layers[1].mlp.down_proj.weight).all()


@pytest.mark.parametrize("name", ["w4", "w8a8"])
def test_answers_of_a_quantized_checkpoint_come_from_the_weights_that_were_read_once(quantized, story, name):
    prompt = Task("Say: ", features="generated", max_new_tokens=1)
    last = Task("Say: ", features="last")

    # The state from which the first token of an answer is chosen is that of the last token of the text.
    answered, read_only = (features(read(quantized, name), story, one) for one in (prompt, last))

    np.testing.assert_allclose(answered, read_only, atol=0.05 * np.abs(read_only).max())
    assert np.corrcoef(answered[-1].ravel(), read_only[-1].ravel())[0, 1] > 0.999


def test_the_path_that_a_network_takes_is_told(quantized):
    told = {name: read(quantized, name).load().arithmetic for name in ("w4", "w8a8", "dense")}

    dense = "dense matrix products in bfloat16 on cpu"
    assert told == {
        "w4": f"weights dequantized when read, {dense}",
        "w8a8": f"weights dequantized when read, inputs rounded on the way, {dense}",
        "dense": dense,
    }


def test_a_quantized_checkpoint_that_lacks_weights_is_refused(quantized, tmp_path):
    model = without(
        quantized / "w4", tmp_path / "part", lambda name: name.endswith("layers.1.mlp.up_proj.weight_packed")
    )

    with pytest.raises(ModelError, match=r"lacks 1 weights .*up_proj.weight_packed"):
        model.load()


def test_weights_larger_than_memory_may_stay_on_the_disk_and_give_the_same(tmp_path):
    base = Transformer(path="package:brainexp/model/tiny/xs", dtype="bfloat16", device="cpu")
    tokens = torch.arange(12)[None] + 7
    limit = {"cpu": 50_000}  # bytes; all weights together have three times as many

    spread = base.network_with_head(device_map="auto", max_memory=limit, offload_folder=str(tmp_path / "weights"))

    assert "meta" in {weight.device.type for weight in spread.parameters()}
    with torch.no_grad():
        assert (spread(tokens).logits == base.network_with_head()(tokens).logits).all()
