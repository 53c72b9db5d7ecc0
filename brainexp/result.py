"""What a run leaves behind: scores per voxel, a row per subject, layer and ROI, and metrics by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from brainexp.align.audit import Audit
from brainexp.containers import FloatArray, IntArray, Space
from brainexp.evaluation import Evaluation, Target
from brainexp.partition import Partition
from brainexp.readout import Readout
from brainexp.score.ceiling import basic_interval, normalised, ratio_of_means, spread
from brainexp.score.permutation import false_discovery_q

if TYPE_CHECKING:
    import pandas as pd

#: Source of the scores of the language model.
MODEL = "model"
#: Name of the row that pools all voxels of a subject.
ALL_VOXELS = "all"
#: Columns of scores.parquet: a contract.
SCORE_COLUMNS = (
    "source",
    "subject",
    "layer",
    "roi",
    "n_voxels",
    "n_scored",
    "r",
    "r_norm",
    "r2",
    "validation_r",
    "ceiling",
    "n_normalised",
    "r_norm_ratio_of_means",
    "ceiling_se",
    "ceiling_low",
    "ceiling_high",
)


@dataclass(frozen=True, eq=False)
class Voxels:
    """Columns of all subjects side by side.

    Parameters
    ----------
    subjects : tuple of str
        Who was analysed.
    spaces : mapping of str to Space
        By subject.
    owner : array of int of shape (n_voxels,)
        Index of the subject whose column it is.
    ceiling : array of shape (n_voxels,)
        Best r that the noise allows.
    ceiling_floor : float
        Below it r is not normalised.
    ceiling_draws : array of shape (n_draws, n_voxels), optional
        The ceiling with its data drawn anew; none where its uncertainty is unknown.
    subject_draws : array of int of shape (n_draws, n_subjects), optional
        Indices of subjects drawn with replacement; none where nothing shall be drawn.
    """

    subjects: tuple[str, ...]
    spaces: Mapping[str, Space]
    owner: np.ndarray[tuple[int], np.dtype[np.intp]]
    ceiling: FloatArray
    ceiling_floor: float
    ceiling_draws: FloatArray | None = None
    subject_draws: IntArray | None = None

    def normalised(self, r: FloatArray) -> FloatArray:
        """Divide r by the ceiling, array of shape (n_voxels,)."""
        return normalised(r, self.ceiling, self.ceiling_floor)

    def ceiling_spread(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Standard error and 95 % interval of each ceiling, arrays of shape (n_voxels,), NaN where unknown."""
        return spread(self.draws())

    def mean_ceiling_spread(self, areas: Sequence[IntArray]) -> tuple[float, float, float]:
        """Standard error and 95 % interval of the mean ceiling of an ROI."""
        draws = over_areas(_row_means, areas, self.draws())
        mean = float(over_areas(_row_means, areas, self.ceiling))
        return float(spread(draws[:, None])[0][0]), *basic_interval(mean, draws)

    def roi_areas(self) -> Iterator[tuple[int, str, tuple[IntArray, ...]]]:
        """Yield the number of each subject, the name of each of its ROIs and the columns of its areas, all voxels last.

        An ROI in whose means columns count alike is a single area.
        """
        for number, subject in enumerate(self.subjects):
            own, space = np.flatnonzero(self.owner == number), self.spaces[subject]
            for roi, columns in space.rois.items():
                yield number, roi, tuple(own[area] for area in space.areas.get(roi, (columns,)))
            yield number, ALL_VOXELS, (own,)

    def draws(self) -> FloatArray:
        """Draws of the ceilings, array of shape (n_draws, n_voxels); no rows where there are none."""
        return np.empty((0, len(self.owner))) if self.ceiling_draws is None else self.ceiling_draws


