"""Every study composes, says its question, and each point of its grid builds an experiment; nothing is loaded."""

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from brainexp.composition import Experiment
from tests.conftest import CONF

STUDIES = sorted(path.stem for path in (CONF / "study").glob("*.yaml"))


def grid(study, *overrides):
    """Overrides of each job of a study, as Hydra's sweeper makes them."""
    params = yaml.safe_load((CONF / "study" / f"{study}.yaml").read_text())["hydra"]["sweeper"]["params"]
    given = [*(f"{key}={value}" for key, value in params.items()), *overrides]
    (batch,) = BasicSweeper.split_arguments(OverridesParser.create().parse_overrides(given), None)
    return batch


def plain(*overrides, **options):
    return OmegaConf.to_container(compose("config", list(overrides), **options), resolve=True, throw_on_missing=True)


@pytest.fixture
def hydra():
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield


def test_the_studies_are_those_that_are_told_of():
    assert STUDIES == ["compression", "context_length", "dissociation", "pruning", "s1", "scale", "synthetic_s1"]


@pytest.mark.parametrize("study", STUDIES)
def test_a_study_says_what_it_is_and_sweeps_into_a_folder_of_its_own(hydra, study):
    config = compose("config", [f"+study={study}"], return_hydra_config=True)

    assert config.study.name == study
    assert config.study.question.endswith("?")
    assert config.study.title
    assert config.hydra.mode.name == "MULTIRUN"
    assert str(config.hydra.sweep.dir).startswith(f"outputs/studies/{study}/20")


@pytest.mark.parametrize("study", STUDIES)
def test_every_point_of_a_grid_composes_and_builds(hydra, study):
    jobs = grid(study, f"+study={study}")

    for overrides in jobs:
        config = plain(*overrides)
        built = Experiment.from_config(config)
        if built.model.path.startswith("package:"):  # others would need their config from the hub
            assert built.compression.objection(built.model) is None, overrides
    assert len(jobs) == len({tuple(one) for one in jobs}) > 3


@pytest.mark.parametrize("study", ["scale", "compression", "pruning", "dissociation", "context_length"])
def test_a_study_takes_the_smallest_model_and_a_dataset_of_sentences(hydra, study):
    for overrides in grid(study, f"+study={study}", "model=tiny_xs", "dataset=tuckute2024"):
        built = Experiment.from_config(plain(*overrides))

        assert built.model.path == "package:brainexp/model/tiny/xs"
        assert built.compression.objection(built.model) is None, overrides
        assert type(built.dataset).__name__ == "Tuckute2024"


def test_s1_is_the_grid_of_the_paper(hydra):
    config = plain(*grid("s1", "+study=s1")[0])

    assert len(grid("s1")) == 11 * 7
    assert config["dataset"]["name"] == "deniz2019"
    assert config["dataset"]["rois"]["set"] == "hcp_mmp_language"
    assert config["align"]["delays"] == [1, 2, 3, 4]
    assert config["encoder"]["name"] == "huth_bootstrap"
    assert (min(config["encoder"]["alphas"]), max(config["encoder"]["alphas"])) == pytest.approx((10, 1000))
    assert list(config["probe"]) == ["flash_holmes"]
    assert config["probe"]["flash_holmes"]["train_share"] == 1 / 32


@pytest.mark.parametrize(
    ("preset", "options"),
    [
        ("magnitude10", {"name": "magnitude", "sparsity": 0.1}),
        ("magnitude25", {"name": "magnitude", "sparsity": 0.25}),
        ("magnitude50", {"name": "magnitude", "sparsity": 0.5}),
        ("rtn8", {"name": "rtn", "bits": 8, "group_size": None}),
        ("rtn3", {"name": "rtn", "bits": 3, "group_size": 128}),
        ("awq4", {"name": "awq", "bits": 4, "group_size": 128}),
        ("gptq3", {"name": "gptq", "bits": 3, "group_size": 128}),
        ("wanda_2of4", {"name": "wanda", "two_of_four": True}),
    ],
)
def test_presets_of_compressions_stand_alone(hydra, preset, options):
    found = plain(f"compression={preset}")["compression"]

    assert {name: found[name] for name in options} == options


def test_a_study_decides_how_many_inputs_share_a_scale_and_which_text_is_read(hydra):
    text = ("compression/calibration@calibration=text_file", "calibration.path=book.txt", "calibration.samples=8")
    found = plain("+study=compression", "compression=awq4", "study.group_size=64", *text)

    assert found["compression"]["group_size"] == 64
    assert found["compression"]["calibration"] == {**found["calibration"]}
    assert found["compression"]["calibration"]["path"] == "book.txt"
    assert found["compression"]["calibration"]["samples"] == 8
    assert plain("+study=compression", "compression=none", *text)["compression"] == {"name": "none"}
