"""Sentences of passages, from people's own MATLAB files or from the assembly of all of them."""

import dataclasses

import nibabel
import numpy as np
import pytest

from brainexp.cli import execute
from brainexp.dataset.pereira2018 import EXPERIMENTS, PACKED, Pereira2018
from brainexp.dataset.rois import Rois
from brainexp.errors import ConfigError, DataError
from brainexp.experiment import Experiment, held_out
from brainexp.model.context import first_words
from brainexp.recordings import recorded
from tests.dataset.array_files import rewritten_mat
from tests.dataset.item_replicas import packed_pereira2018_replica, passages_of, pereira2018_replica
from tests.dataset.replicas import declare


@pytest.fixture
def replica(tmp_path, monkeypatch):
    declare("pereira2018", monkeypatch)
    return pereira2018_replica(tmp_path / "data")


@pytest.fixture
def packed(tmp_path, monkeypatch):
    declare("pereira2018", monkeypatch)
    return packed_pereira2018_replica(tmp_path / "packed")


def test_the_real_experiments_have_four_or_about_three_sentences_a_passage():
    assert {name: (one.n_sentences, one.n_passages, len(one.subjects)) for name, one in EXPERIMENTS.items()} == {
        "384sentences": (384, 96, 8),
        "243sentences": (243, 72, 6),
    }


def test_passages_are_stories_and_rows_are_their_sentences(replica):
    dataset = Pereira2018(root=str(replica), order="file")
    told = dataset.stimuli()

    assert [one.story for one in told[:2]] == ["01 Passage 1", "02 Passage 2"]
    assert [unit for one in told for unit in one.units] == passages_of("384sentences")["keySentences"]
    stacked = np.concatenate([run.values for run in dataset.responses("M02")])
    import scipy.io

    np.testing.assert_array_equal(stacked, scipy.io.loadmat(replica / "M02" / "examples_384sentences.mat")["examples"])


def test_both_kinds_of_file_give_the_same_sentences(replica):
    """One is of version 5 and called examples_…, the other of version 7.3 and called data_…."""
    one, other = (Pereira2018(root=str(replica), subjects=who) for who in ("M02", "P01"))

    assert [told.units for told in one.stimuli()] == [told.units for told in other.stimuli()]
    assert other.responses("P01")[0].values.shape == (4, 6)


def test_topic_by_topic_no_topic_is_split_between_training_and_test(replica, composed):
    dataset = Pereira2018(root=str(replica))
    topics = [int(one.story.split()[0]) % 8 for one in dataset.stimuli()]
    built = Experiment.from_config(composed("dataset=pereira2018", "model=tiny_xs", "split.folds=4"))
    recordings = recorded(dataset)
    of_row = np.repeat(topics, recordings.run_lengths)

    assert topics == sorted(topics, key=topics.index)
    folds = held_out(dataclasses.replace(built, dataset=dataset), recordings.run_lengths)
    assert sum(len(fold.test) for fold in folds) == 96
    for fold in folds:
        assert not set(of_row[fold.train]) & set(of_row[fold.test])
        for fit, validation in fold.inner:
            assert not set(of_row[fold.train][fit]) & set(of_row[fold.train][validation])


def test_by_number_topics_are_split(replica, composed):
    dataset = Pereira2018(root=str(replica), order="file")
    of_row = np.repeat([int(one.story.split()[0]) % 8 for one in dataset.stimuli()], 4)
    built = Experiment.from_config(composed("dataset=pereira2018", "model=tiny_xs", "split.folds=4"))

    fold = held_out(dataclasses.replace(built, dataset=dataset), [4] * 24)[0]

    assert set(of_row[fold.train]) & set(of_row[fold.test])


def test_sentences_are_read_after_those_of_their_passage_or_alone(replica):
    in_passage, alone = (Pereira2018(root=str(replica), read=one).stimuli()[0] for one in ("passage", "alone"))

    assert first_words(in_passage, "window", 20, None).tolist() == [0, 0, 0, 0]
    assert first_words(alone, "window", 20, None).tolist() == [0, 1, 2, 3]


def test_the_other_experiment_has_passages_of_three_and_four(replica):
    dataset = Pereira2018(root=str(replica), experiment="243sentences", order="file")

    assert dataset.chosen_subjects() == ("M02",)
    assert [len(one.units) for one in dataset.stimuli()] == [3, 4] * 6
    with pytest.raises(ConfigError, match=r"unknown subject 'P01' of pereira2018 \(243sentences\)"):
        Pereira2018(root=str(replica), experiment="243sentences", subjects="P01").chosen_subjects()


def test_atlases_of_the_file_are_rois(replica):
    def rois(subject, **options):
        found = Pereira2018(root=str(replica), **options).space(subject).rois
        return {roi: columns.tolist() for roi, columns in found.items()}

    assert rois("M02") == {}
    assert rois("M02", atlas="aal") == {"Responding_L": [0, 1, 2], "Other_R": [3, 4, 5]}
    assert rois("P01", atlas="halves") == {"first": [0, 1, 2], "second": [3, 4, 5]}
    assert rois("P01", atlas="languageLH") == {"LH_IFG": [1]}


def test_voxels_outside_of_the_atlas_can_be_left_out(replica):
    dataset = Pereira2018(root=str(replica), atlas="languageLH", only_rois=True)

    assert dataset.facts().n_voxels == {"M02": 1, "P01": 1}
    whole = Pereira2018(root=str(replica)).responses("M02")[3].values
    np.testing.assert_array_equal(dataset.responses("M02")[3].values, whole[:, [1]])
    assert dataset.space("M02").rois["LH_IFG"].tolist() == [0]
    with pytest.raises(ConfigError, match=r"only_rois=true needs an atlas\. Give dataset\.atlas=NAME"):
        Pereira2018(only_rois=True)


