"""The figures of a study for print, each drawn from tables of numbers and from nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any

import numpy as np

from brainexp.report.figures import MAX_ROIS
from brainexp.result import ALL_VOXELS, MODEL
from brainexp.score.saturation import Saturation

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Frames = Mapping[str, "pd.DataFrame"]

#: Okabe & Ito (2008): told apart by all kinds of colour vision, and in print.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F", "#B8A800")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
STYLE: dict[Any, Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "font.size": 9,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "svg.fonttype": "none",
    "svg.hashsalt": "brainexp",
}
#: Points of a drawn curve.
CURVE = 200
#: More subjects than this are drawn as error bars only.
MAX_POINTS = 40


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Draw in the style of all figures of a report."""

    @wraps(draw)
    def inside(*frames: Any) -> Figure:
        from matplotlib import rc_context

        with rc_context(STYLE):
            return draw(*frames)

    return inside


def colour_of(names: Sequence[str], name: str) -> str:
    """Colour of a name, from its place among all names."""
    return PALETTE[list(names).index(name) % len(PALETTE)]


def fits_of(frame: pd.DataFrame) -> dict[str, Saturation]:
    """Curves by family, from the table that `saturation` was written to."""
    found = {}
    for row in frame.to_dict("records"):
        known = {str(key): value for key, value in row.items() if key not in ("family", "reason")}
        # An empty word is a missing one in a CSV file.
        reason = row["reason"] if isinstance(row["reason"], str) else ""
        found[str(row["family"])] = Saturation(**known, reason=reason)
    return found


@styled
def scale_figure(frames: Frames) -> Figure:
    """Draw r over the number of parameters, a colour per family, subjects as thin lines, with line or curve."""
    from matplotlib.figure import Figure

    rows, fits = frames["scale"], fits_of(frames["scale_fit"])
    families = list(dict.fromkeys(rows.family))
    figure = Figure(figsize=(7.2, 4.4), layout="constrained")
    panel = figure.subplots()
    for family in families:
        own = rows[rows.family == family]
        colour = colour_of(families, family)
        _draw_subjects(panel, own[own.source == MODEL], colour)
        _draw_means(panel, own[own.source == MODEL], colour, "o", family)
        twin = own[own.source != MODEL]
        if len(twin):
            _draw_means(panel, twin, colour, "x", f"{family}, untrained")
        if family in fits:
            _draw_fit(panel, fits[family], own.parameters.max(), colour)
    panel.axhline(0, color="0.8", lw=0.8, zorder=0)
    panel.set_xscale("log")
    panel.set_xlabel("parameters")
    panel.set_ylabel("r on held-out rows")
    figure.legend(loc="outside upper center", ncols=3)
    return figure


def _draw_subjects(panel: Axes, rows: pd.DataFrame, colour: str) -> None:
    for _, one in rows.sort_values("parameters").groupby("subject", sort=False):
        panel.plot(one.parameters, one.r, "-", color=colour, lw=0.6, alpha=0.25, zorder=1)


def _draw_means(panel: Axes, rows: pd.DataFrame, colour: str, marker: str, label: str) -> None:
    means = rows.groupby(["parameters", "model"]).r.agg(["mean", "sem"]).reset_index()
    panel.errorbar(
        means.parameters, means["mean"], means["sem"].fillna(0.0), ls="", marker=marker, color=colour, ms=5, label=label,
        elinewidth=1, zorder=3,
    )  # fmt: skip


def _draw_fit(panel: Axes, fit: Saturation, largest: float, colour: str) -> None:
    if np.isnan(fit.slope):
        return
    size = np.geomspace(fit.smallest, largest, CURVE)
    if fit.reason:
        panel.plot(
            size, fit.line(size), "--", color=colour, lw=1.2, zorder=2, label="line over log size, no limit in sight"
        )
        return
    panel.plot(size, fit.curve(size), "-", color=colour, lw=1.8, zorder=2, label=f"curve with limit {fit.limit:.3f}")
    panel.axhline(fit.limit, color=colour, lw=0.8, ls=":", zorder=1)
    panel.axhspan(fit.limit_low, fit.limit_high, color=colour, alpha=0.1, lw=0, zorder=0, label="limit, over subjects")


@styled
def bits_figure(frames: Frames) -> Figure:
    """Draw r and probe scores over bits per weight: `brainexp.report.sweep.cost_curve`."""
    from brainexp.report.sweep import cost_curve

    figure = cost_curve(frames["bits"], float(frames["bits"].margin.iloc[0]))
    assert figure is not None  # left out where nothing differs in bits
    return figure


