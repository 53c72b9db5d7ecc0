"""A dataset whose voxels are mapped to a mesh, with ROIs by name and cleaning, through the whole pipeline."""

from dataclasses import dataclass, field

import nibabel
import numpy as np
import pytest
from scipy.sparse import csr_array

from brainexp.containers import FSAVERAGE, Responses, Space
from brainexp.dataset.cleaning import Cleaning
from brainexp.dataset.passage import Passage
from brainexp.dataset.roi_sets import ROI_SETS
from brainexp.dataset.rois import Rois
from brainexp.experiment import Experiment, run
from brainexp.registry import DATASETS
from brainexp.report.files import write
from tests.dataset.test_rois import label_file

VERTICES = 2 * FSAVERAGE["fsaverage5"]


@dataclass(frozen=True)
class Mapped(Passage):
    """The fables, each voxel of a subject shown at eight vertices of its own; the second subject lacks a voxel."""

    rois: Rois = field(default_factory=Rois)
    cleaning: Cleaning = field(default_factory=Cleaning)

    def facts(self):
        from dataclasses import replace

        facts = super().facts()
        return replace(facts, n_voxels={name: n - (name == "p2") for name, n in facts.n_voxels.items()})

    def responses(self, subject):
        return tuple(
            Responses(
                subject,
                one.story,
                self.cleaning.of_run(one.values[:, subject == "p2" :], one.clock.tr_s, {}, f"{subject}, {one.story}"),
                one.clock,
            )
            for one in super().responses(subject)
        )

    def ceiling(self, subject):
        return super().ceiling(subject)[subject == "p2" :]

    def space(self, subject):
        n_voxels = super().space(subject).n_voxels
        columns = np.repeat(np.arange(n_voxels), 8)
        places = np.random.default_rng(0).permutation(VERTICES)[: len(columns)]
        mapper = csr_array((np.ones(len(columns)), (places, columns)), shape=(VERTICES, n_voxels))[:, subject == "p2" :]
        space = Space(kind="surface", n_voxels=mapper.shape[1], rois={}, mesh="fsaverage5", mapper=csr_array(mapper))
        return self.rois.of(space, subject)


@pytest.fixture
def labels(tmp_path):
    """The whole left hemisphere is area 55b, the right one V1, and other areas are nowhere."""
    areas = sorted({area for areas in ROI_SETS["hcp_mmp_language"].groups.values() for area in areas})
    keys = {name: key for key, name in enumerate(areas, start=1)}
    for side, name in (("L", "55b"), ("R", "V1")):
        table = {0: "???", **{key: f"{side}_{area}_ROI" for area, key in keys.items()}}
        label_file(tmp_path / f"mmp_hemi-{side}.label.gii", np.full(VERTICES // 2, keys[name]), table)
    return tmp_path / "mmp_hemi-L.label.gii"


@pytest.fixture
def config(composed, small_run, labels, monkeypatch):
    monkeypatch.setattr(DATASETS, "_members", dict(DATASETS._members))
    DATASETS.register("mapped")(Mapped)
    config = composed(*[word for word in small_run if "figures" not in word])
    config["dataset"] |= {
        "name": "mapped",
        "rois": {"set": "hcp_mmp_language", "labels": str(labels)},
        "cleaning": {"detrend": True, "standardise": "run"},
    }
    return config


def test_rois_maps_and_means_come_out_in_the_space_of_the_mesh(config, tmp_path):
    result = run(Experiment.from_config(config))
    write(result, tmp_path / "run", "mapped", config, {})

    assert {"alignment/MFG/r", "alignment/EVC/r"} <= result.metrics.keys()
    assert "alignment/IFG/r" not in result.metrics  # no column lies there
    r, owner = result.per_voxel["r"], result.voxels.owner
    maps = tmp_path / "run" / "maps"
    placed = {}
    for number, subject in enumerate(("p1", "p2")):
        space = result.voxels.spaces[subject]
        placed[subject] = np.concatenate(
            [nibabel.load(maps / f"{subject}_r_hemi-{side}.gii").darrays[0].data for side in "LR"]
        )
        np.testing.assert_allclose(placed[subject], space.placed(r[owner == number]), rtol=1e-5)
        assert set(space.rois) == {"MFG", "EVC"}
        left = result.scores[(result.scores.subject == subject) & (result.scores.roi == "MFG")]
        assert left.n_voxels.iloc[0] == len(space.rois["MFG"])
    assert (maps / "mean_r_hemi-L.gii").is_file()
    assert (tmp_path / "run" / "figures" / "brain.png").is_file()
    assert not [one for one in result.remarks if "cleaning" in one]  # whole stories are held out


def test_cleaning_of_runs_that_are_split_is_told(config):
    config["split"] |= {"by": "block", "folds": 3}
    config["align"] |= {"delays": [1], "downsample": "mean"}
    config["report"]["figures"] = False

    result = run(Experiment.from_config(config))

    (told,) = [one for one in result.remarks if "dataset.cleaning" in one]
    assert told.startswith("dataset.cleaning.detrend, dataset.cleaning.standardise: fitted to whole runs")
