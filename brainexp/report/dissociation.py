"""The jobs of a sweep: does compression cost what probes find, and leave alignment as it was?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from brainexp.registry import validated
from brainexp.report.files import SCORES
from brainexp.report.pairing import reference, unlike
from brainexp.report.probed import task_scores
from brainexp.report.sweep import compression_of, job_names
from brainexp.result import ALL_VOXELS, MODEL
from brainexp.score.dissociation import Dissociation, Twins, dissociation
from brainexp.score.inference import adjusted
from brainexp.settings import Scoring

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TABLE = "dissociation.csv"
FIGURE = "dissociation.png"
#: All probing sets together.
ALL_TASKS = "all"
#: p of the table that are adjusted, each for itself.
TESTS = ("p_larger", "p_bootstrap", "p_equivalence")
#: Columns of dissociation.csv: a contract.
COLUMNS = (
    "family",
    "run",
    "reference",
    "competence",
    "n_subjects",
    "n_tasks",
    "alignment_change",
    "alignment_low",
    "alignment_high",
    "probes_change",
    "probes_low",
    "probes_high",
    "difference",
    "ci_low",
    "ci_high",
    "bootstrap_low",
    "bootstrap_high",
    *TESTS,
    *(f"{test}_adjusted" for test in TESTS),
    "margin",
    "confidence",
    "verdict",
    "remark",
)
#: What a quadrant of the figure means: signs of the change of probes and of alignment.
QUADRANTS = {
    (-1, 1): "probes fall,\nalignment does not",
    (-1, -1): "both fall",
    (1, -1): "alignment falls,\nprobes do not",
    (1, 1): "neither falls",
}


def dissociations(runs: Sequence[dict[str, Any]]) -> tuple[pd.DataFrame, list[str]]:
    """Compare, for each compressed job, its relative loss of alignment with that of each competence.

    Parameters
    ----------
    runs : list of dict
        As `brainexp.report.sweep.records` returns them.

    Returns
    -------
    table : DataFrame with the columns `COLUMNS`
        A row per compressed job and competence, and one for all probing sets together. Changes are shares of what the
        uncompressed twin has above its floor: r above 0, over all voxels, each job at the layer that it chose; scores of
        probes above those on random labels (minimal pairs: above one half; facts: above none). ``difference`` is the
        probes' loss less the alignment's. See `verdict`. All jobs × competences are one family of tests; all jobs, over all
        probing sets, are another. Margin, confidence and multiplicity are the first job's.
    remarks : list of str
        What was not compared, and why.
    """
    names = job_names(list(runs))
    scoring = validated(Scoring, runs[0]["config"].get("scoring", {}), "scoring")
    rng = np.random.default_rng(int(runs[0]["config"].get("seed", 0)))
    scores = [task_scores(run) for run in runs]
    rows: list[dict[str, Any]] = []
    remarks: list[str] = []
    for at, run in enumerate(runs):
        twin = reference(at, runs)
        if twin == at or compression_of(run) == "none" or compression_of(runs[twin]) != "none" or scores[at].empty:
            continue
        differs = unlike(run, runs[twin]) or _other_probes(run, runs[twin])
        if differs:
            remarks.append(f"{names[at]} and {names[twin]} are not tested for dissociation: they differ in {differs}.")
            continue
        alignment = _alignment(run, runs[twin])
        pairs = scores[at].merge(scores[twin], on=["probe", "task", "competence"], suffixes=("", "_whole"))
        floorless = pairs[pairs.floor_whole.isna()]
        if len(floorless):
            remarks.append(
                f"{names[at]}: {len(floorless)} probing sets have no score of random labels and are left out. Give the probe "
                "controls=[random_labels]."
            )
        pairs = pairs.drop(floorless.index)
        groups = [*pairs.groupby("competence", sort=False), (ALL_TASKS, pairs)]
        for competence, some in groups:
            probes = Twins(*(some[name].to_numpy(float) for name in ("score_whole", "score", "floor_whole")))
            found = dissociation(alignment, probes, scoring.equivalence_margin, scoring.confidence, rng)
            rows.append(_row(names[at], names[twin], str(competence), found, scoring))
    return _judged(rows, scoring), remarks


def verdict(row: pd.Series[Any]) -> str:
    """What the tests of one row say.

    "dissociated" claims two things, both tested: the probes' relative loss exceeds the alignment's, and r has changed by less
    than the margin of equivalence. "probes lose more" is the first alone.
    """
    if np.isnan(row.p_larger_adjusted):
        return "untested"
    level = 1 - row.confidence
    if row.p_larger_adjusted >= level:
        return "not shown"
    return "dissociated" if row.p_equivalence_adjusted < level else "probes lose more"


def dissociation_figure(table: pd.DataFrame) -> Figure:
    """Draw the relative change of alignment over that of the probes, a panel per competence, a point per job.

    Parameters
    ----------
    table : DataFrame
        As `dissociations` returns it; at least one row.

    Returns
    -------
    Figure
        On the dashed diagonal both change alike; filled points are dissociated.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    shown = table[table.alignment_change.notna() & table.probes_change.notna()]
    competences = [name for name in dict.fromkeys(shown.competence) if name != ALL_TASKS]
    panels_of = [ALL_TASKS, *competences] if len(competences) > 1 else [ALL_TASKS]
    n_columns = min(3, len(panels_of))
    n_rows = -(-len(panels_of) // n_columns)
    figure = Figure(figsize=(max(5.0, 3.6 * n_columns), 3.4 * n_rows + 1.0), layout="constrained")
    grid = figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False)
    # Whiskers of few units would leave no room for points: what is near to them is shown.
    reach = 1.25 * max(0.1, float(np.abs(shown[["probes_change", "alignment_change"]].to_numpy(float)).max()))
    grid[0, 0].set(xlim=(-reach, reach), ylim=(-reach, reach))
    jobs = list(dict.fromkeys(shown.run))
    for panel, competence in zip(grid.flat, panels_of, strict=False):
        _draw(panel, shown[shown.competence == competence], jobs)
        panel.set_title("all probing sets" if competence == ALL_TASKS else competence, fontsize=9)
    for unused in list(grid.flat)[len(panels_of) :]:
        unused.set_visible(False)
    confidence = f"{100 * float(table.confidence.iloc[0]):g} %"
    figure.supxlabel(f"change of probes, share of the score above chance ({confidence} over probing sets)", fontsize=9)
    figure.supylabel(f"change of alignment, share of r ({confidence} over subjects)", fontsize=9)
    handles = [Line2D([], [], marker="o", ls="", color=f"C{at % 10}", label=job) for at, job in enumerate(jobs)]
    handles.append(Line2D([], [], marker="o", ls="", color="0.4", label="filled: dissociated"))
    handles.append(Line2D([], [], marker="o", ls="", color="0.4", fillstyle="none", label="open: not shown"))
    handles.append(Line2D([], [], color="0.5", ls="--", lw=0.8, label="both lose the same share"))
    columns = max(1, int(figure.get_figwidth() / 2.6))
    figure.legend(handles=handles, loc="outside upper center", ncols=columns, fontsize=7, frameon=False)
    return figure


