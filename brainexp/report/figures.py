"""The layer curve and the bars per ROI."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from brainexp.result import ALL_VOXELS, Result

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Above this many ROIs the rest is left to the table.
MAX_ROIS = 16
DOTS_PER_INCH = 150


def write_figures(result: Result, folder: Path) -> None:
    """Draw ``layer_curve.png``, ``roi_bars.png``, ``clocks.png`` and, where variance was divided, ``partition.png``."""
    folder.mkdir(parents=True)
    drawn = {"layer_curve": layer_curve(result.scores), "roi_bars": roi_bars(result.scores)}
    if "partition" in result.tables:
        drawn["partition"] = variance_bars(result.tables["partition"])
    if "clocks" in result.tables:
        drawn["clocks"] = clock_figure(result.tables["clocks"])
    for name, figure in drawn.items():
        figure.savefig(folder / f"{name}.png", dpi=DOTS_PER_INCH)


def clock_figure(clocks: pd.DataFrame) -> Figure:
    """Draw when each story was recorded and told, and how far its triggers lie from the clock.

    Parameters
    ----------
    clocks : DataFrame
        A row per story, as in `brainexp.result.Result.tables`.

    Returns
    -------
    Figure
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 1.6 + 0.22 * len(clocks)), layout="constrained")
    spans, off = figure.subplots(1, 2, sharey=True, width_ratios=(3, 1))
    at = np.arange(len(clocks))
    told = clocks["last_word_s"] - clocks["first_word_s"]
    spans.barh(at, clocks["end_s"] - clocks["start_s"], 0.8, clocks["start_s"], color="0.85", label="recording")
    spans.barh(at, told, 0.35, clocks["first_word_s"], color="C0", label="first to last word")
    spans.set_yticks(at, clocks["story"], fontsize=7)
    spans.invert_yaxis()
    spans.set_xlabel("seconds on the stimulus' clock")
    figure.legend(loc="outside upper center", ncols=2, fontsize=8, frameon=False)
    measured = clocks["n_triggers"] > 0
    off.barh(at[measured], clocks["off_s"][measured], 0.6, color="C3")
    off.set_xlabel("farthest trigger, s" if measured.any() else "no triggers known")
    return figure


def variance_bars(partition: pd.DataFrame) -> Figure:
    """Draw unique and shared R² of feature spaces per ROI, a point per subject.

    Parameters
    ----------
    partition : DataFrame
        A row per subject, ROI and share, as in `brainexp.result.Result.tables`.

    Returns
    -------
    Figure
    """
    from matplotlib.figure import Figure

    rois = list(dict.fromkeys(partition.roi))[:MAX_ROIS]
    shown = [share for share in dict.fromkeys(partition.share) if share.split("/")[0] in {"unique", "shared"}]
    figure = Figure(figsize=(max(5.0, 0.28 * len(rois) * (len(shown) + 1) + 1.5), 4.0), layout="constrained")
    panel = figure.subplots()
    width = 0.8 / len(shown)
    for number, share in enumerate(shown):
        at = np.arange(len(rois)) + (number - (len(shown) - 1) / 2) * width
        rows = [partition[(partition.share == share) & (partition.roi == roi)]["value"] for roi in rois]
        error = [0.0 if len(row) < 2 else row.sem() for row in rows]
        panel.bar(at, [row.mean() for row in rows], width * 0.95, yerr=error, color=f"C{number}", label=share)
        for place, row in zip(at, rows, strict=True):
            panel.plot(np.full(len(row), place), row, ".", color="k", ms=3, alpha=0.5, zorder=3)
    panel.axhline(0, color="k", lw=0.8)
    panel.set_xticks(np.arange(len(rois)), ["all voxels" if roi == ALL_VOXELS else roi for roi in rois], rotation=30)
    panel.set_ylabel("R² on held-out rows")
    panel.set_title("mean over subjects with standard error; a point is a subject", fontsize=9)
    figure.legend(loc="outside upper center", ncols=min(4, len(shown)), fontsize=8, frameon=False)
    return figure


