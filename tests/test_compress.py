"""python -m brainexp.compress: what it exports is read by transformers alone."""

import json
import subprocess
import sys

import numpy as np
import pytest

from brainexp.compress import main
from brainexp.model.transformer import Transformer

#: compression=none with another name, since the tests' members have no YAML.
PRUNED = ("model=tiny_xs", "model.device=cpu", "compression.name=test_pruning", "+compression.sparsity=0.25")

ALONE = """
import json, sys
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

network, told = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype="auto", output_loading_info=True)
ids = AutoTokenizer.from_pretrained(sys.argv[1])("once upon a time", return_tensors="pt")["input_ids"]
weight = network.model.layers[0].mlp.up_proj.weight
states = network(ids, output_hidden_states=True).hidden_states[-1][0, -1].float().tolist()
print(json.dumps({
    "brainexp": "brainexp" in sys.modules, "missing": sorted(told["missing_keys"]), "dtype": str(weight.dtype),
    "zeros": float((weight == 0).float().mean()), "states": states,
}))
"""


@pytest.fixture
def cache(tmp_path):
    return f"cache.dir={tmp_path / 'cache'}"


def test_what_is_exported_is_read_by_transformers_alone(members, cache, tmp_path, capsys):
    import torch

    folder = tmp_path / "new" / "pruned"

    assert main([*PRUNED, cache, f"out={folder}"]) == 0

    assert f"{folder}: " in capsys.readouterr().out
    told = json.loads(
        subprocess.run([sys.executable, "-c", ALONE, str(folder)], capture_output=True, text=True, check=True).stdout
    )
    assert told["brainexp"] is False
    assert told["missing"] == []
    assert told["zeros"] == pytest.approx(0.25, abs=1e-3)
    model = Transformer(path=str(folder), dtype=told["dtype"].removeprefix("torch."), device="cpu")
    ids = torch.tensor([model.tokenizer()("once upon a time")["input_ids"]])
    with torch.no_grad():
        states = model.load().network(ids).last_hidden_state[0, -1].float().numpy()
    np.testing.assert_allclose(told["states"], states, rtol=1e-6)
    assert sorted(file.name for file in folder.iterdir()) == [
        "README.md", "config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
    ]  # fmt: skip
    assert [one.name for one in folder.parent.iterdir()] == ["pruned"]


def test_the_card_says_how_it_was_made(members, cache, tmp_path):
    text = [
        "compression.name=test_rounding",
        "+compression.calibration={name: grammar, samples: 2, tokens: 8, seed: 0}",
    ]

    assert main([*PRUNED[:2], *text, "+compression.bits=3", cache, f"out={tmp_path / 'rounded'}"]) == 0

    card = (tmp_path / "rounded" / "README.md").read_text()
    (entry,) = (tmp_path / "cache").rglob("entry.json")
    key = json.loads(entry.read_text())["key"]
    assert 'base_model: "package:brainexp/model/tiny/xs"' in card
    assert "| method | `test_rounding` |" in card
    assert '"bits": 3' in card
    assert '"samples": 2' in card
    assert len(key["calibration"]) == 64
    for told in (
        key["calibration"],
        key["model"]["identity"],
        f"torch {key['libraries']['torch']}",
        "features differ by 0 %",
    ):
        assert told in card


def test_what_is_in_the_cache_is_copied_and_not_made_again(members, cache, tmp_path, monkeypatch):
    from tests.compressed.members import Pruning

    main([*PRUNED, cache, f"out={tmp_path / 'one'}"])
    monkeypatch.setattr(Pruning, "compress", lambda *_: pytest.fail("made again"))

    assert main([*PRUNED, cache, f"out={tmp_path / 'other'}"]) == 0
    one, other = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "other"))
    assert one == other


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (PRUNED, "out is missing. Give the folder for the compressed model: out=DIR"),
        (("model=tiny_xs", "out=new"), "compression=none changes nothing. Give the compression to export"),
        ((*PRUNED, "out=full"), "out=full is not empty. Give a new folder, or empty it."),
        ((*PRUNED, "out=file"), "out=file is not empty"),
        ((*PRUNED, "model.weights=random", "out=new"), "is for trained weights, but model.weights=random"),
        ((*PRUNED, "model=nonesuch", "out=new"), "nonesuch"),
        ((*PRUNED, "+compression.sparsty=1", "out=new"), "sparsty"),
    ],
)
def test_a_mistake_is_answered_in_words_before_work_starts(members, cache, tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("mine")
    (tmp_path / "file").write_text("mine")
    monkeypatch.setattr(Transformer, "network_with_head", lambda *_, **__: pytest.fail("work had started"))

    assert main([*words, cache]) == 1

    assert said in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
    assert (tmp_path / "full" / "thesis.tex").read_text() == "mine"


def test_an_empty_folder_is_filled(members, cache, tmp_path):
    (tmp_path / "empty").mkdir()

    assert main([*PRUNED, cache, f"out={tmp_path / 'empty'}"]) == 0
    assert (tmp_path / "empty" / "config.json").is_file()


def test_help_is_given_when_asked_for_and_without_words(capsys):
    assert main(["--help"]) == 0
    assert main([]) == 2

    told = capsys.readouterr().out
    assert told.count("usage: python -m brainexp.compress model=MODEL compression=METHOD out=DIR") == 2
