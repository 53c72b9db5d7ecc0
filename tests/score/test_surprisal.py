import math

import numpy as np
import pytest

from brainexp.containers import Likelihoods
from brainexp.score.surprisal import perplexities, word_surprisal

WORDS = ("The", "crow", "didn't", "go")
#: " ".join(WORDS) in pieces, as byte-level tokenizers cut it: a space belongs to what follows.
PIECES = ("The", " cr", "ow", " didn", "'", "t", " ", "go")


def likelihoods(pieces, log_p):
    stop = np.cumsum([len(one) for one in pieces])
    return Likelihoods(np.array(log_p, float), stop - [len(one) for one in pieces], stop)


def test_surprisal_of_a_word_is_that_of_all_its_tokens_in_bits():
    log_p = -math.log(2) * np.array([1, 2, 3, 4, 5, 6, 7, 8])

    assert word_surprisal(likelihoods(PIECES, log_p), WORDS) == pytest.approx([1, 5, 15, 15])


def test_a_word_with_an_unknown_token_is_unknown_and_no_other():
    found = word_surprisal(likelihoods(PIECES, [np.nan, *[-1.0] * 7]), WORDS)

    assert np.isnan(found).tolist() == [True, False, False, False]


def test_a_word_that_ends_in_no_token_is_unknown():
    found = word_surprisal(likelihoods(("The crow", " didn't", " go"), [-1.0] * 3), WORDS)

    assert np.isnan(found).tolist() == [True, False, False, False]


def test_perplexity_leaves_out_the_first_word_and_a_uniform_model_has_that_of_its_vocabulary():
    stop = np.cumsum([len(one) for one in PIECES]).tolist()
    losses = np.full(len(PIECES) - 1, math.log(50.0))

    found = perplexities(losses, WORDS, stop)

    assert found["perplexity"] == pytest.approx(50)
    assert found["perplexity_per_word"] == pytest.approx(50 ** (7 / 3))
    assert found["bits_per_byte"] == pytest.approx(7 * math.log2(50) / len(" crow didn't go"))
