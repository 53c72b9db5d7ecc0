"""The page of a study: one file that needs no other and no network."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from brainexp.report.study.formats import cells
from brainexp.report.study.tables import Table

#: The most that MLflow's viewer previews is 50 MiB.
MAX_BYTES = 50 * 2**20
#: Headings whose cells are long words.
WIDE = {"overrides", "error", "folder"}
JUDGED = {"verdict", "status"}


@dataclass(frozen=True)
class Picture:
    """A figure of the page.

    Parameters
    ----------
    name, title, caption, alt : str
        The last is for those who do not see it.
    files : str
        Where the figure and its data lie.
    image : str
        A ``data:`` address, where it is a picture; else empty, and the page has a plot of this name.
    """

    name: str
    title: str
    caption: str
    alt: str
    files: str
    image: str = ""

    @property
    def plot(self) -> bool:
        """Whether the page draws it."""
        return not self.image


def rendered(content: Mapping[str, Any], plots: Mapping[str, Any], brain: Mapping[str, Any] | None) -> str:
    """Write the page.

    Parameters
    ----------
    content : mapping
        What the template names, tables as `shown_table` makes them.
    plots : mapping of str to dict
        Plotly's ``data`` and ``layout`` by the figure's name.
    brain : mapping, optional
        As `brainexp.report.study.viewer.viewer` describes it.

    Returns
    -------
    str
        HTML.
    """
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    own = files(__name__)
    parts = {name: Markup(own.joinpath(f"report.{name}").read_text(encoding="utf-8")) for name in ("css", "js")}  # noqa: S704
    template = Environment(autoescape=True, undefined=StrictUndefined).from_string(
        own.joinpath("report.html").read_text(encoding="utf-8")
    )
    told = json.dumps({"plots": plots, "brain": brain}, allow_nan=False, ensure_ascii=False)
    # Inside a script element only "<" could end it; in JSON it may be written otherwise.
    data = Markup(told.replace("<", "\\u003c"))  # noqa: S704
    return template.render(**content, **parts, plotly=Markup(get_plotlyjs()), data=data, brain=brain is not None)  # noqa: S704


def shown_table(table: Table) -> dict[str, Any]:
    """Prepare a table for the template."""
    shown = cells(table)
    kinds = ["text" if how == "text" else "number" for _, how in table.shown.values()]
    rows = []
    for at, texts in enumerate(shown.itertuples(index=False)):
        values = [table.frame[column].iloc[at] for column in table.shown]
        rows.append(
            [
                _cell(text, value, kind, heading)
                for text, value, kind, heading in zip(texts, values, kinds, shown.columns, strict=True)
            ]
        )
    headings = [{"text": heading, "kind": kind} for heading, kind in zip(shown.columns, kinds, strict=True)]
    told = {"name": table.name, "title": table.title, "note": table.note, "long": table.long, "open": False}
    return {**told, "headings": headings, "rows": rows}


def _cell(text: str, value: Any, kind: str, heading: str) -> dict[str, Any]:
    known = kind == "number" and value is not None and value == value and not math.isinf(value)  # noqa: PLR0124  not NaN
    wide = f"{kind} wide" if heading in WIDE else kind
    return {"text": text, "kind": wide, "value": float(value) if known else None, "verdict": heading in JUDGED}


def plain_plots(plots: Mapping[str, Any]) -> dict[str, Any]:
    """Plotly figures as JSON takes them: what is unknown is null."""
    import plotly.io

    return {name: json.loads(plotly.io.to_json(figure, engine="json")) for name, figure in plots.items()}
