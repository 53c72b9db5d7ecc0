"""Hydra composes every option of every group, and the sections name the fields they fill."""

import dataclasses

import pytest

from brainexp.experiment import Experiment
from brainexp.preflight import Resources
from brainexp.registry import REGISTRIES
from brainexp.settings import Align, Ceiling, Damage, Partitioning, Scoring, Split
from tests.conftest import CONF

CHOICES = [
    (folder.name, path.stem)
    for folder in sorted(CONF.iterdir())
    if folder.name in REGISTRIES
    for path in folder.glob("*.yaml")
]
#: Models whose path the user gives.
NAMELESS = ("local", "static_vectors", "transformer")
PRESETS = [name for group, name in CHOICES if group == "model" and name not in NAMELESS]


@pytest.mark.parametrize(("group", "choice"), CHOICES)
def test_every_choice_composes_and_builds(composed, group, choice):
    path = ["model.path=somewhere"] if choice in NAMELESS else []

    config = composed(f"{group}=[{choice}]" if group == "probe" else f"{group}={choice}", *path)

    options = config[group][choice] if group == "probe" else config[group]
    assert REGISTRIES[group].options(REGISTRIES[group].build(options)) == options


@pytest.mark.parametrize("preset", PRESETS)
def test_model_presets_declare_how_many_blocks_they_have(composed, preset):
    model = composed(f"model={preset}")["model"]

    assert model["blocks"] >= 2
    assert model["path"].startswith("package:") or model["path"].count("/") == 1


@pytest.mark.parametrize(
    ("section", "kind"),
    [
        ("align", Align),
        ("split", Split),
        ("scoring", Scoring),
        ("ceiling", Ceiling),
        ("partition", Partitioning),
        ("damage", Damage),
        ("resources", Resources),
    ],
)
def test_sections_hold_the_defaults_of_their_class(composed, section, kind):
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in composed()[section].items()}

    assert kind(**values) == kind()
    assert values.keys() == {field.name for field in dataclasses.fields(kind)}


def test_the_default_config_builds_an_experiment(composed):
    built = Experiment.from_config(composed())

    assert type(built.dataset).__name__ == "Synthetic"
    assert built.model.path == "package:brainexp/model/tiny/m"
    assert built.baselines[:4] == ("untrained", "static", "word_rate", "autocorrelation")


def test_two_probes_can_be_asked_for_at_once_without_mixing(composed):
    config = composed("probe=[word_length]")

    assert config["probe"]["word_length"]["folds"] == 3


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (
            ["compression=gptq", "compression.bits=3", "compression.calibration.samples=8"],
            {"name": "gptq", "bits": 3, "calibration": {"name": "grammar", "samples": 8}},
        ),
        (["compression=awq", "compression/calibration=grammar"], {"name": "awq", "calibration": {"name": "grammar"}}),
        (
            ["compression=fp8", "compression.scales=static", "+compression/calibration=grammar"],
            {"name": "fp8", "scales": "static", "calibration": {"name": "grammar", "tokens": 256}},
        ),
        (["compression=rtn", "compression.group_size=null"], {"name": "rtn", "group_size": None}),
    ],
)
def test_options_of_compressions_and_of_their_calibration_are_given_alike(composed, overrides, expected):
    options = composed(*overrides)["compression"]

    built = REGISTRIES["compression"].options(REGISTRIES["compression"].build(options))
    assert built == options
    for name, value in expected.items():
        assert (value.items() <= built[name].items()) if isinstance(value, dict) else built[name] == value
