"""Every family: batched, shared and caught by hooks, features are those of transformers fed one word at a time."""

import dataclasses
from itertools import pairwise

import numpy as np
import pytest

from brainexp.containers import Passage, Stimulus
from brainexp.model.transformer import Transformer
from brainexp.prompt.plain import Plain
from tests.model.families import ALL, BIDIRECTIONAL, CAUSAL, HALF, checkpoint, odd_story
from tests.model.naive import Naive, relative_error

LIMIT = 1e-5
MODES = [("growing", 6, None), ("sliding", 8, 3), ("sentence", None, None)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = {}

    def folder(family):
        name = family.removesuffix("_decoder")
        if name not in made:
            made[name] = checkpoint(name, tmp_path_factory.mktemp(name))
        return made[name]

    return folder


@pytest.fixture
def model(folders):
    def with_options(family, **options):
        return Transformer(path=str(folders(family)), states=HALF.get(family), **{"tokens_per_batch": 300, **options})

    return with_options


def features(model, story):
    loaded = model.load()
    values = np.full((loaded.n_layers, len(story.units), loaded.n_dims), np.nan, np.float32)
    for at, batch in loaded.extract(story, Plain()):
        assert np.isnan(values[:, at]).all()
        values[:, at] = batch
    assert np.isfinite(values).all()
    return values


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("family", ALL)
def test_a_window_per_word_over_texts_of_any_script(model, folders, family, seed):
    story = odd_story(seed, 30)

    found = features(model(family, context_words=6), story)

    expected = Naive(folders(family), HALF.get(family)).features(story.units, n=6)
    assert relative_error(found, expected) < LIMIT


@pytest.mark.parametrize(("context", "n", "stride"), MODES)
@pytest.mark.parametrize("family", ALL)
def test_a_pass_for_many_words_gives_the_features_of_a_pass_per_word(model, folders, family, context, n, stride):
    story = odd_story(2, 24)

    found = features(model(family, context=context, context_words=n, stride_words=stride), story)

    expected = Naive(folders(family), HALF.get(family)).features(story.units, context, n, stride)
    assert relative_error(found, expected) < LIMIT


@pytest.mark.parametrize("pooling", ["last", "first", "sum"])
@pytest.mark.parametrize("family", ["gpt2", "mistral", "bert", "t5"])
def test_other_ways_of_pooling(model, folders, family, pooling):
    story = odd_story(3, 15)

    found = features(model(family, context_words=5, pooling=pooling), story)

    expected = Naive(folders(family), HALF.get(family)).features(story.units, n=5, pooling=pooling)
    assert relative_error(found, expected) < LIMIT


@pytest.mark.parametrize("family", ALL)
def test_layers_that_are_asked_for_are_those_of_all(model, family):
    story = odd_story(4, 12)
    every = features(model(family, context_words=5), story)
    deepest = len(every) - 1
    assert model(family).layer_numbers() == tuple(range(deepest + 1))

    for layers in ((0,), (0, 1), (1,), (deepest,), (0, deepest)):
        chosen = model(family, context_words=5, layers=layers)
        assert chosen.load().layer_numbers == chosen.layer_numbers() == layers
        assert relative_error(features(chosen, story), every[list(layers)]) < LIMIT


@pytest.mark.parametrize("family", ALL)
def test_layers_differ_from_each_other_and_words_from_each_other(model, family):
    """Else the comparisons above would show little."""
    every = features(model(family, context_words=5), odd_story(5, 12))

    for lower, upper in pairwise(every):
        assert np.linalg.norm(upper - lower) > 0.02 * np.linalg.norm(lower)
    assert all(np.linalg.norm(layer[0] - layer[1:], axis=-1).min() > 1e-3 for layer in every)


@pytest.mark.parametrize("weights", ["pretrained", "random"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("family", ALL)
def test_causal_and_bidirectional_are_told_apart_whatever_the_weights(model, family, dtype, weights):
    loaded = model(family, dtype=dtype, weights=weights).load()

    assert loaded._anatomy.causal == (family in CAUSAL)
    assert (loaded._anatomy.blocks is None) == (family == "albert")
    assert loaded._anatomy.told_embedding == (family != "mamba")


@pytest.mark.parametrize(("context", "n", "stride"), [("window", 4, None), *MODES])
@pytest.mark.parametrize("family", ["gpt2", "mamba", "bert", "t5", "bart_decoder"])
def test_no_word_sees_a_later_one(model, family, context, n, stride):
    story = odd_story(6, 14)
    changed = dataclasses.replace(story, units=(*story.units[:9], "other", *story.units[10:]))
    asked = model(family, context=context, context_words=n, stride_words=stride)

    one, other = features(asked, story), features(asked, changed)

    assert relative_error(other[:, :9], one[:, :9]) < LIMIT
    assert relative_error(other[-1:, 9:10], one[-1:, 9:10]) > 1e-3


@pytest.mark.parametrize("family", BIDIRECTIONAL)
def test_later_words_are_seen_only_when_asked_for(model, folders, family):
    units = ("a", "fox", "ran", "home.", "the", "crow", "drank", "tea.")
    onset_s = np.arange(8.0)
    story = Stimulus("two", units, onset_s, onset_s + 0.5)

    found = features(model(family, context="sentence", later_words=True), story)

    naive = Naive(folders(family), HALF.get(family))
    for begin, sentence in ((0, "a fox ran home."), (4, "the crow drank tea.")):
        states, offsets = naive.states(sentence)
        for at, word in enumerate(sentence.split()):
            start = sentence.index(word)
            inside = [i for i, (a, b) in enumerate(offsets) if b > start and a < min(start + len(word), b)]
            expected = states[:, inside].mean(1).numpy()
            assert relative_error(found[:, begin + at], expected) < LIMIT


@pytest.mark.parametrize("family", ALL)
def test_passages_are_read_whole_and_stretches_pooled_over_their_tokens(model, folders, family):
    passages = [
        Passage("a fox ran home."),
        Passage("the crow drank tea, and then some more of it.", ((4, 8), (0, 18), (4, 8))),
        Passage("home", ((0, 4),)),
    ]
    loaded = model(family, tokens_per_batch=20).load()

    found = np.full((loaded.n_layers, 5, loaded.n_dims), np.nan, np.float32)
    for at, batch in loaded.read(passages):
        assert np.isnan(found[:, at]).all()
        found[:, at] = batch

    naive = Naive(folders(family), HALF.get(family))
    stretches = [(one, part) for one in passages for part in one.parts]
    for at, (one, (start, stop)) in enumerate(stretches):
        states, offsets = naive.states(one.text)
        inside = [i for i, (a, b) in enumerate(offsets) if b > max(start, a) and a < stop]
        assert relative_error(found[:, at], states[:, inside].mean(1).numpy()) < LIMIT
    np.testing.assert_array_equal(found[:, 1], found[:, 3])


@pytest.mark.parametrize("family", ALL)
def test_the_untrained_twin_is_reproducible_and_its_own(model, family):
    story = odd_story(7, 5)
    twin = model(family, weights="random", seed=3)

    one, again, trained = (features(asked, story) for asked in (twin, twin, model(family)))

    np.testing.assert_array_equal(one, again)
    assert relative_error(one, trained) > 0.1


@pytest.mark.parametrize("family", ["llama", "gpt_neox", "modernbert", "t5", "mixtral"])
def test_half_precision_is_near(model, family):
    story = odd_story(8, 10)
    full = features(model(family, context_words=5), story)

    half = features(model(family, context_words=5, dtype="bfloat16"), story)

    assert half.dtype == np.float32
    for near, exact in zip(half, full, strict=True):
        assert 0 < np.linalg.norm(near - exact) < 0.1 * np.linalg.norm(exact)
