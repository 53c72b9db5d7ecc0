import numpy as np
import pytest

from brainexp.compression.none import NoCompression
from brainexp.errors import ConfigError, ModelError
from brainexp.interfaces import Frame
from brainexp.model.transformer import Transformer
from brainexp.prompt.chat import Chat
from brainexp.prompt.plain import Plain
from tests.model.test_generation import features

TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content | trim }}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
NOTHING = "{% for m in messages %}{{ m.content }}{% endfor %}"


@pytest.fixture
def chatting(checkpoints, tmp_path):
    """A tiny model whose tokenizer has a chat template."""
    import shutil

    from transformers import AutoTokenizer

    def saved(template=TEMPLATE, family="llama", **options):
        folder = shutil.copytree(checkpoints[family], tmp_path / f"{family}{len(list(tmp_path.iterdir()))}")
        tokenizer = AutoTokenizer.from_pretrained(folder)
        tokenizer.chat_template = template
        tokenizer.save_pretrained(folder)
        return Transformer(path=str(folder), context_words=4, **options)

    return saved


@pytest.fixture
def rendered(chatting):
    def with_prompt(prompt, template=TEMPLATE, words="a naïve crow"):
        found = prompt.around(chatting(template).tokenizer()).render(words)
        assert found.text[found.start : found.start + len(words)] == words
        return found.text

    return with_prompt


def test_the_words_are_the_users_turn_and_the_assistants_begins(rendered):
    assert rendered(Chat()) == "<|user|>\na naïve crow</s>\n<|assistant|>\n"


def test_system_and_text_around_stand_where_the_template_puts_them(rendered):
    prompt = Chat(system="You are kind.", before="Summarize the story: ", after=" Be brief.", generation_prompt=False)

    assert rendered(prompt) == (
        "<|system|>\nYou are kind.</s>\n<|user|>\nSummarize the story: a naïve crow Be brief.</s>\n"
    )


def test_the_words_can_be_what_the_assistant_said(rendered):
    prompt = Chat(role="assistant", question="What did you see?", before="I saw ")

    assert rendered(prompt) == "<|user|>\nWhat did you see?</s>\n<|assistant|>\nI saw a naïve crow</s>\n"


def test_words_that_the_template_has_too_are_not_mixed_up(rendered):
    assert rendered(Chat(before="user: ", after=" user"), words="user").count("user") == 4


def test_a_day_in_the_template_does_not_move_on(rendered, monkeypatch):
    """Llama 3.2 tells the model the date, gpt-oss by a function."""
    template = "{{ date_string }} {{ strftime_now('%Y-%m-%d') }} " + NOTHING

    assert rendered(Chat(), template) == "01 Jan 2025 2025-01-01 a naïve crow"


def test_variables_of_the_template_can_be_given(rendered):
    template = "{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}" + NOTHING

    assert rendered(Chat(), template) == "a naïve crow"
    assert rendered(Chat(template_options={"enable_thinking": False}), template) == "<think></think>a naïve crow"


def test_the_template_writes_special_tokens_itself(chatting):
    frame = Chat().around(chatting().tokenizer())

    assert not frame.special_tokens
    assert frame == Frame("<|user|>\n", "</s>\n<|assistant|>\n", special_tokens=False)


def test_without_a_template_the_way_out_is_named_before_the_model_is_loaded(checkpoints):
    model = Transformer(path=str(checkpoints["gpt2"]))

    with pytest.raises(
        ModelError, match="tokenizer has no chat template, .*Give prompt=plain or prompt=task, or an instr"
    ):
        model.objection(NoCompression(), Chat())


def test_a_template_that_knows_no_system_message_says_so(rendered):
    template = (
        "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + NOTHING
    )

    with pytest.raises(
        ModelError, match="refuses the conversation: System role not supported.*give prompt.system=null"
    ):
        rendered(Chat(system="Be kind."), template)


@pytest.mark.parametrize(("template", "times"), [(NOTHING * 2, 2), ("{{ messages[0].role }}", 0)])
def test_a_template_without_one_place_for_the_words_is_refused(rendered, template, times):
    with pytest.raises(ModelError, match=f"shows the user's turn {times} times"):
        rendered(Chat(), template)


