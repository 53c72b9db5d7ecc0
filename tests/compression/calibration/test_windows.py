import hashlib
import struct

import numpy as np
import pytest

from brainexp.compression.calibration import samples_digest, windows
from brainexp.compression.calibration.windows import pieces, token_numbers
from brainexp.errors import ConfigError
from brainexp.grammar import text
from brainexp.model.transformer import Transformer


@pytest.fixture(scope="module")
def tokenizer():
    return Transformer(path="package:brainexp/model/tiny/xs").tokenizer()


class Counting:
    """A tokenizer that makes a token of each word and remembers how much it was asked."""

    def __init__(self):
        self.n_words = 0

    def __call__(self, piece, **options):
        self.n_words += len(piece.split())
        return {"input_ids": [7] * len(piece.split())}


def test_a_text_cut_into_pieces_has_the_tokens_of_the_whole(tokenizer):
    told = text(1_000_000_123, 3000)

    cut = [token for piece in pieces(told, 200) for token in tokenizer(piece, add_special_tokens=False)["input_ids"]]

    assert "".join(pieces(told, 200)) == told
    assert max(map(len, pieces(told, 200))) <= 200
    assert cut == tokenizer(told, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("told", ["", "x" * 50, "x" * 50 + " y", " " * 30])
def test_nothing_is_lost_of_odd_texts(told):
    assert "".join(pieces(told, 7)) == told


def test_no_more_is_tokenized_than_is_needed():
    reader = Counting()
    book = "word " * 1_000_000

    found = token_numbers([book, book], reader, 50_000)

    assert 50_000 <= len(found) < 75_000
    assert reader.n_words == len(found)


def test_a_stretch_longer_than_the_model_reads_is_refused_with_its_limit(tokenizer):
    with pytest.raises(ConfigError, match=r"stretches of 513 tokens.*reads at most 512.*tokens=512"):
        windows([text(1_000_000_123, 3000)], tokenizer, 2, 513, 0, limit=512)

    assert windows([text(1_000_000_123, 3000)], tokenizer, 2, 512, 0, limit=512).shape == (2, 512)


def test_the_digest_tells_samples_apart_and_is_that_of_their_numbers():
    samples = np.arange(6).reshape(2, 3)

    assert samples_digest(samples) == hashlib.sha256(b"(2, 3)" + struct.pack("<6q", *range(6))).hexdigest()
    assert samples_digest(samples) == samples_digest(np.asfortranarray(samples).astype(np.int32))
    assert len({samples_digest(one) for one in (samples, samples.reshape(3, 2), samples + 1, samples[:1])}) == 4
