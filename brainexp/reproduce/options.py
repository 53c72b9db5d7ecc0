"""Rebuild the config of a recorded run, and name every option that this version, machine or user treats otherwise."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

from brainexp import composition  # noqa: F401  it registers the members
from brainexp.errors import ConfigError
from brainexp.provenance import PATH_OPTIONS, existing, paths
from brainexp.registry import (
    CALIBRATIONS,
    INNER_LISTS,
    INNER_REGISTRIES,
    PROMPTS,
    REGISTRIES,
    Registry,
    did_you_mean,
    plain_fields,
)
from brainexp.settings import (
    VOLATILE,
    Align,
    Cache,
    Ceiling,
    Damage,
    Partitioning,
    Resources,
    Scoring,
    Split,
    Sweep,
    leaves,
)
from brainexp.tracking import Tracking

#: Sections of the config, and what holds their options.
SECTIONS: dict[str, type[Any]] = {
    "align": Align,
    "split": Split,
    "scoring": Scoring,
    "ceiling": Ceiling,
    "partition": Partitioning,
    "damage": Damage,
    "cache": Cache,
    "resources": Resources,
    "sweep": Sweep,
    "tracking": Tracking,
}
#: Groups of which a config holds several members by name.
SEVERAL: dict[str, Registry[Any]] = {"probe": REGISTRIES["probe"], "also_prompts": PROMPTS}


@dataclass(frozen=True)
class Rebuilt:
    """A config that this version understands, and how it differs from the recorded one.

    Parameters
    ----------
    config : dict
        Plain values.
    given : dict
        Options that the user has changed: recorded value and the given one, by dotted name.
    moved : dict
        Relative paths, and where they lead from the folder in which the run was started.
    unknown : dict
        Options that this version does not have, with their recorded values.
    new : dict
        Options that the record does not have, with the values that they get.
    missing : dict
        Files and folders that are not there, by option.
    """

    config: dict[str, Any]
    given: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    moved: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    unknown: dict[str, Any] = field(default_factory=dict)
    new: dict[str, Any] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


def rebuilt(
    config: Mapping[str, Any],
    defaults: Mapping[str, Any],
    overrides: Sequence[str] = (),
    directory: Path | None = None,
    named: Sequence[str] = (),
) -> Rebuilt:
    """Bring a recorded config to this version and machine.

    Parameters
    ----------
    config : mapping
        As recorded.
    defaults : mapping
        The config of this version without any override.
    overrides : sequence of str
        ``option=value`` to change one, ``~option`` to leave out one that this version does not have.
    directory : Path or None
        Where the run was started.
    named : sequence of str
        Options that named a file or a folder when it ran.

    Raises
    ------
    ConfigError
        If an override names no option, or a component is not known here.
    """
    dropped = {word.removeprefix("~") for word in overrides if word.startswith("~")}
    changes = dict(_parsed(word) for word in overrides if not word.startswith("~"))
    unknown: dict[str, Any] = {}
    new: dict[str, Any] = {}
    fitting = _fitting(copy.deepcopy(dict(config)), defaults, unknown, new)
    if dropped - unknown.keys():
        words = ", ".join(f"~{name}" for name in sorted(dropped - unknown.keys()))
        raise ConfigError(f"{words}: only options that this version does not have can be left out.{_listed(unknown)}")
    moved = _moved(fitting, directory, named, [*changes])
    given = {name: (_put(fitting, name, value), value) for name, value in changes.items()}
    kept = {name: value for name, value in unknown.items() if name not in dropped}
    given |= {f"~{name}": (unknown[name], None) for name in sorted(dropped)}
    return Rebuilt(fitting, given, moved, kept, new, dict(_missing(fitting, {*named} - changes.keys())))


def _fitting(
    config: dict[str, Any], defaults: Mapping[str, Any], unknown: dict[str, Any], new: dict[str, Any]
) -> dict[str, Any]:
    fitting: dict[str, Any] = {}
    for name, value in config.items():
        if name in SEVERAL:
            fitting[name] = {
                key: _component(SEVERAL[name], one, f"{name}.{key}", unknown, new) for key, one in (value or {}).items()
            }
        elif name in REGISTRIES:
            fitting[name] = _component(REGISTRIES[name], value, name, unknown, new)
        elif name in SECTIONS:
            fitting[name] = _options(SECTIONS[name], value, name, unknown, new)
        elif name in defaults or name in VOLATILE:
            fitting[name] = value
        else:
            unknown |= dict(leaves({name: value}))
    if "damage" in fitting:
        fitting["damage"]["text"] = _component(CALIBRATIONS, fitting["damage"]["text"], "damage.text", unknown, new)
    for name, value in defaults.items():
        if name not in fitting:
            fitting[name] = copy.deepcopy(value)
            new |= dict(leaves({name: value}))
    return fitting


def _component(
    registry: Registry[Any], value: Mapping[str, Any], where: str, unknown: dict[str, Any], new: dict[str, Any]
) -> dict[str, Any]:
    options = dict(value)
    name = options.pop("name")
    return {"name": name, **_options(registry.member(str(name)), options, where, unknown, new)}


def _options(
    kind: type[Any], options: Mapping[str, Any], where: str, unknown: dict[str, Any], new: dict[str, Any]
) -> dict[str, Any]:
    """Keep the options that a dataclass has, and add the defaults of those that are not recorded."""
    known = {one.name: one for one in dataclasses.fields(kind)}
    kept: dict[str, Any] = {}
    for name, value in options.items():
        if name in known:
            kept[name] = _inner(kind, name, value, f"{where}.{name}", unknown, new)
        else:
            unknown |= dict(leaves({f"{where}.{name}": value}))
    added = {name: _default(one) for name, one in known.items() if name not in kept and _has_default(one)}
    new |= dict(leaves({f"{where}.{name}": value for name, value in added.items()}))
    return {**kept, **added}


def _inner(kind: type[Any], name: str, value: Any, where: str, unknown: dict[str, Any], new: dict[str, Any]) -> Any:
    """Go through an option that has options of its own."""
    if name in INNER_REGISTRIES and isinstance(value, Mapping):
        return _component(INNER_REGISTRIES[name], value, where, unknown, new)
    if name in INNER_LISTS and isinstance(value, Sequence) and not isinstance(value, str):
        steps = enumerate(value)
        return [_component(INNER_LISTS[name], one, f"{where}.{at}", unknown, new) for at, one in steps]
    inner = get_type_hints(kind)[name]
    if isinstance(value, Mapping) and isinstance(inner, type) and dataclasses.is_dataclass(inner):
        return _options(inner, value, where, unknown, new)
    return value


def _has_default(one: dataclasses.Field[Any]) -> bool:
    return one.default is not dataclasses.MISSING or one.default_factory is not dataclasses.MISSING


def _default(one: dataclasses.Field[Any]) -> Any:
    value = one.default if one.default_factory is dataclasses.MISSING else one.default_factory()
    if one.name in INNER_REGISTRIES and dataclasses.is_dataclass(value):
        return INNER_REGISTRIES[one.name].options(value)
    if dataclasses.is_dataclass(value):
        return plain_fields(value)
    return list(value) if isinstance(value, tuple) else value


def _parsed(word: str) -> tuple[str, Any]:
    import yaml

    name, equals, value = word.partition("=")
    if not equals or not name:
        raise ConfigError(f"{word!r} is neither option=value nor ~option.")
    try:
        return name.removeprefix("+"), yaml.safe_load(value)
    except yaml.YAMLError:
        return name.removeprefix("+"), value


def _put(config: dict[str, Any], name: str, value: Any) -> Any:
    """Change an option that is there; return what it was."""
    *groups, last = name.split(".")
    at: Any = config
    for group in groups:
        at = at.get(group) if isinstance(at, dict) else None
    if not isinstance(at, dict) or last not in at or isinstance(at[last], Mapping):
        raise ConfigError(
            f"the recorded run has no option {name!r}.{did_you_mean(name, [one for one, _ in leaves(config)])}"
        )
    before = at[last]
    at[last] = value
    return before


def _moved(
    config: dict[str, Any], directory: Path | None, named: Sequence[str], given: Sequence[str]
) -> dict[str, tuple[Any, Any]]:
    """Make relative paths absolute, as seen from where the run was started."""
    moved = {}
    for name, values in paths(config).items():
        if directory is None or name in given:
            continue
        there = [_seen_from(directory, one, sure=name in named) for one in values]
        if there != values:
            before = _put(config, name, there[0] if len(there) == 1 and isinstance(_at(config, name), str) else there)
            moved[name] = (before, _at(config, name))
    return moved


def _seen_from(directory: Path, value: str, *, sure: bool) -> str:
    place = directory / Path(value).expanduser()
    template = "{" in value and place.parent.is_dir()
    return str(place) if sure or template or existing(str(place)) is not None else value


def _at(config: Mapping[str, Any], name: str) -> Any:
    return dict(leaves(config))[name]


def _missing(config: Mapping[str, Any], named: Collection[str]) -> Iterator[tuple[str, str]]:
    """Paths that are not there, of options that named one when the run was made, or name one beyond doubt."""
    for name, values in paths(config).items():
        for value in values:
            place = Path(value).expanduser()
            told = name.rpartition(".")[2] in PATH_OPTIONS and place.is_absolute() and "{" not in value
            if (name in named or told) and existing(value) is None:
                yield name, value


def _listed(unknown: Mapping[str, Any]) -> str:
    return f" Here: {', '.join(sorted(unknown))}." if unknown else " There are none in this record."
