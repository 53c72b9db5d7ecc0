"""The figures of a study for the page: plots to hover over, drawn from the same tables as those for print."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from brainexp.report.study.figures import CURVE, PALETTE, Frames, colour_of, fits_of
from brainexp.report.sweep import BITS
from brainexp.result import ALL_VOXELS, MODEL

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure

#: Plotly's names of `figures.MARKERS`.
SYMBOLS = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x", "star")
HEIGHT = 430
#: Colours of what is no category; the page sets those of text and lines to fit light and dark.
GREY = "#8a8a8a"


def scale_plot(frames: Frames) -> Figure:
    """r over the number of parameters; see `brainexp.report.study.figures.scale_figure`."""
    rows, fits = frames["scale"], fits_of(frames["scale_fit"])
    figure = _figure("parameters", "r on held-out rows")
    families = list(dict.fromkeys(rows.family))
    for family in families:
        own, colour = rows[rows.family == family], colour_of(families, family)
        for source, symbol in ((MODEL, "circle"), ("untrained", "x")):
            means = own[own.source == source].groupby(["parameters", "model"]).r.agg(["mean", "sem"]).reset_index()
            if len(means):
                name = family if source == MODEL else f"{family}, untrained"
                _points(figure, means.parameters, means["mean"], means["sem"], means.model, colour, symbol, name)
        _add_subjects(figure, own[own.source == MODEL], colour, f"{family}, subjects")
        if family in fits and not np.isnan(fits[family].slope):
            fit = fits[family]
            size = np.geomspace(fit.smallest, own.parameters.max(), CURVE)
            name = "line over log size, no limit in sight" if fit.reason else f"curve with limit {fit.limit:.3f}"
            line = {"color": colour, "dash": "dash" if fit.reason else "solid"}
            r = fit.line(size) if fit.reason else fit.curve(size)
            figure.add_scatter(x=size, y=r, mode="lines", line=line, name=name, hoverinfo="skip")
            if not fit.reason:
                figure.add_hrect(fit.limit_low, fit.limit_high, fillcolor=colour, opacity=0.12, line_width=0)
    figure.update_xaxes(type="log")
    return figure


def _add_subjects(figure: Figure, rows: pd.DataFrame, colour: str, name: str) -> None:
    """All subjects as one trace, so that a click hides them."""
    x: list[float | None] = []
    y: list[float | None] = []
    text: list[str] = []
    for subject, one in rows.sort_values("parameters").groupby("subject", sort=False):
        x += [*one.parameters, None]
        y += [*one.r, None]
        text += [*(f"{subject}, {model}" for model in one.model), ""]
    line = {"color": colour, "width": 0.8}
    figure.add_scatter(
        x=x,
        y=y,
        mode="lines",
        line=line,
        opacity=0.35,
        text=text,
        name=name,
        hovertemplate="%{text}<br>r = %{y:.3f}<extra></extra>",
    )


def tests_plot(frames: Frames) -> Figure:
    """Each difference with its intervals; see `brainexp.report.study.figures.tests_figure`."""
    (rows,) = frames.values()
    pairs = list(dict.fromkeys(rows.pair))[::-1]
    figure = _figure("difference of r over all voxels", "")
    margin = float(rows.margin.iloc[0])
    figure.add_vrect(-margin, margin, fillcolor=GREY, opacity=0.18, line_width=0, layer="below")
    figure.add_vline(0, line_color=GREY, line_width=1)
    layers = list(dict.fromkeys(rows["at"]))
    for number, layer in enumerate(layers):
        some = rows[rows["at"] == layer]
        at = np.array([pairs.index(pair) for pair in some.pair]) + ((len(layers) - 1) / 2 - number) * 0.28
        for low, high, width in (("ci_low", "ci_high", 1.5), ("equivalence_low", "equivalence_high", 4)):
            ends = np.column_stack([some[low], some[high], np.full(len(some), np.nan)]).ravel()
            line = {"color": PALETTE[number], "width": width}
            figure.add_scatter(
                x=ends,
                y=np.repeat(at, 3),
                mode="lines",
                line=line,
                legendgroup=layer,
                showlegend=False,
                hoverinfo="skip",
            )
        told = [
            f"{row.pair}<br>{row.difference:+.4f} ({row.ci_low:+.4f} to {row.ci_high:+.4f})<br>t({row.df:.0f}) = "
            f"{row.t:.2f}, "
            f"adjusted p {row.p_t_adjusted:.3g}; equivalence {row.p_equivalence_adjusted:.3g}<br>{row.verdict}"
            for row in some.itertuples()
        ]
        figure.add_scatter(
            x=some.difference, y=at, mode="markers", marker={"color": PALETTE[number], "size": 8}, text=told,
            name=f"{layer} layer", legendgroup=layer, hovertemplate="%{text}<extra></extra>",
        )  # fmt: skip
    figure.update_yaxes(
        tickvals=list(range(len(pairs))), ticktext=pairs, automargin=True, range=[-0.7, len(pairs) - 0.3]
    )
    figure.update_layout(height=max(260, 30 * len(pairs) + 150))
    return figure


def bits_plot(frames: Frames) -> Figure:
    """r over bits per weight, a line per model; the uncompressed model's margin of equivalence is in the figure for print."""
    rows = frames["bits"]
    rows = rows[rows.bits_per_weight.notna() & rows.r.notna()]
    models, methods = (list(dict.fromkeys(rows[column])) for column in ("model", "compression"))
    figure = _figure("bits per weight, all parameters", "r on held-out rows")
    for model in models:
        own = rows[rows.model == model].sort_values("bits_per_weight")
        symbols = [SYMBOLS[methods.index(method) % len(SYMBOLS)] for method in own.compression]
        told = [f"{name}<br>{verdict}" for name, verdict in zip(own["name"], own.verdict, strict=True)]
        _points(figure, own.bits_per_weight, own.r, own.r_se, told, colour_of(models, model), symbols, model)
        figure.data[-1].update(
            mode="lines+markers", line={"width": 0.6, "dash": "dot", "color": colour_of(models, model)}
        )
    _name_methods(figure, methods)
    ticks = [bits for bits in BITS if rows.bits_per_weight.min() < 1.2 * bits < 1.5 * rows.bits_per_weight.max()]
    figure.update_xaxes(type="log", tickvals=ticks, ticktext=[f"{bits:g}" for bits in ticks])
    return figure


