"""Tables as CSV, Markdown and LaTeX."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brainexp.report.study.tables import Table

if TYPE_CHECKING:
    import pandas as pd

MISSING = "–"
#: How a cell is written; the key is what `Table.shown` names.
FORMATS: dict[str, Callable[[Any], str]] = {
    "text": str,
    "count": lambda value: f"{value:,.0f}",
    "0": lambda value: f"{value:,.0f}",
    "1": lambda value: f"{value:,.1f}",
    "2": lambda value: f"{value:,.2f}",
    "3": lambda value: f"{value:.3f}",
    "+3": lambda value: f"{value:+.3f}",
    "%": lambda value: f"{100 * value:+.0f} %",
    "bytes": lambda value: f"{value / 1e6:,.0f} MB" if value < 1e9 else f"{value / 1e9:,.1f} GB",
    "p": lambda value: "<.001" if value < 0.001 else f"{value:.3f}".removeprefix("0"),
}
#: What pdflatex cannot read as it stands.
SIGNS = {
    "Δ": r"$\Delta$", "−": r"$-$", "±": r"$\pm$", "·": r"$\cdot$", "×": r"$\times$", "≥": r"$\geq$", "≤": r"$\leq$",
    "²": r"$^2$", "ⁿ": r"$^n$", "–": "--", "—": "---", "≈": r"$\approx$", "≡": r"$\equiv$", "<": r"$<$", ">": r"$>$",
    "‘": "`", "’": "'", "“": "``", "”": "''", "…": r"\ldots{}", "√": r"$\sqrt{}$", "→": r"$\rightarrow$",
}  # fmt: skip


def cells(table: Table) -> pd.DataFrame:
    """What a reader sees: headings as columns, every cell as text."""
    import pandas as pd

    return pd.DataFrame(
        {
            heading: [written(value, how) for value in table.frame[column]]
            for column, (heading, how) in table.shown.items()
        },
        columns=[heading for heading, _ in table.shown.values()],
        dtype="str",
    )


def written(value: Any, how: str) -> str:
    """Write one value; what is unknown is a dash."""
    import pandas as pd

    if pd.isna(value) or (isinstance(value, float) and math.isinf(value)):
        return MISSING
    return FORMATS[how](value)


def write_table(table: Table, folder: Path) -> None:
    """Write ``<name>.csv`` with all numbers, ``<name>.md`` and ``<name>.tex`` with what a reader sees.

    Parameters
    ----------
    table : Table
    folder : Path
        An existing folder.
    """
    table.frame.to_csv(folder / f"{table.name}.csv", index=False)
    (folder / f"{table.name}.md").write_text(markdown(table), encoding="utf-8")
    (folder / f"{table.name}.tex").write_text(latex(table), encoding="utf-8")


def markdown(table: Table) -> str:
    """A heading, the table and its note."""
    shown = cells(table).map(lambda text: text.replace("|", r"\|").replace("\n", " "))
    align = ["left" if how == "text" else "right" for _, how in table.shown.values()]
    body = shown.to_markdown(index=False, disable_numparse=True, colalign=align) if len(shown) else "(no rows)"
    return f"## {table.title}\n\n{body}\n\n{table.note}\n"


def latex(table: Table) -> str:
    """A ``longtable`` with rules of booktabs, its note as the caption; ASCII, so that any engine reads it."""
    shown = cells(table).map(escaped)
    shown.columns = [escaped(heading) for heading in shown.columns]
    columns = "".join("l" if how == "text" else "r" for _, how in table.shown.values())
    body = shown.style.hide(axis="index").to_latex(
        column_format=columns,
        caption=escaped(f"{table.title}. {table.note}"),
        label=f"tab:{table.name}",
        environment="longtable",
        hrules=True,
    )
    return "% \\usepackage{booktabs, longtable}\n" + body


def escaped(text: str) -> str:
    """Escape what is special in LaTeX; other signs are spelt by commands, unknown ones by a question mark."""
    special = {one: f"\\{one}" for one in "&%$#_{}"}
    special |= {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}", "\n": " "}
    spelt = (special.get(one) or SIGNS.get(one) or one for one in text)
    return "".join(one if one.isascii() else "?" for one in spelt)
