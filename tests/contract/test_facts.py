"""Datasets hold what they declare."""

import pytest

from brainexp.dataset.alice import Alice
from brainexp.dataset.passage import Passage
from brainexp.dataset.synthetic import Synthetic
from brainexp.dataset.textfile import NON_SPEECH


@pytest.fixture(params=["passage", "synthetic", pytest.param("alice", marks=pytest.mark.data)])
def dataset(request, alice_root):
    made = {"passage": Passage, "synthetic": Synthetic, "alice": lambda: Alice(root=str(alice_root))}
    return made[request.param]()


def test_declared_facts_are_those_of_the_data(dataset):
    declared = dataset.facts()
    stimuli = dataset.stimuli()
    found_trs, found_voxels = {}, {}
    for subject in declared.subjects:
        runs = dataset.responses(subject)
        found_trs[subject] = {run.story: len(run.values) for run in runs}
        found_voxels[subject] = {run.values.shape[1] for run in runs}

    assert dataset.chosen_subjects() == declared.subjects
    assert tuple(stimulus.story for stimulus in stimuli) == declared.stories
    assert found_trs == dict.fromkeys(declared.subjects, dict(declared.n_trs))
    assert found_voxels == {subject: {n} for subject, n in declared.n_voxels.items()}
    assert declared.licence


def test_space_and_ceiling_have_a_place_for_every_column(dataset):
    for subject, n_voxels in dataset.facts().n_voxels.items():
        assert dataset.space(subject).n_voxels == n_voxels
        assert dataset.ceiling(subject).shape == (n_voxels,)


def test_words_lie_inside_every_recording(dataset):
    for subject in dataset.facts().subjects[:2]:
        for stimulus, run in zip(dataset.stimuli(), dataset.responses(subject), strict=True):
            assert stimulus.midpoint_s.min() >= run.clock.start_s
            assert stimulus.midpoint_s.max() <= run.clock.end_s


def test_no_mark_of_silence_or_breath_counts_as_a_word(dataset):
    assert dataset.facts().words.startswith("every")
    for stimulus in dataset.stimuli():
        assert not {unit.lower().strip("{}") for unit in stimulus.units} & NON_SPEECH
