"""How llm-compressor is called: quietly, without files, on the right names and the right config."""

import io
import sys

import numpy as np
import pytest

from brainexp.compressed import uncompressed
from brainexp.compression.calibration.grammar import GrammarText
from brainexp.compression.gptq import Gptq
from brainexp.compression.oneshot import targets
from brainexp.compression.rtn import RoundToNearest
from brainexp.errors import ConfigError, ModelError
from tests.compression.quantized import TEXT, compressed, saved, tiny


def test_patterns_hold_for_names_with_and_without_the_head():
    import re

    patterns = [pattern.removeprefix("re:") for pattern in targets(["model.layers.0.mlp.up_proj", "pooler.dense"])]

    def meant(name):
        return any(re.match(pattern, name) for pattern in patterns)

    assert meant("model.layers.0.mlp.up_proj")
    assert meant("layers.17.mlp.up_proj")
    assert meant("bert.pooler.dense")
    assert not meant("model.layers.0.mlp.gate_up_proj")
    assert not meant("model.layers.0.mlp.up_proj.lora")
    assert not meant("lm_head")


@pytest.mark.parametrize("method", [RoundToNearest(4, 32), Gptq(bits=4, group_size=32, calibration=TEXT)])
def test_it_writes_no_file_and_says_nothing(tmp_path, monkeypatch, capfd, method):
    monkeypatch.chdir(tmp_path)

    compressed(method, tiny("xs"))

    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_progress_is_shown_on_a_terminal(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)

    compressed(Gptq(bits=4, group_size=32, calibration=TEXT), tiny("xs"))

    assert "Calibrating" in shown.getvalue()


def test_random_numbers_of_the_caller_go_on_as_if_nothing_had_happened():
    import torch

    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)

    compressed(Gptq(bits=4, group_size=32, calibration=TEXT), tiny("xs"))

    assert torch.equal(torch.rand(4), expected)


def test_what_a_step_before_did_to_the_config_is_kept(tmp_path):
    """llm-compressor would save the config that the checkpoint came with, of two blocks."""
    import dataclasses
    import json

    model, method = tiny("xs"), RoundToNearest(4, 32)
    given = uncompressed(model, method, [])

    def shorter():
        network = given.network()
        network.model.layers = network.model.layers[:1]
        network.config.num_hidden_layers = 1
        return network

    saved(method.compress(dataclasses.replace(given, network=shorter)), tmp_path, model)

    config = json.loads((tmp_path / "config.json").read_text())
    assert config["num_hidden_layers"] == 1
    assert config["quantization_config"]["quant_method"] == "compressed-tensors"


def test_longer_samples_than_the_model_reads_are_refused():
    method = Gptq(bits=4, group_size=32, calibration=GrammarText(samples=1, tokens=600))

    with pytest.raises(
        ConfigError, match=r"600 tokens .*the model reads at most 512 at once. Give .*calibration.tokens=512"
    ):
        compressed(method, tiny("xs"))


def test_second_moments_that_cannot_be_inverted_are_an_error_not_another_method():
    import dataclasses

    model = tiny("xs")
    method = Gptq(bits=4, group_size=32, damping=0, calibration=TEXT)
    given = dataclasses.replace(uncompressed(model, method, []), samples=np.full((2, 32), 5))

    with pytest.raises(ModelError, match="Hessian inversion failed.*compression.calibration.samples"):
        method.compress(given)
