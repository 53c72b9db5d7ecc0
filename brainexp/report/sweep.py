"""The runs of one sweep side by side: a table, r over model size, and r over bits per weight."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from brainexp.report.files import FAILED, RESULT, SAME
from brainexp.report.probed import task_scores
from brainexp.result import ALL_VOXELS
from brainexp.score.ranking import discriminability, winning_rates
from brainexp.settings import Scoring, decisive

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox
    from rich.table import Table

log = logging.getLogger(__name__)

FIGURE = "sweep.png"
COST_FIGURE = "compression.png"
COST_TABLE = "compression.csv"
RATES_TABLE, TASKS_TABLE = "winning_rates.csv", "probing_sets.csv"
#: What the tests say of a compressed model and its uncompressed twin, and how the figure shows it.
VERDICTS: dict[str, dict[str, Any]] = {
    "equivalent": {"marker": "o", "label": "r equivalent to the uncompressed model's"},
    "different": {"marker": "X", "label": "r different from it"},
    "undecided": {"marker": "o", "label": "neither is shown of r", "fillstyle": "none"},
    "untested": {"marker": ".", "label": "r not tested"},
}
#: Where the axis of bits per weight has ticks.
BITS = (1, 1.5, 2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 32)
#: More probe scores than this are in the table only.
MAX_PROBES = 3


def records(folder: Path) -> list[dict[str, Any]]:
    """Read the results of a sweep's finished jobs, those that had finished before it included, in the order of the jobs.

    Parameters
    ----------
    folder : Path
        Of the sweep, with a folder per job. A job whose last attempt failed has no result here.

    Returns
    -------
    list of dict
        Content of each ``result.json``, and ``folder``, where its files lie.
    """
    found = []
    for job in job_folders(folder):
        where = job if (job / RESULT).is_file() else _same(job)
        if where is not None and not (job / FAILED).is_file():
            found.append({**json.loads((where / RESULT).read_text(encoding="utf-8")), "folder": str(where)})
    return found


def failures(folder: Path) -> list[dict[str, Any]]:
    """Read the ``failed.json`` of a sweep's jobs, in the order of the jobs; ``folder`` is where each lies."""
    failed = [job for job in job_folders(folder) if (job / FAILED).is_file()]
    return [{**json.loads((job / FAILED).read_text(encoding="utf-8")), "folder": str(job)} for job in failed]


def job_folders(folder: Path) -> list[Path]:
    """Folders of a sweep that hold what became of a job, in the order of the jobs."""
    found = {file.parent for name in (RESULT, SAME, FAILED) for file in folder.glob(f"*/{name}")}
    return sorted(found, key=lambda job: (len(job.name), job.name))


def _same(job: Path) -> Path | None:
    """Where the result of a job is that had finished before; None where it is gone."""
    if not (job / SAME).is_file():
        return None
    where = Path(json.loads((job / SAME).read_text(encoding="utf-8"))["folder"])
    if (where / RESULT).is_file():
        return where
    log.warning("%s names %s, whose result is gone. Give the command again to make it anew.", job / SAME, where)
    return None


def failures_table(failed: list[dict[str, Any]]) -> Table:
    """Put the jobs that failed beside their errors.

    Parameters
    ----------
    failed : list of dict
        As `failures` returns them; at least one.

    Returns
    -------
    rich.table.Table
    """
    from rich.table import Table

    table = Table(title=f"{len(failed)} failed")
    for column in ("job", "run", "overrides", "error"):
        table.add_column(column, overflow="fold")
    for one in failed:
        table.add_row(Path(one["folder"]).name, one["name"], " ".join(one["overrides"]), one["error"])
    return table