@dataclass(frozen=True, eq=False)
class Result:
    """Everything that a run found.

    Parameters
    ----------
    metrics : dict
        Scalars by name; the names are a contract (see README).
    curves : dict
        Values by layer, in the order of ``layers``.
    scores : DataFrame
        A row per source, subject, layer and ROI; ``layer`` is missing for the layer chosen on training rows. ``source`` is
        "model" or the name of a baseline.
    per_voxel : dict of arrays
        What voxels.npz holds.
    voxels : Voxels
        Where the columns lie.
    remarks : tuple of str
        What the user should know.
    tables : mapping of str to DataFrame
        Further tables by name: "comparisons" of the model with each baseline (see `brainexp.comparison`), "partition",
        "clocks" (what `brainexp.align.audit` found of each story).
    readouts : mapping of str to Readout
        Weights by subject, where they were asked for.
    layers : tuple of int
        Numbers of the layers that were scored; 0 is the embedding output.
    compression : str
        What the weights have been through, such as "awq" or "none (checkpoint is gptq w4 g128)".
    provenance : mapping
        From what the numbers came, JSON-like: seeds, and digests by stage (see `brainexp.provenance`).
    """

    metrics: dict[str, float]
    curves: dict[str, list[float]]
    scores: pd.DataFrame
    per_voxel: dict[str, np.ndarray[Any, Any]]
    voxels: Voxels
    remarks: tuple[str, ...] = field(default=())
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    readouts: Mapping[str, Readout] = field(default_factory=dict)
    layers: tuple[int, ...] = ()
    compression: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)


def summarised(
    evaluations: Mapping[str, Evaluation],
    p: FloatArray,
    target: Target,
    voxels: Voxels,
    metrics: Mapping[str, float],
    curves: Mapping[str, list[float]],
    remarks: Sequence[str],
    parts: Partition | None = None,
    readouts: Mapping[str, Readout] | None = None,
    legacy: bool = False,
    fdr: Literal["bh", "by"] = "bh",
) -> Result:
    """Put scores, tables and metrics together; the names of metrics are a contract."""
    import pandas as pd

    scored = evaluations["model"]
    scores = pd.concat([score_table(name, one, voxels) for name, one in evaluations.items()], ignore_index=True)
    q = np.concatenate([false_discovery_q(p[voxels.owner == number], fdr) for number in range(len(voxels.subjects))])
    n_unscored = int((~target.scorable).sum())
    error, low, high = voxels.ceiling_spread()
    told = [f"{n_unscored} of {len(p)} voxels have NaN or are constant, and are not scored."] if n_unscored else []
    shares = variance_shares(parts, voxels, legacy=legacy) if parts is not None else {}
    tables = {"partition": variance_table(shares, voxels)} if shares else {}
    return Result(
        metrics={
            **alignment_metrics(scores),
            **(variance_metrics(tables["partition"]) if tables else {}),
            **normalised_intervals(scored.r, voxels),
            "alignment/below_ceiling_floor": float(np.isnan(voxels.normalised(np.ones(len(p)))[target.scorable]).sum()),
            "alignment/significant_fraction": float((q[target.scorable] < 0.05).mean()),
            "alignment/scored_voxels": float(target.scorable.sum()),
            "alignment/unscored_voxels": float(n_unscored),
            **chosen_layers(scored, target.scorable),
            **metrics,
        },
        curves={**layer_curves(scores), **curves},
        scores=scores,
        per_voxel={
            "subject": np.array(voxels.subjects)[voxels.owner],
            "r": scored.r,
            "r2": scored.r2,
            "ceiling": voxels.ceiling,
            "ceiling_se": error,
            "ceiling_low": low,
            "ceiling_high": high,
            "r_norm": voxels.normalised(scored.r),
            "p": p,
            "q": q,
            "layer": np.where(scored.layer >= 0, np.array(scored.numbers)[scored.layer], -1).T,
            "penalty": scored.penalty.T.squeeze(axis=1) if scored.penalty.shape[1] == 1 else scored.penalty.T,
            **{f"baseline_{name}_r": one.r for name, one in evaluations.items() if name != MODEL},
            **{f"partition_{name.replace('/', '_')}": values for name, values in shares.items()},
        },
        voxels=voxels,
        remarks=(*told, *remarks),
        tables=tables,
        readouts=readouts or {},
        layers=scored.numbers,
    )


