import pytest

from brainexp.errors import DataError
from brainexp.interfaces import Frame
from brainexp.model.window import tokens_of_word, windows


def test_a_window_ends_with_its_word_and_has_at_most_so_many_words(story):
    found = windows(story, 3, Frame())

    assert [window.text for window in found[:4]] == ["The", "The crow", "The crow didn't", "crow didn't drink"]
    assert all(window.text[window.start : window.stop] == word for window, word in zip(found, story.units, strict=True))


def test_a_prompt_moves_the_word_but_keeps_it_marked(story):
    found = windows(story, 3, Frame("Read: ", " Done?"))

    assert all(window.text[window.start : window.stop] == word for window, word in zip(found, story.units, strict=True))


def test_tokens_are_those_that_overlap_the_word(story):
    window = windows(story, 3, Frame())[1]  # "The crow"

    found = tokens_of_word([(0, 0), (0, 3), (3, 6), (6, 8), (0, 0)], window, story, 1)

    assert found == (2, 4)


def test_a_word_without_tokens_is_an_error_that_shows_the_place(story):
    window = windows(story, 3, Frame())[1]

    with pytest.raises(
        DataError, match=r"story 'tea': the model's tokenizer makes no token of word 1 \('crow'\) at 0.50 s"
    ):
        tokens_of_word([(0, 0), (0, 3)], window, story, 1)
