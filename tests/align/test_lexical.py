import numpy as np
import pytest

from brainexp.align.lexical import word_frequency, word_length


@pytest.mark.parametrize(
    ("word", "letters"),
    [("the", 3), ("didn't", 5), ('"tea,"', 3), ("naïve", 5), ("20", 2), ("well-worn", 8), ("—", 0), ("Wald,", 4)],
)
def test_length_counts_letters_and_digits_and_no_marks(word, letters):
    assert word_length([word]).tolist() == [[letters]]


def test_every_word_has_a_row():
    assert word_length(["a", "crow", "drank"]).shape == (3, 1)
    assert word_frequency(["a", "crow", "drank"], "en").shape == (3, 1)


def test_frequency_is_the_logarithm_of_occurrences_in_a_thousand_million_words():
    from wordfreq import word_frequency as share

    words = ["the", "crow", "naïve", "perfunctory"]

    found = word_frequency(words, "en")[:, 0]

    np.testing.assert_allclose(found, [np.log10(share(word, "en") * 1e9) for word in words], atol=0.006)  # two digits
    assert (np.diff(found) < 0).all()


def test_marks_and_capitals_do_not_matter():
    found = word_frequency(["the", "The", '"the', "the,"], "en")

    assert (found == found[0]).all()


def test_an_unknown_word_has_frequency_zero():
    assert word_frequency(["zxqvbn"], "en").tolist() == [[0.0]]


def test_frequencies_are_those_of_the_language():
    (english,), (german,) = word_frequency(["Haus"], "en"), word_frequency(["Haus"], "de")

    assert german > english + 1