def score_table(source: str, evaluation: Evaluation, voxels: Voxels) -> pd.DataFrame:
    """Average over the voxels of each subject and ROI, at every layer and at the chosen one.

    Parameters
    ----------
    source : str
        "model" or the name of a baseline.
    evaluation : Evaluation
        Its scores.
    voxels : Voxels
        Where the columns lie.

    Returns
    -------
    DataFrame with the columns `SCORE_COLUMNS`
    """
    import pandas as pd

    rows = []
    by_layer = list(zip(evaluation.test_r, evaluation.test_r2, evaluation.validation_r, strict=True))
    chosen_validation = np.take_along_axis(evaluation.validation_r, evaluation.layer, axis=0).mean(axis=0)
    settings = [
        *zip(evaluation.numbers, by_layer, strict=True),
        (pd.NA, (evaluation.r, evaluation.r2, chosen_validation)),
    ]
    places = [(*place, voxels.mean_ceiling_spread(place[2])) for place in voxels.roi_areas()]
    ratio = partial(ratio_of_means, floor=voxels.ceiling_floor)
    for layer, (r, r2, validation_r) in settings:
        r_norm = voxels.normalised(r)
        measured = np.stack([r, r_norm, r2, validation_r, voxels.ceiling])
        for number, roi, areas, ceiling_spread in places:
            at = np.concatenate(areas)
            counts = (len(at), int(np.isfinite(r[at]).sum()))
            means = over_areas(_row_means, areas, measured).tolist()
            of_means = float(over_areas(ratio, areas, r, voxels.ceiling))
            n_normalised = int(np.isfinite(r_norm[at]).sum())
            rows.append(
                (source, voxels.subjects[number], layer, roi, *counts, *means, n_normalised, of_means, *ceiling_spread)
            )
    return pd.DataFrame(rows, columns=list(SCORE_COLUMNS)).astype({"layer": "Int64"})


def alignment_metrics(scores: pd.DataFrame) -> dict[str, float]:
    """Means over subjects at the chosen layer, with standard errors: ``alignment/…`` and ``baseline/…``.

    Subjects weigh alike, however many voxels each has.
    """
    metrics = {}
    chosen = scores[scores.layer.isna()]
    for (source, roi), rows in chosen.groupby(["source", "roi"], sort=False):
        group = "alignment" if source == "model" else f"baseline/{source}"
        prefix = group if roi == ALL_VOXELS else f"{group}/{roi}"
        for measure in ("r", "r_norm", "r_norm_ratio_of_means", "r2"):
            metrics[f"{prefix}/{measure}"] = _mean(rows[measure].to_numpy())
        if source == "model":
            metrics[f"{prefix}/ceiling"] = _mean(rows["ceiling"].to_numpy())
        metrics[f"{prefix}/r_se"] = _standard_error(rows["r"].to_numpy())
    return metrics


def clock_table(audits: Sequence[Audit]) -> pd.DataFrame:
    """What `brainexp.align.audit` found, a row per story; what headers and sidecars state in one column."""
    import pandas as pd

    stated = ("; ".join(f"{name}: {tr_s:g}" for name, tr_s in audit.stated_tr_s) for audit in audits)
    return pd.DataFrame([asdict(audit) | {"stated_tr_s": told} for audit, told in zip(audits, stated, strict=True)])


def variance_shares(parts: Partition, voxels: Voxels, legacy: bool) -> dict[str, FloatArray]:
    """Arrays of shape (n_voxels,) by name; with set arithmetic on normalised r where ``legacy`` asks for it."""
    return parts.arrays() | (parts.legacy(voxels.normalised) if legacy else {})


def variance_table(shares: Mapping[str, FloatArray], voxels: Voxels) -> pd.DataFrame:
    """Average over the voxels of each subject and ROI: a row per subject, ROI and share, value in R² (legacy: in r)."""
    import pandas as pd

    rows = [
        (voxels.subjects[number], roi, name, float(over_areas(_row_means, areas, values)))
        for number, roi, areas in voxels.roi_areas()
        for name, values in shares.items()
    ]
    return pd.DataFrame(rows, columns=["subject", "roi", "share", "value"])


def variance_metrics(table: pd.DataFrame) -> dict[str, float]:
    """Means over subjects: ``partition/<share>``, ``partition/<ROI>/<share>``."""
    metrics = {}
    for (share, roi), rows in table.groupby(["share", "roi"], sort=False):
        metrics[f"partition/{share}" if roi == ALL_VOXELS else f"partition/{roi}/{share}"] = float(rows["value"].mean())
    return metrics


