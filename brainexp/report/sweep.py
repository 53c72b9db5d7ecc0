"""The runs of one sweep side by side: a table, and r over model size where the sizes differ."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from brainexp.settings import decisive

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

FIGURE = "sweep.png"


def records(folder: Path) -> list[dict[str, Any]]:
    """Read the ``result.json`` of every finished job of a sweep, in the order of the jobs."""
    found = sorted(folder.glob("*/result.json"), key=lambda path: (len(path.parent.name), path.parent.name))
    return [json.loads(path.read_text(encoding="utf-8")) for path in found]


def sweep_table(runs: list[dict[str, Any]]) -> Table:
    """Put the names, or the options that differ, beside r, its ceiling-normalised form and the untrained twin.

    Parameters
    ----------
    runs : list of dict
        As `records` returns them; at least one.

    Returns
    -------
    rich.table.Table
    """
    from rich.table import Table

    options = [decisive(run["config"]) for run in runs]
    names = [run["name"] for run in runs]
    differing = [key for key in options[0] if any(one.get(key) != options[0][key] for one in options)]
    if len(set(names)) == len(runs):  # the names tell the runs apart
        differing = []
    table = Table(title=f"{len(runs)} runs")
    table.add_column("run")
    for column in differing:
        table.add_column(column)
    shown = {"parameters": "compression/parameters", "r": "alignment/r", "± se": "alignment/r_se"}
    shown |= {"r / ceiling": "alignment/r_norm", "untrained r": "baseline/untrained/r", "layer": "layer/chosen"}
    for column in shown:
        table.add_column(column, justify="right")
    for option, run in zip(options, runs, strict=True):
        values = [_shown(run["metrics"].get(name)) for name in shown.values()]
        table.add_row(run["name"], *(str(option.get(key)) for key in differing), *values)
    return table


def scale_curve(runs: list[dict[str, Any]]) -> Figure | None:
    """Draw r over the number of parameters, per ROI, the untrained twins beside.

    Parameters
    ----------
    runs : list of dict
        As `records` returns them.

    Returns
    -------
    Figure or None
        None where all runs have models of one size.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    runs = sorted(runs, key=lambda run: run["metrics"].get("compression/parameters") or 0.0)
    sizes = [run["metrics"].get("compression/parameters") for run in runs]
    if None in sizes or len(set(sizes)) < 2:
        return None
    figure = Figure(figsize=(8, 4), layout="constrained")
    panel = figure.subplots()
    rois = [name.split("/")[1] for name in runs[0]["metrics"] if name.startswith("alignment/") and name.endswith("/r")]
    rois = [roi for roi in rois if roi != "r"]
    for number, roi in enumerate(rois):
        colour = colormaps["tab20"](number % 20)
        panel.plot(sizes, _values(runs, f"alignment/{roi}/r"), "o-", lw=1, ms=3, color=colour, label=roi)
    panel.plot(sizes, _values(runs, "alignment/r"), "o-", lw=3, color="k", label="all voxels")
    panel.plot(sizes, _values(runs, "baseline/untrained/r"), "s--", lw=2, color="0.6", label="untrained, all voxels")
    panel.axhline(0, color="0.8", lw=0.8, zorder=0)
    panel.set_xscale("log")
    panel.set_xlabel("parameters")
    panel.set_ylabel("r on held-out rows")
    figure.legend(loc="outside right center", fontsize=8, frameon=False)
    return figure


def _values(runs: list[dict[str, Any]], name: str) -> list[float]:
    found = [run["metrics"].get(name) for run in runs]
    return [np.nan if value is None else value for value in found]


def _shown(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.3f}"
