"""Files as the four programs write them, written here from their formats."""

import gzip
import tracemalloc

import numpy as np
import pytest

from brainexp.errors import DataError, ModelError
from brainexp.model.vectors import Layout, layout, vectors

WORDS = ("the", "crow", "naïve", "tea", ",", "did", "20", "New_York")
N_DIMS = 7


@pytest.fixture
def table(rng):
    return {word: rng.standard_normal(N_DIMS).astype(np.float32) for word in WORDS}


def glove(table):
    return b"".join(f"{word} {' '.join(map(repr, map(float, row)))}\n".encode() for word, row in table.items())


def word2vec_text(table):
    return f"{len(table)} {N_DIMS}\n".encode() + glove(table)


def fasttext(table):
    """Like word2vec's, with a blank at each line's end."""
    return word2vec_text(table).replace(b"\n", b" \n").replace(b" \n", b"\n", 1)


def word2vec_binary(table, line_end=b"\n"):
    """The C program ends a line after each row; gensim does not."""
    rows = [word.encode() + b" " + row.astype("<f4").tobytes() + line_end for word, row in table.items()]
    return f"{len(table)} {N_DIMS}\n".encode() + b"".join(rows)


def gensim_binary(table):
    return word2vec_binary(table, line_end=b"")


WRITERS = [glove, word2vec_text, fasttext, word2vec_binary, gensim_binary]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("write", WRITERS)
def test_every_format_gives_back_what_was_written(tmp_path, table, write, packed):
    file = tmp_path / "vectors"
    file.write_bytes(gzip.compress(write(table)) if packed else write(table))

    written = layout(file, "auto")
    found = vectors(file, written, [*WORDS, "absent"])

    binary = write in (word2vec_binary, gensim_binary)
    assert written == Layout(binary, N_DIMS, None if write is glove else len(WORDS))
    assert found.keys() == set(WORDS)
    for word, row in table.items():
        np.testing.assert_array_equal(found[word], row)
        assert found[word].dtype == np.float32


def test_gensim_agrees(tmp_path, table):
    models = pytest.importorskip(
        "gensim.models", reason="gensim is not installed; the formats are written from scratch"
    )
    keyed = models.KeyedVectors(N_DIMS)
    keyed.add_vectors(list(table), np.stack(list(table.values())))
    for binary in (False, True):
        file = tmp_path / f"vectors{binary}"
        keyed.save_word2vec_format(str(file), binary=binary)

        found = vectors(file, layout(file, "auto"), WORDS)

        for word, row in table.items():
            np.testing.assert_allclose(found[word], row, rtol=1e-6)


def test_only_wanted_words_are_kept(tmp_path, table):
    file = tmp_path / "vectors.txt"
    file.write_bytes(glove(table))

    assert vectors(file, layout(file, "auto"), ["tea"]).keys() == {"tea"}


def test_memory_is_that_of_the_wanted_words_not_of_the_file(tmp_path, rng):
    rows = rng.standard_normal((20_000, 100)).astype("<f4")
    file = tmp_path / "vectors.bin"
    file.write_bytes(b"20000 100\n" + b"".join(f"w{at} ".encode() + row.tobytes() for at, row in enumerate(rows)))
    written = layout(file, "auto")

    tracemalloc.start()
    found = vectors(file, written, ["w3", "w19999"])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    np.testing.assert_array_equal(found["w19999"], rows[19999])
    assert peak < 0.6 * file.stat().st_size


def test_of_a_word_that_is_there_twice_the_first_counts(tmp_path):
    file = tmp_path / "vectors.txt"
    file.write_bytes(b"tea 1 2\ntea 3 4\n")

    np.testing.assert_array_equal(vectors(file, layout(file, "auto"), ["tea"])["tea"], [1, 2])


def test_words_with_blanks_are_passed_over(tmp_path):
    """GloVe's largest file has a few."""
    file = tmp_path / "vectors.txt"
    file.write_bytes(b"the 1 2\n. . . 3 4\n. 5 6\n")

    np.testing.assert_array_equal(vectors(file, layout(file, "auto"), ["."])["."], [5, 6])


@pytest.mark.parametrize("line", [b"tea 1\n", b"tea 1 x\n", b"tea 1 nan\n"])
def test_a_broken_line_is_named(tmp_path, line):
    file = tmp_path / "vectors.txt"
    file.write_bytes(b"the 1 2\n" + line)

    with pytest.raises(DataError, match=r"word 2 \('tea'\) has no 2 finite numbers"):
        vectors(file, layout(file, "auto"), ["tea"])


@pytest.mark.parametrize("write", [word2vec_text, word2vec_binary])
def test_a_file_that_was_cut_off_is_refused(tmp_path, table, write):
    whole = write(table)
    file = tmp_path / "vectors"
    file.write_bytes(whole[: whole.rindex(b"20 ")])

    with pytest.raises(DataError, match="ends after 6 of 8 words: its download was cut off"):
        vectors(file, layout(file, "auto"), ["the"])


def test_a_packed_file_that_was_cut_off_is_refused(tmp_path, table):
    file = tmp_path / "vectors.gz"
    file.write_bytes(gzip.compress(glove(table))[:-30])

    with pytest.raises(DataError, match="cannot be unpacked .*its download was cut off"):
        vectors(file, Layout(False, N_DIMS, None), WORDS)


@pytest.mark.parametrize("content", [b"", b"hello\n", b"hello world\nthis is a story\n", b"\x00\x01\x02"])
def test_another_kind_of_file_is_refused(tmp_path, content):
    file = tmp_path / "vectors.txt"
    file.write_bytes(content)

    with pytest.raises(DataError, match="Give a file that word2vec, GloVe or fastText wrote"):
        layout(file, "auto")


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ModelError, match="there is no such file. Give a file of word vectors"):
        layout(tmp_path / "nothing", "auto")


def test_a_format_that_is_insisted_on_is_checked(tmp_path, table):
    file = tmp_path / "vectors"
    file.write_bytes(word2vec_binary(table))

    assert layout(file, "binary").binary
    with pytest.raises(DataError, match="its first word has no 7 numbers, so it is no text file"):
        layout(file, "text")
