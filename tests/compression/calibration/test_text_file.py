import json

import pytest

from brainexp.compression.calibration import windows
from brainexp.compression.calibration.text_file import TextFile
from brainexp.errors import ConfigError
from brainexp.model.transformer import Transformer

TEXTS = ("the dog sees a cat", "naïve foxes drank tea")


@pytest.fixture
def files(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    (tmp_path / "one.txt").write_text("\ufeff" + "\n".join(TEXTS), encoding="utf-8")
    lines = [json.dumps({"text": text, "id": at}) for at, text in enumerate(TEXTS)]
    (tmp_path / "lines.jsonl").write_text("\n".join([lines[0], "", lines[1]]), encoding="utf-8")
    pq.write_table(pa.table({"text": [TEXTS[0], None, TEXTS[1]], "id": [1, 2, 3]}), tmp_path / "table.parquet")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "expected"),
    [("one.txt", ("\n".join(TEXTS),)), ("lines.jsonl", TEXTS), ("table.parquet", TEXTS)],
)
def test_each_kind_of_file_gives_its_texts(files, name, expected):
    assert TextFile(path=str(files / name)).texts([]) == expected


def test_it_reads_no_story_of_the_study(files):
    assert TextFile(path=str(files / "one.txt")).stories() == ()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("gone.txt", None, r"there is no file .*gone\.txt"),
        ("a.csv", b"x", r"a\.csv is of an unknown kind. Known: \.txt, \.jsonl, \.parquet"),
        ("a.txt", "naïve".encode("latin1"), r"a\.txt is not UTF-8 \(byte 2: .*\). Convert it: iconv"),
        ("a.txt", b" \n", r"a\.txt has no text"),
        ("a.jsonl", b"", r"a\.jsonl has no text"),
        ("a.jsonl", b'{"text": "x"}\n{"text": ', r"a\.jsonl, line 2 is no JSON"),
        ("a.jsonl", b'{"texts": "x"}', r"line 1 has no 'text'. Did you mean 'texts'"),
        ("a.jsonl", b'["x"]', r"line 1 has no 'text'"),
        ("a.jsonl", b'{"text": 3}', r"'text' of .*line 1 is no text but int"),
        ("a.parquet", b"PAR", r"a\.parquet is no parquet table"),
    ],
)
def test_what_cannot_be_read_is_refused_in_words(tmp_path, name, content, words):
    if content is not None:
        (tmp_path / name).write_bytes(content)

    with pytest.raises(ConfigError, match=words):
        TextFile(path=str(tmp_path / name)).texts([])


@pytest.mark.parametrize(("field", "words"), [("words", "no 'words'.*Known: id, text"), ("id", "no text but int")])
def test_a_column_must_be_there_and_hold_text(files, field, words):
    with pytest.raises(ConfigError, match=words):
        TextFile(path=str(files / "table.parquet"), field=field).texts([])


def test_too_short_a_text_is_refused(files):
    text = TextFile(path=str(files / "one.txt"), samples=2, tokens=50)
    tokenizer = Transformer(path="package:brainexp/model/tiny/xs").tokenizer()

    with pytest.raises(ConfigError, match=r"too few for 2 stretches of 50. Give at most .*tokens="):
        windows(text.texts([]), tokenizer, text.samples, text.tokens, text.seed)
