import pytest

from brainexp.compression.calibration.stories import StudyText
from brainexp.errors import ConfigError


def test_the_words_of_the_named_stories_are_read(story):
    text = StudyText(names=("tea",))

    assert text.texts([story]) == (" ".join(story.units),)
    assert text.stories() == ("tea",)


def test_an_unknown_story_is_refused_with_the_known_ones(story):
    with pytest.raises(ConfigError, match=r"no story 'tee'. Did you mean 'tea'\? Known: tea\."):
        StudyText(names=("tee",)).texts([story])


@pytest.mark.parametrize("names", [(), ("tea", "tea")])
def test_no_story_or_one_twice_is_refused(names):
    with pytest.raises(ConfigError, match="calibration 'stories': names must be one or more different"):
        StudyText(names=names)
