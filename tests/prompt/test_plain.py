from brainexp.interfaces import Frame
from brainexp.prompt.plain import Plain


def test_plain_changes_nothing():
    rendered = Plain().around(tokenizer=None).render("a crow")

    assert (rendered.text, rendered.start) == ("a crow", 0)
    assert Plain().around(tokenizer=None) == Frame(special_tokens=True, reads="stimulus")
