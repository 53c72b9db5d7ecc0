from brainexp.prompt.plain import Plain


def test_plain_changes_nothing():
    rendered = Plain().render("a crow")

    assert (rendered.text, rendered.start) == ("a crow", 0)
