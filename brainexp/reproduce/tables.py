"""Tables of what differs before a run, and of how it compares afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from brainexp.reproduce.comparison import DIFFERS, IDENTICAL, OTHER_BITS, STAGES, UNKNOWN, WITHIN, Comparison, most
from brainexp.reproduce.differences import Difference

if TYPE_CHECKING:
    from rich.table import Table

#: Packages that are shown; all are in the file.
MAX_PACKAGES = 20
#: How a verdict is shown.
WORDS: Mapping[str, str] = {
    IDENTICAL: "identical bit for bit",
    WITHIN: "equal within {tolerance:g}",
    DIFFERS: "differs",
    OTHER_BITS: "other bits",
    UNKNOWN: "not recorded",
}


def differences_table(differences: Sequence[Difference]) -> Table:
    """Put what is not as it was in a row each.

    Parameters
    ----------
    differences : sequence of Difference
        As `brainexp.reproduce.differences.before` returns them.

    Returns
    -------
    rich.table.Table
    """
    from rich.table import Table

    packages = [one for one in differences if one.about == "packages"]
    hidden = {id(one) for one in packages[MAX_PACKAGES:]}
    table = Table(title="what is not as it was" + (f" ({len(hidden)} packages more)" if hidden else ""))
    for column in ("", "what", "recorded", "here"):
        table.add_column(column, overflow="fold")
    about = ""
    for one in differences:
        if id(one) not in hidden:
            table.add_row(one.about if one.about != about else "", one.what, one.recorded, one.here)
            about = one.about
    return table


def comparison_table(comparison: Comparison, features: Mapping[str, Any], started: datetime) -> Table:
    """Put every stage in a row: the worst that was found in it, and where.

    Parameters
    ----------
    comparison : Comparison
        What was found.
    features : mapping
        As the repetition has recorded them.
    started : datetime
        When it began; features that were computed before have been in the cache.

    Returns
    -------
    rich.table.Table
    """
    from rich.table import Table

    made = [datetime.fromisoformat(one["made"]) for one in features["stories"].values() if "made" in one]
    kept = [one for one in made if one < started.replace(microsecond=0)]
    told = f"features of {len(kept)} of {len(made)} stories were in the cache, not computed anew; --fresh computes them"
    table = Table(title="recorded run and its repetition", caption=told if kept else None)
    for column in ("stage", "compared", "verdict"):
        table.add_column(column)
    table.add_column("largest", justify="right")
    table.add_column("where", overflow="fold")
    for stage in STAGES:
        findings = comparison.of(stage)
        if findings:
            one = most(findings)
            words = WORDS[one.verdict].format(tolerance=comparison.tolerance)
            largest = "" if one.largest is None else f"{one.largest:.2g}"
            where = f"{one.what}: {one.where}" if one.where else ""
            table.add_row(stage, str(len(findings)), words, largest, where)
    return table


def verdict_line(comparison: Comparison) -> str:
    """Say in a sentence whether the run was reproduced, and where to look if it was not."""
    if comparison.verdict == IDENTICAL:
        return "reproduced: every number is identical bit for bit"
    largest = most([one for one in comparison.findings if one.verdict == comparison.verdict])
    first = comparison.first
    begins = "" if first is None else f" The first difference is in stage {first.stage}: {first.what}, {first.where}."
    how_far = "" if largest.largest is None else f" by up to {largest.largest:.2g}"
    if comparison.reproduced:
        return f"reproduced within {comparison.tolerance:g}: numbers differ{how_far}.{begins}"
    return f"not reproduced within {comparison.tolerance:g}: {largest.what} ({largest.stage}) differ{how_far}.{begins}"
