import numpy as np
import pytest

from brainexp.dataset.passage import REGIONS, Passage
from brainexp.errors import ConfigError


def stacked(dataset, subject):
    from brainexp.align.trim import kept_rows

    runs = dataset.responses(subject)
    return np.concatenate([run.values[kept_rows(run.clock, dataset.trim_start_s, dataset.trim_stop_s)] for run in runs])


def test_subjects_share_the_planted_signal_up_to_the_ceiling():
    """Two people's responses correlate by the share of signal, the square of the ceiling, where it was planted."""
    dataset = Passage(n_subjects=8)
    space = dataset.space("p1")
    people = [stacked(dataset, subject) for subject in dataset.facts().subjects]
    r = {
        roi: np.mean([
            np.corrcoef(a[:, column], b[:, column])[0, 1]
            for at, a in enumerate(people) for b in people[at + 1 :] for column in columns[::6]
        ])
        for roi, columns in space.rois.items()
    }  # fmt: skip

    for roi, (_, target) in REGIONS.items():
        expected = 0.0 if target == "nothing" else dataset.explainable
        assert r[roi] == pytest.approx(expected, abs=0.03), roi
        np.testing.assert_allclose(dataset.ceiling("p1")[space.rois[roi]] ** 2, expected)


def test_the_same_seed_gives_the_same_responses_and_another_seed_others():
    one, same, other = (Passage(seed=seed).responses("p2")[0].values for seed in (3, 3, 4))

    np.testing.assert_array_equal(one, same)
    assert not np.allclose(one, other)


def test_words_and_quotation_marks_are_balanced():
    for stimulus in Passage().stimuli():
        text = " ".join(stimulus.units)
        assert text.count('"') % 2 == 0
        assert len(stimulus.units) > 90


def test_repeats_have_the_signal_in_common_and_begin_with_the_recording():
    dataset = Passage(n_subjects=2, n_repeats=3)
    repeats = dataset.repeats("p2")

    assert tuple(repeats) == dataset.facts().stories
    for recording in dataset.responses("p2"):
        np.testing.assert_array_equal(repeats[recording.story][0], recording.values)
    voxel = dataset.space("p2").rois["LPTL"][0]
    takes = np.hstack([one[:, 20:, voxel] for one in repeats.values()])
    apart = np.corrcoef(takes)[np.triu_indices(3, 1)]
    np.testing.assert_allclose(apart, 0.5, atol=0.2)
    assert not np.allclose(takes[1], takes[2])


@pytest.mark.parametrize("options", [{"n_subjects": 0}, {"n_repeats": 0}, {"explainable": 1.0}, {"explainable": -0.1}])
def test_impossible_simulations_are_refused(options):
    with pytest.raises(ConfigError, match=rf"dataset 'passage': {next(iter(options))} must"):
        Passage(**options)


def test_naming_a_subject_twice_is_refused():
    with pytest.raises(ConfigError, match="name each subject once"):
        Passage(subjects=("p1", "p1")).chosen_subjects()