def normalised_intervals(r: FloatArray, voxels: Voxels) -> dict[str, float]:
    """95 % intervals of normalised r: ``alignment/<ROI>/r_norm_low``, ``…_high`` and those of the ratio of means.

    In draw i subjects are drawn with replacement, each with draw i of its ceilings, so that what is common to the ceilings
    of all subjects stays so. The floor is applied to the drawn ceilings anew. r itself stays as it is: its own uncertainty
    enters by the differences between subjects only, and not at all where there is one subject. Where ceilings have no draws,
    subjects alone are drawn.

    See `basic_interval`. With few subjects it is too narrow, as a standard deviation is without the factor of n / (n - 1): in
    simulations it covers the truth in 92 % of cases with twelve subjects, 90 % with eight and 81 % with four.

    Parameters
    ----------
    r : array of shape (n_voxels,)
    voxels : Voxels
        Where the columns lie, and what is drawn.

    Returns
    -------
    dict of str to float
        NaN where nothing is drawn.
    """
    ratios: dict[str, FloatArray] = {}
    drawn_ceilings = np.vstack([voxels.ceiling, voxels.draws()])
    both_ratios = partial(_both_ratios, floor=voxels.ceiling_floor)
    for number, roi, areas in voxels.roi_areas():
        here = over_areas(both_ratios, areas, r, drawn_ceilings)
        both = ratios.setdefault(roi, np.full((*here.shape, len(voxels.subjects)), np.nan))
        both[..., number] = here
    found: dict[str, float] = {}
    for roi, both in ratios.items():
        prefix = "alignment" if roi == ALL_VOXELS else f"alignment/{roi}"
        for measure, (estimate, *draws) in zip(("r_norm", "r_norm_ratio_of_means"), both, strict=True):
            drawn = _drawn_subjects(np.stack(draws or [estimate]), voxels.subject_draws)
            low, high = basic_interval(_mean(estimate), drawn)
            found |= {f"{prefix}/{measure}_low": low, f"{prefix}/{measure}_high": high}
    return found


def over_areas(measure: Callable[..., FloatArray], areas: Sequence[IntArray], *values: FloatArray) -> FloatArray:
    """Mean over the areas of an ROI, each counting alike, of a measure of the columns of one; NaN is left out.

    Parameters
    ----------
    measure : callable
        From arrays of shape (..., n_columns) to an array of any shape, the same for every area.
    areas : sequence of arrays of int
        Columns of each area.
    *values : arrays of shape (..., n_voxels)
        Of which the measure gets an area's columns.

    Returns
    -------
    array of the measure's shape
    """
    return _row_means(np.stack([measure(*(one[..., at] for one in values)) for at in areas], axis=-1))


def _both_ratios(r: FloatArray, ceiling: FloatArray, floor: float) -> FloatArray:
    """Mean of ratios, and ratio of means."""
    return np.stack([_row_means(normalised(r, ceiling, floor)), ratio_of_means(r, ceiling, floor)])


def _drawn_subjects(values: FloatArray, subject_draws: IntArray | None) -> FloatArray:
    """Means over drawn subjects of an array of shape (n_draws or 1, n_subjects), array of shape (n_draws,)."""
    if subject_draws is None or values.shape == (1, 1):  # nothing varies
        return np.empty(0)
    return _row_means(np.take_along_axis(np.broadcast_to(values, subject_draws.shape), subject_draws, axis=1))


def _row_means(values: FloatArray) -> FloatArray:
    """Mean of the known values of each row, NaN where none is known."""
    known = np.isfinite(values)
    count = known.sum(axis=-1)
    means: FloatArray = np.where(known, values, 0.0).sum(axis=-1) / np.where(count > 0, count, np.nan)
    return means


def layer_curves(scores: pd.DataFrame) -> dict[str, list[float]]:
    """Means over subjects at each layer: ``layer/r``, ``layer/<ROI>/r`` on test, ``…/validation_r`` on training rows."""
    curves = {}
    layers = scores[(scores.source == "model") & scores.layer.notna()]
    for roi, rows in layers.groupby("roi", sort=False):
        prefix = "layer" if roi == ALL_VOXELS else f"layer/{roi}"
        means = rows.groupby("layer")[["r", "r_norm", "validation_r"]].mean()
        for measure in means:
            curves[f"{prefix}/{measure}"] = [float(value) for value in means[measure]]
    return curves


def chosen_layers(evaluation: Evaluation, scorable: Sequence[bool] | np.ndarray[Any, Any]) -> dict[str, float]:
    """The layer most often chosen over folds and voxels, and the least and greatest chosen."""
    layers = np.array(evaluation.numbers)[evaluation.layer[:, np.asarray(scorable, dtype=bool)].ravel()]
    return {
        "layer/chosen": float(np.bincount(layers).argmax()),
        "layer/chosen_min": float(layers.min()),
        "layer/chosen_max": float(layers.max()),
    }


def _mean(values: FloatArray) -> float:
    """Mean of the known values, NaN where none is known."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")


def _standard_error(values: FloatArray) -> float:
    """Standard error of the mean over subjects, NaN for a single one."""
    known = values[np.isfinite(values)]
    return float(known.std(ddof=1) / np.sqrt(len(known))) if len(known) > 1 else float("nan")
