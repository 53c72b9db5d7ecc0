"""SmoothQuant: helps where few activations are large, and leaves what the network computes."""

import re

import numpy as np
import pytest

from brainexp.compression import smoothquant
from brainexp.compression.calibration.grammar import GrammarText
from brainexp.compression.dynamic_int8 import DynamicInt8
from brainexp.compression.gptq import Gptq
from brainexp.compression.smoothquant import MAPPINGS, SmoothQuant
from brainexp.errors import ConfigError
from tests.compression.quantized import TEXT, error, family, local, saved_weights, tiny, tokens
from tests.model.families import checkpoint

LARGE = 60.0


@pytest.fixture
def uneven(tmp_path):
    """A tiny model in which two activations are large, and what reads them multiplies by as much less."""
    model = tiny("s")
    network = model.network_with_head()
    for block in network.model.layers:
        for norm, layers in [
            (block.input_layernorm, (block.self_attn.q_proj, block.self_attn.k_proj, block.self_attn.v_proj)),
            (block.post_attention_layernorm, (block.mlp.gate_proj, block.mlp.up_proj)),
        ]:
            norm.weight.data[[3, 17]] *= LARGE
            for layer in layers:
                layer.weight.data[:, [3, 17]] /= LARGE
    network.save_pretrained(tmp_path / "uneven")
    model.tokenizer().save_pretrained(tmp_path / "uneven")
    return local(tmp_path / "uneven")


def test_it_helps_where_activations_are_uneven_more_than_where_they_are_not(uneven):
    ids = tokens(uneven)

    assert error(SmoothQuant(calibration=TEXT), uneven, ids) < 0.5 * error(DynamicInt8(), uneven, ids)
    even = tiny("s")
    assert error(SmoothQuant(calibration=TEXT), even, ids) > 0.8 * error(DynamicInt8(), even, ids)


def test_strength_decides_how_much_is_moved(uneven):
    ids = tokens(uneven)

    lost = [error(SmoothQuant(strength=strength, calibration=TEXT), uneven, ids) for strength in (0.0, 0.5)]

    assert lost[1] < lost[0]


@pytest.mark.parametrize("name", sorted(MAPPINGS))
def test_smoothing_leaves_what_the_network_computes(tmp_path, name):
    model = family(name, tmp_path)
    ids = tokens(model, 6, 20)

    assert error(SmoothQuant(calibration=TEXT), model, ids) < 1.5 * error(DynamicInt8(), model, ids)


@pytest.mark.parametrize("name", ["gemma2", "gemma3_text", "phi"])
def test_families_of_which_the_library_is_wrong_are_refused(tmp_path, monkeypatch, name):
    """When this fails, llm-compressor has mended what it thinks of that family."""
    model = family(name, tmp_path)
    ids = tokens(model, 6, 20)
    method = SmoothQuant(calibration=TEXT)

    assert re.search(f"of a {name} feeds which.* Give compression=dynamic_int8", method.objection(model))

    wrong = {"gemma2": "Gemma2ForCausalLM", "gemma3_text": "Gemma3ForCausalLM", "phi": "LlamaForCausalLM"}
    monkeypatch.setattr(smoothquant, "MAPPINGS", {name: wrong[name]})
    mapped = error(method, model, ids) if name != "phi" else _only_attention(monkeypatch, method, model, ids)
    assert mapped > 5 * error(DynamicInt8(), model, ids)


def _only_attention(monkeypatch, method, model, ids):
    """Phi has no layer by the other name, of which llm-compressor takes no notice when it is left to itself."""
    from llmcompressor.modifiers.transform.smoothquant import utils

    monkeypatch.setitem(utils.MAPPINGS_REGISTRY, "LlamaForCausalLM", utils.MAPPINGS_REGISTRY["MixtralForCausalLM"])
    return error(method, model, ids)


def test_networks_that_it_does_not_know_are_refused(tmp_path):
    assert "does not know which layer of a bert feeds" in SmoothQuant().objection(local(checkpoint("bert", tmp_path)))


def test_families_are_known_to_the_library():
    from llmcompressor.modifiers.transform.smoothquant.utils import MAPPINGS_REGISTRY

    assert set(MAPPINGS.values()) <= MAPPINGS_REGISTRY.keys()


def test_weights_are_rounded_as_asked(tmp_path):
    model = tiny("xs")
    nearest, gptq = (
        saved_weights(SmoothQuant(then=then, calibration=TEXT), model, tmp_path / then) for then in ("rtn", "gptq")
    )

    assert (nearest["layers.0.mlp.down_proj"] != gptq["layers.0.mlp.down_proj"]).any()
    np.testing.assert_array_equal(nearest["embed_tokens"], gptq["embed_tokens"])


def test_bad_options_are_refused():
    short = GrammarText(samples=1, tokens=8)
    with pytest.raises(ConfigError, match="strength must be from 0 to 1, got 2"):
        SmoothQuant(strength=2)
    assert "fewer than model.layers.0.mlp.down_proj has inputs" in SmoothQuant(
        then="gptq", calibration=short
    ).objection(tiny("xs"))
    assert SmoothQuant(calibration=short).objection(tiny("xs")) is None
    assert Gptq(group_size=32, calibration=TEXT).objection(tiny("xs")) is None