@styled
def pareto_figure(frames: Frames) -> Figure:
    """Draw r over the size of the weights, and the front of what nothing beats in both."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator

    rows = frames["pareto"]
    models, methods = (list(dict.fromkeys(rows[column])) for column in ("model", "compression"))
    figure = Figure(figsize=(7.2, 4.6), layout="constrained")
    panel = figure.subplots()
    front = rows[rows.front].sort_values("megabytes")
    panel.plot(
        front.megabytes, front.r, "-", color="0.35", lw=1.2, drawstyle="steps-post", label="not beaten", zorder=1
    )
    for _, row in rows.iterrows():
        panel.errorbar(
            row.megabytes, row.r, 0.0 if np.isnan(row.r_se) else row.r_se, color=colour_of(models, row.model),
            marker=MARKERS[methods.index(row.compression) % len(MARKERS)], ms=6, elinewidth=0.8,
            alpha=1.0 if row.front else 0.5,
            mec="k" if row.front else "none", zorder=3 if row.front else 2,
        )  # fmt: skip
    panel.set_xscale("log")
    panel.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    panel.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    panel.minorticks_off()
    panel.set_xlabel("megabytes of weights")
    panel.set_ylabel("r on held-out rows (± se)")
    _legends(figure, models, methods)
    return figure


def _legends(figure: Figure, models: Sequence[str], methods: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    told = [Line2D([], [], marker="o", ls="", color=colour_of(models, one), label=one) for one in models]
    told += [
        Line2D([], [], marker=MARKERS[at % len(MARKERS)], ls="", color="0.4", label=one)
        for at, one in enumerate(methods)
    ]
    told.append(Line2D([], [], color="0.35", lw=1.2, label="not beaten in both (black edge)"))
    figure.legend(handles=told, loc="outside right upper")


@styled
def layers_figure(frames: Frames) -> Figure:
    """Draw r by layer: the uncompressed models over relative depth, and each model's compressions over its layers."""
    from matplotlib.figure import Figure

    rows = frames["layers"]
    methods = list(dict.fromkeys(rows.compression))
    models = list(dict.fromkeys(rows.model))
    several = [model for model in models if len(set(rows[rows.model == model].compression)) > 1]
    n_panels = (len(models) > 1) + len(several) or 1
    columns = min(3, n_panels)
    figure = Figure(figsize=(3.4 * columns + 0.6, 2.8 * -(-n_panels // columns) + 0.7), layout="constrained")
    grid = figure.subplots(-(-n_panels // columns), columns, sharey=True, squeeze=False)
    panels = list(grid.flat)
    for unused in panels[n_panels:]:
        unused.set_visible(False)
    if len(models) > 1 or not several:
        panel = panels.pop(0)
        for model in models:
            of_model = rows[rows.model == model]
            _draw_layers(panel, of_model[of_model.compression == of_model.compression.iloc[0]], "depth", models, model)
        panel.set_title("models")
        panel.set_xlabel("relative depth (0: embedding)")
        panel.legend(fontsize=7)
    for model, panel in zip(several, panels, strict=False):
        for method in methods:
            of_method = rows[(rows.model == model) & (rows.compression == method)]
            if len(of_method):
                _draw_layers(panel, of_method, "layer", methods, method)
        panel.set_title(model)
        panel.set_xlabel("layer")
        panel.xaxis.get_major_locator().set_params(integer=True)
        panel.legend(fontsize=7)
    figure.supylabel("r on held-out rows (± se)", fontsize=9)
    return figure


def _draw_layers(panel: Axes, rows: pd.DataFrame, x: str, names: Sequence[str], name: str) -> None:
    colour = colour_of(names, name)
    error = rows.r_se.fillna(0.0)
    panel.plot(rows[x], rows.r, "o-", color=colour, ms=3, lw=1.4, label=name)
    panel.fill_between(rows[x], rows.r - error, rows.r + error, color=colour, alpha=0.15, lw=0)


@styled
def rois_figure(frames: Frames) -> Figure:
    """Draw r per ROI as bars with subjects as points: the models, and the compressions of each model."""
    from matplotlib.figure import Figure

    rows = frames["rois"]
    panels_of = _roi_panels(rows)
    rois = list(dict.fromkeys(rows.roi))[-MAX_ROIS - 1 :]
    widest = max(len(names) for _, _, names in panels_of)
    size = (max(6.5, 0.16 * len(rois) * (widest + 1) + 1.5), 2.5 * len(panels_of) + 0.4)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(panels_of), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for panel, (title, column, names) in zip(grid, panels_of, strict=True):
        some = rows if column == "model" else rows[rows.model == title]
        some = (
            some[some.compression == some.groupby("model").compression.transform("first")]
            if column == "model"
            else some
        )
        _draw_bars(panel, some, column, names, rois)
        panel.set_title("models" if column == "model" else title)
        panel.legend(ncols=min(6, len(names)), fontsize=7, loc="upper right")
    grid[-1].set_xticks(np.arange(len(rois)), ["all voxels" if roi == ALL_VOXELS else roi for roi in rois])
    figure.supylabel("r on held-out rows; bars: mean ± se, points: subjects", fontsize=9)
    return figure


def _roi_panels(rows: pd.DataFrame) -> list[tuple[str, str, list[str]]]:
    """Title, what bars stand for, and their names, for each panel."""
    models = list(dict.fromkeys(rows.model))
    found = [("", "model", models)] if len(models) > 1 else []
    for model in models:
        methods = list(dict.fromkeys(rows[rows.model == model].compression))
        if len(methods) > 1 or len(models) == 1:
            found.append((model, "compression", methods))
    return found


def _draw_bars(panel: Axes, rows: pd.DataFrame, column: str, names: Sequence[str], rois: Sequence[str]) -> None:
    width = 0.8 / len(names)
    spread = np.random.default_rng(0)  # only moves points sideways
    for number, name in enumerate(names):
        at = np.arange(len(rois)) + (number - (len(names) - 1) / 2) * width
        values = [rows[(rows[column] == name) & (rows.roi == roi)].r.dropna().to_numpy(float) for roi in rois]
        means = [one.mean() if len(one) else np.nan for one in values]
        errors = [one.std(ddof=1) / np.sqrt(len(one)) if len(one) > 1 else 0.0 for one in values]
        colour = colour_of(names, name)
        panel.bar(at, means, 0.94 * width, yerr=errors, color=colour, alpha=0.75, label=name, error_kw={"lw": 0.8})
        for place, one in zip(at, values, strict=True):
            if len(one) <= MAX_POINTS:
                sideways = spread.uniform(-0.25, 0.25, len(one)) * width
                panel.plot(place + sideways, one, ".", color="k", ms=2, alpha=0.5, zorder=3)
    panel.axhline(0, color="k", lw=0.6)


@styled
def dissociation_figure(frames: Frames) -> Figure:
    """Draw what compression costs of probes and of alignment: `brainexp.report.dissociation.dissociation_figure`."""
    from brainexp.report import dissociation

    return dissociation.dissociation_figure(frames["dissociation"])


@styled
def tests_figure(frames: Frames) -> Figure:
    """Draw each difference with its intervals over all voxels, the margin of equivalence shaded."""
    from matplotlib.figure import Figure

    (rows,) = frames.values()
    figure = Figure(figsize=(7.2, 0.26 * max(2, len(set(rows.pair))) + 1.4), layout="constrained")
    panel = figure.subplots()
    _draw_tests(panel, rows)
    panel.set_xlabel(
        f"difference of r over all voxels\nthin: {100 * rows.confidence.iloc[0]:g} % interval over subjects; thick: "
        f"what must lie "
        "in the grey margin", fontsize=8,
    )  # fmt: skip
    return figure


def _draw_tests(panel: Axes, rows: pd.DataFrame) -> None:
    pairs = list(dict.fromkeys(rows.pair))
    margin = float(rows.margin.iloc[0])
    panel.axvspan(-margin, margin, color="0.92", lw=0, zorder=0)
    panel.axvline(0, color="0.6", lw=0.8, zorder=1)
    layers = list(dict.fromkeys(rows["at"]))
    for number, layer in enumerate(layers):
        some = rows[rows["at"] == layer]
        at = [pairs.index(pair) + (number - (len(layers) - 1) / 2) * 0.3 for pair in some.pair]
        colour = PALETTE[number]
        panel.hlines(at, some.ci_low, some.ci_high, color=colour, lw=1)
        panel.hlines(at, some.equivalence_low, some.equivalence_high, color=colour, lw=2.6)
        panel.plot(some.difference, at, "o", color=colour, ms=4, label=f"{layer} layer")
    panel.set_yticks(np.arange(len(pairs)), pairs)
    panel.set_ylim(len(pairs) - 0.4, -0.6)
    if len(layers) > 1:
        panel.legend(fontsize=7, loc="best")


#: How each figure is drawn from its tables.
FIGURES: dict[str, Callable[[Frames], Figure]] = {
    "scale": scale_figure,
    "model_differences": tests_figure,
    "compression_differences": tests_figure,
    "bits": bits_figure,
    "pareto": pareto_figure,
    "layers": layers_figure,
    "rois": rois_figure,
    "dissociation": dissociation_figure,
}
