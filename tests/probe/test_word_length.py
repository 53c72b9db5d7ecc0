import numpy as np
import pytest

from brainexp.containers import Stimulus
from brainexp.errors import ConfigError
from brainexp.interfaces import ProbeInput
from brainexp.probe.word_length import WordLength


def stories(rng, n_words=300):
    made = []
    for name in ("one", "two"):
        words = tuple("x" * int(length) for length in rng.integers(1, 12, n_words))
        onset_s = np.arange(n_words) * 0.4
        made.append(Stimulus(story=name, units=words, onset_s=onset_s, offset_s=onset_s + 0.3))
    return tuple(made)


def test_a_layer_that_holds_the_length_is_read_and_one_that_does_not_is_not(rng):
    stimuli = stories(rng)
    features = {}
    for stimulus in stimuli:
        letters = np.array([len(word) for word in stimulus.units], dtype=float)
        noise = rng.standard_normal((2, len(letters), 8))
        noise[0, :, 3] += 5 * letters
        features[stimulus.story] = noise

    found = WordLength().measure(ProbeInput(stimuli, features, rng, None, (0, 1), None, None, None))

    with_length, without = found.curves["r"]
    assert with_length > 0.95
    assert abs(without) < 3 / np.sqrt(600)
    assert found.metrics == {"r_last": without, "r_mean": pytest.approx((with_length + without) / 2)}


@pytest.mark.parametrize(
    ("options", "words"),
    [({"penalty": 0.0}, "penalty must be positive"), ({"gap_words": -1}, "gap_words must not be negative")],
)
def test_impossible_options_are_refused(options, words):
    with pytest.raises(ConfigError, match=f"probe 'word_length': {words}, got"):
        WordLength(**options)
