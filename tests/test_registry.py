import json
import re
from dataclasses import dataclass, field
from typing import Literal

import pytest

from brainexp.compression.none import NoCompression
from brainexp.dataset.passage import Passage
from brainexp.encoder.banded_ridge import BandedRidge
from brainexp.encoder.ridge import Ridge
from brainexp.encoder.stacked import Stacked
from brainexp.errors import ConfigError
from brainexp.interfaces import NOT_IN_CACHE_KEY
from brainexp.model.transformer import Transformer
from brainexp.prompt.plain import Plain
from brainexp.registry import (
    COMPRESSIONS,
    DATASETS,
    ENCODERS,
    MODELS,
    PROMPTS,
    REGISTRIES,
    Registry,
    did_you_mean,
    plain_fields,
    validated,
)


@dataclass(frozen=True)
class Cat:
    """A component with a field of each kind."""

    food: str
    lives: int = 9
    toys: tuple[float, ...] = (1.0, 2.0)
    mood: Literal["asleep", "hungry"] = "hungry"
    owner: str | None = None
    weight: float = field(default=4.0, metadata=NOT_IN_CACHE_KEY)

    def __post_init__(self) -> None:
        if self.lives < 1:
            raise ConfigError(f"animal 'cat': lives must be at least 1, got {self.lives}")


@dataclass(frozen=True)
class Dog:
    """Another component."""


@pytest.fixture
def animals() -> Registry:
    registry: Registry = Registry("animal")
    registry.register("cat")(Cat)
    registry.register("dog")(Dog)
    return registry


COMPONENTS = [
    (ENCODERS, Ridge()),
    (
        ENCODERS,
        Ridge(alphas=(1.0, 2.5), nuisance=("motion",), form="dual", nodes=False, device="cuda:1", voxels_per_batch=7),
    ),
    (ENCODERS, BandedRidge(beside=("word_rate", "motion"), layers="together", n_shares=3, seed=4)),
    (ENCODERS, Stacked(beside=("low_level",), dtype="float64")),
    (PROMPTS, Plain()),
    (COMPRESSIONS, NoCompression()),
    (DATASETS, Passage()),
    (DATASETS, Passage(n_subjects=2, subjects=("p1", "p2"), explainable=0.1, seed=3, trim_start_s=0.0)),
    (DATASETS, Passage(subjects="p1")),
    (MODELS, Transformer(path="x")),
    (MODELS, Transformer(path="x", blocks=2, revision="main", weights="random", pooling="last", device="cpu")),
]


@pytest.mark.parametrize(("registry", "component"), COMPONENTS)
def test_options_of_a_component_build_an_equal_one(registry, component):
    options = registry.options(component)

    rebuilt = registry.build(options)

    assert rebuilt == component
    assert type(rebuilt) is type(component)
    assert registry.options(rebuilt) == options


@pytest.mark.parametrize(("registry", "component"), COMPONENTS)
def test_options_survive_a_journey_through_json(registry, component):
    options = registry.options(component)

    assert registry.build(json.loads(json.dumps(options))) == component


def test_the_cache_key_of_a_model_leaves_out_what_cannot_change_a_feature():
    near = Transformer(path="x", device="cpu", tokens_per_batch=64)
    far = Transformer(path="x", device="cuda:1", tokens_per_batch=512)

    key = MODELS.cache_key(near)

    assert key == MODELS.cache_key(far)
    assert {"device", "tokens_per_batch"}.isdisjoint(key)
    assert key["name"] == "transformer"


@pytest.mark.parametrize(
    "other",
    [
        Transformer(path="x", context_words=7),
        Transformer(path="x", pooling="last"),
        Transformer(path="x", dtype="bfloat16"),
        Transformer(path="x", weights="random"),
    ],
)
def test_the_cache_key_of_a_model_has_what_decides_its_features(other):
    assert MODELS.cache_key(other) != MODELS.cache_key(Transformer(path="x"))


def test_the_cache_key_has_the_name_and_every_field_not_marked_otherwise(animals):
    key = animals.cache_key(Cat(food="fish", weight=7.0))

    assert key == {
        "name": "cat",
        "food": "fish",
        "lives": 9,
        "toys": [1.0, 2.0],
        "mood": "hungry",
        "owner": None,
    }


def test_values_are_brought_to_the_types_of_the_fields(animals):
    cat = animals.build({"name": "cat", "food": "fish", "toys": [1, 2, 3], "weight": 5})

    assert cat == Cat(food="fish", toys=(1.0, 2.0, 3.0), weight=5.0)
    assert isinstance(cat.toys, tuple)
    assert isinstance(cat.weight, float)


def test_options_left_out_have_their_defaults(animals):
    assert animals.build({"name": "cat", "food": "fish"}) == Cat(food="fish")


def test_building_does_not_change_the_options_given(animals):
    options = {"name": "cat", "food": "fish", "toys": [1.0]}

    animals.build(options)

    assert options == {"name": "cat", "food": "fish", "toys": [1.0]}


def test_names_are_sorted_and_lead_to_their_classes(animals):
    assert animals.names() == ("cat", "dog")
    assert animals.member("dog") is Dog
    assert animals.name_of(Dog()) == "dog"


