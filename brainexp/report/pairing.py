"""The jobs of a sweep against their reference, paired over subjects: does compression preserve alignment?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from brainexp.comparison import adjusted_table, paired_rows
from brainexp.registry import validated
from brainexp.report.figures import MAX_ROIS
from brainexp.report.files import SCORES
from brainexp.report.sweep import compression_of, job_names
from brainexp.result import ALL_VOXELS
from brainexp.settings import VOLATILE, Scoring, leaves

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TABLE = "comparisons.csv"
FIGURE = "comparisons.png"
#: Sections and options that must be alike, else subjects, held-out rows or what is predicted of them are not the same.
PAIRED_BY = ("dataset.", "split.by", "split.folds", "split.gap_trs", "encoder.nuisance")
#: Runs of different subjects are paired over those whom they have in common.
SUBJECTS = "dataset.subjects"
#: What differs beyond these is counted.
MAX_REASONS = 3


def job_comparisons(runs: Sequence[dict[str, Any]]) -> tuple[pd.DataFrame, list[str]]:
    """Compare each job of a sweep with its reference over subjects, in every ROI.

    At the layer that each job chose, and at the one that the reference chose most often: a model that was damaged may make
    up for it by another layer, which only the same layer shows.

    Parameters
    ----------
    runs : list of dict
        As `brainexp.report.sweep.records` returns them.

    Returns
    -------
    comparisons : DataFrame
        With the columns `brainexp.comparison.COMPARISON_COLUMNS`; ``layer`` is missing for the jobs' own layers. Margin,
        confidence and multiplicity are the first job's.
    remarks : list of str
        What was not compared, and why.
    """
    pairs = [(at, reference(at, runs)) for at in range(len(runs))]
    return compared_pairs(runs, [(at, other) for at, other in pairs if at != other], "jobs")


def twin_comparisons(runs: Sequence[dict[str, Any]]) -> tuple[pd.DataFrame, list[str]]:
    """Compare each compressed run with its uncompressed twin, and nothing else; returns what `job_comparisons` does.

    Compressed runs are families of tests of their own here: which models are compared with each other does not count.
    """
    pairs = [(at, reference(at, runs)) for at, run in enumerate(runs) if compression_of(run) != "none"]
    twins = [
        (at, other) for at, other in pairs if compression_of(runs[other]) == "none" and _same_model(runs, at, other)
    ]
    return compared_pairs(runs, twins, "compressions")


def model_comparisons(runs: Sequence[dict[str, Any]]) -> tuple[pd.DataFrame, list[str]]:
    """Compare every two uncompressed models, the larger one minus the smaller one, each at its own layer.

    Returns what `job_comparisons` does. All pairs over all voxels are one family of tests, all pairs × ROIs another.
    """
    whole = [at for at, run in enumerate(runs) if compression_of(run) == "none"]
    whole.sort(key=lambda at: runs[at]["metrics"].get("compression/parameters") or 0.0)
    pairs = [(larger, smaller) for number, smaller in enumerate(whole) for larger in whole[number + 1 :]]
    return compared_pairs(runs, pairs, "models", same_layer=False)


def compared_pairs(
    runs: Sequence[dict[str, Any]], pairs: Sequence[tuple[int, int]], family: str, same_layer: bool = True
) -> tuple[pd.DataFrame, list[str]]:
    """Compare pairs of runs, each at its own layer and, where that is asked for, at the one that the second chose.

    Parameters
    ----------
    runs : list of dict
        As `brainexp.report.sweep.records` returns them.
    pairs : sequence of (int, int)
        Indices of a run and of the one that it is compared with.
    family : str
        What the families of tests are called.
    same_layer : bool
        Whether layers of one number are the same part of the same network.

    Returns
    -------
    comparisons : DataFrame
        See `job_comparisons`.
    remarks : list of str
    """
    names = job_names(list(runs))
    scoring = validated(Scoring, runs[0]["config"].get("scoring", {}), "scoring")
    rng = np.random.default_rng(int(runs[0]["config"].get("seed", 0)))
    rows: list[dict[str, object]] = []
    remarks = []
    for at, reference_at in pairs:
        run, other_run, who = runs[at], runs[reference_at], (names[at], names[reference_at])
        differs = unlike(run, other_run)
        if differs:
            remarks.append(f"{who[0]} is not compared with {who[1]}: they differ in {differs}.")
            continue
        own, other = (_model_rows(Path(one["folder"]) / SCORES) for one in (run, other_run))
        rows += paired_rows(
            _at_layer(own, None), _at_layer(other, None), (*who, f"{family}, own layer"), None, scoring, rng
        )
        remarks += _uncommon(own, other, who)
        if not same_layer:
            continue
        moved = moved_blocks(run, other_run)
        if moved:
            remarks.append(
                f"{who[0]} is compared with {who[1]} at their own layers only, since {moved}: layers of one "
                "number are not of the same block."
            )
        elif own.layer.max() == other.layer.max():
            layer = int(other_run["metrics"]["layer/chosen"])
            rows += paired_rows(
                _at_layer(own, layer), _at_layer(other, layer), (*who, f"{family}, same layer"), layer, scoring, rng
            )
        else:
            remarks.append(
                f"{who[0]} has {own.layer.max() + 1} layers and {who[1]} {other.layer.max() + 1}: they are "
                "compared at their own layers only."
            )
    table = adjusted_table(rows, scoring)
    remarks += [
        f"{family.capitalize()} against their reference: {words}."
        for words in table.remark[table.remark != ""].unique()
    ]
    return table, remarks


def reference(at: int, runs: Sequence[dict[str, Any]]) -> int:
    """Index of the run that run ``at`` is compared with: its uncompressed twin, else the first that can be paired with it.

    Of several uncompressed runs of the same model, the one that is most like it in all other options. Where none can be
    paired, the first: `unlike` says what differs.
    """
    own = _options(runs[at])
    twins = [
        (sum(own.get(key) != value for key, value in other.items() if not key.startswith("compression.")), number)
        for number, other in enumerate(map(_options, runs))
        if other.get("compression.name") == "none" and _of_model(other) == _of_model(own) and number != at
    ]
    if twins and own.get("compression.name") != "none":
        return min(twins)[1]
    first = next(number for number, other in enumerate(runs) if not unlike(runs[at], other))
    return first if first != at else 0


def unlike(run: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """What forbids to pair the subjects of two runs, in words; empty where nothing does."""
    options, others = _options(run), _options(other)
    differing = [
        f"{key}: {options.get(key)} and {others.get(key)}"
        for key in dict.fromkeys([*options, *others])
        if key.startswith(PAIRED_BY) and key != SUBJECTS and options.get(key) != others.get(key)
    ]
    if not differing and not set(run["subjects"]) & set(other["subjects"]):
        differing = [f"subjects: {', '.join(run['subjects'])} and {', '.join(other['subjects'])}"]
    more = f"; and {len(differing) - MAX_REASONS} more" if len(differing) > MAX_REASONS else ""
    return "; ".join(differing[:MAX_REASONS]) + more


def moved_blocks(run: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Why layers of the same number are of other blocks in two runs, in words; empty where they are of the same."""
    dropped = [int(one["metrics"].get("compression/blocks_dropped") or 0) for one in (run, other)]
    methods = [
        {key: value for key, value in _options(one).items() if key.startswith("compression.")} for one in (run, other)
    ]
    if not any(dropped) or methods[0] == methods[1]:
        return ""
    return f"compression dropped {dropped[0]} and {dropped[1]} blocks"


