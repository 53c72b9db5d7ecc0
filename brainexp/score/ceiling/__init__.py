"""The best r that the noise allows: from repeats, from other subjects, with its uncertainty."""

from brainexp.score.ceiling.bootstrap import basic_interval, block_weights, quantiles, spread, weighted_r
from brainexp.score.ceiling.cross_subject import cross_subject_r, source_subsets
from brainexp.score.ceiling.extrapolation import extrapolated, saturating_fit
from brainexp.score.ceiling.ratio import normalised, ratio_of_means
from brainexp.score.ceiling.repeats import (
    SIGNAL_SHARES,
    best_r,
    explainable_variance,
    ncsnr,
    repeat_ceiling,
    share_of_ncsnr,
    signal_share_draws,
    split_half_reliability,
)
from brainexp.score.ceiling.subjects import inter_subject_correlation, others_mean

__all__ = [
    "SIGNAL_SHARES",
    "basic_interval",
    "best_r",
    "block_weights",
    "cross_subject_r",
    "explainable_variance",
    "extrapolated",
    "inter_subject_correlation",
    "ncsnr",
    "normalised",
    "others_mean",
    "quantiles",
    "ratio_of_means",
    "repeat_ceiling",
    "saturating_fit",
    "share_of_ncsnr",
    "signal_share_draws",
    "source_subsets",
    "split_half_reliability",
    "spread",
    "weighted_r",
]