@pytest.mark.parametrize(
    ("registry", "options", "said"),
    [
        (
            ENCODERS,
            {"name": "ridge", "alfas": [1.0]},
            "unknown option of encoder 'ridge': 'alfas'. Did you mean 'alphas'? "
            "Known: alphas, choose_by, device, dtype, form, nodes, nuisance, voxels_per_batch.",
        ),
        (
            ENCODERS,
            {"name": "ridge", "form": "qr"},
            "encoder 'ridge': form: Input should be 'auto', 'primal', 'dual' or 'downdated', got 'qr'",
        ),
        (
            ENCODERS,
            {"name": "ridge", "alphas": [1.0, "many"]},
            "encoder 'ridge': alphas.1: Input should be a valid number, unable to parse string as a number, got 'many'",
        ),
        (ENCODERS, {"name": "ridge", "alphas": 3}, "encoder 'ridge': alphas: Input should be a valid tuple, got 3"),
        (ENCODERS, {"name": "ridge", "alphas": [0.0]}, "encoder 'ridge': alphas must be positive, got (0.0,)"),
        (
            ENCODERS,
            {"name": "ridge", "voxels_per_batch": 2.5},
            "encoder 'ridge': voxels_per_batch: "
            "Input should be a valid integer, got a number with a fractional part, got 2.5",
        ),
        (MODELS, {"name": "transformer"}, "model 'transformer': path is missing. Give it, such as path=..."),
        (
            MODELS,
            {"name": "transformer", "path": "x", "pooling": "max"},
            "model 'transformer': pooling: Input should be 'mean', 'last', 'first' or 'sum', got 'max'",
        ),
    ],
)
def test_wrong_configs_are_refused_in_words(registry, options, said):
    with pytest.raises(ConfigError) as caught:
        registry.build(options)

    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"name": "rigde"}, r"^unknown encoder 'rigde'\. Did you mean 'ridge'\? Known: .*\bridge\b.*\.$"),
        ({"name": "zzz"}, r"^unknown encoder 'zzz'\. Known: .*\bridge\b.*\.$"),
        ({"alphas": [1.0]}, r"^encoder needs a name\. Known: .*\bridge\b.*\.$"),
    ],
)
def test_wrong_names_are_answered_with_the_known_ones(options, said):
    with pytest.raises(ConfigError, match=said):
        ENCODERS.build(options)


def test_an_option_of_a_component_without_options_is_refused_without_an_empty_list():
    with pytest.raises(ConfigError, match=r"unknown option of prompt 'plain': 'text'\.") as caught:
        PROMPTS.build({"name": "plain", "text": "x"})

    assert "Known: ." not in str(caught.value)


def test_what_a_component_refuses_itself_is_said_in_its_own_words(animals):
    with pytest.raises(ConfigError, match=r"^animal 'cat': lives must be at least 1, got 0$"):
        animals.build({"name": "cat", "food": "fish", "lives": 0})


def test_a_name_is_not_an_option_of_the_component(animals):
    assert animals.build({"name": "dog"}) == Dog()


def test_an_unknown_name_lists_all_known_ones(animals):
    with pytest.raises(ConfigError, match=r"^unknown animal 'cta'\. Did you mean 'cat'\? Known: cat, dog\.$"):
        animals.member("cta")


def test_a_name_that_is_taken_is_refused_with_both_holders(animals):
    expected = f"animal 'cat' is already registered by {Cat.__module__}.Cat; {Dog.__module__}.Dog needs another name."

    with pytest.raises(ConfigError, match=re.escape(expected)):
        animals.register("cat")(Dog)
    assert animals.member("cat") is Cat


def test_a_class_of_another_module_cannot_take_a_name_by_being_called_alike(animals):
    plugin_cat = dataclass(frozen=True)(type("Cat", (), {"__module__": "plugin.cat", "__doc__": "A stranger."}))

    with pytest.raises(ConfigError, match=r"already registered by .*Cat; plugin\.cat\.Cat needs another name"):
        animals.register("cat")(plugin_cat)
    assert animals.member("cat") is Cat


def test_a_class_may_be_registered_again_as_a_reload_does(animals):
    animals.register("cat")(Cat)

    assert animals.names() == ("cat", "dog")


def test_register_gives_the_class_back_unchanged():
    registry: Registry = Registry("animal")

    assert registry.register("cat")(Cat) is Cat


@dataclass
class Melting:
    """Not frozen."""


class Bare:
    """Not a dataclass."""


@pytest.mark.parametrize("member", [Melting, Bare])
def test_only_frozen_dataclasses_are_registered(animals, member):
    with pytest.raises(
        ConfigError, match=r"^animal 'new' must be a frozen dataclass: put @dataclass\(frozen=True\) on it\.$"
    ):
        animals.register("new")(member)
    assert "new" not in animals.names()


def test_did_you_mean_guesses_only_what_is_near():
    assert did_you_mean("alfas", ["alphas", "device"]) == " Did you mean 'alphas'? Known: alphas, device."
    assert did_you_mean("xyz", ["b", "a"]) == " Known: a, b."


def test_plain_fields_holds_lists_for_tuples():
    assert plain_fields(Cat(food="fish"))["toys"] == [1.0, 2.0]


def test_validated_names_what_it_was_told_to_name():
    with pytest.raises(ConfigError, match=r"^the cat: food: Input should be a valid string, got 3$"):
        validated(Cat, {"food": 3}, "the cat")


def test_every_group_has_a_registry_of_its_name():
    assert {group: registry.group for group, registry in REGISTRIES.items()} == {
        group: group for group in ("dataset", "model", "compression", "prompt", "encoder", "probe")
    }