def forest(comparisons: pd.DataFrame) -> Figure:
    """Draw each difference with its intervals, a row per ROI and job, the margin of equivalence shaded.

    Parameters
    ----------
    comparisons : DataFrame
        As `job_comparisons` returns it; at least one row. Jobs' own layers are on the left, the same layer on the right.

    Returns
    -------
    Figure
    """
    from matplotlib.figure import Figure

    parts = [("each at its own layer", comparisons[comparisons.layer.isna()])]
    if comparisons.layer.notna().any():
        parts.append(("at the layer of the reference", comparisons[comparisons.layer.notna()]))
    rois = list(dict.fromkeys(comparisons.roi))[-MAX_ROIS:]  # the last is the one of all voxels
    pairs = list(dict.fromkeys(zip(comparisons.source, comparisons.reference, strict=True)))
    height = 0.14 * len(rois) * (len(pairs) + 1) + 1.2 + 0.2 * len(pairs)
    figure = Figure(figsize=(4.2 * len(parts) + 1, max(3.0, height)), layout="constrained")
    panels = figure.subplots(1, len(parts), sharex=True, sharey=True, squeeze=False)[0]
    for panel, (title, rows) in zip(panels, parts, strict=True):
        _draw(panel, rows, rois, pairs)
        panel.set_title(title, fontsize=9)
    panels[0].set_yticks(np.arange(len(rois)), ["all voxels" if roi == ALL_VOXELS else roi for roi in rois])
    panels[0].invert_yaxis()
    figure.supxlabel(
        f"difference of r, {_per_cent(comparisons)}; thick: what must lie within the margin", fontsize="medium"
    )
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=1, fontsize=8, frameon=False)
    return figure


