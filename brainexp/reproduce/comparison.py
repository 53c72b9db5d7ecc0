"""Hold a run against the record that it repeats, stage by stage: bit for bit, within a tolerance, or not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from brainexp.readout import ARRAYS, load
from brainexp.report.files import READOUTS, RESULT, SCORES, VOXELS

if TYPE_CHECKING:
    import pandas as pd

#: In their order, so that the first that differs is where to look.
STAGES = (
    *(
        "seeds",
        "data",
        "model",
        "compression",
        "features",
        "ceiling",
        "encoding",
        "baselines",
        "partition",
        "statistics",
    ),
    *("readout", "probes"),
)
#: Metrics and columns that tell of time and memory, and are never the same twice.
EXCLUDED = (
    *("time/*", "memory/*", "*/seconds", "*/proof_seconds", "*/tokens_per_second", "*/peak_memory_bytes"),
    "*/peak_gpu_memory_bytes",
)
#: Differences are absolute below one, and relative above.
TOLERANCE = 1e-6

IDENTICAL: Literal["identical"] = "identical"
WITHIN: Literal["within"] = "within"
DIFFERS: Literal["differs"] = "differs"
#: Digests that differ: how far off values are, the scores tell.
OTHER_BITS: Literal["other bits"] = "other bits"
UNKNOWN: Literal["not recorded"] = "not recorded"
Verdict = Literal["identical", "within", "differs", "other bits", "not recorded"]


@dataclass(frozen=True)
class Finding:
    """How one thing compares.

    Parameters
    ----------
    stage : str
        One of `STAGES`.
    what : str
        What was compared.
    verdict : str
        "identical" bit for bit, equal "within" the tolerance, "differs"; for digests "other bits", "not recorded".
    largest : float or None
        Largest difference; None where there is no number for it.
    where : str
        Where it is, or what is the matter.
    """

    stage: str
    what: str
    verdict: Verdict
    largest: float | None = 0.0
    where: str = ""


@dataclass(frozen=True)
class Comparison:
    """All findings, in the order of the stages.

    Parameters
    ----------
    findings : tuple of Finding
        What was compared.
    tolerance : float
        Within which numbers count as equal.
    """

    findings: tuple[Finding, ...]
    tolerance: float

    @property
    def verdict(self) -> Verdict:
        """The worst that numbers say."""
        return worst([one.verdict for one in self.findings if one.verdict not in (OTHER_BITS, UNKNOWN)])

    @property
    def reproduced(self) -> bool:
        """Whether all numbers are equal within the tolerance."""
        return self.verdict != DIFFERS

    @property
    def first(self) -> Finding | None:
        """Where to look first: the earliest finding that is more than rounding, else the earliest; None if all is equal."""
        unlike = [one for one in self.findings if one.verdict not in (IDENTICAL, UNKNOWN)]
        return next((one for one in unlike if one.verdict != WITHIN), unlike[0] if unlike else None)

    def of(self, stage: str) -> tuple[Finding, ...]:
        """Findings of a stage."""
        return tuple(one for one in self.findings if one.stage == stage)


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """Return the verdict that says most against the whole.

    >>> worst(["identical", "within"])
    'within'
    """
    order: tuple[Verdict, ...] = (DIFFERS, WITHIN, OTHER_BITS, UNKNOWN)
    return next((one for one in order if one in verdicts), IDENTICAL)


def compared(recorded: Path, again: Path, tolerance: float = TOLERANCE) -> Comparison:
    """Compare the files of two runs.

    Parameters
    ----------
    recorded : Path
        Folder of the recorded run.
    again : Path
        Folder of its repetition.
    tolerance : float
        Numbers whose difference is no larger count as equal; the difference is relative where they are above one.
    """
    then, now = (json.loads((folder / RESULT).read_text(encoding="utf-8")) for folder in (recorded, again))
    findings = [
        *_of_provenance(then.get("provenance") or {}, now["provenance"]),
        *_of_metrics(then, now, tolerance),
        *_of_curves(then["curves"], now["curves"], tolerance),
        *_of_voxels(recorded / VOXELS, again / VOXELS, tolerance),
        *_of_tables(recorded, again, tolerance),
        *_of_readouts(recorded / READOUTS, again / READOUTS, tolerance),
    ]
    return Comparison(tuple(sorted(findings, key=lambda one: STAGES.index(one.stage))), tolerance)


def excluded(name: str) -> bool:
    """Whether a metric tells of time or memory only."""
    return any(fnmatch(name, pattern) for pattern in EXCLUDED)


def stage_of(name: str) -> str:
    """Stage to which a metric, a curve, a table or an array over voxels belongs, by its name.

    >>> stage_of("alignment/LPTL/r"), stage_of("probe/word_length/r"), stage_of("q"), stage_of("ceiling_se")
    ('encoding', 'probes', 'statistics', 'ceiling')
    """
    group, _, rest = name.replace("_", "/", 1).partition("/")
    of_group = {"baseline": "baselines", "probe": "probes", "compression": "compression", "features": "features"}
    if group in ("ceiling", "partition"):
        return group
    if group in of_group:
        return of_group[group]
    if name in ("subject", "clocks"):
        return "data"
    if name in ("p", "q", "comparisons", "alignment/significant_fraction") or name.endswith(("_low", "_high")):
        return "statistics"
    return "ceiling" if rest.endswith("ceiling") else "encoding"


def _of_provenance(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Finding]:
    yield _digests("seeds", "seeds", then.get("seeds"), now["seeds"])
    data, features = then.get("data") or {}, then.get("features") or {}
    yield _digests("data", "stories", data.get("stories"), now["data"]["stories"])
    yield _digests("data", "responses", data.get("responses"), now["data"]["responses"])
    model = then.get("model") or {}
    yield _digests("model", "weights", _one(model, "source"), _one(now["model"], "source"))
    yield _digests("model", "weights and what reads them", _one(model, "identity"), _one(now["model"], "identity"))
    made = then.get("compression")
    if made or now["compression"]:
        for what, key in (("what made the checkpoint", "key"), ("checkpoint", "content")):
            yield _digests("compression", what, made and _one(made, key), _one(now["compression"], key))
    for what, key in (("what made the features", "key"), ("features", "content")):
        was, there = (_by_story(told, key) for told in (features, now["features"]))
        yield _digests("features", what, was, there)
    was, there = (
        {str(at): one for at, one in enumerate(told["layers"])} if told else None
        for told in (features, now["features"])
    )
    yield _digests("features", "layers", was, there)


def _one(told: Mapping[str, Any], key: str) -> dict[str, Any] | None:
    return {key: told[key]} if told.get(key) else None


def _by_story(told: Mapping[str, Any], key: str) -> dict[str, Any] | None:
    stories = told.get("stories") or {}
    found = {story: one[key] for story, one in stories.items() if key in one}
    return found if found and len(found) == len(stories) else None


def _digests(stage: str, what: str, then: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> Finding:
    if not then or not now:
        return Finding(stage, what, UNKNOWN, None)
    names = [name for name in {**then, **now} if then.get(name) != now.get(name)]
    if not names:
        return Finding(stage, what, IDENTICAL)
    count = f"{len(names)} of {len({**then, **now})}: " if len(then) > 1 else ""
    shown = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
    return Finding(stage, what, OTHER_BITS, None, count + shown)


def _of_metrics(then: Mapping[str, Any], now: Mapping[str, Any], tolerance: float) -> Iterator[Finding]:
    by_stage: dict[str, list[str]] = {}
    for name in then["metrics"]:
        if not excluded(name):
            by_stage.setdefault(stage_of(name), []).append(name)
    for stage, names in by_stage.items():
        yield from _gone(stage, "metrics", [name for name in names if name not in now["metrics"]])
        both = [name for name in names if name in now["metrics"]]
        values = [np.array([told["metrics"][name] for name in both], float) for told in (then, now)]
        yield arrays_compared(stage, "metrics", values[0], values[1], tolerance, lambda at, both=both: both[at[0]])  # type: ignore[misc]


def _of_curves(then: Mapping[str, Any], now: Mapping[str, Any], tolerance: float) -> Iterator[Finding]:
    for name in then:
        if name in now:
            values = [np.array(told[name], float) for told in (then, now)]
            yield arrays_compared(stage_of(name), name, values[0], values[1], tolerance, lambda at: f"position {at[0]}")
    for stage in STAGES:
        yield from _gone(stage, "curves", [name for name in then if name not in now and stage_of(name) == stage])


def _of_voxels(recorded: Path, again: Path, tolerance: float) -> Iterator[Finding]:
    with np.load(recorded, allow_pickle=False) as then, np.load(again, allow_pickle=False) as now:
        subjects = then["subject"]

        def place(at: tuple[int, ...]) -> str:
            fold = f", fold {at[1]}" if len(at) > 1 else ""
            return f"voxel {at[0] - int(np.argmax(subjects == subjects[at[0]]))} of {subjects[at[0]]}{fold}"

        for name in then.files:
            if name in now.files:
                yield arrays_compared(stage_of(name), f"{VOXELS}: {name}", then[name], now[name], tolerance, place)
        for stage in STAGES:
            gone = [name for name in then.files if name not in now.files and stage_of(name) == stage]
            yield from _gone(stage, VOXELS, gone)


def _of_tables(recorded: Path, again: Path, tolerance: float) -> Iterator[Finding]:
    import pandas as pd

    for file in sorted(recorded.glob("*.parquet")):
        stage = stage_of(file.stem)
        if not (again / file.name).is_file():
            yield from _gone(stage, "tables", [file.name])
            continue
        then, now = pd.read_parquet(file), pd.read_parquet(again / file.name)
        if file.name != SCORES:
            yield from tables_compared(stage, file.name, then, now, tolerance)
            continue
        for stage, own in (("encoding", "model"), ("baselines", None)):
            rows = [one[(one.source == "model") == (own is not None)].reset_index(drop=True) for one in (then, now)]
            yield from tables_compared(stage, file.name, rows[0], rows[1], tolerance)


def tables_compared(
    stage: str, what: str, then: pd.DataFrame, now: pd.DataFrame, tolerance: float
) -> Iterator[Finding]:
    """Compare two tables row by row: one finding per stage, for what tells of ceilings belongs to another one."""
    yield from _gone(stage, what, [str(name) for name in then.columns if name not in now.columns])
    if len(then) != len(now):
        yield Finding(stage, what, DIFFERS, None, f"{len(then)} rows, now {len(now)}")
        return
    labels = [name for name in then.columns if then[name].dtype.kind not in "fb"][:6]

    def place(column: Any) -> Callable[[tuple[int, ...]], str]:
        return lambda at: f"{column} of {' · '.join(str(then[one].iloc[at[0]]) for one in labels)}"

    by_stage: dict[str, list[Finding]] = {}
    for column in then.columns:
        if column in now.columns and not excluded(f"{what}/{column}"):
            own = "ceiling" if str(column).startswith("ceiling") else stage
            values = (_values(then[column]), _values(now[column]))
            by_stage.setdefault(own, []).append(arrays_compared(own, what, *values, tolerance, place(column)))
    for findings in by_stage.values():
        yield most(findings)


def most(findings: Sequence[Finding]) -> Finding:
    """Return the finding with the worst verdict, and of several the one that is farthest off."""
    verdict = worst([one.verdict for one in findings])
    return max(
        (one for one in findings if one.verdict == verdict),
        key=lambda one: np.inf if one.largest is None else one.largest,
    )


def arrays_compared(
    stage: str,
    what: str,
    then: np.ndarray[Any, Any],
    now: np.ndarray[Any, Any],
    tolerance: float,
    place: Callable[[tuple[int, ...]], str],
) -> Finding:
    """Compare two arrays; NaN equals NaN, and whole numbers and words must be the same.

    Parameters
    ----------
    stage, what
        As for `Finding`.
    then, now : arrays
        Values.
    tolerance : float
        For numbers that are not whole.
    place : callable
        From an index to words for it.
    """
    if then.shape != now.shape:
        return Finding(stage, what, DIFFERS, None, f"shape {then.shape}, now {now.shape}")
    if then.dtype == now.dtype and then.tobytes() == now.tobytes():
        return Finding(stage, what, IDENTICAL)
    whole = then.dtype.kind in "iub" and now.dtype.kind in "iub"
    if not whole and (then.dtype.kind not in "fiub" or now.dtype.kind not in "fiub"):
        unlike = np.flatnonzero(then.astype(str) != now.astype(str))
        if not unlike.size:
            return Finding(stage, what, IDENTICAL)
        at = tuple(int(one) for one in np.unravel_index(unlike[0], then.shape))
        return Finding(stage, what, DIFFERS, None, f"{place(at)}: {then[at]}, now {now[at]}")
    off = np.abs(then.astype(float) - now.astype(float)) if whole else _off(then.astype(float), now.astype(float))
    at = tuple(int(one) for one in np.unravel_index(int(np.argmax(off)), off.shape))
    largest = float(off[at])
    equal = largest == 0 if whole else largest <= tolerance
    shown = "" if largest == 0 else f"{place(at)}: {then[at]:.9g}, now {now[at]:.9g}"
    return Finding(stage, what, WITHIN if equal else DIFFERS, largest if np.isfinite(largest) else None, shown)


def _off(then: np.ndarray[Any, Any], now: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Differences, relative above one; infinite where only one is a number."""
    alike = (then == now) | (np.isnan(then) & np.isnan(now))
    scale = np.maximum(1.0, np.maximum(np.abs(then), np.abs(now)))
    with np.errstate(invalid="ignore"):
        off = np.abs(then - now) / scale
    return np.where(alike, 0.0, np.where(np.isnan(off), np.inf, off))


