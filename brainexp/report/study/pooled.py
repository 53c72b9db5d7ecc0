"""Jobs that differ in subjects alone are one condition: a study may have a job per subject."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from brainexp.containers import Space
from brainexp.report.files import SCORES, VOXELS
from brainexp.report.pairing import SUBJECTS
from brainexp.report.spaces import FILE as SPACES
from brainexp.report.spaces import load_spaces, save_spaces
from brainexp.report.sweep import job_names
from brainexp.result import ALL_VOXELS, MODEL, alignment_metrics
from brainexp.score.ceiling import basic_interval
from brainexp.settings import decisive

if TYPE_CHECKING:
    import pandas as pd

DRAWS = 2000
#: Of a run's record: what is computed anew of several runs; the rest is the first one's.
OF_SUBJECTS = ("alignment/", "baseline/", "layer/", "partition/")


def pooled(runs: Sequence[dict[str, Any]], folder: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Make one record of runs whose options differ in ``dataset.subjects`` alone.

    Parameters
    ----------
    runs : sequence of dict
        As `brainexp.report.sweep.records` returns them.
    folder : Path
        Where the files of such records are put.

    Returns
    -------
    runs : list of dict
        In the order of their first ones. Means, standard errors and intervals are over all subjects; the interval of
        normalised r is by drawing subjects, without the ceilings' own uncertainty.
    remarks : list of str
    """
    groups: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
    for run in runs:
        options = {key: value for key, value in decisive(run["config"]).items() if key != SUBJECTS}
        alike = next((members for known, members in groups if known == options), None)
        if alike is None:
            groups.append((options, [run]))
        else:
            alike.append(run)
    made, remarks = [], []
    for number, (_, members) in enumerate(groups):
        if len(members) == 1:
            made.append(members[0])
            continue
        one, told = _one_of(members, folder / str(number))
        made.append(one)
        remarks += told
    several = [members for _, members in groups if len(members) > 1]
    if several:
        names = ", ".join(
            dict.fromkeys(job_names(list(made))[at] for at, (_, some) in enumerate(groups) if len(some) > 1)
        )
        remarks.insert(
            0,
            f"Jobs that differ in subjects alone are taken together: {names}. Each job has chosen its own layer; intervals "
            "of r / ceiling are by drawing subjects.",
        )
    return made, remarks


def _one_of(members: Sequence[dict[str, Any]], folder: Path) -> tuple[dict[str, Any], list[str]]:
    import pandas as pd

    folder.mkdir(parents=True)
    owners: dict[str, int] = {}
    for number, run in enumerate(members):
        for subject in run["subjects"]:
            owners.setdefault(subject, number)
    twice = [who for who in owners if sum(who in run["subjects"] for run in members) > 1]
    remarks = [f"{members[0]['name']}: {', '.join(twice)} is in several jobs; the first counts."] if twice else []
    parts = [pd.read_parquet(Path(run["folder"]) / SCORES) for run in members]
    own = [part[part.subject.map(owners) == number] for number, part in enumerate(parts)]
    scores = pd.concat(own, ignore_index=True)
    scores.to_parquet(folder / SCORES, index=False)
    _pool_voxels(members, owners, folder)
    _copy_probes(members[0], folder)
    first = members[0]
    config = {**first["config"], "dataset": {**first["config"]["dataset"], "subjects": list(owners)}}
    return {
        **first,
        "config": config,
        "subjects": list(owners),
        "metrics": _metrics(members, scores),
        "folder": str(folder),
        "remarks": list(dict.fromkeys(words for run in members for words in run["remarks"])),
    }, remarks


def _metrics(members: Sequence[Mapping[str, Any]], scores: pd.DataFrame) -> dict[str, float | None]:
    metrics = {key: value for key, value in members[0]["metrics"].items() if not key.startswith(OF_SUBJECTS)}
    for key in metrics:
        values = [run["metrics"][key] for run in members if run["metrics"].get(key) is not None]
        if key.startswith("time/") and values:
            metrics[key] = float(sum(values))
        elif key.startswith("memory/") and values:
            metrics[key] = float(max(values))
        elif key.startswith("probe/") and len(values) == len(
            members
        ):  # surprisal is scored in subjects, most are the model's
            metrics[key] = float(np.average(values, weights=[len(run["subjects"]) for run in members]))
    layers = [run["metrics"]["layer/chosen"] for run in members]
    metrics |= {key: value if np.isfinite(value) else None for key, value in alignment_metrics(scores).items()}
    metrics |= _normalised_intervals(scores)
    metrics["layer/chosen"] = float(max(sorted(set(layers)), key=layers.count))
    metrics["layer/chosen_min"] = float(min(run["metrics"]["layer/chosen_min"] for run in members))
    metrics["layer/chosen_max"] = float(max(run["metrics"]["layer/chosen_max"] for run in members))
    return metrics


def _normalised_intervals(scores: pd.DataFrame) -> dict[str, float | None]:
    rng = np.random.default_rng(0)
    found: dict[str, float | None] = {}
    chosen = scores[(scores.source == MODEL) & scores.layer.isna()]
    for roi, rows in chosen.groupby("roi", sort=False):
        prefix = "alignment" if roi == ALL_VOXELS else f"alignment/{roi}"
        values = rows.r_norm.dropna().to_numpy(float)
        if len(values) < 2:
            found |= {f"{prefix}/r_norm_low": None, f"{prefix}/r_norm_high": None}
            continue
        drawn = values[rng.integers(0, len(values), (DRAWS, len(values)))].mean(axis=1)
        low, high = basic_interval(float(values.mean()), drawn)
        found |= {f"{prefix}/r_norm_low": low, f"{prefix}/r_norm_high": high}
    return found


def _pool_voxels(members: Sequence[Mapping[str, Any]], owners: Mapping[str, int], folder: Path) -> None:
    arrays: dict[str, list[np.ndarray[Any, Any]]] = {}
    spaces: dict[str, Space] = {}
    for number, run in enumerate(members):
        own = Path(run["folder"])
        with np.load(own / VOXELS) as file:
            mine = np.array([owners[str(who)] == number for who in file["subject"]])
            for key in ("subject", "r", "ceiling", "r_norm"):
                arrays.setdefault(key, []).append(file[key][mine])
        if (own / SPACES).is_file():
            spaces |= {who: space for who, space in load_spaces(own / SPACES).items() if owners[who] == number}
    np.savez_compressed(folder / VOXELS, **{key: np.concatenate(parts) for key, parts in arrays.items()})  # type: ignore[arg-type]
    if len(spaces) == len(owners):
        save_spaces({who: spaces[who] for who in owners}, folder / SPACES)


def _copy_probes(run: Mapping[str, Any], folder: Path) -> None:
    """What probes find is the model's, not the subjects'."""
    for file in Path(run["folder"]).glob("probe_*.parquet"):
        shutil.copyfile(file, folder / file.name)
