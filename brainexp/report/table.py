"""The table that ends a run."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from brainexp.result import ALL_VOXELS, Result

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

#: More baselines do not fit a terminal; all are in scores.parquet.
MAX_BASELINES = 4
#: Likewise of stories; all are in clocks.parquet.
MAX_STORIES = 12


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


def partition_table(partition: pd.DataFrame) -> Table:
    """Put the shares of explained variance of each ROI in a row, means over subjects.

    Parameters
    ----------
    partition : DataFrame
        A row per subject, ROI and share.

    Returns
    -------
    rich.table.Table
    """
    from rich.table import Table

    means = partition.pivot_table(index="roi", columns="share", values="value", sort=False)
    joint = [share for share in means.columns if share.endswith("/r2")][-1]
    means = means[[*(share for share in means.columns if share.split("/")[0] in {"unique", "shared"}), joint]]
    table = Table(title="whose variance is it (R² on held-out rows, mean over subjects)")
    table.add_column("ROI")
    for share in means.columns:
        table.add_column(str(share), justify="right", overflow="fold")
    for roi, row in means.iterrows():
        style = "bold" if roi == ALL_VOXELS else None
        table.add_row("all voxels" if roi == ALL_VOXELS else str(roi), *(_shown(value) for value in row), style=style)
    return table


def clocks_table(clocks: pd.DataFrame) -> Table:
    """Put what was found of the clock of each story in a row, in the order of the runs; triggers that were put in after a +.

    Parameters
    ----------
    clocks : DataFrame
        A row per story, with the columns of `brainexp.align.audit.Audit`. Of many stories, those that are farthest off are
        shown; all are in clocks.parquet.

    Returns
    -------
    rich.table.Table
    """
    from rich.table import Table

    off = clocks[["outside_s", "overlap_s", "off_s"]].max(axis=1).sort_values(ascending=False, kind="stable")
    shown = clocks.loc[sorted(off.index[:MAX_STORIES])]
    hidden = len(clocks) - len(shown)
    table = Table(title="words and TRs" + (f" ({hidden} stories that are less off are not shown)" if hidden else ""))
    table.add_column("story", overflow="fold", min_width=16)
    for column in ("words", "told, s", "TRs", "scanned, s", "outside", "overlap", "triggers", "TR, s", "off, s"):
        table.add_column(column, justify="right", no_wrap=True)
    for _, row in shown.iterrows():
        put_in = f" + {row.n_missing}" if row.n_missing else ""
        of_triggers = (f"{row.n_triggers - row.n_missing}{put_in}", f"{row.measured_tr_s:.4f}", f"{row.off_s:.3f}")
        table.add_row(
            str(row.story),
            f"{row.n_words:,}",
            f"{row.first_word_s:.0f} – {row.last_word_s:.0f}",
            str(row.n_trs),
            f"{row.start_s:.0f} – {row.end_s:.0f}",
            str(row.n_outside) if row.n_outside else "–",
            f"{row.overlap_s:.2f}" if row.n_overlaps else "–",
            *(of_triggers if row.n_triggers else ("–", f"{row.tr_s:g}", "–")),
        )
    return table


def comparison_table(comparisons: pd.DataFrame, title: str) -> Table | None:
    """Put the tests over all voxels in a row per comparison, and in how many ROIs each comes out.

    Parameters
    ----------
    comparisons : DataFrame
        With the columns `brainexp.comparison.COMPARISON_COLUMNS`.
    title : str
        What is compared.

    Returns
    -------
    rich.table.Table or None
        None where nothing was tested.
    """
    from rich.table import Table

    tested = comparisons[comparisons.p_t.notna()]
    if tested.empty:
        return None
    level = f"{100 * float(tested.confidence.iloc[0]):g} %"
    same_layer = tested.layer.notna().any()
    one_reference = len(set(tested.reference)) == 1
    table = Table(
        title=f"{title}: minus {tested.reference.iloc[0]}" if one_reference else title,
        caption="r over all voxels; p ≡: two one-sided tests against the margin; p adjusted in each family; "
        "ROIs: where r is significantly higher, lower, equivalent, of all",
    )
    table.add_column("difference", overflow="fold")
    if same_layer:
        table.add_column("layer")
    for column in ("Δr", level, "p t", "p signs", "p ranks", "g", "p ≡", "ROIs +/−/≡"):
        table.add_column(column, justify="right", no_wrap=True)
    layers = tested.layer.astype("string").fillna("own")
    for (source, reference, layer), rows in tested.groupby(["source", "reference", layers], sort=False):
        above, below, equivalent, n_rois = roi_counts(rows[rows.roi != ALL_VOXELS])
        for _, one in rows[rows.roi == ALL_VOXELS].iterrows():
            table.add_row(
                str(source) if one_reference else f"{source} − {reference}",
                *([str(layer)] if same_layer else []),
                f"{one.difference:+.3f}",
                f"{one.ci_low:+.3f} {one.ci_high:+.3f}",
                *(_p(one[f"{test}_adjusted"]) for test in ("p_t", "p_sign_flip", "p_wilcoxon")),
                f"{one.g_z:.2f}",
                _p(one.p_equivalence_adjusted),
                f"{above}/{below}/{equivalent} of {n_rois}",
            )
    return table


def dissociation_table(rows: pd.DataFrame) -> Table:
    """Show how alignment and probes change, and what the tests say of it.

    Parameters
    ----------
    rows : DataFrame
        As `brainexp.report.dissociation.dissociations` returns it.

    Returns
    -------
    rich.table.Table
    """
    from rich.table import Table

    level = f"{100 * float(rows.confidence.iloc[0]):g} %"
    table = Table(
        title="what compression costs, as shares of what the uncompressed model has above chance",
        caption="p >: the probes' share is larger (one-sided Welch t over subjects and probing sets); p ≡: r changes by less "
        f"than {rows.margin.iloc[0]:g} (two one-sided tests); p adjusted in each family; dissociated: both",
    )
    table.add_column("run", overflow="fold")
    table.add_column("competence")
    for column in ("alignment", "probes", level, "p >", "p ≡"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("")
    for _, row in rows.iterrows():
        interval = "–" if math.isnan(row.ci_low) else f"{100 * row.ci_low:+.0f} {100 * row.ci_high:+.0f}"
        table.add_row(
            str(row.run),
            str(row.competence),
            *(
                "–" if math.isnan(value) else f"{100 * value:+.0f} %"
                for value in (row.alignment_change, row.probes_change)
            ),
            interval,
            _p(row.p_larger_adjusted),
            _p(row.p_equivalence_adjusted),
            str(row.verdict),
        )
    return table


def roi_counts(comparisons: pd.DataFrame) -> tuple[int, int, int, int]:
    """In how many ROIs r is significantly higher, significantly lower, significantly equivalent; and how many there are.

    By paired t tests and by two one-sided t tests, adjusted; a small difference can be both significant and equivalent.
    """
    level = 1 - comparisons.confidence
    differs = comparisons.p_t_adjusted < level
    above, below = (differs & (sign * comparisons.difference > 0) for sign in (1, -1))
    equivalent = comparisons.p_equivalence_adjusted < level
    return int(above.sum()), int(below.sum()), int(equivalent.sum()), len(comparisons)


def _p(value: float) -> str:
    if math.isnan(value):
        return "–"
    return "<.001" if value < 0.001 else f"{value:.3f}".removeprefix("0")


def _shown(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"