def grid(path, size=(3, 2, 2)):
    nibabel.Nifti1Image(np.zeros(size, np.uint8), np.diag([2.0, 2.0, 2.0, 1.0])).to_filename(path)
    return str(path)


def test_a_grid_places_voxels_and_their_columns_follow_it(replica, tmp_path):
    """The file lists voxels at 7, 3, 0, 11, 5, 2 of the volume, counted with z fastest; a map counts them in order."""
    order = np.argsort([7, 3, 0, 11, 5, 2])
    dataset = Pereira2018(root=str(replica), grid=grid(tmp_path / "grid.nii.gz"), atlas="AAL")
    space = dataset.space("M02")

    assert space.kind == "volume"
    assert np.flatnonzero(space.mask).tolist() == [0, 2, 3, 5, 7, 11]
    plain = Pereira2018(root=str(replica)).responses("M02")[0].values
    np.testing.assert_array_equal(dataset.responses("M02")[0].values, plain[:, order])
    assert space.rois["Responding_L"].tolist() == [at for at, column in enumerate(order) if column < 3]


def test_a_grid_of_another_size_is_refused(replica, tmp_path):
    with pytest.raises(
        DataError, match=r"grid\.nii\.gz has \(4, 2, 2\) voxels, but those of M02 lie in a volume of \(3, 2, 2\)"
    ):
        Pereira2018(root=str(replica), grid=grid(tmp_path / "grid.nii.gz", (4, 2, 2))).facts()


def test_places_that_are_taken_twice_are_refused(replica, tmp_path):
    def twice(held):
        held["meta"]["colToCoord"][0, 0][1] = held["meta"]["colToCoord"][0, 0][0]
        return held

    rewritten_mat(replica / "M02" / "examples_384sentences.mat", twice)

    with pytest.raises(
        DataError, match=r"'colToCoord' does not give each of 6 voxels a place of its own in a volume of \(3, 2, 2\)"
    ):
        Pereira2018(root=str(replica), grid=grid(tmp_path / "grid.nii.gz")).facts()


def test_places_of_too_few_voxels_are_refused(replica, tmp_path):
    def fewer(held):
        held["meta"]["colToCoord"][0, 0] = held["meta"]["colToCoord"][0, 0][:4]
        return held

    rewritten_mat(replica / "M02" / "examples_384sentences.mat", fewer)

    with pytest.raises(DataError, match=r"'colToCoord' does not give each of 6 voxels a place of its own"):
        Pereira2018(root=str(replica), grid=grid(tmp_path / "grid.nii.gz")).facts()


def test_sets_of_rois_need_a_grid(replica):
    dataset = Pereira2018(root=str(replica), rois=Rois(set="fedorenko_language", labels="parcels.nii"))

    with pytest.raises(ConfigError, match=r"nobody knows where the columns of M02 lie.* dataset\.grid=FILE does"):
        dataset.space("M02")


def test_the_assembly_is_read_in_the_order_of_its_numbers(packed):
    """It is sorted otherwise, holds both experiments, and NaN for who did not take part."""
    dataset = Pereira2018(root=str(packed), order="file")

    assert dataset.chosen_subjects() == ("018", "199")
    assert [unit for one in dataset.stimuli() for unit in one.units] == passages_of("384sentences")["keySentences"]
    assert dataset.space("018").rois["LH_MFG"].tolist() == [2, 3]
    other = Pereira2018(root=str(packed), experiment="243sentences")
    assert other.chosen_subjects() == ("018",)
    with pytest.raises(ConfigError, match=r"has no subject 199; there are: 018"):
        Pereira2018(root=str(packed), experiment="243sentences", subjects="199").chosen_subjects()


def test_the_assembly_has_neither_other_atlases_nor_places(packed, tmp_path):
    with pytest.raises(
        ConfigError, match=r"dataset\.atlas='AAL': assy_Pereira2018_language\.nc has the regions of the language"
    ):
        Pereira2018(root=str(packed), atlas="AAL").space("018")
    with pytest.raises(ConfigError, match=r"dataset\.grid=.*: assy_Pereira2018_language\.nc has columns of regions"):
        Pereira2018(root=str(packed), grid=grid(tmp_path / "grid.nii.gz")).facts()


def test_people_s_own_files_go_first_and_that_is_told(replica, packed):
    (packed / PACKED).rename(replica / PACKED)
    dataset = Pereira2018(root=str(replica))

    assert dataset.chosen_subjects() == ("M02", "P01")
    assert dataset.remarks() == (f"pereira2018: people's own files are read, not {PACKED}.",)


def test_what_was_planted_in_the_assembly_is_found(packed, composed, tmp_path):
    words = [
        "dataset=pereira2018", f"dataset.root={packed}", "model=tiny_xs", "partition.spaces=[]", "split.folds=4",
        "encoder.alphas=[1,10,100,1000,10000]", "scoring.permutations=50", "ceiling.method=cross_subject", "ceiling.bootstraps=0",
        "baselines=[word_length,position]", "damage.measure=false", "report.figures=false", "tracking.uri=null",
    ]  # fmt: skip

    result = execute(composed(*words), tmp_path / "run")

    responds = np.tile(np.arange(6) < 3, 2)
    assert result.per_voxel["r"][responds].mean() > 0.4
    assert abs(result.per_voxel["r"][~responds].mean()) < 0.15
    assert result.per_voxel["ceiling"][responds].mean() > 0.4
