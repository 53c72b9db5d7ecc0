"""Which subjects a config asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from brainexp.errors import ConfigError
from brainexp.registry import did_you_mean


def chosen(
    asked: str | Sequence[str], usable: Sequence[str], dataset: str, unusable: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """Return the subjects asked for, in their order.

    Parameters
    ----------
    asked : str or sequence of str
        "all", one name or several.
    usable : sequence of str
        Known names.
    dataset : str
        For messages.
    unusable : mapping of str to str, optional
        Names that exist but cannot be analysed, and why.

    Raises
    ------
    ConfigError
        If a name is unknown, unusable or given twice, or none is given.
    """
    if asked == "all":
        return tuple(usable)
    names = (asked,) if isinstance(asked, str) else tuple(asked)
    if not names or len(set(names)) < len(names):
        raise ConfigError(f"dataset.subjects={list(names)}: name each subject once, or give dataset.subjects=all.")
    for name in names:
        if unusable and name in unusable:
            raise ConfigError(f"subject {name!r} of {dataset} cannot be analysed: {unusable[name]}. Leave it out.")
        if name not in usable:
            raise ConfigError(f"unknown subject {name!r} of {dataset}.{did_you_mean(name, usable)}")
    return names


def named(asked: str | int | Sequence[str | int], declared: Sequence[str], dataset: str) -> tuple[str, ...]:
    """Return the subjects asked for, as `chosen`; a number stands for the name that ends with it, 3 for "UTS03"."""
    if isinstance(asked, str):
        return chosen(asked, declared, dataset)
    by_number = {int("".join(filter(str.isdigit, name))): name for name in declared}
    names = [asked] if isinstance(asked, int) else asked
    return chosen([by_number.get(one, str(one)) if isinstance(one, int) else one for one in names], declared, dataset)


def present(
    asked: str | int | Sequence[str | int], found: Sequence[str], declared: Sequence[str], dataset: str, where: str
) -> tuple[str, ...]:
    """Return the subjects asked for, of those on disk; "all" are all that are there.

    Parameters
    ----------
    asked : str, int or sequence of these
        "all", one name or several; numbers as in `named`.
    found : sequence of str
        Subjects on disk.
    declared : sequence of str
        Known names.
    dataset, where : str
        For messages: the dataset, and where its subjects lie.

    Raises
    ------
    ConfigError
        As `chosen`, and if a subject is not on disk.
    """
    there = [name for name in declared if name in found]
    names = tuple(there) if asked == "all" else named(asked, declared, dataset)
    absent = [name for name in names if name not in there]
    if absent or not names:
        raise ConfigError(
            f"{dataset}: {where} has no subject {', '.join(absent) or 'at all'}; there are: {', '.join(there) or 'none'}. "
            "Fetch what is missing, or choose with dataset.subjects=[...]."
        )
    return names
