import pytest

from brainexp.dataset.textfile import words_of_textgrid
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
