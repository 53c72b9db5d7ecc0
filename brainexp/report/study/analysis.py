"""Everything that a report says, computed once: tests, tables, tables of figures, and sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from brainexp.registry import validated
from brainexp.report import sweep
from brainexp.report.dissociation import dissociations
from brainexp.report.pairing import model_comparisons, twin_comparisons
from brainexp.report.study import claims, tables
from brainexp.report.study.claims import Claim
from brainexp.report.study.launch import ELSEWHERE, FINISHED, REUSED, Study
from brainexp.report.study.pooled import pooled
from brainexp.report.study.tables import Table
from brainexp.result import ALL_VOXELS, MODEL
from brainexp.score.pareto import pareto_front
from brainexp.score.saturation import Saturation, saturation
from brainexp.settings import Scoring

if TYPE_CHECKING:
    import pandas as pd

#: Jobs that lack nothing.
DONE = (FINISHED, REUSED, ELSEWHERE)


@dataclass(frozen=True)
class Section:
    """What the report says on one question.

    Parameters
    ----------
    name, title : str
    claims : tuple of Claim
        Tested sentences.
    remarks : tuple of str
        Other sentences.
    tables : tuple of Table
    figures : mapping of str to mapping of str to DataFrame
        The tables of each figure, by the figure's name; the figure's own first.
    left_out : mapping of str to str
        Figures that there are not, and why.
    """

    name: str
    title: str
    claims: tuple[Claim, ...] = ()
    remarks: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    figures: Mapping[str, Mapping[str, pd.DataFrame]] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Analysis:
    """What was found over all runs of a study.

    Parameters
    ----------
    study : Study
    runs : tuple of dict
        Conditions: runs that differ in subjects alone are one.
    names : mapping of str to str
        What the reader calls each run.
    scoring : Scoring
        Of the first run.
    sections : tuple of Section
    remarks : tuple of str
        What was not compared, and why.
    """

    study: Study
    runs: tuple[dict[str, Any], ...]
    names: Mapping[str, str]
    scoring: Scoring
    sections: tuple[Section, ...]
    remarks: tuple[str, ...]

    @property
    def holes(self) -> str:
        """Which jobs are missing, in words; empty where none is."""
        return claims.hole_sentence(self.study.jobs, DONE) or ""


def analysed(study: Study, workplace: Path) -> Analysis:
    """Test, tabulate and tell.

    Parameters
    ----------
    study : Study
    workplace : Path
        An existing folder for files that are needed while the report is made.
    """
    runs, remarks = pooled(study.runs, workplace)
    named = [" · ".join(pair) for pair in sweep.labels(runs)]
    names = dict(zip(sweep.job_names(runs), named, strict=True))
    scoring = validated(Scoring, runs[0]["config"].get("scoring", {}), "scoring")
    models, told_of_models = model_comparisons(runs)
    twins, told_of_twins = twin_comparisons(runs)
    lost, told_of_probes = dissociations(runs)
    rows = tables.subject_rows(runs)
    sections = (
        _scale(runs, rows, models, names, scoring),
        _compression(runs, twins, names, scoring),
        _probes(runs, lost, names),
        _costs(runs, twins, names),
        _places(runs, rows),
        Section("jobs", "Jobs, failures and holes", tables=(tables.job_table(study.jobs),)),
    )
    told = [*study.remarks, *remarks, *told_of_models, *told_of_twins, *told_of_probes, *_remarks_of_runs(runs)]
    return Analysis(study, tuple(runs), names, scoring, sections, tuple(dict.fromkeys(told)))


def _scale(
    runs: Sequence[dict[str, Any]], rows: pd.DataFrame, models: pd.DataFrame, names: Mapping[str, str], scoring: Scoring
) -> Section:
    import pandas as pd

    short = {name: told.removesuffix(" · none") for name, told in names.items()}
    whole = [name for name, run in zip(names, runs, strict=True) if sweep.compression_of(run) == "none"]
    own = rows[rows.run.isin(whole) & (rows.roi == ALL_VOXELS) & rows.layer.isna() & rows.parameters.notna()]
    fits = _fits(own, scoring)
    said = [
        *claims.pair_claims(models, short),
        *(claims.size_claim(name, fit, scoring.confidence) for name, fit in fits.items()),
    ]
    counts = claims.counted(models, "Models, each two compared") if len(models) else None
    figures: dict[str, Mapping[str, pd.DataFrame]] = {}
    left_out: dict[str, str] = {}
    if len(set(own.parameters)) > 1:
        columns = ["family", *(one.name for one in fields(Saturation))]
        fit_rows = pd.DataFrame([{"family": family, **asdict(fit)} for family, fit in fits.items()], columns=columns)
        kept = own[["run", "model", "family", "parameters", "source", "subject", "r"]].reset_index(drop=True)
        figures["scale"] = {"scale": kept, "scale_fit": fit_rows}
    else:
        left_out["scale"] = "the uncompressed models are of one size, or of a size that is not known"
    tested = tables.test_tables(
        models,
        short,
        "model_tests",
        "Models compared",
        "Every two uncompressed models, the larger minus the smaller, each at the layer chosen on training rows.",
    )
    _add_tests("model_differences", tested[0], figures, left_out)
    shown = [tables.scale_table(runs), *(tested if len(models) else ())]
    return Section("scale", "Scale", tuple(said), (counts,) if counts else (), tuple(shown), figures, left_out)


def _add_tests(
    name: str, table: Table, figures: dict[str, Mapping[str, pd.DataFrame]], left_out: dict[str, str]
) -> None:
    """Draw what was tested; without tests, say so."""
    frame = table.frame[table.frame.p_t.notna()].reset_index(drop=True)
    if len(frame):
        figures[name] = {name: frame}
    else:
        left_out[name] = "nothing was tested, which takes two runs with three subjects whom both have"


def _fits(own: pd.DataFrame, scoring: Scoring) -> dict[str, Saturation]:
    """A curve per family of at least two sizes, over r of the subjects whom all its models have."""
    found = {}
    for family, some in own[own.source == MODEL].groupby("family", sort=False):
        wide = some.pivot_table(index="subject", columns="run", values="r", sort=False)
        size = some.groupby("run", sort=False).parameters.first()[wide.columns].to_numpy(float)
        if len(np.unique(size)) > 1:
            rng = np.random.default_rng(0)
            found[str(family)] = saturation(size, wide.to_numpy(float), scoring.confidence, rng)
    return found


def _compression(
    runs: Sequence[dict[str, Any]], twins: pd.DataFrame, names: Mapping[str, str], scoring: Scoring
) -> Section:
    figures: dict[str, Mapping[str, pd.DataFrame]] = {}
    left_out: dict[str, str] = {}
    shown = tables.test_tables(
        twins,
        names,
        "compression_tests",
        "Compressions against their uncompressed twins",
        "Each compressed model minus the same model uncompressed, at the layer that each chose and at the one that "
        "the twin chose: damage that another layer makes up for shows only there.",
    )
    _add_tests("compression_differences", shown[0], figures, left_out)
    costs = sweep.cost_rows(list(runs), twins)
    known = costs[costs.bits_per_weight.notna()]
    if len(known) and known.groupby("model").bits_per_weight.nunique().max() > 1:
        figures["bits"] = {"bits": costs.assign(margin=scoring.equivalence_margin, name=list(names.values()))}
    else:
        left_out["bits"] = "no two runs of a model differ in bits per weight"
    counts = claims.counted(twins, "Compressions against their twins")
    said = claims.pair_claims(twins, names) if len(twins) else []
    kept = tuple(one for one in shown if len(one.frame))
    return Section("compression", "Compression", tuple(said), (counts,) if counts else (), kept, figures, left_out)


def layer_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean r over subjects of each run at each layer, over all voxels, with standard error and relative depth."""
    some = rows[(rows.source == MODEL) & (rows.roi == ALL_VOXELS) & rows.layer.notna()]
    keys = ["run", "model", "compression", "layer"]
    found = some.groupby(keys, sort=False).r.agg(r="mean", r_se="sem").reset_index()
    found["layer"] = found.layer.astype(int)
    found["depth"] = found.layer / found.groupby("run").layer.transform("max").replace(0, 1)
    return found


