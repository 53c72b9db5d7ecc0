"""A recorded config, brought to this version and machine: nothing is ignored without a word."""

import copy

import pytest

from brainexp.composition import Experiment
from brainexp.errors import ConfigError
from brainexp.registry import REGISTRIES
from brainexp.reproduce.options import SECTIONS, rebuilt


@pytest.fixture
def defaults(composed):
    return composed()


@pytest.fixture
def recorded(composed, small_run):
    return composed(*small_run, "probe=[word_length]", "compression=gptq", "+prompt@also_prompts.question=task")


def test_a_config_of_this_version_stays_as_it_is(recorded, defaults):
    made = rebuilt(recorded, defaults)

    assert made.config == recorded
    assert (made.unknown, made.new, made.moved, made.missing, made.given) == ({}, {}, {}, {}, {})


def test_every_section_of_the_config_is_known(defaults):
    of_none = {"also_prompts", "baselines", "readout", "seed", "report", "calibration"}

    assert {name for name in defaults if isinstance(defaults[name], dict)} <= {*REGISTRIES, *SECTIONS} | of_none


@pytest.mark.parametrize("group", sorted(REGISTRIES))
def test_every_option_of_every_member_is_known(composed, defaults, group):
    for name in REGISTRIES[group].names():
        if group == "probe":
            config = {**defaults, "probe": {"one": {"name": name}}}
        elif group == "compression" and name == "recipe":
            config = composed("compression=recipe", "compression.steps=[{name: rtn, bits: 4}]")
        else:
            config = {**defaults, group: {"name": name}}
        assert rebuilt(config, defaults).unknown == {}


def test_an_option_that_is_no_longer_there_is_named_at_every_depth(recorded, defaults):
    recorded["encoder"]["shape"] = "round"
    recorded["align"]["blur_s"] = 3
    recorded["compression"]["calibration"]["noise"] = {"kind": "pink"}
    recorded["probe"]["word_length"]["depth"] = 1
    recorded["also_prompts"]["question"]["tone"] = "kind"
    recorded["damage"]["text"]["speed"] = 2
    recorded["colour"] = "red"

    made = rebuilt(recorded, defaults)

    assert made.unknown == {
        "encoder.shape": "round",
        "align.blur_s": 3,
        "compression.calibration.noise.kind": "pink",
        "probe.word_length.depth": 1,
        "also_prompts.question.tone": "kind",
        "damage.text.speed": 2,
        "colour": "red",
    }
    Experiment.from_config(made.config)


def test_an_option_that_is_no_longer_there_can_be_left_out_by_name_only(recorded, defaults):
    recorded["encoder"]["shape"] = "round"

    made = rebuilt(recorded, defaults, ["~encoder.shape"])

    assert made.unknown == {}
    assert made.given == {"~encoder.shape": ("round", None)}
    with pytest.raises(
        ConfigError, match=r"~encoder.alphas: only options that this version does not have .*Here: encoder.shape."
    ):
        rebuilt(recorded, defaults, ["~encoder.alphas"])


def test_an_option_that_the_record_lacks_is_named_with_the_value_it_gets(recorded, defaults):
    del recorded["encoder"]["choose_by"]
    del recorded["scoring"]["fdr"]
    del recorded["compression"]["calibration"]["seed"]
    del recorded["damage"]
    old = copy.deepcopy(recorded)

    made = rebuilt(recorded, defaults)

    assert recorded == old
    assert {name: value for name, value in made.new.items() if not name.startswith("damage.")} == {
        "encoder.choose_by": "r",
        "scoring.fdr": "bh",
        "compression.calibration.seed": 0,
    }
    assert made.new["damage.measure"] is True
    Experiment.from_config(made.config)


def test_options_are_changed_by_hand_and_that_is_told(recorded, defaults):
    made = rebuilt(recorded, defaults, ["seed=3", "encoder.alphas=[1,2]", "dataset.n_subjects=3"])

    assert made.config["seed"] == 3
    assert made.given == {"seed": (0, 3), "encoder.alphas": ([100, 10000], [1, 2]), "dataset.n_subjects": (2, 3)}


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("encoder.alfas=[1]", r"the recorded run has no option 'encoder.alfas'. Did you mean 'encoder.alphas'\?"),
        ("encoder=ridge", "the recorded run has no option 'encoder'"),
        ("seed", "'seed' is neither option=value nor ~option."),
        ("=3", "'=3' is neither option=value nor ~option."),
    ],
)
def test_a_mistaken_option_is_answered_in_words(recorded, defaults, word, said):
    with pytest.raises(ConfigError, match=said):
        rebuilt(recorded, defaults, [word])


def test_a_component_that_is_no_longer_there_is_refused_with_what_is(recorded, defaults):
    recorded["encoder"]["name"] = "rigde"

    with pytest.raises(ConfigError, match="unknown encoder 'rigde'. Did you mean 'ridge'"):
        rebuilt(recorded, defaults)


def test_relative_paths_lead_where_the_run_was_started(composed, defaults, tmp_path, monkeypatch):
    (tmp_path / "there" / "data").mkdir(parents=True)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    recorded = composed("dataset=alice", "dataset.root=data")

    made = rebuilt(recorded, defaults, directory=tmp_path / "there", named=["dataset.root"])

    assert made.moved == {"dataset.root": ("data", str(tmp_path / "there" / "data"))}
    assert made.config["dataset"]["root"] == str(tmp_path / "there" / "data")
    assert made.missing == {}
    assert made.config["model"]["path"] == recorded["model"]["path"]


def test_a_path_that_is_not_there_is_told_and_another_can_be_given(composed, defaults, tmp_path):
    recorded = composed("dataset=alice", "dataset.root=data")
    (tmp_path / "moved").mkdir()

    made = rebuilt(recorded, defaults, directory=tmp_path, named=["dataset.root"])
    given = rebuilt(recorded, defaults, [f"dataset.root={tmp_path}/moved"], directory=tmp_path, named=["dataset.root"])

    assert made.missing == {"dataset.root": str(tmp_path / "data")}
    assert given.missing == {}
    assert given.given == {"dataset.root": ("data", f"{tmp_path}/moved")}


def test_a_model_on_a_hub_can_be_given_for_a_folder(composed, defaults, tmp_path):
    recorded = composed("model=local", "model.path=mine")

    made = rebuilt(recorded, defaults, ["model.path=org/model"], directory=tmp_path, named=["model.path"])

    assert made.missing == {}
    assert rebuilt(recorded, defaults, directory=tmp_path, named=["model.path"]).missing == {
        "model.path": str(tmp_path / "mine")
    }


def test_names_on_a_hub_are_no_missing_paths(composed, defaults, tmp_path):
    recorded = composed("model=local", "model.path=org/model")

    made = rebuilt(recorded, defaults, directory=tmp_path)

    assert (made.moved, made.missing) == ({}, {})