def _draw(panel: Axes, rows: pd.DataFrame, rois: Sequence[str], pairs: Sequence[tuple[str, str]]) -> None:
    margin = float(rows.margin.iloc[0])
    panel.axvspan(-margin, margin, color="0.9", lw=0, zorder=0, label=f"margin of equivalence, ±{margin:g}")
    panel.axvline(0, color="0.6", lw=0.8, zorder=1)
    for number, (source, reference_name) in enumerate(pairs):
        of_pair = rows[(rows.source == source) & (rows.reference == reference_name) & rows.roi.isin(rois)]
        at = [rois.index(roi) + (number - (len(pairs) - 1) / 2) * 0.8 / len(pairs) for roi in of_pair.roi]
        colour = f"C{number % 10}"
        panel.hlines(at, of_pair.ci_low, of_pair.ci_high, color=colour, lw=1)
        panel.hlines(at, of_pair.equivalence_low, of_pair.equivalence_high, color=colour, lw=2.5)
        panel.plot(of_pair.difference, at, "o", color=colour, ms=4, label=f"{source} − {reference_name}")


def _per_cent(comparisons: pd.DataFrame) -> str:
    return f"{100 * float(comparisons.confidence.iloc[0]):g} % interval over subjects"


def _same_model(runs: Sequence[Mapping[str, Any]], at: int, other: int) -> bool:
    return _of_model(_options(runs[at])) == _of_model(_options(runs[other]))


def _uncommon(own: pd.DataFrame, other: pd.DataFrame, who: tuple[str, str]) -> list[str]:
    """Whom only one of two runs has, in words; empty where both have the same subjects."""
    mine, others = (list(dict.fromkeys(one.subject)) for one in (own, other))
    if set(mine) == set(others):
        return []
    common = [subject for subject in mine if subject in others]
    left_out = [subject for subject in dict.fromkeys([*mine, *others]) if subject not in common]
    return [
        f"{who[0]} and {who[1]} are compared over the {len(common)} subjects whom both have, without {', '.join(left_out)}."
    ]


def _model_rows(path: Path) -> pd.DataFrame:
    import pandas as pd

    scores = pd.read_parquet(path)
    return scores[scores.source == "model"]


def _at_layer(scores: pd.DataFrame, layer: int | None) -> pd.DataFrame:
    return scores[scores.layer.isna() if layer is None else (scores.layer == layer).fillna(False)]


def _options(run: Mapping[str, Any]) -> dict[str, Any]:
    return dict(leaves({key: value for key, value in run["config"].items() if key not in VOLATILE}))


def _of_model(options: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if key.startswith("model.")}