def differing_options(runs: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Options of each run that are not the same in all; none where the names tell the runs apart."""
    if len({run["name"] for run in runs}) == len(runs):
        return [{} for _ in runs]
    options = [decisive(run["config"]) for run in runs]
    differing = [key for key in options[0] if any(one.get(key) != options[0][key] for one in options)]
    return [{key: str(one.get(key)) for key in differing} for one in options]


def job_names(runs: list[dict[str, Any]]) -> list[str]:
    """A name for each run that no other has: its name, and the options that differ where names are alike."""
    differing = differing_options(runs)
    short = {key: key.rpartition(".")[2] for key in differing[0]}
    if len(set(short.values())) < len(short):
        short = {key: key for key in short}
    all_alike = len({run["name"] for run in runs}) == 1 and short
    return [
        ", ".join([*([] if all_alike else [run["name"]]), *(f"{short[key]}={value}" for key, value in options.items())])
        for run, options in zip(runs, differing, strict=True)
    ]


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

    options = differing_options(runs)
    table = Table(title=f"{len(runs)} runs")
    table.add_column("run", overflow="fold")
    for column in options[0]:
        table.add_column(column)
    shown = {"parameters": ("compression/parameters", 3), "r": ("alignment/r", 3)}
    if any(compression_of(run) != "none" for run in runs):
        shown |= {"bits": ("compression/bits_per_weight", 2), "MB": ("MB", 1), "ppl": ("compression/perplexity", 2)}
        table.caption = "bits per weight, of all parameters; perplexity (ppl) of held-out text"
    else:
        shown |= {"± se": ("alignment/r_se", 3), "untrained r": ("baseline/untrained/r", 3)}
    shown |= {"r / ceiling": ("alignment/r_norm", 3), "layer": ("layer/chosen", 3)}
    rates, _ = leaderboard(runs)
    wins = dict.fromkeys(range(len(runs)), None) if rates.empty else dict(enumerate(rates["all"]))
    if not rates.empty:
        shown |= {"wins": ("wins", 2)}
        told = "wins: winning rate over probing sets, 0 last, 1 first"
        table.caption = f"{table.caption}; {told}" if table.caption else told
    for column in shown:
        table.add_column(column, justify="right")
    for at, (option, run) in enumerate(zip(options, runs, strict=True)):
        metrics = {**run["metrics"], "MB": _megabytes(run), "wins": wins[at]}
        values = [_shown(metrics.get(name), digits) for name, digits in shown.values()]
        table.add_row(run["name"], *option.values(), *values)
    return table


def leaderboard(runs: list[dict[str, Any]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rank the runs in every probing set, as the leaderboard of Holmes does.

    Parameters
    ----------
    runs : list of dict
        As `records` returns them, or of several sweeps.

    Returns
    -------
    rates : DataFrame
        A row per run, in their order: ``run``, ``all`` and a column per competence with winning rates
        (`brainexp.score.ranking.winning_rates`) over the probing sets at which all runs were scored. No rows where fewer than
        two runs have any in common.
    tasks : DataFrame
        A row per probing set: ``probe``, ``task``, ``competence``, ``tau`` and ``p``
        (`brainexp.score.ranking.discriminability`), and the score of every run under its name.
    """
    import pandas as pd

    names = job_names(runs) if runs else []
    keys = ["probe", "task", "competence"]
    columns = [task_scores(run).set_index(keys).score.rename(name) for run, name in zip(runs, names, strict=True)]
    scores = pd.concat(columns, axis=1, join="inner").dropna() if len(columns) > 1 else pd.DataFrame()
    if scores.empty:
        return pd.DataFrame(columns=["run", "all"]), pd.DataFrame(columns=[*keys, "tau", "p"])
    of_competence = {
        name: winning_rates(scores.xs(name, level="competence").to_numpy(float))
        for name in dict.fromkeys(scores.index.get_level_values("competence"))
    }
    rates = pd.DataFrame({"run": names, "all": winning_rates(scores.to_numpy(float)), **of_competence})
    tau, p = discriminability(scores.to_numpy(float))
    tasks = scores.reset_index()
    tasks.insert(len(keys), "tau", tau)
    tasks.insert(len(keys) + 1, "p", p)
    return rates, tasks


def scale_curve(runs: list[dict[str, Any]]) -> Figure | None:
    """Draw r over the number of parameters, per ROI, the untrained twins beside.

    Parameters
    ----------
    runs : list of dict
        As `records` returns them; of compressed models only if there are no others.

    Returns
    -------
    Figure or None
        None where all runs have models of one size.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    runs = [run for run in runs if compression_of(run) == "none"] or runs
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


def cost_rows(runs: list[dict[str, Any]], comparisons: pd.DataFrame) -> pd.DataFrame:
    """Put what each model costs beside what it is worth.

    Parameters
    ----------
    runs : list of dict
        As `records` returns them.
    comparisons : DataFrame
        As `brainexp.report.pairing.job_comparisons` returns it for these runs.

    Returns
    -------
    DataFrame
        A row per run: ``run``, ``model``, ``compression``, ``bits_per_weight``, ``bits_per_linear_weight``, ``megabytes``
        (on disk, else in memory), ``perplexity``, ``r``, ``r_se``, ``verdict`` (a key of `VERDICTS`, over all voxels, each
        job at its own layer; "uncompressed" for the references) and every probe score by its name.
    """
    import pandas as pd

    labelled = labels(runs)
    verdicts = _verdicts(runs, labelled, comparisons)
    rows = []
    for run, name, (model, method), verdict in zip(runs, job_names(runs), labelled, verdicts, strict=True):
        metrics = run["metrics"]
        named = ("bits_per_weight", "bits_per_linear_weight", "perplexity")
        costs = {one: metrics.get(f"compression/{one}") for one in named}
        worth = {"r": metrics.get("alignment/r"), "r_se": metrics.get("alignment/r_se"), "verdict": verdict}
        probes = {key: value for key, value in metrics.items() if key.startswith("probe/")}
        told = {"run": name, "model": model, "compression": method}
        rows.append({**told, **costs, "megabytes": _megabytes(run), **worth, **probes})
    table = pd.DataFrame(rows)
    numbers = [column for column in table.columns if column not in {"run", "model", "compression", "verdict"}]
    return table.astype(dict.fromkeys(numbers, float))


def cost_curve(rows: pd.DataFrame, margin: float = Scoring.equivalence_margin) -> Figure | None:
    """Draw r, and scores of probes, over bits per weight: a column per model.

    A point is a method; the line is the best that at most so many bits give, of other models in grey.

    Parameters
    ----------
    rows : DataFrame
        From `cost_rows`.
    margin : float
        Of equivalence, in units of r; shaded around the uncompressed model.

    Returns
    -------
    Figure or None
        None where no two runs of a model differ in bits per weight.
    """
    from matplotlib.figure import Figure

    rows = rows[rows.bits_per_weight.notna()]
    if rows.empty or rows.groupby("model").bits_per_weight.nunique().max() < 2:
        return None
    measures = ["r", *[column for column in rows.columns if column.startswith("probe/")][:MAX_PROBES]]
    models = list(dict.fromkeys(rows.model))
    size = (max(6.4, 3.4 * len(models) + 0.6), 3.2 * len(measures) + 1.0)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(measures), len(models), sharex=True, sharey="row", squeeze=False)
    for measure, panels in zip(measures, grid, strict=True):
        for model, panel in zip(models, panels, strict=True):
            _draw_costs(panel, rows, measure, model, margin if measure == "r" else None)
        panels[0].set_ylabel("r on held-out rows" if measure == "r" else measure.removeprefix("probe/"))
    for model, panel in zip(models, grid[0], strict=True):
        panel.set_title(model, fontsize=9)
    for panel in grid.flat:
        panel.margins(x=0.12, y=0.12)
    figure.supxlabel("bits per weight, all parameters", fontsize="medium")
    _explain(figure, rows)
    _write_labels(figure, grid, rows, measures, models)
    return figure


def _draw_costs(panel: Axes, rows: pd.DataFrame, measure: str, model: str, margin: float | None) -> None:
    for name, points in rows.sort_values("bits_per_weight").groupby("model", sort=False):
        own = name == model
        best = (points.bits_per_weight, points[measure].cummax())
        panel.plot(*best, "-", drawstyle="steps-post", color="0.3" if own else "0.85", lw=1, zorder=1 + own)
    points = rows[rows.model == model]
    for reference in points[points.verdict == "uncompressed"][measure]:
        panel.axhline(reference, color="C0", ls="--", lw=1, zorder=1)
        if margin is not None:
            panel.axhspan(reference - margin, reference + margin, color="C0", alpha=0.08, lw=0, zorder=0)
    for verdict, some in points.groupby("verdict"):
        style = {key: value for key, value in VERDICTS.get(str(verdict), {"marker": "s"}).items() if key != "label"}
        colour = "C0" if verdict == "uncompressed" else "C3" if verdict == "different" else "k"
        panel.plot(some.bits_per_weight, some[measure], ls="", color=colour, ms=5, zorder=3, **style)
    panel.set_xscale("log", base=2)
    panel.set_xticks(
        [bits for bits in BITS if rows.bits_per_weight.min() < 1.2 * bits < 1.5 * rows.bits_per_weight.max()]
    )
    panel.minorticks_off()
    panel.xaxis.set_major_formatter(lambda value, _: f"{value:g}")


def _explain(figure: Figure, rows: pd.DataFrame) -> None:
    from matplotlib.lines import Line2D

    told = [Line2D([], [], marker="s", color="C0", ls="--", ms=5, label="uncompressed, and margin of equivalence of r")]
    told.append(Line2D([], [], color="0.3", lw=1, label="best with at most so many bits; grey: other models"))
    for verdict, style in VERDICTS.items():
        if (rows.verdict == verdict).any():
            told.append(Line2D([], [], color="C3" if verdict == "different" else "k", ls="", ms=5, **style))
    figure.legend(
        handles=told,
        loc="outside upper center",
        ncols=min(len(told), max(1, int(figure.get_figwidth() / 3.3))),
        fontsize=8,
        frameon=False,
    )


def _write_labels(figure: Figure, grid: Any, rows: pd.DataFrame, measures: list[str], models: list[str]) -> None:
    """Name the points by method, each label where it covers no other label and no point."""
    figure.draw_without_rendering()
    for measure, panels in zip(measures, grid, strict=True):
        for model, panel in zip(models, panels, strict=True):
            own = rows[(rows.model == model) & (rows.verdict != "uncompressed") & rows[measure].notna()]
            points = panel.transData.transform(rows[rows.model == model][["bits_per_weight", measure]].to_numpy())
            taken: list[Bbox] = [_box(float(x), float(y), 9, 9) for x, y in points if np.isfinite(x + y)]
            for _, row in own.sort_values(measure).iterrows():
                _write_label(panel, str(row.compression), (row.bits_per_weight, row[measure]), taken)


def _write_label(panel: Axes, text: str, point: tuple[float, float], taken: list[Bbox]) -> None:
    at = panel.transData.transform(point)
    pixels = panel.figure.dpi / 72  # offsets are in points, so that they grow with the resolution
    written = panel.annotate(
        text, point, xytext=(0, 0), textcoords="offset points", fontsize=7, ha="center", va="center"
    )
    size = written.get_window_extent()
    inside = panel.get_window_extent()
    places = [
        (
            distance * np.cos(angle) + np.sign(np.round(np.cos(angle), 6)) * size.width / pixels / 2,
            distance * np.sin(angle),
        )
        for distance in (5, 9, 14, 20, 28, 38, 50)
        for angle in np.deg2rad([0, 180, 90, 270, 45, 315, 135, 225])
    ]

    def box(place: tuple[float, float]) -> Bbox:
        return _box(at[0] + pixels * place[0], at[1] + pixels * place[1], size.width + 2, size.height + 1)

    def covered(place: tuple[float, float]) -> float:
        own = box(place)
        beyond = max(inside.x0 - own.x0, own.x1 - inside.x1, inside.y0 - own.y0, own.y1 - inside.y1, 0.0)
        return 1e3 * float(beyond) + sum(_shared(own, other) for other in taken)

    best = min(places, key=covered)  # the first of the best, which is the nearest
    taken.append(box(best))
    written.set_position(best)
    if np.hypot(best[0], best[1]) - size.width / pixels / 2 > 10:
        line = {"arrowstyle": "-", "color": "0.6", "lw": 0.5}
        panel.annotate("", point, xytext=best, textcoords="offset points", arrowprops=line)


def _box(x: float, y: float, width: float, height: float) -> Bbox:
    from matplotlib.transforms import Bbox

    return Bbox.from_bounds(x - width / 2, y - height / 2, width, height)


def _shared(one: Bbox, other: Bbox) -> float:
    width = min(one.x1, other.x1) - max(one.x0, other.x0)
    height = min(one.y1, other.y1) - max(one.y0, other.y0)
    return float(max(width, 0.0) * max(height, 0.0))


def labels(runs: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """What each run's model and its compression are called; options that tell runs of one name apart are added to either."""
    found = []
    for run in runs:
        alike = [one for one in runs if one["name"] == run["name"]]
        options = decisive(run["config"])
        differing = [key for key in options if any(decisive(one["config"]).get(key) != options[key] for one in alike)]
        parts = run["name"].split("-")
        model, method = parts[:2] if len(parts) == 3 else (run["name"], compression_of(run))
        of_method = [key for key in differing if key.startswith("compression.")]
        of_model = [key for key in differing if key not in of_method]
        found.append((_with(model, of_model, options), _with(method, of_method, options)))
    return found


def _with(name: str, keys: list[str], options: dict[str, Any]) -> str:
    return " ".join([name, *(f"{key.rpartition('.')[2]}={options[key]}" for key in keys)])


def _verdicts(runs: list[dict[str, Any]], labelled: list[tuple[str, str]], comparisons: pd.DataFrame) -> list[str]:
    """What the tests say of each run against its uncompressed twin."""
    names = job_names(runs)
    whole = {
        name: model
        for name, run, (model, _) in zip(names, runs, labelled, strict=True)
        if compression_of(run) == "none"
    }
    own = comparisons[(comparisons.roi == ALL_VOXELS) & comparisons.layer.isna()]
    found = []
    for name, (model, _) in zip(names, labelled, strict=True):
        twins = [other for other in whole if whole[other] == model]
        tested = own[(own.source == name) & own.reference.isin(twins)]
        if name in whole:
            found.append("uncompressed")
        else:
            found.append(verdict(tested.iloc[0]) if len(tested) else "untested")
    return found


def verdict(comparison: pd.Series[Any]) -> str:
    """What one row of comparisons says: a small difference may be both significant and equivalent, and is equivalent."""
    if np.isnan(comparison.p_t_adjusted) or np.isnan(comparison.p_equivalence_adjusted):
        return "untested"
    level = 1 - comparison.confidence
    if comparison.p_equivalence_adjusted < level:
        return "equivalent"
    return "different" if comparison.p_t_adjusted < level else "undecided"


def compression_of(run: dict[str, Any]) -> str:
    """Name of a run's compression, "none" where there is none."""
    return str(run["config"].get("compression", {}).get("name", "none"))


def _megabytes(run: dict[str, Any]) -> float | None:
    found = run["metrics"].get("compression/disk_bytes") or run["metrics"].get("compression/bytes")
    return None if found is None else found / 1e6


def _values(runs: list[dict[str, Any]], name: str) -> list[float]:
    found = [run["metrics"].get(name) for run in runs]
    return [np.nan if value is None else value for value in found]


def _shown(value: float | None, digits: int) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.{digits}f}"
