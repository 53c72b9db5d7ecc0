import dataclasses

import numpy as np
import pytest

from brainexp.containers import Stimulus
from brainexp.errors import ConfigError, ModelError
from brainexp.model.transformer import Transformer
from brainexp.prompt.plain import Plain

FAMILIES = ["bert", "gpt2", "llama", "qwen2", "gpt_neox"]


def features(model, story):
    loaded = model.load()
    values = np.full((loaded.n_layers, len(story.units), loaded.n_dims), np.nan, np.float32)
    for at, batch in loaded.extract(story, Plain()):
        values[:, at] = batch
    return values


def straight(folder, story, context_words, pooling):
    """The same features by one forward pass per word, written without the package."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer, network = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    rows = []
    for at, word in enumerate(story.units):
        text = " ".join(story.units[max(0, at - context_words + 1) : at + 1])
        encoded = tokenizer(text, return_offsets_mapping=True)
        inside = [
            i
            for i, (start, stop) in enumerate(encoded["offset_mapping"])
            if stop > len(text) - len(word) and start < len(text)
        ]
        with torch.no_grad():
            states = network(input_ids=torch.tensor([encoded["input_ids"]]), output_hidden_states=True).hidden_states
        picked = [state[0, inside] for state in states]
        rows.append(torch.stack([state.mean(0) if pooling == "mean" else state[-1] for state in picked]).numpy())
    return np.stack(rows, axis=1)


@pytest.mark.parametrize("pooling", ["mean", "last"])
@pytest.mark.parametrize("family", FAMILIES)
def test_batched_features_are_those_of_one_word_at_a_time(checkpoints, story, family, pooling):
    model = Transformer(path=str(checkpoints[family]), context_words=4, pooling=pooling, tokens_per_batch=40)

    np.testing.assert_allclose(
        features(model, story), straight(checkpoints[family], story, 4, pooling), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_a_word_depends_on_the_words_before_it_in_the_window_and_on_no_others(checkpoints, story, family):
    model = Transformer(path=str(checkpoints[family]), context_words=3)
    changed = dataclasses.replace(story, units=(*story.units[:5], "or", *story.units[6:]))

    difference = np.abs(features(model, story) - features(model, changed))[-1].max(axis=-1)

    assert (difference[[5, 6, 7]] > 1e-4).all()
    assert (np.delete(difference, [5, 6, 7]) < 1e-5).all()


def test_layers_run_from_the_embedding_to_the_last_block(checkpoints, story):
    loaded = Transformer(path=str(checkpoints["llama"]), blocks=2).load()
    ids = loaded.tokenizer(story.units[0])["input_ids"]

    found = features(Transformer(path=str(checkpoints["llama"])), story)

    assert found.shape == (3, len(story.units), 32)
    embedding = loaded.network.embed_tokens.weight[ids].mean(0).detach().numpy()
    np.testing.assert_allclose(found[0, 0], embedding, rtol=1e-5, atol=1e-6)


def test_the_untrained_twin_is_of_the_same_shape_reproducible_and_different(checkpoints, story):
    trained = Transformer(path=str(checkpoints["gpt2"]))
    twin = dataclasses.replace(trained, weights="random", seed=1)
    other = dataclasses.replace(twin, seed=2)

    one, same, different, original = (features(model, story) for model in (twin, twin, other, trained))

    np.testing.assert_array_equal(one, same)
    assert not np.allclose(one, different)
    assert not np.allclose(one, original)
    assert one.shape == original.shape


def test_loading_a_twin_leaves_the_random_numbers_of_others_alone(checkpoints):
    import torch

    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    Transformer(path=str(checkpoints["gpt2"]), weights="random").load()

    assert torch.rand(1) == expected


def test_identity_tells_weights_apart_and_ignores_how_they_are_run(checkpoints):
    model = Transformer(path=str(checkpoints["gpt2"]))

    assert model.identity() == dataclasses.replace(model, tokens_per_batch=7, device="cpu").identity()
    assert model.identity() != dataclasses.replace(model, weights="random").identity()
    assert model.identity() != Transformer(path=str(checkpoints["llama"])).identity()


def test_half_precision_is_near_full_precision(checkpoints, story):
    full = features(Transformer(path=str(checkpoints["llama"])), story)
    half = features(Transformer(path=str(checkpoints["llama"]), dtype="bfloat16"), story)

    assert half.dtype == np.float32
    assert 0 < np.abs(full - half).max() < 0.1 * np.abs(full).max()


def test_a_wrong_number_of_blocks_is_refused(checkpoints):
    with pytest.raises(ModelError, match=r"has 2 blocks, but 36 are declared.*give model.blocks=2"):
        Transformer(path=str(checkpoints["gpt2"]), blocks=36).require_ready()


def test_a_gpu_that_is_not_there_is_refused(checkpoints, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    with pytest.raises(ModelError, match=r"model.device=cuda, but torch .* finds no GPU. Give model.device=cpu"):
        Transformer(path=str(checkpoints["gpt2"]), device="cuda").require_ready()


def test_weights_that_cannot_be_fetched_say_what_to_do():
    with pytest.raises(
        ModelError, match=r"could not be fetched .*model=local model.path=FOLDER.*HF_HOME.*hf auth login"
    ):
        Transformer(path="no-such-lab/no-such-model").require_ready()


def test_a_context_longer_than_the_model_reads_is_refused(checkpoints):
    words = ("tea",) * 200
    onset_s = np.arange(200.0)
    long = Stimulus(story="long", units=words, onset_s=onset_s, offset_s=onset_s + 0.5)

    with pytest.raises(ModelError, match=r"the model reads at most 128. Lower model.context_words \(now 200\)"):
        features(Transformer(path=str(checkpoints["gpt2"]), context_words=200), long)


@pytest.mark.parametrize("option", ["context_words", "tokens_per_batch"])
def test_counts_must_be_positive(option):
    with pytest.raises(ConfigError, match=f"model 'transformer': {option} must be at least 1, got 0"):
        Transformer(path="x", **{option: 0})


@pytest.mark.minilm
def test_minilm_reads_from_the_python_package(composed, story):
    from brainexp.registry import MODELS

    model = MODELS.build(composed("model=minilm")["model"])

    found = features(model, story)

    assert found.shape == (7, len(story.units), 384)
    assert np.isfinite(found).all()
