"""Likelihoods of whole batches are those of transformers for one text at a time."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

from brainexp.errors import ModelError
from brainexp.model.transformer import Transformer
from tests.model.families import checkpoint

TEXTS = ["a fox ran home.", "the crow drank tea, and then some more of it.", "home"]
TINY = "package:brainexp/model/tiny/xs"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    heads = {"llama": "CausalLM", "bert": "MaskedLM"}
    return {name: checkpoint(name, tmp_path_factory.mktemp(name), head) for name, head in heads.items()}


def test_a_causal_model_is_asked_for_each_token_after_those_before(folders):
    found = Transformer(path=str(folders["llama"])).language_model().likelihoods(TEXTS)

    tokenizer = AutoTokenizer.from_pretrained(folders["llama"])
    network = AutoModelForCausalLM.from_pretrained(folders["llama"], dtype=torch.float32).eval()
    start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    for text, one in zip(TEXTS, found, strict=True):
        ids = tokenizer(text)["input_ids"]
        ids = ids if ids[0] == start else [start, *ids]
        with torch.no_grad():
            loss = network(input_ids=torch.tensor([ids]), labels=torch.tensor([ids])).loss
        assert one.total == pytest.approx(-loss.item() * (len(ids) - 1), rel=1e-4)
        assert text[one.start[-1] : one.stop[-1]].strip() in text


def test_a_masked_model_is_asked_for_each_token_from_all_others(folders):
    found = Transformer(path=str(folders["bert"])).language_model().likelihoods(TEXTS)

    tokenizer = AutoTokenizer.from_pretrained(folders["bert"])
    network = AutoModelForMaskedLM.from_pretrained(folders["bert"], dtype=torch.float32).eval()
    for text, one in zip(TEXTS, found, strict=True):
        encoded = tokenizer(text, return_offsets_mapping=True)
        expected = []
        for at, (start, stop) in enumerate(encoded["offset_mapping"]):
            if stop > start:
                ids = torch.tensor([encoded["input_ids"]])
                token = ids[0, at].item()
                ids[0, at] = tokenizer.mask_token_id
                with torch.no_grad():
                    expected.append(network(input_ids=ids).logits[0, at].log_softmax(-1)[token].item())
        np.testing.assert_allclose(one.log_p, expected, rtol=1e-4)


def test_later_tokens_of_a_word_are_hidden_when_asked(folders):
    model = Transformer(path=str(folders["bert"])).language_model()
    text = "the fox foxtea ran"

    everything, left = (model.likelihoods([text], within_words=which)[0] for which in ("all", "left"))

    in_one_word = (everything.start >= 8) & (everything.stop <= 14)
    assert in_one_word.sum() > 1
    last = np.flatnonzero(in_one_word)[-1]
    np.testing.assert_allclose(left.log_p[last], everything.log_p[last], rtol=1e-4)  # nothing follows the last piece
    assert abs(left.log_p[in_one_word][0] - everything.log_p[in_one_word][0]) > 1e-4


def test_a_trained_model_finds_grammar_likelier_than_scrambled_words():
    text = "the brother of the king went to the old castle and then he slept"
    scrambled = "slept castle of went brother then king the old to the and he the"

    good, bad = Transformer(path=TINY).language_model().likelihoods([text, scrambled])

    assert good.total > bad.total + 5


def test_models_without_a_head_are_refused(checkpoints):
    with pytest.raises(ModelError, match="has no head that tells how likely"):
        Transformer(path=str(checkpoints["bert"])).language_model().likelihoods(TEXTS)


def test_too_long_a_text_is_refused():
    with pytest.raises(ModelError, match="reads at most 512"):
        Transformer(path=TINY).language_model().likelihoods(["the dog " * 600])


def test_gaps_are_filled_as_transformers_fills_them(folders):
    text = "the crow drank [MASK], and then some more"

    best = Transformer(path=str(folders["bert"])).language_model().fillers([text, "the [MASK]"], 3)

    tokenizer = AutoTokenizer.from_pretrained(folders["bert"])
    network = AutoModelForMaskedLM.from_pretrained(folders["bert"], dtype=torch.float32).eval()
    encoded = tokenizer(text, return_tensors="pt")
    with torch.no_grad():
        logits = network(**encoded).logits[0, encoded["input_ids"][0].tolist().index(tokenizer.mask_token_id)]
    assert best[0] == [tokenizer.decode([token]).strip() for token in logits.topk(3).indices.tolist()]
    assert len(best[1]) == 3


def test_a_causal_model_fills_a_gap_at_the_end_only():
    model = Transformer(path=TINY).language_model()

    at_end, inside = model.fillers(["he went to the [MASK].", "he went [MASK] the castle."], 5)

    assert inside is None
    ids = model.tokenizer("he went to the")["input_ids"]
    with torch.no_grad():
        logits = model.network(input_ids=torch.tensor([[model.tokenizer.eos_token_id, *ids]])).logits[0, -1]
    assert at_end == [model.tokenizer.decode([token]).strip() for token in logits.topk(5).indices.tolist()]


def test_an_encoder_decoder_fills_the_gap_of_its_sentinel(tmp_path):
    import transformers as hf

    from tests.model.families import unigram_tokenizer

    tokenizer = unigram_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<extra_id_0>"]})
    size = {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2, "vocab_size": len(tokenizer)}
    torch.manual_seed(0)
    network = hf.T5ForConditionalGeneration(hf.T5Config(**size, decoder_start_token_id=2, pad_token_id=2)).eval()
    network.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)

    found = Transformer(path=str(tmp_path)).language_model().fillers(["the [MASK] ran home", "the fox drank [MASK]"], 2)

    gap = tokenizer.convert_tokens_to_ids("<extra_id_0>")
    for text, best in zip(("the <extra_id_0> ran home", "the fox drank <extra_id_0>"), found, strict=True):
        with torch.no_grad():
            logits = network(**tokenizer(text, return_tensors="pt"), decoder_input_ids=torch.tensor([[2, gap]])).logits[
                0, 1
            ]
        assert best == [tokenizer.decode([token]).strip() for token in logits.topk(2).indices.tolist()]


def test_which_words_are_one_token():
    model = Transformer(path=TINY).language_model()

    assert model.is_one_token(["was", "antidisestablishment"]) == [True, False]


def test_roberta_reads_fewer_tokens_than_it_has_positions(tmp_path):
    """It counts positions from after its padding."""
    model = Transformer(path=str(checkpoint("roberta", tmp_path, "MaskedLM"))).language_model()
    config = model.network.config
    n_tokens = (
        config.max_position_embeddings - 1
    )  # with the two special tokens, as many as there are positions, less one
    words = " ".join(["a"] * (n_tokens - 2))
    assert len(model.tokenizer(words)["input_ids"]) == n_tokens

    with pytest.raises(ModelError, match=f"reads at most {config.max_position_embeddings - config.pad_token_id - 1}"):
        model.likelihoods([words])
