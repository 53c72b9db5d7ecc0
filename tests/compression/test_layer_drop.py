import numpy as np
import pytest
import torch

from brainexp.compressed import uncompressed
from brainexp.compression.calibration.grammar import GrammarText
from brainexp.compression.layer_drop import BLOCKS, LayerDrop, block_influence
from brainexp.errors import ConfigError
from brainexp.model.transformer import Transformer
from brainexp.registry import COMPRESSIONS
from tests.compression.networks import TINY, features, perplexity, saved, with_head, without_head

TEXT = GrammarText(samples=3, tokens=30)
#: Where blocks are, written down by hand, and what silences one: it then adds nothing to its input.
SILENCED = {
    "llama": ("model.layers", ("self_attn.o_proj", "mlp.down_proj")),
    "qwen2": ("model.layers", ("self_attn.o_proj", "mlp.down_proj")),
    "qwen3": ("model.layers", ("self_attn.o_proj", "mlp.down_proj")),
    "gemma2": ("model.layers", ("self_attn.o_proj", "mlp.down_proj")),
    "gemma3": ("model.layers", ("self_attn.o_proj", "mlp.down_proj")),
    "mistral": ("model.layers", ("self_attn.o_proj", "mlp.down_proj")),
    "phi": ("model.layers", ("self_attn.dense", "mlp.fc2")),
    "phi3": ("model.layers", ("self_attn.o_proj", "mlp.down_proj")),
    "gpt_neox": ("gpt_neox.layers", ("attention.dense", "mlp.dense_4h_to_h")),
    "gpt2": ("transformer.h", ("attn.c_proj", "mlp.c_proj")),
    "opt": ("model.decoder.layers", ("self_attn.out_proj", "fc2")),
    "bert": ("bert.encoder.layer", ("attention.output.dense", "output.dense")),
    "roberta": ("roberta.encoder.layer", ("attention.output.dense", "output.dense")),
}


@pytest.mark.parametrize("family", SILENCED)
def test_the_block_that_does_nothing_goes_and_the_others_stay_as_they_were(family, tmp_path, story):
    model = with_head(family, tmp_path / "whole")
    network = model.network_with_head()
    where, silenced = SILENCED[family]
    with torch.no_grad():
        for name in silenced:
            for tensor in network.get_submodule(f"{where}.1.{name}").parameters():
                tensor.zero_()
    network.save_pretrained(tmp_path / "whole")

    small = saved(model, LayerDrop(calibration=TEXT), tmp_path / "small")

    config = small.network_with_head().config
    assert config.kept_blocks == [0, 2]
    assert small.shape() == (3, 32)
    assert small.blueprint() == LayerDrop().after(model.blueprint())
    whole, left = features(model, story), features(small, story)
    np.testing.assert_array_equal(left[:2], whole[:2])
    if family not in ("bert", "roberta"):  # their silent block still normalises
        alternates = family in ("gemma2", "gemma3")  # block 2 keeps its own kind of attention
        np.testing.assert_allclose(left[2], whole[3], rtol=1e-5, atol=1e-5 * np.abs(whole).max())
        assert not alternates or config.layer_types == [
            model.network_with_head().config.layer_types[at] for at in (0, 2)
        ]


def test_every_family_that_is_offered_is_tested_or_a_llama_by_name(tmp_path):
    assert {*BLOCKS} - {"gemma3_text"} - {*SILENCED} == {"gemma"}


