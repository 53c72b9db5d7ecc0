import dataclasses

import numpy as np
import pytest

from brainexp.containers import Stimulus
from brainexp.errors import DataError
from brainexp.interfaces import Frame
from brainexp.model.context import Reading, first_words, readings, tokens_of_words
from tests.model.naive import first_word


def told(*units):
    onset_s = 0.5 * np.arange(len(units))
    return Stimulus(story="told", units=units, onset_s=onset_s, offset_s=onset_s + 0.4)


@pytest.mark.parametrize(
    ("context", "n", "stride", "expected"),
    [
        ("window", 3, None, [0, 0, 0, 1, 2, 3, 4, 5, 6]),
        ("window", 1, None, [0, 1, 2, 3, 4, 5, 6, 7, 8]),
        ("window", None, None, [0] * 9),
        ("growing", 4, None, [0, 0, 0, 0, 2, 2, 4, 4, 6]),
        ("growing", 5, None, [0, 0, 0, 0, 0, 3, 3, 3, 6]),
        ("growing", 1, None, [0, 1, 2, 3, 4, 5, 6, 7, 8]),
        ("growing", None, None, [0] * 9),
        ("sliding", 4, 3, [0, 0, 0, 0, 3, 3, 3, 6, 6]),
        ("sliding", 4, 4, [0, 0, 0, 0, 4, 4, 4, 4, 8]),
        ("sliding", 4, 1, [0, 0, 0, 0, 1, 2, 3, 4, 5]),
        ("sliding", 8, None, [0, 0, 0, 0, 0, 0, 0, 0, 1]),
    ],
)
def test_where_contexts_start(context, n, stride, expected):
    found = first_words(told(*"abcdefghi"), context, n, stride)

    assert found.tolist() == expected


@pytest.mark.parametrize(("n", "stride"), [(1, 1), (2, 1), (7, 3), (16, 2), (512, 256)])
@pytest.mark.parametrize("context", ["window", "growing", "sliding"])
def test_contexts_are_as_long_as_the_table_says(context, n, stride):
    story = told(*["word"] * 1200)

    first = first_words(story, context, n, stride if context == "sliding" else None)

    assert first.tolist() == [first_word(story.units, at, context, n, stride) for at in range(1200)]
    n_words = np.arange(1200) + 1 - first
    shortest = {"window": n, "growing": n // 2 + 1, "sliding": n - stride + 1}[context]
    np.testing.assert_array_equal(n_words[:n], np.arange(1, n + 1)[:1200])
    assert (n_words[n:].min(), n_words[n:].max()) == (shortest, n)


def test_huths_context_grows_to_512_words_and_starts_again_from_256():
    n_words = np.arange(800) + 1 - first_words(told(*["word"] * 800), "growing", 512, None)

    assert n_words[[0, 511, 512, 767, 768]].tolist() == [1, 512, 257, 512, 257]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("He ran. She sat! Who? Me", [0, 0, 2, 2, 4, 5]),
        ('"Go." He went.) So', [0, 1, 1, 3]),
        ("Mr. Fox met J. Smith and I. He", [0, 0, 0, 0, 0, 0, 0, 7]),
        ("wait… what 3.5 e.g. tea", [0, 1, 1, 1, 1]),
        ("no marks at all", [0, 0, 0, 0]),
        ("彼は走った。 彼女", [0, 1]),
    ],
)
def test_where_sentences_start(text, expected):
    assert first_words(told(*text.split()), "sentence", None, None).tolist() == expected


def test_a_sentence_that_is_too_long_is_an_error_that_shows_the_place():
    story = told("So.", *["and"] * 6)

    with pytest.raises(
        DataError,
        match=r"sentence that starts with word 1 \('and'\) at 0.50 s has more than 5 words.*another model.context",
    ):
        first_words(story, "sentence", 5, None)
    assert first_words(story, "sentence", 6, None).tolist() == [0, 1, 1, 1, 1, 1, 1]


def test_a_window_ends_with_its_word(story):
    found = readings(story, first_words(story, "window", 3, None), Frame(), shared=False)

    assert [one.text for one in found[:4]] == ["The", "The crow", "The crow didn't", "crow didn't drink"]
    assert [list(one.words) for one in found] == [[at] for at in range(len(story.units))]


