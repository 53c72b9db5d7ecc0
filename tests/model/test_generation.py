"""States of the last token and of answers, against one text at a time and no shortcut."""

import dataclasses
from itertools import chain

import numpy as np
import pytest

from brainexp.compression.none import NoCompression
from brainexp.errors import ModelError
from brainexp.model.generation import last_token, no_answer, with_head
from brainexp.model.transformer import Transformer
from brainexp.prompt.task import Task

CAUSAL = ["gpt2", "llama", "qwen2", "gpt_neox"]


def features(model, story, prompt, loaded=None):
    loaded = loaded or model.load()
    values = np.full((loaded.n_layers, len(story.units), loaded.n_dims), np.nan, np.float32)
    for at, batch in loaded.extract(story, prompt):
        values[:, at] = batch
    return values


def texts(story, context_words, before, after):
    return [
        before + " ".join(story.units[max(0, at + 1 - context_words) : at + 1]) + after
        for at in range(len(story.units))
    ]


def answered(folder, text, max_new_tokens, ends=(), network=None):
    """Greedy decoding without a cache, one text, the whole text anew for every token: states and tokens chosen."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    network = network or AutoModelForCausalLM.from_pretrained(folder).eval()
    ids = AutoTokenizer.from_pretrained(folder)(text)["input_ids"]
    states, chosen = [], []
    for _ in range(max_new_tokens):
        with torch.no_grad():
            output = network(input_ids=torch.tensor([ids]), output_hidden_states=True)
        token = int(output.logits[0, -1].argmax())
        states.append(np.stack([layer[0, -1].numpy() for layer in output.hidden_states]))
        chosen.append(token)
        ids = [*ids, token]
        if token in ends:
            break
    return states, chosen


@pytest.fixture
def heads(checkpoints, tmp_path):
    """The tiny checkpoints with a language-model head of their own, by family."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    def saved(family, ends=None, tied=False):
        config = AutoConfig.from_pretrained(checkpoints[family])
        config.tie_word_embeddings = tied
        config.eos_token_id = ends
        torch.manual_seed(1)
        whole = AutoModelForCausalLM.from_config(config)
        with torch.no_grad():  # else the head is nearly the same for all tokens, and a tie is a matter of rounding
            for weight in whole.parameters():
                weight.mul_(3)
        whole.generation_config.eos_token_id = ends
        folder = tmp_path / f"{family}-{ends}-{tied}"
        whole.save_pretrained(folder)
        AutoTokenizer.from_pretrained(checkpoints[family]).save_pretrained(folder)
        return folder

    return saved


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("family", CAUSAL)
def test_features_of_answers_are_the_mean_of_the_states_they_were_chosen_from(heads, story, family, tied):
    folder = heads(family, tied=tied)
    model = Transformer(path=str(folder), context_words=4, tokens_per_batch=60)

    found = features(model, story, Task("Say: ", " So", features="generated", max_new_tokens=5))

    for at, text in enumerate(texts(story, 4, "Say: ", " So")):
        states, chosen = answered(folder, text, 5)
        assert len(chosen) == 5
        np.testing.assert_allclose(found[:, at], np.mean(states, axis=0), rtol=1e-4, atol=1e-5)


def test_the_end_of_an_answer_and_what_follows_does_not_count(heads, story):
    """Any token can be declared the end: one that answers have at different places, first, later and never."""
    folder = heads("llama")
    asked = texts(story, 4, "Say: ", "")
    chosen = [answered(folder, text, 6)[1] for text in asked]
    places = {token: [answer.index(token) for answer in chosen if token in answer] for token in chain(*chosen)}
    ends = [max(places, key=lambda token: len(set(places[token]))), chosen[0][0]]
    folder = heads("llama", ends=ends)

    found = features(
        Transformer(path=str(folder), context_words=4), story, Task("Say: ", features="generated", max_new_tokens=6)
    )

    lengths = []
    for at, text in enumerate(asked):
        states, answer = answered(folder, text, 6, ends)
        kept = states[:-1] if answer[-1] in ends else states
        lengths.append(len(kept))
        np.testing.assert_allclose(found[:, at], np.mean(kept or states, axis=0), rtol=1e-4, atol=1e-5)
    assert 0 in lengths  # an answer that ends at once
    assert len(set(lengths)) >= 3


def test_a_checkpoints_taste_in_words_does_not_change_its_answers(heads, story):
    """Many come with sampling and a penalty on words that come again."""
    import json

    folder = heads("llama")
    prompt = Task("Say: ", features="generated", max_new_tokens=6)
    model = Transformer(path=str(folder), context_words=4)
    greedy = features(model, story, prompt)

    config = json.loads((folder / "generation_config.json").read_text())
    taste = {"repetition_penalty": 50.0, "do_sample": True, "temperature": 2.0, "top_k": 3, "no_repeat_ngram_size": 1}
    (folder / "generation_config.json").write_text(json.dumps({**config, **taste}))

    np.testing.assert_array_equal(features(model, story, prompt), greedy)