def layer_curve(scores: pd.DataFrame) -> Figure:
    """Draw r by layer on held-out and on validation rows, one panel per ROI, the untrained twin beside.

    Parameters
    ----------
    scores : DataFrame
        As in `brainexp.result.Result`.

    Returns
    -------
    Figure
    """
    rois = _rois(scores)
    figure, panels = _panels(len(rois))
    for roi, panel in zip(rois, panels, strict=False):
        for source, colour in (("model", "C0"), ("untrained", "C7")):
            rows = scores[(scores.source == source) & (scores.roi == roi) & scores.layer.notna()]
            if rows.empty:
                continue
            mean = rows.groupby("layer")[["r", "validation_r"]].mean()
            error = rows.groupby("layer")["r"].sem().fillna(0.0)
            layer = mean.index.to_numpy(dtype=float)
            panel.plot(layer, mean["r"], "o-", color=colour, ms=3, label=f"{source}, held out")
            panel.fill_between(layer, mean["r"] - error, mean["r"] + error, color=colour, alpha=0.2, lw=0)
            if source == "model":
                panel.plot(layer, mean["validation_r"], ":", color=colour, label="model, validation")
        chosen = scores[(scores.source == "model") & (scores.roi == roi) & scores.layer.isna()]["r"].mean()
        panel.axhline(chosen, color="C3", lw=0.8, ls="--", label="chosen on training rows")
        panel.axhline(0, color="0.8", lw=0.8, zorder=0)
        panel.set_title("all voxels" if roi == ALL_VOXELS else roi, fontsize=9)
    figure.supxlabel("layer (0 is the embedding output)")
    figure.supylabel("r (mean over subjects, band: standard error)")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, fontsize=8, frameon=False)
    return figure


def roi_bars(scores: pd.DataFrame) -> Figure:
    """Draw r per ROI at the chosen layer, a point per subject, beside the baselines.

    Parameters
    ----------
    scores : DataFrame
        As in `brainexp.result.Result`.

    Returns
    -------
    Figure
    """
    from matplotlib.figure import Figure

    rois = _rois(scores)
    chosen = scores[scores.layer.isna()]
    sources = list(dict.fromkeys(chosen.source))
    figure = Figure(figsize=(max(5.0, 0.28 * len(rois) * (len(sources) + 1) + 1.5), 4.0), layout="constrained")
    panel = figure.subplots()
    width = 0.8 / len(sources)
    jitter = np.random.default_rng(0)  # only moves points sideways
    for number, source in enumerate(sources):
        at = np.arange(len(rois)) + (number - (len(sources) - 1) / 2) * width
        rows = [chosen[(chosen.source == source) & (chosen.roi == roi)]["r"] for roi in rois]
        colour = f"C{number}" if source == "model" else str(0.35 + 0.5 * number / len(sources))
        error = [0.0 if len(row) < 2 else row.sem() for row in rows]
        panel.bar(at, [row.mean() for row in rows], width * 0.95, yerr=error, color=colour, label=source)
        if source == "model":
            for place, row in zip(at, rows, strict=True):
                sideways = jitter.uniform(-0.3, 0.3, len(row)) * width
                panel.plot(place + sideways, row, ".", color="k", ms=3, alpha=0.5, zorder=3)
    panel.axhline(0, color="k", lw=0.8)
    panel.set_xticks(np.arange(len(rois)), ["all voxels" if roi == ALL_VOXELS else roi for roi in rois], rotation=30)
    panel.set_ylabel("r on held-out rows")
    panel.set_title("mean over subjects with standard error; a point is a subject", fontsize=9)
    figure.legend(loc="outside upper center", ncols=min(5, len(sources)), fontsize=8, frameon=False)
    return figure


def _rois(scores: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys(scores.roi))[:MAX_ROIS]


def _panels(n_panels: int) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    n_columns = min(4, n_panels)
    n_rows = -(-n_panels // n_columns)
    figure = Figure(figsize=(2.6 * n_columns + 0.6, 2.2 * n_rows + 0.8), layout="constrained")
    grid = figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False)
    panels = list(grid.ravel())
    for unused in panels[n_panels:]:
        unused.set_visible(False)
    return figure, panels
