"""The tables of a study, each as numbers and as what a reader sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from brainexp.report import sweep
from brainexp.report.files import SCORES
from brainexp.report.probed import task_scores
from brainexp.report.study.family import family_of
from brainexp.result import ALL_VOXELS, MODEL

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Table:
    """One table.

    Parameters
    ----------
    name : str
        File name without suffix.
    title : str
        A heading.
    note : str
        How to read it.
    frame : DataFrame
        Numbers at full precision, names of columns for programs: what the CSV file holds.
    shown : mapping of str to (str, str)
        Columns that a reader sees: heading and format, which is one of `formats.FORMATS`. Others are in the CSV file only.
    long : bool
        Whether the page folds it up.
    """

    name: str
    title: str
    note: str
    frame: pd.DataFrame
    shown: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    long: bool = False


def scale_table(runs: Sequence[dict[str, Any]]) -> Table:
    """A row per uncompressed model: size, r, r over ceiling, the untrained twin and the layer."""
    import pandas as pd

    rows = []
    for run, name, (model, _) in _named(runs):
        if sweep.compression_of(run) != "none":
            continue
        metrics = run["metrics"]
        rows.append(
            {
                "run": name,
                "model": model,
                "family": family_of(run),
                "parameters": metrics.get("compression/parameters"),
                "n_subjects": len(run["subjects"]),
                **_scores(metrics, "alignment"),
                "untrained_r": metrics.get("baseline/untrained/r"),
                "layer": metrics.get("layer/chosen"),
                "layer_min": metrics.get("layer/chosen_min"),
                "layer_max": metrics.get("layer/chosen_max"),
            }
        )
    columns = ["run", "model", "family", "parameters", "n_subjects", *SCORES_SHOWN, "untrained_r", *LAYERS]
    frame = pd.DataFrame(rows, columns=columns).sort_values("parameters", kind="stable", ignore_index=True)
    shown = {
        "model": ("model", "text"),
        "parameters": ("parameters", "count"),
        "n_subjects": ("subjects", "count"),
        **SCORES_SHOWN,
        "untrained_r": ("untrained r", "3"),
        "layer": ("layer", "count"),
    }
    note = (
        "r on held-out rows, mean over all scored voxels and then over subjects, with its standard error over "
        "subjects, at the layer chosen on training rows; r / ceiling with its 95 % interval. The untrained twin has "
        "the same architecture and random weights."
    )
    return Table("scale", "Models", note, frame, shown)


#: Columns of a group of metrics.
SCORES_SHOWN = {
    "r": ("r", "3"),
    "r_se": ("± se", "3"),
    "r_norm": ("r / ceiling", "3"),
    "r_norm_low": ("low", "3"),
    "r_norm_high": ("high", "3"),
    "ceiling": ("ceiling", "3"),
}
LAYERS = ("layer", "layer_min", "layer_max")


def roi_table(runs: Sequence[dict[str, Any]]) -> Table:
    """A row per run and ROI."""
    import pandas as pd

    rows = []
    for run, name, (model, method) in _named(runs):
        for roi in rois_of(run):
            scores = _scores(run["metrics"], f"alignment/{roi}")
            untrained = run["metrics"].get(f"baseline/untrained/{roi}/r")
            rows.append(
                {"run": name, "model": model, "compression": method, "roi": roi, **scores, "untrained_r": untrained}
            )
    frame = pd.DataFrame(rows, columns=["run", "model", "compression", "roi", *SCORES_SHOWN, "untrained_r"])
    words = {"model": ("model", "text"), "compression": ("compression", "text"), "roi": ("ROI", "text")}
    shown = {**words, **SCORES_SHOWN, "untrained_r": ("untrained r", "3")}
    note = "As the table of models, inside each ROI, at the same layer unless the study chose one per voxel."
    return Table("rois", "Regions", note, frame, shown, long=True)


TESTED = {
    "verdict": ("verdict", "text"),
    "difference": ("Δr", "+3"),
    "ci_low": ("low", "+3"),
    "ci_high": ("high", "+3"),
    "t": ("t", "2"),
    "df": ("df", "count"),
    "p_t": ("p, t test", "p"),
    "p_wilcoxon": ("p, ranks", "p"),
    "p_sign_flip": ("p, sign flips", "p"),
    "g_z": ("g", "2"),
    "p_equivalence": ("p, equivalence", "p"),
    "p_t_adjusted": ("p, t test, adjusted", "p"),
    "p_equivalence_adjusted": ("p, equivalence, adjusted", "p"),
}


def test_tables(
    comparisons: pd.DataFrame, names: Mapping[str, str], name: str, title: str, what: str
) -> tuple[Table, Table]:
    """Put tests of pairs in two tables: over all voxels, and in each ROI.

    Parameters
    ----------
    comparisons : DataFrame
        With the columns `brainexp.comparison.COMPARISON_COLUMNS`.
    names : mapping of str to str
        What the reader calls a run.
    name, title, what : str
        File name, heading, and what is compared in words.
    """
    frame = comparisons.assign(
        df=comparisons.n_subjects - 1,
        verdict=[sweep.verdict(row) for _, row in comparisons.iterrows()],
        at=["own" if layer else "same" for layer in comparisons.layer.isna()],
        pair=[
            f"{names[one]} − {names[other]}"
            for one, other in zip(comparisons.source, comparisons.reference, strict=True)
        ],
    )
    both = {"pair": ("difference", "text"), "at": ("layer", "text")}
    both = both if (frame["at"] == "same").any() else {"pair": ("difference", "text")}
    margin = f"±{frame.margin.iloc[0]:g}" if len(frame) else "the margin"
    level = f"{100 * frame.confidence.iloc[0]:g} %" if len(frame) else "confidence"
    note = (
        f"{what} Paired over subjects: Δr with its {level} t interval, paired t test, Wilcoxon's signed ranks, exact "
        "sign flips; g is the standardised difference without small-sample bias; equivalence: two one-sided t tests "
        f"against a margin of {margin} in r. Verdict by adjusted p: equivalent, different, or undecided where neither "
        "is shown."
    )
    whole = frame[frame.roi == ALL_VOXELS].reset_index(drop=True)
    parts = frame[frame.roi != ALL_VOXELS].reset_index(drop=True)
    in_rois = {**both, "roi": ("ROI", "text"), **TESTED}
    return (
        Table(name, title, note, whole, {**both, **TESTED}),
        Table(f"{name}_rois", f"{title}, region by region", note, parts, in_rois, long=True),
    )


def cost_table(runs: Sequence[dict[str, Any]], comparisons: pd.DataFrame) -> Table:
    """What each run costs beside what it is worth: numbers of `brainexp.report.sweep.cost_rows`, and time and memory."""
    frame = sweep.cost_rows(list(runs), comparisons)
    named = {
        "parameters": "compression/parameters",
        "sparsity": "compression/sparsity",
        "seconds": "compression/seconds",
        "peak_memory_bytes": "compression/peak_memory_bytes",
        "tokens_per_second": "features/tokens_per_second",
        "run_memory_bytes": "memory/peak_bytes",
    }
    for column, metric in named.items():
        frame[column] = [_number(run["metrics"].get(metric)) for run in runs]
    times = [[value for key, value in run["metrics"].items() if key.startswith("time/") and value] for run in runs]
    frame["run_seconds"] = [float(sum(values)) for values in times]
    frame["bytes"] = 1e6 * frame.megabytes
    shown = {
        "model": ("model", "text"),
        "compression": ("compression", "text"),
        "bits_per_weight": ("bits / weight", "2"),
        "megabytes": ("MB", "1"),
        "seconds": ("seconds to compress", "1"),
        "peak_memory_bytes": ("memory to compress", "bytes"),
        "tokens_per_second": ("tokens / s", "0"),
        "perplexity": ("perplexity", "2"),
        "r": ("r", "3"),
        "verdict": ("verdict", "text"),
        "run_seconds": ("seconds of the run", "0"),
    }
    note = (
        "Bits per weight over all parameters; size of the checkpoint on disk, where there is none of the weights in "
        "memory; perplexity of held-out text; tokens per second while features were read, on the machine of the run "
        "and missing where they came from the cache. Verdict: r against the uncompressed twin over all voxels, each "
        "at its own layer."
    )
    return Table("costs", "Costs", note, frame, shown)


def probe_table(runs: Sequence[dict[str, Any]]) -> Table:
    """Mean score of each run's probing sets per competence, beside the floor that chance gives."""
    import pandas as pd

    rows = []
    for run, name, (model, method) in _named(runs):
        for (probe, competence), some in task_scores(run).groupby(["probe", "competence"], sort=False):
            score, floor = (float(some[column].astype(float).mean()) for column in ("score", "floor"))
            told = {"probe": probe, "competence": competence, "n_tasks": len(some), "score": score, "floor": floor}
            rows.append({"run": name, "model": model, "compression": method, **told})
    frame = pd.DataFrame(
        rows, columns=["run", "model", "compression", "probe", "competence", "n_tasks", "score", "floor"]
    )
    shown = {
        "model": ("model", "text"),
        "compression": ("compression", "text"),
        "probe": ("probe", "text"),
        "competence": ("competence", "text"),
        "n_tasks": ("probing sets", "count"),
        "score": ("score", "3"),
        "floor": ("by chance", "3"),
    }
    note = (
        "Mean over probing sets at the last probed layer, on test samples, beside the score of probes that were "
        "trained on random labels (minimal pairs: one half; facts: none)."
    )
    return Table("probes", "Probes", note, frame, shown, long=len(frame) > 24)


