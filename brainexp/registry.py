"""Names and configs become components.

A member registers itself where it is defined::

    @ENCODERS.register("ridge")
    @dataclass(frozen=True)
    class Ridge: ...

and is built, and checked, from plain values::

    ENCODERS.build({"name": "ridge", "alphas": [1, 10]})

Plugins are modules named by the entry-point group ``brainexp.plugins``; importing one registers its members.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar, get_type_hints

from brainexp.errors import ConfigError
from brainexp.interfaces import Calibration, Compression, Dataset, Encoder, Model, Probe, Prompt

Member = TypeVar("Member")
Validated = TypeVar("Validated")


class Registry(Generic[Member]):
    """The known members of one config group.

    Parameters
    ----------
    group : str
        The config group, singular, such as "encoder".
    inside : str, optional
        The group whose members hold this group's members as options, such as "compression" for "calibration".
    """

    def __init__(self, group: str, inside: str = "") -> None:
        self.group = group
        self.inside = inside
        self._members: dict[str, type[Any]] = {}

    def register(self, name: str) -> Callable[[type[Validated]], type[Validated]]:
        """Return a class decorator that adds a component under ``name``.

        Raises
        ------
        ConfigError
            If another class already holds the name, or the class is not a frozen dataclass.
        """

        def add(member: type[Validated]) -> type[Validated]:
            holder = self._members.get(name)
            if holder is not None and (holder.__module__, holder.__qualname__) != (
                member.__module__,
                member.__qualname__,
            ):
                raise ConfigError(
                    f"{self.group} {name!r} is already registered by {holder.__module__}.{holder.__qualname__}; "
                    f"{member.__module__}.{member.__qualname__} needs another name."
                )
            if not dataclasses.is_dataclass(member) or not member.__dataclass_params__.frozen:  # type: ignore[attr-defined]
                raise ConfigError(
                    f"{self.group} {name!r} must be a frozen dataclass: put @dataclass(frozen=True) on it."
                )
            self._members[name] = member
            return member

        return add

    def names(self) -> tuple[str, ...]:
        """Known names, sorted."""
        return tuple(sorted(self._members))

    def member(self, name: str) -> type[Any]:
        """Return the class registered under ``name``, or raise ConfigError with what is known."""
        if name not in self._members:
            raise ConfigError(f"unknown {self.group} {name!r}.{did_you_mean(name, self._members)}")
        return self._members[name]

    def name_of(self, component: Any) -> str:
        """Return the name under which the class of a component is registered."""
        return next(name for name, member in self._members.items() if member is type(component))

    def build(self, options: Mapping[str, Any]) -> Member:
        """Build and check a component.

        Parameters
        ----------
        options : mapping
            ``name`` and the component's options, as plain values.

        Raises
        ------
        ConfigError
            If the name or an option is unknown, or a value is not allowed.
        """
        if "name" not in options:
            raise ConfigError(f"{self.group} needs a name. Known: {', '.join(self.names())}.")
        name = str(options["name"])
        fields = {key: _built(key, value) for key, value in options.items() if key != "name"}
        component: Member = validated(self.member(name), fields, f"{self.group} {name!r}")
        return component

    def options(self, component: Member) -> dict[str, Any]:
        """Return a component as plain values; ``build`` of it gives an equal component."""
        return {"name": self.name_of(component), **plain_fields(component)}

    def cache_key(self, component: Member) -> dict[str, Any]:
        """Return the options that decide what the component computes."""
        decisive = {f.name for f in dataclasses.fields(component) if f.metadata.get("in_cache_key", True)}  # type: ignore[arg-type]
        options = self.options(component)
        return {key: value for key, value in options.items() if key == "name" or key in decisive}


DATASETS: Registry[Dataset] = Registry("dataset")
MODELS: Registry[Model] = Registry("model")
COMPRESSIONS: Registry[Compression] = Registry("compression")
PROMPTS: Registry[Prompt] = Registry("prompt")
ENCODERS: Registry[Encoder] = Registry("encoder")
PROBES: Registry[Probe] = Registry("probe")
CALIBRATIONS: Registry[Calibration] = Registry("calibration", inside="compression")

#: All registries by config group
REGISTRIES: dict[str, Registry[Any]] = {
    registry.group: registry for registry in (DATASETS, MODELS, COMPRESSIONS, PROMPTS, ENCODERS, PROBES)
}
#: Registries of components that are options of other components, by the option's name.
INNER_REGISTRIES: dict[str, Registry[Any]] = {"calibration": CALIBRATIONS}
#: Registries of components of which an option of another component is a list, by the option's name.
INNER_LISTS: dict[str, Registry[Any]] = {"steps": COMPRESSIONS}


def _built(option: str, value: Any) -> Any:
    """Build an option that is a component itself, or a list of them."""
    if option in INNER_REGISTRIES and isinstance(value, Mapping):
        return INNER_REGISTRIES[option].build(value)
    if option in INNER_LISTS and isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(INNER_LISTS[option].build(one) if isinstance(one, Mapping) else one for one in value)
    return value


def validated(kind: type[Validated], options: Mapping[str, Any], what: str) -> Validated:
    """Build a dataclass from plain values, checking names and types.

    Parameters
    ----------
    kind : dataclass type
        What to build.
    options : mapping
        Its fields.
    what : str
        How messages call it, such as "encoder 'ridge'".

    Raises
    ------
    ConfigError
        If an option is unknown, missing or not of its type.
    """
    from pydantic import TypeAdapter, ValidationError

    known = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    values = dict(options)
    for key, value in options.items():
        if key not in known:
            raise ConfigError(f"unknown option of {what}: {key!r}.{did_you_mean(key, known)}")
        if isinstance(value, Mapping):  # options of their own, which pydantic would not hold to the known ones
            nested = get_type_hints(kind)[key]
            if isinstance(nested, type) and dataclasses.is_dataclass(nested):
                values[key] = validated(nested, value, f"{what}: {key}")
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        if first["type"] == "missing":
            raise ConfigError(f"{what}: {where} is missing. Give it, such as {where}=...") from None
        raise ConfigError(f"{what}: {where}: {first['msg']}, got {first['input']!r}") from None


def plain_fields(component: Any) -> dict[str, Any]:
    """Return the fields of a dataclass as values that JSON and YAML can hold."""
    return {field.name: _plain(field.name, getattr(component, field.name)) for field in dataclasses.fields(component)}


def _plain(option: str, value: Any) -> Any:
    if option in INNER_REGISTRIES and dataclasses.is_dataclass(value):
        return INNER_REGISTRIES[option].options(value)
    if option in INNER_LISTS:
        return [INNER_LISTS[option].options(one) for one in value]
    if dataclasses.is_dataclass(value):
        return plain_fields(value)
    return list(value) if isinstance(value, tuple) else value


def did_you_mean(name: str, known: Any) -> str:
    """Return a sentence that names the nearest known name, if any is near, and all known ones."""
    if not known:
        return " It has none."
    near = get_close_matches(name, list(known), n=1)
    guess = f" Did you mean {near[0]!r}?" if near else ""
    return f"{guess} Known: {', '.join(sorted(known))}."


def load_plugins() -> None:
    """Import every module of the entry-point group ``brainexp.plugins``.

    Raises
    ------
    ConfigError
        If a plugin cannot be imported.
    """
    for plugin in entry_points(group="brainexp.plugins"):
        try:
            plugin.load()
        except ImportError as error:
            raise ConfigError(
                f"plugin {plugin.name!r} ({plugin.value}) cannot be imported: {error}. "
                "Mend or uninstall the package that brings it."
            ) from error
