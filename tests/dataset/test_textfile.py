import pytest

from brainexp.dataset.textfile import json_of, list_of, require_file, text_of, words_of_textgrid
from brainexp.errors import DataError

TEXTGRID = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 3
tiers? <exists>
size = 1
item []:
    item [1]:
        class = "IntervalTier"
        name = "word"
        xmin = 0
        xmax = 3
        intervals: size = {n}
{intervals}"""


def write(path, marks):
    intervals = "".join(
        f'        intervals [{at + 1}]:\n            xmin = {at * 0.5}\n            xmax = {at * 0.5 + 0.5}\n            text = "{mark}"\n'
        for at, mark in enumerate(marks)
    )
    path.write_text(TEXTGRID.format(n=len(marks), intervals=intervals))
    return path


def test_marks_of_silence_and_breath_are_not_words(tmp_path):
    path = write(tmp_path / "a.TextGrid", ["sp", "Hello ", "{BR}", "{LG}", "", "world"])

    stimulus = words_of_textgrid(path, "a", "word", "Get it.")

    assert stimulus.units == ("Hello", "world")
    assert stimulus.onset_s.tolist() == [0.5, 2.5]
    assert stimulus.offset_s.tolist() == [1.0, 3.0]


def test_a_missing_tier_is_named_beside_those_that_are_there(tmp_path):
    path = write(tmp_path / "a.TextGrid", ["a"])

    with pytest.raises(DataError, match=r"has no tier 'words'; it has: word. Get it."):
        words_of_textgrid(path, "a", "words", "Get it.")


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_truncated_textgrid_is_told(tmp_path, share):
    path = write(tmp_path / "a.TextGrid", ["one", "two", "three"])
    text = path.read_text()
    path.write_text(text[: int(share * len(text))])

    with pytest.raises(DataError, match=r"a.TextGrid (is damaged|has no tier)"):
        words_of_textgrid(path, "a", "word", "Get it.")


@pytest.mark.parametrize("content", [b"a\nb\n", b"\xef\xbb\xbfa\r\nb\r\n", "a\nb\n".encode("utf-16"), b"a\rb\r"])
def test_texts_are_read_whatever_their_line_ends_and_marks(tmp_path, content):
    (tmp_path / "a.txt").write_bytes(content)

    assert text_of(tmp_path / "a.txt", "Get it.") == "a\nb\n"


def test_another_encoding_is_told_with_the_line(tmp_path):
    (tmp_path / "a.txt").write_bytes("one\ntwo\nna\u00efve".encode("latin1"))

    with pytest.raises(DataError, match=r"a.txt is not UTF-8: byte 0xef in line 3. Save it as UTF-8, .* Get it."):
        text_of(tmp_path / "a.txt", "Get it.")


def test_lists_in_cells_are_read_and_never_run():
    assert list_of("['so', \"didn't\", 1.5, None]", "a.tsv") == ["so", "didn't", 1.5, None]
    assert list_of("[]", "a.tsv") == []
    for cell in ("__import__('os').getcwd()", "('a',)", "[a]", "['a'", "", "nan", "[" * 3000):
        with pytest.raises(DataError, match=r"a.tsv, line 3: a Python list such as \['a', 'b'\] is needed, not "):
            list_of(cell, "a.tsv, line 3")


def test_a_link_to_nowhere_is_told_apart_from_an_annex(tmp_path):
    (tmp_path / "a").symlink_to("gone")
    (tmp_path / "b").symlink_to("../.git/annex/objects/x/y")

    with pytest.raises(DataError, match=r"/a links to gone, which is not there. Get it."):
        require_file(tmp_path / "a", "Get it.")
    with pytest.raises(DataError, match=r"/b is a pointer of git-annex .* datalad get b"):
        require_file(tmp_path / "b", "Get it.")


def test_a_missing_file_is_told_with_what_is_there(tmp_path):
    for name in ("x.txt", "y.txt", "z.csv"):
        (tmp_path / name).write_text("a")

    with pytest.raises(DataError, match=r"missing file .*/q.txt. Get it. The folder has: x.txt, y.txt.$"):
        require_file(tmp_path / "q.txt", "Get it.")
    with pytest.raises(DataError, match=r"Get it. The folder has no .npy file.$"):
        require_file(tmp_path / "q.npy", "Get it.")
    with pytest.raises(DataError, match=r"Get it. There is no folder .*/sub.$"):
        require_file(tmp_path / "sub" / "q.npy", "Get it.")


def test_json_must_hold_names_with_values(tmp_path):
    (tmp_path / "a.json").write_text('{"a": 1}')
    (tmp_path / "b.json").write_text("[1]")

    assert json_of(tmp_path / "a.json", "Get it.") == {"a": 1}
    with pytest.raises(DataError, match="holds a list, but names with values are needed. Get it."):
        json_of(tmp_path / "b.json", "Get it.")


def test_a_transcript_of_silence_is_told(tmp_path):
    path = write(tmp_path / "a.TextGrid", ["sp", "", "{BR}"])

    with pytest.raises(DataError, match="tier 'word' has 3 intervals, but no word. Get it."):
        words_of_textgrid(path, "a", "word", "Get it.")
