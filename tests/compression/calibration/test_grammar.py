import numpy as np
import pytest

from brainexp.compression.calibration import windows
from brainexp.compression.calibration.grammar import GrammarText
from brainexp.errors import ConfigError
from brainexp.model.transformer import Transformer


@pytest.fixture(scope="module")
def tokenizer():
    return Transformer(path="package:brainexp/model/tiny/xs").tokenizer()


def drawn(tokenizer, text, **changed):
    return windows(text.texts([]), tokenizer, text.samples, text.tokens, text.seed)


def test_the_text_suffices_and_is_the_same_for_the_same_seed(tokenizer):
    text = GrammarText(samples=40, tokens=100)

    first = drawn(tokenizer, text)

    assert first.shape == (40, 100)
    np.testing.assert_array_equal(first, drawn(tokenizer, text))
    assert (first != drawn(tokenizer, GrammarText(samples=40, tokens=100, seed=1))).any()


def test_stretches_do_not_overlap(tokenizer):
    first = drawn(tokenizer, GrammarText(samples=40, tokens=100))

    assert len({tuple(row) for row in first.tolist()}) == 40


def test_too_short_a_text_is_refused_with_what_would_fit(tokenizer):
    with pytest.raises(ConfigError, match=r"too few for 3 stretches of 5. Give at most .*samples=2"):
        windows(["the dog sees a cat and it sleeps"], tokenizer, 3, 5, 0)


def test_no_stretch_is_refused():
    with pytest.raises(ConfigError, match="samples must be at least 1, got 0"):
        GrammarText(samples=0)
