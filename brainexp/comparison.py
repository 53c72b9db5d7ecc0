"""Two conditions compared over the subjects who went through both, region by region."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from typing import TYPE_CHECKING

import numpy as np

from brainexp.result import ALL_VOXELS, MODEL, Result
from brainexp.score.inference import MIN_SUBJECTS, PairedTests, adjusted, paired_tests
from brainexp.settings import Scoring

if TYPE_CHECKING:
    import pandas as pd

#: Tests whose p are adjusted, each for itself.
TESTS = ("p_t", "p_wilcoxon", "p_sign_flip", "p_equivalence")
#: Columns of comparisons.parquet and of a sweep's comparisons.csv: a contract.
COMPARISON_COLUMNS = (
    "family",
    "source",
    "reference",
    "roi",
    "layer",
    "r",
    "reference_r",
    *(one.name for one in fields(PairedTests) if one.name != "remark"),
    *(f"{test}_adjusted" for test in TESTS),
    "margin",
    "confidence",
    "remark",
)


def compared(result: Result, scoring: Scoring, rng: np.random.Generator) -> Result:
    """Add the comparison of the model with each baseline, and say so where subjects are too few for it."""
    comparisons = against_baselines(result.scores, scoring, rng)
    most = comparisons.n_subjects.max() if len(comparisons) else MIN_SUBJECTS
    told = (
        [f"The model is not tested against its baselines: that takes at least {MIN_SUBJECTS} subjects (here: {most})."]
        if most < MIN_SUBJECTS
        else []
    )
    return replace(result, tables={**result.tables, "comparisons": comparisons}, remarks=(*result.remarks, *told))


def against_baselines(scores: pd.DataFrame, scoring: Scoring, rng: np.random.Generator) -> pd.DataFrame:
    """Compare the model with each baseline at the layers chosen on training rows.

    Parameters
    ----------
    scores : DataFrame
        As in `brainexp.result.Result`.
    scoring : Scoring
        Margin, confidence and multiplicity.
    rng : numpy.random.Generator

    Returns
    -------
    DataFrame with the columns `COMPARISON_COLUMNS`
        A row per baseline and ROI. All baselines in all ROIs are one family of tests; all baselines over all voxels are
        another.
    """
    chosen = scores[scores.layer.isna()]
    model = chosen[chosen.source == MODEL]
    rows = [
        row
        for name in dict.fromkeys(chosen.source)
        if name != MODEL
        for row in paired_rows(model, chosen[chosen.source == name], (MODEL, name, "baselines"), None, scoring, rng)
    ]
    return adjusted_table(rows, scoring)


def paired_rows(
    first: pd.DataFrame,
    second: pd.DataFrame,
    names: tuple[str, str, str],
    layer: int | None,
    scoring: Scoring,
    rng: np.random.Generator,
) -> list[dict[str, object]]:
    """Compare r of two conditions in every ROI that both have.

    Parameters
    ----------
    first, second : DataFrames
        Rows of scores with one row per subject and ROI.
    names : (str, str, str)
        Of the first, of the second, and of what the family of tests compares.
    layer : int or None
        None where each was scored at its own chosen layer.
    scoring : Scoring
    rng : numpy.random.Generator

    Returns
    -------
    list of dict
        For `adjusted_table`.
    """
    rows: list[dict[str, object]] = []
    pairs = first.merge(second, on=["subject", "roi"], suffixes=("", "_second"), how="inner")
    for roi, pair in pairs.groupby("roi", sort=False):
        r, reference_r = pair.r.to_numpy(dtype=float), pair.r_second.to_numpy(dtype=float)
        both = np.isfinite(r) & np.isfinite(reference_r)
        tested = paired_tests(r, reference_r, scoring.equivalence_margin, scoring.confidence, rng)
        what = f"{names[2]}, all voxels" if roi == ALL_VOXELS else f"{names[2]} × ROIs"
        rows.append(
            {
                "family": what,
                "source": names[0],
                "reference": names[1],
                "roi": roi,
                "layer": layer,
                "r": r[both].mean() if both.any() else np.nan,
                "reference_r": reference_r[both].mean() if both.any() else np.nan,
                "margin": scoring.equivalence_margin,
                "confidence": scoring.confidence,
                **asdict(tested),
            }
        )
    return rows


def adjusted_table(rows: Sequence[dict[str, object]], scoring: Scoring) -> pd.DataFrame:
    """Put comparisons together, with p adjusted for the number of tests in each family."""
    import pandas as pd

    table = pd.DataFrame(list(rows), columns=list(COMPARISON_COLUMNS))
    for family in table.family.unique():
        of_family = table.family == family
        for test in TESTS:
            table.loc[of_family, f"{test}_adjusted"] = adjusted(table.loc[of_family, test], scoring.multiplicity)
    words = {"family": "str", "source": "str", "reference": "str", "roi": "str", "remark": "str"}
    counts = {"layer": "Int64", "n_subjects": "int64"}
    numbers = dict.fromkeys(set(COMPARISON_COLUMNS) - words.keys() - counts.keys(), "float64")
    return table.astype({**words, **counts, **numbers})