def test_with_an_empty_template_the_words_have_the_features_of_plain(chatting, story):
    model = chatting(NOTHING)

    np.testing.assert_array_equal(features(model, story, Chat()), features(model, story, Plain()))


@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen2"])
def test_features_of_words_are_those_of_their_own_tokens_inside_the_conversation(chatting, story, family):
    """Against one text at a time, with the words' place found by counting from the known template."""
    import torch

    model = chatting(family=family, tokens_per_batch=200)
    loaded = model.load()

    found = features(model, story, Chat(system="Be kind.", before="Read: "))

    head = "<|system|>\nBe kind.</s>\n<|user|>\nRead: "
    for at, word in enumerate(story.units):
        words = " ".join(story.units[max(0, at - 3) : at + 1])
        text = f"{head}{words}</s>\n<|assistant|>\n"
        encoded = loaded.tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)
        stop = len(head) + len(words)
        inside = [
            token
            for token, (begin, end) in enumerate(encoded["offset_mapping"])
            if begin < stop and end > stop - len(word)
        ]
        assert text[stop - len(word) : stop] == word
        places = encoded["offset_mapping"]
        assert text[places[inside[0]][0] : places[inside[-1]][1]].strip() == word
        with torch.no_grad():
            states = loaded.network(
                input_ids=torch.tensor([encoded["input_ids"]]), output_hidden_states=True
            ).hidden_states
        expected = np.stack([state[0, inside].mean(0).numpy() for state in states])
        np.testing.assert_allclose(found[:, at], expected, rtol=1e-4, atol=1e-5)


def test_tokens_of_the_template_never_count(chatting, story):
    """Layer 0 knows no context: the conversation leaves it as it was."""
    model = chatting()

    in_chat = features(model, story, Chat(system="You are kind.", before="Summarize: ", after=" Now."))
    plain = features(model, story, Plain())

    np.testing.assert_allclose(in_chat[0, 1:], plain[0, 1:], atol=1e-6)
    assert np.abs(in_chat - plain)[-1].max(axis=-1).min() > 1e-3


def test_the_last_token_is_the_head_of_the_assistants_turn(chatting, story):
    model = chatting()
    last = model.tokenizer()("\n")["input_ids"][-1]

    found = features(model, story, Chat(features="last"))

    embedding = model.load().network.embed_tokens.weight[last].detach().numpy()
    np.testing.assert_allclose(found[0], np.tile(embedding, (len(story.units), 1)), atol=1e-6)
    assert np.ptp(found[-1], axis=0).max() > 1e-3  # it knows what was said before


def test_answers_in_a_conversation_follow_the_generation_prompt(chatting, story):
    from transformers import AutoModelForCausalLM

    model = chatting()
    AutoModelForCausalLM.from_pretrained(model.path).save_pretrained(model.path)  # with a head

    asked = features(model, story, Chat(features="generated", max_new_tokens=3))
    unasked = features(model, story, Chat(features="generated", max_new_tokens=3, generation_prompt=False))

    assert np.isfinite(asked).all()
    assert np.abs(asked - unasked)[-1].max(axis=-1).min() > 1e-3


def test_an_answer_to_an_answer_is_refused():
    with pytest.raises(ConfigError, match="with role=assistant the answer is the stimulus itself"):
        Chat(role="assistant", features="generated")


def test_an_answer_without_a_token_is_refused():
    with pytest.raises(ConfigError, match="prompt 'chat': max_new_tokens must be at least 1, got 0"):
        Chat(max_new_tokens=0)


def test_another_prompt_has_other_entries_in_the_cache():
    from brainexp.registry import PROMPTS

    keys = [
        PROMPTS.cache_key(prompt)
        for prompt in (Plain(), Chat(), Chat(system="x"), Chat(features="last"), Chat(template_options={"a": 1}))
    ]

    assert len({str(key) for key in keys}) == 5


def test_options_come_from_the_command_line(composed):
    from brainexp.registry import PROMPTS

    words = ["prompt=chat", "+prompt.template_options.enable_thinking=false", "prompt.system=Be kind."]
    prompt = PROMPTS.build(composed(*words)["prompt"])

    assert prompt == Chat(system="Be kind.", template_options={"enable_thinking": False})