@pytest.mark.parametrize("frame", [Frame(), Frame("Read: ", " Done?")])
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize(("context", "n"), [("window", 3), ("growing", 4), ("sliding", 5), ("sentence", None)])
def test_every_word_is_wanted_once_and_marked_where_it_stands(story, context, n, shared, frame):
    found = readings(story, first_words(story, context, n, None), frame, shared=shared)

    assert [at for one in found for at in one.words] == list(range(len(story.units)))
    for one in found:
        marked = [one.text[start:stop] for start, stop in zip(one.start, one.stop, strict=True)]
        assert tuple(marked) == story.units[one.first : one.words.stop]


def test_words_with_the_same_first_word_share_a_text(story):
    found = readings(story, first_words(story, "growing", 4, None), Frame(), shared=True)

    assert [one.text for one in found[:2]] == ["The crow didn't drink", "didn't drink tea, but"]
    assert [list(one.words) for one in found[:2]] == [[0, 1, 2, 3], [4, 5]]


@pytest.fixture
def tea():
    """'The crow drank' of which the last two words are wanted."""
    return Reading("The crow drank", 0, 1, start=np.array([0, 4, 9]), stop=np.array([3, 8, 14]))


def test_tokens_are_those_that_overlap_the_word(story, tea):
    offsets = [(0, 0), (0, 3), (3, 6), (6, 8), (9, 10), (10, 12), (12, 14), (0, 0)]

    start, stop = tokens_of_words(offsets, tea, story)

    assert list(zip(start, stop, strict=True)) == [(2, 4), (4, 7)]


def test_a_token_of_the_space_alone_belongs_to_no_word(story, tea):
    start, stop = tokens_of_words([(0, 3), (3, 4), (4, 8), (8, 9), (9, 14)], tea, story)

    assert list(zip(start, stop, strict=True)) == [(2, 3), (4, 5)]


def test_several_tokens_of_one_character_belong_to_its_word(story, tea):
    start, stop = tokens_of_words([(0, 3), (4, 8), (9, 10), (9, 10), (9, 10), (10, 14)], tea, story)

    assert list(zip(start, stop, strict=True)) == [(1, 2), (2, 6)]


def test_a_word_without_tokens_is_an_error_that_shows_the_place(story, tea):
    with pytest.raises(
        DataError,
        match=r"""word 2 \("didn't"\) at 1.00 s, in "The crow didn't drink tea, but": the model's tokenizer makes no token of it""",
    ):
        tokens_of_words([(0, 3), (4, 8)], tea, story)


@pytest.mark.parametrize(
    ("offsets", "at", "token"),
    [
        ([(0, 3), (4, 14)], 1, "crow drank"),
        ([(0, 3), (3, 9), (8, 14)], None, None),  # spaces on both sides are no neighbours
        ([(0, 8), (9, 14)], 1, "The crow"),
        ([(0, 3), (4, 8), (8, 14)], None, None),
    ],
)
def test_a_token_of_two_words_is_an_error_that_shows_it(story, tea, offsets, at, token):
    if at is None:
        assert len(tokens_of_words(offsets, tea, story)[0]) == 2
        return
    with pytest.raises(DataError, match=rf"word {at} \('crow'\) .*makes one token, '{token}', of it and its neighbour"):
        tokens_of_words(offsets, tea, story)


def test_a_token_of_words_that_are_not_wanted_does_not_matter(story, tea):
    later = dataclasses.replace(tea, wanted=2)

    start, stop = tokens_of_words([(0, 8), (9, 14)], later, story)

    assert list(zip(start, stop, strict=True)) == [(1, 2)]


def test_a_token_of_a_word_and_the_prompt_is_an_error(story):
    reading = Reading("Read:The", 0, 0, start=np.array([5]), stop=np.array([8]))

    with pytest.raises(DataError, match=r"one token, ':The', of it and its neighbour"):
        tokens_of_words([(0, 4), (4, 8)], reading, story)
