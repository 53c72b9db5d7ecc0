import numpy as np
import pytest

from brainexp.dataset.planted import SPACES, planted_features, told


@pytest.fixture(scope="module")
def stories():
    return [told(seed, 800) for seed in range(4)]


@pytest.fixture(scope="module")
def planted(stories):
    features = planted_features([story.annotations for story in stories], 2, np.random.default_rng(0))
    return {space: np.concatenate([one[space] for one in features]) for space in SPACES}


def explained(columns, target):
    """Share of the target's variance that the columns explain linearly."""
    design = np.column_stack([columns, np.ones(len(columns))])
    rest = target - design @ np.linalg.lstsq(design, target, rcond=None)[0]
    return 1 - rest.var() / target.var()


@pytest.mark.parametrize("space", ["syntax", "semantics", "discourse"])
def test_each_space_is_known_from_its_own_annotations_and_not_from_the_others(stories, planted, space):
    raw = {name: np.concatenate([story.annotations[name] for story in stories]) for name in SPACES}

    assert explained(raw[space], planted[space]) > 0.3
    for other in SPACES:
        if other != space:
            assert explained(raw[other], planted[space]) < 0.01


def test_rate_is_as_it_is_heard(stories, planted):
    raw = np.concatenate([story.annotations["rate"] for story in stories])

    assert explained(raw, planted["rate"]) == pytest.approx(1)


def test_a_story_is_told_the_same_with_times_in_order(stories):
    again = told(2, 800)

    assert again.units == stories[2].units
    assert again.story == "story2"
    assert len(again.units) >= 800