def _probes(runs: Sequence[dict[str, Any]], lost: pd.DataFrame, names: Mapping[str, str]) -> Section:
    probes = tables.probe_table(runs)
    figures: dict[str, Mapping[str, pd.DataFrame]] = {}
    left_out = {}
    shown = [probes] if len(probes.frame) else []
    rates = tables.rate_table(runs)
    shown += [rates] if len(rates.frame) else []
    if len(lost):
        shown.append(tables.dissociation_table(lost, names))
    if len(lost) and lost.difference.notna().any():
        figures["dissociation"] = {"dissociation": lost.assign(run=[names[run] for run in lost.run])}
    elif not len(probes.frame):
        left_out["dissociation"] = "the runs were asked no probes: give probe=[flash_holmes]"
    else:
        left_out["dissociation"] = (
            "no compressed run and its uncompressed twin were asked the same probes, or too few subjects or sets"
        )
    told = claims.dissociation_claims(lost, names)
    if len(lost) and not told:
        told = ["No competence is shown to lose more than alignment does."]
    return Section("probes", "Probes", (), tuple(told), tuple(shown), figures, left_out)


def _costs(runs: Sequence[dict[str, Any]], twins: pd.DataFrame, names: Mapping[str, str]) -> Section:
    table = tables.cost_table(runs, twins)
    weights = table.frame.parameters * table.frame.bits_per_weight / 8e6
    frame = table.frame.assign(name=list(names.values()), megabytes=weights)
    frame["front"] = pareto_front(frame.megabytes.to_numpy(float), frame.r.to_numpy(float))
    rows = frame[["run", "name", "model", "compression", "megabytes", "r", "r_se", "front"]]
    rows = rows[rows.megabytes.notna() & rows.r.notna()].reset_index(drop=True)
    if rows.megabytes.nunique() < 2:
        return Section("costs", "Costs", (), (), (table,), {}, {"pareto": "all runs are of one size"})
    told = claims.pareto_sentence(rows)
    return Section("costs", "Costs", (), (told,) if told else (), (table,), {"pareto": {"pareto": rows}}, {})


def _places(runs: Sequence[dict[str, Any]], rows: pd.DataFrame) -> Section:
    table = tables.roi_table(runs)
    some = rows[(rows.source == MODEL) & rows.layer.isna()]
    kept = some[["run", "model", "compression", "roi", "subject", "r"]].reset_index(drop=True)
    layers = layer_rows(rows)
    several = len(set(layers.layer)) > 1
    figures = {**({"layers": {"layers": layers}} if several else {}), "rois": {"rois": kept}}
    left_out = {} if several else {"layers": "the models have one layer"}
    return Section("places", "Layers and regions", (), (), (table,) if len(table.frame) else (), figures, left_out)


def _remarks_of_runs(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """What runs said of themselves, each once, with how many said it."""
    said: dict[str, int] = {}
    for run in runs:
        for words in run.get("remarks", ()):
            said[words] = said.get(words, 0) + 1
    return [
        words if number == len(runs) else f"{words} ({number} of {len(runs)} runs)" for words, number in said.items()
    ]