def test_influence_is_one_minus_the_cosine_between_states_before_and_after(tmp_path):
    model = with_head("llama", tmp_path)
    given = uncompressed(model, LayerDrop(calibration=TEXT), [])
    network = model.network_with_head()
    states = []
    hooks = [
        module.register_forward_hook(lambda _, __, output: states[-1].append(output.double().numpy()[0]))
        for module in (network.model.embed_tokens, *network.model.layers)
    ]
    with torch.inference_mode():
        for row in given.samples:
            states.append([])
            network(input_ids=torch.tensor(row[None]))
    for hook in hooks:
        hook.remove()
    states = np.array(states)  # texts × layers × tokens × dims
    before, after = states[:, :-1], states[:, 1:]
    norms = np.linalg.norm(before, axis=-1) * np.linalg.norm(after, axis=-1)
    expected = 1 - ((before * after).sum(axis=-1) / norms).mean(axis=(0, 2))

    found = block_influence(network.model, network.model.layers, given)

    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_without_the_last_blocks_the_first_layers_are_the_same(tmp_path, story):
    model = Transformer(path=f"{TINY}/l", device="cpu", dtype="bfloat16")
    n_blocks = model.blueprint().n_blocks

    small = saved(model, LayerDrop(n_blocks=2, by="last"), tmp_path)

    left = features(small, story)
    assert len(left) == n_blocks - 1
    # the last layer of any model is told after its final norm, which the same layer of the deeper one has not passed
    np.testing.assert_array_equal(left[:-1], features(model, story)[: n_blocks - 2])
    assert small.network_with_head().config.kept_blocks == [*range(n_blocks - 2)]


def test_dropping_twice_tells_the_first_numbers(tmp_path):
    model = Transformer(path=f"{TINY}/l", device="cpu")
    n_blocks = model.blueprint().n_blocks
    once = saved(model, LayerDrop(calibration=TEXT), tmp_path / "once")
    first = once.network_with_head().config.kept_blocks

    twice = saved(once, LayerDrop(calibration=TEXT), tmp_path / "twice").network_with_head().config.kept_blocks

    assert len(first) == n_blocks - 1
    assert set(twice) < set(first) <= set(range(n_blocks))


def test_on_a_trained_model_the_block_of_least_influence_is_not_the_most_important(tmp_path):
    model = Transformer(path=f"{TINY}/l", device="cpu")
    unread = uncompressed(model, LayerDrop(calibration=GrammarText(samples=8, tokens=200, seed=7)), []).samples
    whole = perplexity(model, unread)
    n_blocks = model.blueprint().n_blocks
    damage = []
    for gone in range(n_blocks):
        network = model.network_with_head()
        del network.model.layers[gone]
        for number, block in enumerate(network.model.layers):
            block.self_attn.layer_idx = number
        ids = torch.tensor(unread)
        network.config.num_hidden_layers = n_blocks - 1
        with torch.inference_mode():
            damage.append(float(network(input_ids=ids, labels=ids, use_cache=False).loss.exp()))

    by_influence = perplexity(saved(model, LayerDrop(calibration=TEXT), tmp_path / "small"), unread)

    assert whole < by_influence
    assert by_influence == pytest.approx(damage[np.argmin(np.abs(np.array(damage) - by_influence))])
    assert by_influence < max(damage)


@pytest.mark.parametrize("family", ["mamba", "mixtral", "t5", "albert"])
def test_other_families_are_refused_with_those_that_are_not(family, tmp_path):
    assert f"blocks of a {family} cannot be left out. Known: bert, gemma," in LayerDrop().objection(
        with_head(family, tmp_path)
    )


def test_some_block_must_be_left(tmp_path):
    model = without_head("llama", tmp_path)

    assert LayerDrop(n_blocks=2).objection(model) is None
    assert "n_blocks=3 of 3 would leave none" in LayerDrop(n_blocks=3).objection(model)
    with pytest.raises(ConfigError, match="n_blocks must be at least 1, got 0"):
        LayerDrop(n_blocks=0)


def test_only_influence_needs_text():
    last = COMPRESSIONS.build({"name": "layer_drop", "by": "last", "calibration": {"name": "grammar"}})

    assert last.calibration is None
    assert last == LayerDrop(by="last")
    assert LayerDrop().calibration == GrammarText()
    with pytest.raises(ConfigError, match="by=block_influence needs a calibration"):
        LayerDrop(calibration=None)


def test_blocks_count_and_their_weights_cost_what_they_did():
    assert LayerDrop(n_blocks=3).blocks_left(10) == 7
    assert LayerDrop().bits_per_weight((64, 32), 16) == 16