def pareto_plot(frames: Frames) -> Figure:
    """r over bytes, and the front; see `brainexp.report.study.figures.pareto_figure`."""
    rows = frames["pareto"]
    models, methods = (list(dict.fromkeys(rows[column])) for column in ("model", "compression"))
    figure = _figure("megabytes of weights", "r on held-out rows")
    front = rows[rows.front].sort_values("megabytes")
    line = {"color": GREY, "width": 1.5, "shape": "hv"}
    figure.add_scatter(x=front.megabytes, y=front.r, mode="lines", line=line, name="not beaten", hoverinfo="skip")
    for model in models:
        own = rows[rows.model == model]
        symbols = [SYMBOLS[methods.index(method) % len(SYMBOLS)] for method in own.compression]
        told = [f"{name}{', not beaten' if front else ''}" for name, front in zip(own["name"], own.front, strict=True)]
        _points(figure, own.megabytes, own.r, own.r_se, told, colour_of(models, model), symbols, model)
    _name_methods(figure, methods)
    figure.update_xaxes(type="log", dtick="D2")
    return figure


def layers_plot(frames: Frames) -> Figure:
    """r by relative depth, a line per run; compressions are dashed."""
    rows = frames["layers"]
    models, methods = (list(dict.fromkeys(rows[column])) for column in ("model", "compression"))
    figure = _figure("relative depth (0: embedding)", "r on held-out rows")
    dashes = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
    for _, own in rows.groupby("run", sort=False):
        model, method = own.model.iloc[0], own.compression.iloc[0]
        told = [
            f"{model} · {method}, layer {layer} ± {error:.3f}" for layer, error in zip(own.layer, own.r_se, strict=True)
        ]
        line = {"color": colour_of(models, model), "dash": dashes[methods.index(method) % len(dashes)], "width": 2}
        figure.add_scatter(
            x=own.depth, y=own.r, mode="lines+markers", line=line, text=told, name=f"{model} · {method}",
            hovertemplate="%{text}<br>r = %{y:.3f}<extra></extra>",
        )  # fmt: skip
    return figure