def dissociation_table(table: pd.DataFrame, names: Mapping[str, str]) -> Table:
    """What compression costs of probes and of alignment: `brainexp.report.dissociation.dissociations`."""
    frame = table.assign(pair=[names[run] for run in table.run])
    shown = {
        "pair": ("run", "text"),
        "competence": ("competence", "text"),
        "alignment_change": ("alignment", "%"),
        "probes_change": ("probes", "%"),
        "ci_low": ("low", "%"),
        "ci_high": ("high", "%"),
        "p_larger_adjusted": ("p, probes lose more, adjusted", "p"),
        "p_equivalence_adjusted": ("p, equivalence of r, adjusted", "p"),
        "verdict": ("verdict", "text"),
    }
    note = (
        "Changes as shares of what the uncompressed twin has above chance; the interval is of the probes' loss less "
        "the alignment's. Dissociated: the probes' share is larger, and r has changed by less than the margin of "
        "equivalence."
    )
    return Table("dissociation", "Probes against alignment", note, frame, shown, long=len(frame) > 24)


def rate_table(runs: Sequence[dict[str, Any]]) -> Table:
    """Who wins at probes: `brainexp.report.sweep.leaderboard`."""
    rates, _ = sweep.leaderboard(list(runs))
    called = {name: f"{model} · {method}" for _, name, (model, method) in _named(runs)}
    frame = rates.assign(pair=[called[run] for run in rates.run])
    shown = {"pair": ("run", "text"), **{column: (str(column), "2") for column in rates.columns[1:]}}
    note = "Winning rate over the probing sets that all runs were asked: 0 last, 1 first."
    return Table("winning_rates", "Who wins at probes", note, frame, shown)


