import re

import numpy as np
import pytest

from brainexp.align.clock import require_words_inside
from brainexp.align.downsample import total
from brainexp.containers import Clock, Stimulus
from brainexp.errors import DataError

CLOCK = Clock(start_s=4.0, tr_s=2.0, n_trs=10)  # ends at 24 s


def story(*middles_s: float) -> Stimulus:
    middle_s = np.array(middles_s)
    words = tuple(f"word{at}" for at in range(len(middles_s)))
    return Stimulus(story="tale", units=words, onset_s=middle_s - 0.25, offset_s=middle_s + 0.25)


def test_words_inside_the_recording_pass():
    told = story(4.0, 12.0, 23.99)

    assert require_words_inside(told, CLOCK, "s1") is None


def test_every_word_that_passes_falls_in_one_tr():
    told = story(4.0, 6.0, 12.3, 23.99)

    require_words_inside(told, CLOCK, "s1")

    np.testing.assert_array_equal(total(told.midpoint_s, CLOCK).sum(axis=0), 1)


@pytest.mark.parametrize("middle_s", [3.99, 24.0, 24.01, -100.0])
def test_a_word_that_falls_in_no_tr_is_refused(middle_s):
    told = story(middle_s)
    assert not total(told.midpoint_s, CLOCK).any()

    with pytest.raises(DataError, match="1 of 1 words lie outside the recording of subject 's1'"):
        require_words_inside(told, CLOCK, "s1")


def test_the_message_counts_the_words_outside_and_names_the_first():
    expected = (
        "story 'tale': 2 of 4 words lie outside the recording of subject 's7', which runs from 4 s to 24 s. "
        "The first is word 2 ('word2') at 30.00 s. Transcript and recording are not of the same take, or their clocks "
        "differ."
    )

    with pytest.raises(DataError, match=re.escape(expected)):
        require_words_inside(story(5.0, 6.0, 30.0, 31.0), CLOCK, "s7")


def test_a_word_whose_middle_is_inside_may_begin_before_the_recording():
    told = Stimulus(story="tale", units=("well",), onset_s=np.array([3.5]), offset_s=np.array([5.5]))

    assert require_words_inside(told, CLOCK, "s1") is None


def test_words_may_lie_a_stated_tolerance_outside():
    told = story(3.6, 24.3)

    assert require_words_inside(told, CLOCK, "s1", tolerance_s=0.5) is None
    with pytest.raises(DataError, match="2 of 2 words lie outside"):
        require_words_inside(told, CLOCK, "s1", tolerance_s=0.2)


def test_milliseconds_are_recognised():
    with pytest.raises(DataError, match=r"Times look like milliseconds: give seconds\."):
        require_words_inside(story(4500.0, 6000.0, 12300.0), CLOCK, "s1")
    with pytest.raises(DataError, match=r"or their clocks differ\.$"):
        require_words_inside(story(100.0, 200.0, 300000.0), CLOCK, "s1")