def rois_plot(frames: Frames) -> Figure:
    """r per ROI, subjects as points, a group per run."""
    rows = frames["rois"]
    named = rows.model + " · " + rows.compression
    figure = _figure("", "r on held-out rows")
    names = list(dict.fromkeys(named))
    column = "model" if len(set(rows.model)) > 1 else "compression"
    of = list(dict.fromkeys(rows[column]))
    for name in names:
        own = rows[named == name]
        rois = ["all voxels" if roi == ALL_VOXELS else roi for roi in own.roi]
        figure.add_box(
            x=rois, y=own.r, text=own.subject, name=name, boxpoints="all", jitter=0.3, pointpos=0, marker={"size": 3},
            line={"width": 1}, boxmean=True, marker_color=colour_of(of, getattr(own, column).iloc[0]),
            hovertemplate="%{text}: %{y:.3f}",
            visible=True if len(names) <= 6 or own.compression.iloc[0] == rows.compression.iloc[0] else "legendonly",
        )  # fmt: skip
    figure.update_layout(boxmode="group")
    return figure


def dissociation_plot(frames: Frames) -> Figure:
    """Relative change of alignment over that of probes, a colour per run; filled: dissociated."""
    rows = frames["dissociation"]
    rows = rows[rows.alignment_change.notna() & rows.probes_change.notna()]
    runs = list(dict.fromkeys(rows.run))
    figure = _figure("change of probes, share of the score above chance", "change of alignment, share of r")
    across, up = (1.2 * max(0.1, float(rows[name].abs().max())) for name in ("probes_change", "alignment_change"))
    line = {"color": GREY, "dash": "dash", "width": 1}
    figure.add_scatter(
        x=[-across, across],
        y=[-across, across],
        mode="lines",
        line=line,
        name="both lose the same share",
        hoverinfo="skip",
    )
    for run in runs:
        own = rows[rows.run == run]
        symbols = ["circle" if verdict == "dissociated" else "circle-open" for verdict in own.verdict]
        told = [
            f"{run}<br>{competence}: {verdict}" for competence, verdict in zip(own.competence, own.verdict, strict=True)
        ]
        figure.add_scatter(
            x=own.probes_change, y=own.alignment_change, mode="markers", text=told, name=run,
            marker={"color": colour_of(runs, run), "symbol": symbols, "size": 10},
            hovertemplate="%{text}<br>probes %{x:+.1%}, alignment %{y:+.1%}<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(tickformat="+.0%", range=[-across, across])
    figure.update_yaxes(tickformat="+.0%", range=[-up, up])
    return figure


def _figure(x: str, y: str) -> Figure:
    from plotly.graph_objects import Figure

    figure = Figure(layout={"template": "none", "height": HEIGHT, "colorway": PALETTE})
    figure.update_layout(
        margin={"l": 70, "r": 40, "t": 30, "b": 50}, legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"}
    )
    for axes, title in ((figure.update_xaxes, x), (figure.update_yaxes, y)):
        axes(title={"text": title, "font": {"size": 13}, "standoff": 8}, zeroline=False, automargin=True)
    return figure


def _name_methods(figure: Figure, methods: Sequence[str]) -> None:
    """What the shapes of points mean, in the legend."""
    for number, method in enumerate(methods):
        marker = {"color": GREY, "symbol": SYMBOLS[number % len(SYMBOLS)], "size": 9}
        figure.add_scatter(x=[None], y=[None], mode="markers", marker=marker, name=method, hoverinfo="skip")


def _points(
    figure: Figure,
    x: Sequence[float],
    y: Sequence[float],
    error: pd.Series[float],
    text: Sequence[str],
    colour: str,
    symbol: str | Sequence[str],
    name: str,
) -> None:
    figure.add_scatter(
        x=x, y=y, mode="markers", text=text, name=name, marker={"color": colour, "symbol": symbol, "size": 10},
        error_y={"type": "data", "array": error.fillna(0.0), "thickness": 1, "width": 0},
        hovertemplate="%{text}<br>r = %{y:.3f}<extra></extra>",
    )  # fmt: skip


#: How each figure is drawn for the page.
PLOTS: dict[str, Callable[[Frames], Any]] = {
    "scale": scale_plot,
    "model_differences": tests_plot,
    "compression_differences": tests_plot,
    "bits": bits_plot,
    "pareto": pareto_plot,
    "layers": layers_plot,
    "rois": rois_plot,
    "dissociation": dissociation_plot,
}
