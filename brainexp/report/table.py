"""The table that ends a run."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from brainexp.result import ALL_VOXELS, Result

if TYPE_CHECKING:
    from rich.table import Table

#: More baselines do not fit a terminal; all are in scores.parquet.
MAX_BASELINES = 4


def summary_table(result: Result, title: str) -> Table:
    """Put r per ROI at the chosen layer beside its ceiling and the baselines.

    Parameters
    ----------
    result : Result
        What was found.
    title : str
        Which run.

    Returns
    -------
    rich.table.Table
    """
    from rich.table import Table

    chosen = result.scores[result.scores.layer.isna()]
    baselines = [source for source in dict.fromkeys(chosen.source) if source != "model"][:MAX_BASELINES]
    table = Table(title=title)
    table.add_column("ROI")
    for column in ("r", "± se", "ceiling", "r / ceiling", *baselines):
        table.add_column(column, justify="right")
    for roi in dict.fromkeys(chosen.roi):
        group = "" if roi == ALL_VOXELS else f"{roi}/"
        cells = [f"alignment/{group}{measure}" for measure in ("r", "r_se", "ceiling", "r_norm")]
        cells += [f"baseline/{name}/{group}r" for name in baselines]
        style = "bold" if roi == ALL_VOXELS else None
        table.add_row(
            "all voxels" if roi == ALL_VOXELS else roi, *(_shown(result.metrics[cell]) for cell in cells), style=style
        )
    return table


def _shown(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"
