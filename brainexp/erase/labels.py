"""Properties of units as numbers: classes become indicators, numbers stay numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from brainexp.containers import FloatArray, IntArray
from brainexp.errors import DataError

#: Whole numbers with more distinct values are numbers, not classes.
MOST_CLASSES = 12


@dataclass(frozen=True, eq=False)
class Column:
    """One column of a property.

    Parameters
    ----------
    name : str
        Of the property.
    number : int
        Its place in the property.
    classes : array of shape (n_classes,) or None
        The values that it takes; None for a number.
    at : slice
        Its codes, among those of all columns.
    """

    name: str
    number: int
    classes: FloatArray | None
    at: slice


@dataclass(frozen=True, eq=False)
class Labels:
    """Several properties of the same units.

    Parameters
    ----------
    numbers : array of shape (n_units, n_columns)
        Values as they are.
    codes : array of shape (n_units, n_codes)
        A number as it is, one of two classes as 0 or 1, more classes as an indicator each.
    columns : tuple of Column
        In the order of ``numbers``.
    """

    numbers: FloatArray
    codes: FloatArray
    columns: tuple[Column, ...]

    def codes_of(self, name: str) -> FloatArray:
        """Codes of one property, array of shape (n_units, n_codes)."""
        return np.hstack([self.codes[:, one.at] for one in self.columns if one.name == name])

    def numbers_of(self, name: str) -> FloatArray:
        """Values of one property, array of shape (n_units, n_columns)."""
        return self.numbers[:, [one.name == name for one in self.columns]]


def coded(properties: Mapping[str, FloatArray]) -> Labels:
    """Code properties by their values; columns that never vary are left out.

    Parameters
    ----------
    properties : mapping of str to array of shape (n_units, n_columns)
        Columns of whole numbers with at most `MOST_CLASSES` values are classes.

    Raises
    ------
    DataError
        If a property never varies.
    """
    values: list[FloatArray] = []
    codes: list[FloatArray] = []
    columns: list[Column] = []
    for name, table in properties.items():
        for number, column in enumerate(np.asarray(table, dtype=float).T):
            known = np.unique(column)
            if len(known) < 2:
                continue
            few = len(known) <= MOST_CLASSES and bool((known == np.round(known)).all())
            own = column[:, None]
            if few:
                own = (own == (known[1:] if len(known) == 2 else known)).astype(float)
            first = sum(one.shape[1] for one in codes)
            columns.append(Column(name, number, known if few else None, slice(first, first + own.shape[1])))
            values.append(column)
            codes.append(own)
        if not any(one.name == name for one in columns):
            raise DataError(f"property {name!r} is the same for every word: there is nothing to erase. Leave it out.")
    return Labels(np.column_stack(values), np.hstack(codes), tuple(columns))


def shifted(codes: FloatArray, lengths: Sequence[int], rng: np.random.Generator) -> FloatArray:
    """Move the codes of every story in time by a random amount, at least a quarter of the story: a control.

    Codes that are alike in a whole sentence stay alike for as many units; what they are codes of is lost.

    Parameters
    ----------
    codes : array of shape (n_units, n_codes)
    lengths : sequence of int
        Units of each story.
    rng : numpy.random.Generator
    """
    return codes[shifts(lengths, rng)]


def shifts(lengths: Sequence[int], rng: np.random.Generator) -> IntArray:
    """Where `shifted` takes the codes of each unit from, array of int of shape (n_units,)."""
    firsts = np.cumsum([0, *lengths[:-1]])
    moved = [
        first + np.roll(np.arange(length), int(rng.integers(length // 4, max(length - length // 4, length // 4 + 1))))
        for first, length in zip(firsts, lengths, strict=True)
    ]
    return np.concatenate(moved)
