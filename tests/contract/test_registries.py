"""What every component owes, whoever wrote it."""

import dataclasses
from pathlib import Path

import pytest
import yaml

import brainexp.experiment  # noqa: F401  registers all members
from brainexp import interfaces
from brainexp.registry import INNER_REGISTRIES, REGISTRIES
from tests.conftest import CONF

ALL = {**REGISTRIES, **INNER_REGISTRIES}
MEMBERS = [(group, name) for group, registry in ALL.items() for name in registry.names()]
#: What a user might give for options without a default that are no path.
GIVEN = {"names": ("somewhere",)}
PROTOCOLS = {group: getattr(interfaces, group.capitalize()) for group in ALL}


def folder(group):
    return Path(ALL[group].inside) / group


def yaml_options(group, name):
    """Options of a YAML file, those of its inner components included."""
    options = yaml.safe_load((CONF / folder(group) / f"{name}.yaml").read_text())
    options = options.get(group, options)  # a file may set other sections too
    told = {key: GIVEN.get(key, "somewhere") if value == "???" else value for key, value in options.items()}
    told.pop("defaults", None)
    for default in options.get("defaults", []):
        told |= (
            {inner: yaml_options(inner, choice) for inner, choice in dict(default).items() if inner in INNER_REGISTRIES}
            if isinstance(default, dict)
            else {}
        )
    return told


@pytest.mark.parametrize(("group", "name"), MEMBERS)
def test_yaml_lists_exactly_the_fields(group, name):
    fields = {field.name for field in dataclasses.fields(ALL[group].member(name))}

    assert yaml_options(group, name).keys() == fields | {"name"}


@pytest.mark.parametrize(("group", "name"), MEMBERS)
def test_yaml_holds_the_defaults_of_the_class(group, name):
    built = ALL[group].build(yaml_options(group, name))

    for field in dataclasses.fields(built):
        if field.default is not dataclasses.MISSING:
            assert getattr(built, field.name) == field.default, field.name


@pytest.mark.parametrize(("group", "name"), MEMBERS)
def test_build_of_options_is_the_identity(group, name):
    registry = ALL[group]
    built = registry.build(yaml_options(group, name))

    assert registry.build(registry.options(built)) == built


@pytest.mark.parametrize(("group", "name"), MEMBERS)
def test_components_are_frozen_documented_and_serve_their_protocol(group, name):
    built = ALL[group].build(yaml_options(group, name))

    assert type(built).__doc__
    told = " ".join(kind.__doc__ or "" for kind in type(built).__mro__)  # options in common are told of once
    assert isinstance(built, PROTOCOLS[group])
    for field in dataclasses.fields(built):
        assert field.name in told, f"{field.name} is not documented"
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(built, field.name, None)


@pytest.mark.parametrize(("group", "name"), MEMBERS)
def test_the_three_mirrors_agree(group, name):
    assert (CONF.parent / "brainexp" / folder(group) / f"{name}.py").is_file()
    assert (CONF.parent / "tests" / folder(group) / f"test_{name}.py").is_file()


def test_plugins_come_by_entry_point(monkeypatch):
    from importlib.metadata import EntryPoint

    from brainexp import registry

    found = [EntryPoint("mine", "no_such_module_of_mine", "brainexp.plugins")]
    monkeypatch.setattr(registry, "entry_points", lambda group: found if group == "brainexp.plugins" else [])

    with pytest.raises(
        registry.ConfigError, match=r"plugin 'mine' \(no_such_module_of_mine\) cannot be imported.*uninstall"
    ):
        registry.load_plugins()
