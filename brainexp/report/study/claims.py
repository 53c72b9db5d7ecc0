"""What the tests of a study say, in sentences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from brainexp.report.study.formats import written
from brainexp.report.sweep import verdict
from brainexp.result import ALL_VOXELS
from brainexp.score.saturation import Saturation

if TYPE_CHECKING:
    import pandas as pd

#: More pairs than this are counted; the table has them all.
MAX_SENTENCES = 12
SIGN = {"equivalent": "≡", "different": "≠", "undecided": "?", "untested": "–"}


@dataclass(frozen=True)
class Claim:
    """One tested sentence.

    Parameters
    ----------
    verdict : {"equivalent", "different", "undecided", "untested"}
        What the tests say.
    text : str
        With its numbers.
    """

    verdict: str
    text: str


def pair_claims(comparisons: pd.DataFrame, names: Mapping[str, str]) -> list[Claim]:
    """Say of each pair, over all voxels, each at its own layer, whether r differs; what was shown comes first."""
    own = comparisons[(comparisons.roi == ALL_VOXELS) & comparisons.layer.isna()]
    order = list(SIGN)
    found = [_claim(row, names) for _, row in own.iterrows()]
    return sorted(found, key=lambda claim: order.index(claim.verdict) if len(found) > MAX_SENTENCES else 0)


def _claim(row: pd.Series[Any], names: Mapping[str, str]) -> Claim:
    said = verdict(row)
    one, other = names[row.source], names[row.reference]
    if said == "untested":
        return Claim(said, f"{one} and {other}: Δr = {row.difference:+.3f}, not tested ({row.remark or 'no test'}).")
    confidence = f"{100 * row.confidence:g} %"
    numbers = (
        f"Δr = {row.difference:+.3f}, {confidence} interval {row.ci_low:+.3f} to {row.ci_high:+.3f}, "
        f"t({row.n_subjects - 1:.0f}) = {row.t:.2f}, adjusted p {_p(row.p_t_adjusted)}; "
        f"equivalence within ±{row.margin:g}: adjusted p {_p(row.p_equivalence_adjusted)}"
    )
    small = said == "equivalent" and row.p_t_adjusted < 1 - row.confidence
    words = {
        "equivalent": f"{one} ≈ {other}: r is equivalent"
        + (" (a difference is shown as well, and is smaller than the margin)" if small else ""),
        "different": f"{one} {'>' if row.difference > 0 else '<'} {other}: r is different",
        "undecided": f"{one} and {other}: neither a difference nor equivalence is shown",
    }
    return Claim(said, f"{words[said]} ({numbers}).")


def counted(comparisons: pd.DataFrame, what: str) -> str | None:
    """Count verdicts over all voxels, at own layers and at the same layer; None where there is nothing to count."""
    whole = comparisons[comparisons.roi == ALL_VOXELS]
    if whole.empty:
        return None
    told = []
    for layer, rows in (("own layer", whole[whole.layer.isna()]), ("same layer", whole[whole.layer.notna()])):
        if rows.empty:
            continue
        said = [verdict(row) for _, row in rows.iterrows()]
        told.append(f"{layer}: {', '.join(f'{said.count(one)} {one}' for one in SIGN if one in said)}, of {len(said)}")
    return f"{what} — {'; '.join(told)}."


def size_claim(family: str, fit: Saturation, confidence: float) -> Claim:
    """Say whether r saturates over the sizes of a family."""
    level = f"{100 * confidence:g} %"
    if not math.isnan(fit.slope):
        slope = (
            f"r changes by {fit.slope:+.3f} per tenfold size ({level} interval over subjects {fit.slope_low:+.3f} to "
            f"{fit.slope_high:+.3f}, p {_p(fit.p_slope)})"
        )
    else:
        slope = "the slope over size is unknown"
    if fit.reason:
        return Claim("undecided", f"{family}: {slope}. A limit is not identifiable: {fit.reason}.")
    bend = f"(p of the bend {_p(fit.p_bend)})"
    limit = f"limit {fit.limit:.3f}, {level} interval over subjects {fit.limit_low:.3f} to {fit.limit_high:.3f}"
    return Claim("different", f"{family}: {slope}, and saturates {bend}: {limit}.")


def dissociation_claims(table: pd.DataFrame, names: Mapping[str, str]) -> list[str]:
    """Sentences on competences whose loss is dissociated from alignment."""
    found = []
    for said, words in (("dissociated", "falls while r stays equivalent"), ("probes lose more", "loses more than r")):
        for run, rows in table[table.verdict == said].groupby("run", sort=False):
            lost = ", ".join(
                f"{row.competence} ({100 * row.probes_change:+.0f} % against {100 * row.alignment_change:+.0f} % of r)"
                for _, row in rows.iterrows()
            )
            found.append(f"{names[str(run)]}: what probes find of {lost} {words}.")
    return found


def pareto_sentence(rows: pd.DataFrame) -> str | None:
    """Name the front, from small to large; ``rows`` has ``name``, ``megabytes``, ``r`` and ``front``."""
    front = rows[rows.front].sort_values("megabytes")
    if front.empty:
        return None
    named = "; ".join(f"{row['name']} ({row.megabytes:,.2f} MB, r = {row.r:.3f})" for _, row in front.iterrows())
    return f"Not beaten in size and r at once: {named}."


def hole_sentence(jobs: pd.DataFrame, done: Sequence[str]) -> str | None:
    """Count the jobs that are missing; None where none is."""
    lost = jobs[~jobs.status.isin(list(done))]
    if lost.empty:
        return None
    counts = ", ".join(f"{number} {status}" for status, number in lost.status.value_counts(sort=False).items())
    return f"{len(lost)} of {len(jobs)} jobs are missing from what follows: {counts}."


def _p(value: float) -> str:
    text = written(value, "p")
    return text if text.startswith("<") else f"= {text}"