def test_a_checkpoint_without_a_head_cannot_answer(checkpoints, story):
    with pytest.raises(ModelError, match="was saved without lm_head.weight, so the model cannot answer"):
        features(Transformer(path=str(checkpoints["llama"])), story, Task(features="generated"))


def test_the_last_token_is_that_of_the_text(heads, story):
    folder = heads("gpt2")
    model = Transformer(path=str(folder), context_words=4, tokens_per_batch=60)

    found = features(model, story, Task("", " What next?", features="last"))

    for at, text in enumerate(texts(story, 4, "", " What next?")):
        np.testing.assert_allclose(found[:, at], answered(folder, text, 1)[0][0], rtol=1e-4, atol=1e-5)


def test_what_the_tokenizer_adds_after_the_text_is_not_its_last_token():
    assert last_token([(0, 0), (0, 3), (3, 7), (0, 0)]) == (2, 3)
    assert last_token([(0, 3)]) == (0, 1)


def test_the_last_token_of_a_bidirectional_model_is_no_separator(checkpoints, story):
    model = Transformer(path=str(checkpoints["bert"]), context_words=4)
    ids = model.tokenizer()("What next?")["input_ids"]

    found = features(model, story, Task("", " What next?", features="last"))

    separator = model.load().network.embeddings.word_embeddings.weight[ids[-1]].detach().numpy()
    assert np.abs(np.corrcoef([separator, *found[0]])[0, 1:]).max() < 0.9


def test_the_head_goes_on_the_very_network_that_was_handed_in(heads):
    model = Transformer(path=str(heads("qwen2", tied=True)))
    loaded = model.load()

    whole = with_head(model, loaded.network)

    assert whole.model is loaded.network
    assert whole.lm_head.weight is loaded.network.embed_tokens.weight


def test_answers_are_those_of_the_compressed_network(heads, story):
    import torch

    folder = heads("llama")
    model = Transformer(path=str(folder), context_words=4)
    loaded = model.load()
    with torch.no_grad():
        loaded.network.layers[0].mlp.down_proj.weight.zero_()
    prompt = Task("Say: ", features="generated", max_new_tokens=4)

    found = features(model, story, prompt, loaded)

    states, _ = answered(folder, texts(story, 4, "Say: ", "")[5], 4, network=with_head(model, loaded.network))
    np.testing.assert_allclose(found[:, 5], np.mean(states, axis=0), rtol=1e-4, atol=1e-5)
    assert np.abs(found - features(model, story, prompt)).max() > 1e-2


def test_the_untrained_twin_answers_too_and_reproducibly(heads, story):
    twin = Transformer(path=str(heads("gpt2")), weights="random", seed=3, context_words=4)
    prompt = Task("Say: ", features="generated", max_new_tokens=3)

    one, same = features(twin, story, prompt), features(twin, story, prompt)
    other = features(dataclasses.replace(twin, seed=4), story, prompt)

    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 1e-3


@pytest.mark.parametrize("family", CAUSAL)
def test_causal_models_can_answer(checkpoints, family):
    model = Transformer(path=str(checkpoints[family]))

    assert model.objection(NoCompression(), Task(features="generated")) is None


def test_a_model_that_fills_in_cannot_answer_but_has_a_last_token(checkpoints):
    model = Transformer(path=str(checkpoints["bert"]))

    assert "needs a causal language model, but this is 'bert'" in model.objection(
        NoCompression(), Task(features="generated")
    )
    assert model.objection(NoCompression(), Task(features="last")) is None


def test_a_model_that_translates_cannot_answer():
    import transformers

    assert "this is 't5'" in no_answer(transformers.T5Config())
    assert "this is 'bart'" in no_answer(transformers.BartConfig())
    assert "this is 'roberta'" in no_answer(transformers.RobertaConfig())
    assert no_answer(transformers.MambaConfig()) is None


def test_an_answer_must_fit_behind_the_text(checkpoints, story):
    model = Transformer(path=str(checkpoints["gpt2"]), context_words=4)

    with pytest.raises(ModelError, match="the model reads at most 128"):
        features(model, story, Task(features="generated", max_new_tokens=120))


def test_an_answer_of_a_model_that_does_not_tell_its_embedding_is_refused(tmp_path, story):
    from tests.model.families import checkpoint

    mamba = Transformer(path=str(checkpoint("mamba", tmp_path)), context_words=4)

    with pytest.raises(ModelError, match="does not tell its embedding"):
        list(mamba.load().extract(story, Task(features="generated")))
    assert len(list(mamba.load().extract(story, Task(features="last")))) >= 1