def _draw(panel: Axes, rows: pd.DataFrame, jobs: Sequence[str]) -> None:
    for _, row in rows.iterrows():
        colour = f"C{jobs.index(row.run) % 10}"
        whisker: dict[str, Any] = {"color": colour, "lw": 0.9, "alpha": 0.7}
        panel.plot([row.probes_low, row.probes_high], [row.alignment_change] * 2, **whisker)
        panel.plot([row.probes_change] * 2, [row.alignment_low, row.alignment_high], **whisker)
        style: dict[str, Any] = {"fillstyle": "full" if row.verdict == "dissociated" else "none"}
        panel.plot(row.probes_change, row.alignment_change, "o", color=colour, ms=5, zorder=3, **style)
    panel.axline((0, 0), slope=1, color="0.5", ls="--", lw=0.8, zorder=0)
    panel.axhline(0, color="0.8", lw=0.8, zorder=0)
    panel.axvline(0, color="0.8", lw=0.8, zorder=0)
    for (x, y), words in QUADRANTS.items():
        inner = x == y  # beside the diagonal, which ends in these corners
        at = (0.5 + (0.02 if inner else 0.48) * x, 0.5 + 0.48 * y)
        sides: dict[str, Any] = {"ha": "left" if (x > 0) == inner else "right", "va": "top" if y > 0 else "bottom"}
        panel.annotate(words, at, xycoords="axes fraction", fontsize=6.5, color="0.45", zorder=0, **sides)
    panel.xaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    panel.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    panel.tick_params(labelsize=7, labelbottom=True)


def _alignment(run: dict[str, Any], twin: dict[str, Any]) -> Twins:
    """Over all voxels, each at the layer that it chose."""
    import pandas as pd

    own, whole = (pd.read_parquet(Path(one["folder"]) / SCORES) for one in (run, twin))
    own, whole = (one[(one.source == MODEL) & (one.roi == ALL_VOXELS) & one.layer.isna()] for one in (own, whole))
    both = whole.merge(own, on="subject", suffixes=("_whole", ""))
    return Twins(both.r_whole.to_numpy(float), both.r.to_numpy(float), np.zeros(len(both)))


def _other_probes(run: dict[str, Any], twin: dict[str, Any]) -> str:
    """Which probes were asked otherwise, in words; empty where none was."""
    asked, of_twin = (one["config"].get("probe") or {} for one in (run, twin))
    return "; ".join(f"probe.{name}" for name in asked if asked[name] != of_twin.get(name))


def _row(name: str, twin: str, competence: str, found: Dissociation, scoring: Scoring) -> dict[str, Any]:
    told = {key: value for key, value in asdict(found).items() if key not in ("alignment", "probes")}
    about = {
        "family": "jobs, all probing sets" if competence == ALL_TASKS else "jobs × competences",
        "run": name,
        "reference": twin,
        "competence": competence,
        "n_subjects": found.alignment.n,
        "n_tasks": found.probes.n,
        "margin": scoring.equivalence_margin,
        "confidence": scoring.confidence,
    }
    for what, loss in (("alignment", found.alignment), ("probes", found.probes)):
        about |= {f"{what}_change": -loss.value, f"{what}_low": -loss.high, f"{what}_high": -loss.low}
    return {**about, **told}


def _judged(rows: Sequence[dict[str, Any]], scoring: Scoring) -> pd.DataFrame:
    import pandas as pd

    table = pd.DataFrame(list(rows), columns=list(COLUMNS))
    for family in table.family.unique():
        of_family = table.family == family
        for test in TESTS:
            table.loc[of_family, f"{test}_adjusted"] = adjusted(
                table.loc[of_family, test].to_numpy(float), scoring.multiplicity
            )
    words = ("family", "run", "reference", "competence", "verdict", "remark")
    counts = ("n_subjects", "n_tasks")
    table = table.astype(dict.fromkeys(set(COLUMNS) - {*words, *counts}, "float64") | dict.fromkeys(counts, "int64"))
    table["verdict"] = [verdict(row) for _, row in table.iterrows()]
    return table