def _values(column: pd.Series) -> np.ndarray[Any, Any]:
    """Values of a column as numbers or words; missing numbers are NaN."""
    import pandas as pd

    if pd.api.types.is_bool_dtype(column.dtype) or not pd.api.types.is_numeric_dtype(column.dtype):
        return column.astype(str).to_numpy(dtype=str)
    return column.to_numpy(dtype=float, na_value=np.nan) if column.hasnans else column.to_numpy()


def _of_readouts(recorded: Path, again: Path, tolerance: float) -> Iterator[Finding]:
    for file in sorted(recorded.glob("*")) if recorded.is_dir() else ():
        if not (again / file.name).is_file():
            yield from _gone("readout", READOUTS, [file.name])
            continue
        then, now = load(file), load(again / file.name)
        findings = []
        for name in ARRAYS:
            values = getattr(then, name), getattr(now, name)
            what = f"{READOUTS}/{file.name}"
            findings.append(arrays_compared("readout", what, *values, tolerance, partial(_element, name)))
        yield most(findings)


def _nth(names: Sequence[str], at: tuple[int, ...]) -> str:
    return names[at[0]]


def _element(name: str, at: tuple[int, ...]) -> str:
    return f"{name}{list(at)}"


def _gone(stage: str, what: str, names: Sequence[str]) -> Iterator[Finding]:
    if names:
        yield Finding(stage, what, DIFFERS, None, f"no longer there: {', '.join(names)}")
