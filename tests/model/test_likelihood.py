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
