"""Reads a folder of probing sets in the layout of the Holmes benchmark (Waldis et al. 2024)."""

from __future__ import annotations

import ast
import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from brainexp.errors import DataError
from brainexp.probe.task import SPLITS, Task, collected

SAMPLES = "samples.csv"
CONFIG = "config-none.yaml"
COLUMNS = ("inputs", "context", "label", "set-0")
COMPETENCES = ("morphology", "syntax", "semantics", "discourse", "reasoning")
#: Kinds of tasks: whether inputs are parts of their context, and whether two texts are read as one.
KINDS = {
    "SENTENCE": (False, False),
    "SENTENCE_TOKENS": (True, False),
    "SENTENCE_SPANS": (True, False),
    "SENTENCE_PAIR_BI": (False, False),
    "SENTENCE_PAIR_CROSS": (False, True),
    "SENTENCE_PAIR_TOKENS_BI": (True, False),
    "SENTENCE_PAIR_TOKENS_CROSS": (True, True),
}

Stretch = tuple[str, tuple[int, int]]


@dataclass(frozen=True)
class Sample:
    """One row: for each input its stretches of text; the label; the split."""

    inputs: tuple[tuple[Stretch, ...], ...]
    label: str
    split: str


def folders(root: Path) -> list[Path]:
    """Return every folder of probing sets under a root, sorted.

    Raises
    ------
    DataError
        If the root is not there or holds none.
    """
    if not root.is_dir():
        raise DataError(
            f"{root} is no folder. Give probe.…folder= the folder that holds one folder per probing set, or null for the "
            "built-in sets of the grammar."
        )
    found = sorted(file.parent for file in root.glob(f"*/{SAMPLES}"))
    if not found:
        raise DataError(
            f"{root} has no folders with {SAMPLES}. Give the folder that holds one folder per probing set, such as holmes/ "
            "after unpacking the download of the benchmark."
        )
    return found


def config(folder: Path) -> dict[str, Any]:
    """Return what a probing set says of itself.

    Raises
    ------
    DataError
        If its file is not there or broken, or its kind is not known.
    """
    import yaml

    path = folder / CONFIG
    try:
        told = yaml.safe_load(path.read_text(encoding="utf-8"))
        kind, n_labels = told["probe_task_type"], int(told["num_labels"])
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error!r}). Download the probing set anew.") from error
    if kind not in KINDS:
        raise DataError(f"{path}: probe_task_type {kind!r} is not known. Known: {', '.join(KINDS)}.")
    if n_labels < 1:
        raise DataError(f"{path}: num_labels must be at least 1, got {n_labels}.")
    return dict(told)


def samples(folder: Path, kind: str) -> Iterator[Sample]:
    """Read a probing set row by row.

    Parameters
    ----------
    folder : Path
    kind : str
        One of `KINDS`.

    Raises
    ------
    DataError
        With the line that is broken.
    """
    path = folder / SAMPLES
    _, jointly = KINDS[kind]
    with path.open(encoding="utf-8", newline="") as file:
        csv.field_size_limit(2**27)  # discourse probes have whole documents as context
        table = csv.DictReader(file)
        missing = [name for name in COLUMNS if name not in (table.fieldnames or ())]
        if missing:
            raise DataError(f"{path} has no column {', '.join(missing)}; it has {table.fieldnames}.")
        for row in table:
            try:
                yield Sample(_inputs(row, kind, jointly), row["label"], _split(row["set-0"]))
            except (ValueError, SyntaxError, IndexError, TypeError) as error:
                raise DataError(f"{path}, line {table.line_num}: {error}. Download the probing set anew.") from error


def _split(told: str) -> str:
    if told not in SPLITS:
        raise ValueError(f"set-0 must be one of {', '.join(SPLITS)}, got {told!r}")
    return told


def _inputs(row: dict[str, str], kind: str, jointly: bool) -> tuple[tuple[Stretch, ...], ...]:
    in_context, _ = KINDS[kind]
    told = ast.literal_eval(row["inputs"])  # the published code evaluates these cells as programs
    context = ast.literal_eval(row["context"]) if row["context"] not in ("", "nan") else []
    texts = [str(text) for text in (context if in_context else told)]
    whole = [(text, (0, len(text))) for text in texts]
    if jointly:
        joint = " ".join(texts)
        first = np.cumsum([0, *(len(text) + 1 for text in texts)])
        texts = [joint] * len(texts)
        whole = [(joint, (0, len(joint)))]  # read as one text, one feature vector
    if not in_context:
        return tuple((stretch,) for stretch in whole)
    groups: dict[Any, list[Stretch]] = {}
    for number, token in enumerate(told):
        at, start, stop = int(token[1]), int(token[2]), int(token[3])
        shift = int(first[at]) if jointly else 0
        span = token[4] if kind == "SENTENCE_SPANS" and len(token) > 4 else number
        groups.setdefault(span, []).append((texts[at], (start + shift, stop + shift)))
    return tuple(tuple(group) for group in groups.values())


def task(name: str, about: dict[str, Any], found: Sequence[Sample]) -> Task:
    """Put samples together.

    Parameters
    ----------
    name : str
        Of the probing set.
    about : dict
        From `config`, with ``competence`` and ``phenomenon``.
    found : sequence of Sample

    Raises
    ------
    DataError
        If labels are not what the config says.
    """
    stretches = [stretch for sample in found for group in sample.inputs for stretch in group]
    passages, at = collected(stretches)
    numbers = iter(at.tolist())
    slots = tuple(tuple(tuple(next(numbers) for _ in group) for group in sample.inputs) for sample in found)
    n_labels = int(about["num_labels"])
    return Task(
        name=name,
        competence=str(about["competence"]),
        phenomenon=str(about["phenomenon"]),
        passages=passages,
        slots=slots,
        labels=_labels(name, [sample.label for sample in found], n_labels),
        n_labels=n_labels,
        split=np.array([sample.split for sample in found]),
    )


def _labels(name: str, told: Sequence[str], n_labels: int) -> Any:
    if n_labels == 1:
        try:
            return np.array([float(label) for label in told])
        except ValueError as error:
            raise DataError(f"task {name!r} is a regression (num_labels: 1), but {error}.") from error
    classes = sorted(set(told))
    if len(classes) > n_labels:
        raise DataError(
            f"task {name!r} has {len(classes)} different labels ({', '.join(classes[:6])}, …), but num_labels: {n_labels}."
        )
    return np.array([classes.index(label) for label in told])
