"""Pieces of eight stories and twelve regions of five people, from the assembly."""

import h5py
import numpy as np
import pytest

from brainexp.cli import execute
from brainexp.dataset.blank2014 import FILE, REGIONS, STORIES, Blank2014
from brainexp.recordings import recorded
from tests.dataset.item_replicas import BLANK_PIECES, blank2014_replica
from tests.dataset.replicas import declare


@pytest.fixture
def replica(tmp_path, monkeypatch):
    declare("blank2014", monkeypatch)
    return blank2014_replica(tmp_path / "data")


def test_pieces_come_in_the_order_in_which_they_were_heard(replica):
    """The file has Aqua.10.0 before Aqua.2.0."""
    dataset = Blank2014(root=str(replica))
    with h5py.File(replica / FILE) as file:
        identifiers = file["stimulus_id"].asstr()[()].tolist()
        texts = dict(zip(identifiers, file["stimulus"].asstr()[()], strict=True))
        values = dict(zip(identifiers, file["data"][()], strict=True))

    assert identifiers == sorted(identifiers)
    for stimulus, run in zip(dataset.stimuli(), dataset.responses("085"), strict=True):
        heard = [f"{stimulus.story}.{at // 3}.{at % 3}" for at in range(BLANK_PIECES[stimulus.story])]
        assert stimulus.units == tuple(texts[one].strip() for one in heard)
        np.testing.assert_array_equal(run.values, np.array([values[one][12:24] for one in heard]))


def test_stories_and_regions_are_those_of_the_assembly(replica):
    dataset = Blank2014(root=str(replica), subjects=(61, 98), regions=("03_LH_IFG", "01_LH_PostTemp"))

    assert dataset.chosen_subjects() == ("061", "098")
    assert tuple(one.story for one in dataset.stimuli()) == STORIES
    whole = Blank2014(root=str(replica)).responses("098")[2].values
    np.testing.assert_array_equal(dataset.responses("098")[2].values, whole[:, [2, 0]])


def test_labels_that_moved_away_from_their_rows_are_told_and_put_right(replica, tmp_path):
    """Averaging by identifier sorted the published rows; labels that were copied back may have stayed in another order."""
    right = Blank2014(root=str(replica))
    moved = Blank2014(root=str(blank2014_replica(tmp_path / "moved", labels_moved=True)))

    assert right.remarks() == ()
    (told,) = moved.remarks()
    assert "200 of 200 rows of assy_Blank2014_fROI.nc are labelled with another story, sentence and text" in told
    for one, other in zip(right.stimuli(), moved.stimuli(), strict=True):
        assert one.units == other.units
    np.testing.assert_array_equal(right.responses("061")[4].values, moved.responses("061")[4].values)


def test_what_is_lacking_stays_nan(replica):
    with h5py.File(replica / FILE, "r+") as file:
        file["data"][:, 3] = np.nan

    found = recorded(Blank2014(root=str(replica)))

    assert np.flatnonzero(np.isnan(found.values).any(axis=0)).tolist() == [3]


def test_regions_of_all_people_correspond_so_that_a_ceiling_is_known(replica, composed, tmp_path):
    words = [
        "dataset=blank2014", f"dataset.root={replica}", "model=tiny_xs", "partition.spaces=[]",
        "encoder.alphas=[1,10,100,1000]", "scoring.permutations=50", "ceiling.method=inter_subject", "ceiling.bootstraps=0",
        "baselines=[word_length,position,autocorrelation]", "damage.measure=false", "tracking.uri=null",
    ]  # fmt: skip

    result = execute(composed(*words), tmp_path / "run")

    responds = np.tile(np.arange(12) < 6, 5)
    assert result.per_voxel["r"][responds].mean() > 0.4
    assert result.per_voxel["ceiling"][responds].mean() > 0.5
    assert abs(result.per_voxel["ceiling"][~responds].mean()) < 0.15
    assert abs(result.per_voxel["baseline_autocorrelation_r"].mean()) < 0.1  # stories are held out whole
    assert len(result.tables["clocks"]) == 8
    assert {f"alignment/{region}/r" for region in REGIONS} <= result.metrics.keys()