def job_table(jobs: pd.DataFrame) -> Table:
    """Every job and what became of it."""
    shown = {
        "folder": ("folder", "text"),
        "job": ("job", "count"),
        "overrides": ("overrides", "text"),
        "status": ("status", "text"),
        "error": ("error", "text"),
    }
    shown = shown if len(set(jobs.folder)) > 1 else {key: value for key, value in shown.items() if key != "folder"}
    note = "Jobs of the launch as Hydra unfolds them. What did not finish is in no other table and no figure."
    return Table("jobs", "Jobs", note, jobs, shown, long=len(jobs) > 24)


def subject_rows(runs: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """r of every subject in every ROI, at the run's own layer and at every layer.

    Returns
    -------
    DataFrame
        ``run``, ``model``, ``compression``, ``family``, ``parameters``, ``source``, ``subject``, ``layer`` (missing for the
        one that was chosen), ``roi``, ``r``, ``r_norm``; the untrained twin is a source.
    """
    import pandas as pd

    parts = []
    for run, name, (model, method) in _named(runs):
        scores = pd.read_parquet(Path(run["folder"]) / SCORES)
        scores = scores[scores.source.isin([MODEL, "untrained"])]
        about: dict[str, Any] = {
            "run": name,
            "model": model,
            "compression": method,
            "family": family_of(run),
            "parameters": _number(run["metrics"].get("compression/parameters")),
        }
        kept = scores[["source", "subject", "layer", "roi", "r", "r_norm"]]
        parts.append(kept.assign(**about))
    return pd.concat(parts, ignore_index=True)


def rois_of(run: Mapping[str, Any]) -> list[str]:
    """ROIs of a run, without the one of all voxels."""
    keys = [key.split("/") for key in run["metrics"] if key.startswith("alignment/")]
    return [parts[1] for parts in keys if len(parts) == 3 and parts[2] == "r"]


def _named(runs: Sequence[dict[str, Any]]) -> list[tuple[dict[str, Any], str, tuple[str, str]]]:
    return list(zip(runs, sweep.job_names(list(runs)), sweep.labels(list(runs)), strict=True))


def _scores(metrics: Mapping[str, float | None], prefix: str) -> dict[str, float]:
    return {name: _number(metrics.get(f"{prefix}/{name}")) for name in SCORES_SHOWN}


def _number(value: float | None) -> float:
    return np.nan if value is None else float(value)
