"""What stands under each figure, and what is said of how things were computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from brainexp.settings import Scoring

if TYPE_CHECKING:
    import pandas as pd

TITLES = {
    "scale": "Alignment against parameters",
    "model_differences": "Differences between models",
    "compression_differences": "Differences between compressed models and their twins",
    "bits": "Alignment against bits per weight",
    "pareto": "Alignment against the size of the weights",
    "layers": "Alignment by layer",
    "rois": "Alignment by region, subjects as points",
    "dissociation": "Probes against alignment",
}
CAPTIONS = {
    "scale": "r over all voxels at the layer chosen on training rows: means over subjects ± standard error, thin "
    "lines are subjects. A curve with a limit is drawn only where it can be told from a straight line over log size; "
    "its band is the interval of the limit over subjects, which says nothing of how networks of one size differ.",
    "bits": "Bits per weight count all parameters, those of embeddings included. In the figure for print the "
    "uncompressed model's margin of equivalence is shaded, and points are marked by verdict.",
    "pareto": "Size is parameters × bits per weight, where a bit says of each pruned weight whether it is 0, whatever "
    "the file on disk takes. The line joins what no other run beats in size and r at once; differences along it need not be "
    "shown by any test.",
    "layers": "Means over subjects on held-out rows, ± standard error; the layer itself is chosen on training rows. "
    "Compressions of a model can be compared at each layer.",
    "rois": "r at the chosen layer in each region. In the page, boxes are quartiles over subjects with the mean dashed; "
    "in the figure for print, bars are means ± standard error.",
    "dissociation": "Changes are shares of what the uncompressed model has above chance. Left of the dashed diagonal "
    "the probes have lost the larger share; filled points are dissociated.",
}
INTERVALS = (
    "Grey: the margin within which r counts as equivalent. Thin: confidence interval of the mean difference over "
    "subjects; thick: the narrower interval that must lie within the margin for equivalence."
)
CAPTIONS |= {"model_differences": INTERVALS, "compression_differences": INTERVALS}
ALT = {
    "scale": "Scatter plot: r on held-out rows over the number of parameters, one point per model.",
    "model_differences": "Interval plot: differences of r between models, with the margin of equivalence.",
    "compression_differences": "Interval plot: differences of r from the uncompressed twin, with the margin of equivalence.",
    "bits": "Line plot: r on held-out rows over bits per weight, one line per model.",
    "pareto": "Scatter plot: r on held-out rows over megabytes of weights, with the line of runs that none beats.",
    "layers": "Line plot: r on held-out rows over relative depth, one line per run.",
    "rois": "Box plot: r of every subject in each region, grouped by run.",
    "dissociation": "Scatter plot: relative change of alignment over that of probes, one point per run and competence.",
}


def alt_text(name: str, frames: Mapping[str, pd.DataFrame]) -> str:
    """Describe a figure in words, with its range of values."""
    frame = frames[name]
    column = next(one for one in ("alignment_change", "difference", "r") if one in frame)
    values = frame[column].dropna()
    told = f" Values from {values.min():.3f} to {values.max():.3f}; numbers in data/{name}.csv." if len(values) else ""
    return ALT[name] + told


def methods(scoring: Scoring, config: Mapping[str, Any]) -> list[str]:
    """How the numbers were made, from the settings of the first run."""
    split, encoder = config.get("split", {}), config.get("encoder", {})
    adjusted = {"holm": "Holm", "bh": "Benjamini & Hochberg", "by": "Benjamini & Yekutieli"}[scoring.multiplicity]
    return [
        f"Encoder {encoder.get('name')}, features {config.get('align', {}).get('downsample')}, delays "
        f"{config.get('align', {}).get('delays')} TRs, split by {split.get('by')} in {split.get('folds')} folds; "
        f"layers are chosen per {split.get('layer_choice')} on training rows only. r is Pearson's correlation of "
        "predicted and measured responses on held-out rows, averaged over voxels and then over subjects, who weigh "
        "alike.",
        "Two runs are compared over the subjects whom both have. A difference is shown by a paired t test; "
        f"equivalence by two one-sided t tests against a margin of ±{scoring.equivalence_margin:g} in r "
        "(scoring.equivalence_margin), to be declared before looking. A large p of a test for a difference shows "
        "nothing. Where both tests are significant the difference is there and smaller than the margin: the verdict "
        f"is equivalent. All p are adjusted by {adjusted} within their family: all pairs over all voxels, and all "
        "pairs × regions; each layer rule is a family of its own.",
        "Compressed runs are compared at the layer that each chose, and at the one that the uncompressed twin chose: "
        "choosing anew may hide damage in one layer by moving to another. Where that layer is the embedding, which "
        "compressions leave alone, the difference is zero in every subject and is not tested.",
        "A winner of a place has a higher mean r than every other condition by two-sided paired t tests over "
        f"subjects, with the false discovery rate over places held at {1 - scoring.confidence:.2g}; other places have "
        "no clear winner. With fewer than three subjects nothing is tested, and a lead counts that exceeds "
        f"{scoring.equivalence_margin:g}.",
    ]
