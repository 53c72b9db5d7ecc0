import numpy as np
import pytest

from brainexp.errors import ConfigError
from brainexp.interfaces import Frame
from brainexp.model.transformer import Transformer
from brainexp.prompt.plain import Plain
from brainexp.prompt.task import Task
from tests.model.test_generation import features


def test_the_task_stands_around_the_words():
    rendered = Task(before="Summarize: ", after=" Now!").around(tokenizer=None).render("a crow")

    assert rendered.text == "Summarize: a crow Now!"
    assert rendered.text[rendered.start :].startswith("a crow")


def test_a_task_is_plain_text_so_the_tokenizer_adds_what_it_always_adds():
    assert Task(before="", after="").around(tokenizer=None) == Frame()


def test_an_answer_has_a_length_only_where_one_is_generated():
    assert Task(features="last").around(tokenizer=None).max_new_tokens == 0
    assert Task(features="generated", max_new_tokens=7).around(tokenizer=None).max_new_tokens == 7


def test_an_answer_without_a_token_is_refused():
    with pytest.raises(ConfigError, match="prompt 'task': max_new_tokens must be at least 1, got 0"):
        Task(max_new_tokens=0)


@pytest.mark.parametrize("family", ["gpt2", "bert"])
def test_without_text_a_task_gives_the_features_of_plain(checkpoints, story, family):
    model = Transformer(path=str(checkpoints[family]), context_words=4)

    np.testing.assert_array_equal(features(model, story, Task("", "")), features(model, story, Plain()))


def test_a_causal_model_knows_the_task_before_the_words_and_not_the_one_after(checkpoints, story):
    model = Transformer(path=str(checkpoints["llama"]), context_words=4)
    plain = features(model, story, Plain())

    after = features(model, story, Task("", " What happens?"))
    before = features(model, story, Task("What happens? ", ""))

    np.testing.assert_allclose(after, plain, atol=1e-5)
    assert np.abs(before - plain)[-1].max(axis=-1).min() > 1e-3


def test_a_bidirectional_model_knows_both(checkpoints, story):
    model = Transformer(path=str(checkpoints["bert"]), context_words=4)

    after = features(model, story, Task("", " What happens?"))

    assert np.abs(after - features(model, story, Plain()))[-1].max(axis=-1).min() > 1e-3
