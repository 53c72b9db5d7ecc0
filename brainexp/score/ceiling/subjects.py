"""What other people's brains say about one person's: the correlation with their mean."""

from __future__ import annotations

import numpy as np

from brainexp.containers import FloatArray
from brainexp.score.correlation import pearson_r


def inter_subject_correlation(responses: FloatArray) -> FloatArray:
    """Correlate each subject with the mean of the others.

    Hasson et al. (2004), leave-one-out form of Nastase et al. (2019). With few subjects it lies below the true ceiling,
    for the mean of the others is itself noisy.

    Parameters
    ----------
    responses : array of shape (n_subjects, n_trs, n_voxels)
        Responses to the same stimulus, standardised within subject beforehand or not: it is done here.

    Returns
    -------
    array of shape (n_subjects, n_voxels)
    """
    others = others_mean(responses)
    return np.stack([pearson_r(subject, rest) for subject, rest in zip(responses, others, strict=True)])


def others_mean(responses: FloatArray) -> FloatArray:
    """For each subject the mean of all others, each standardised first, arrays of shape (n_subjects, n_trs, n_voxels)."""
    spread = responses.std(axis=1, keepdims=True)
    scaled = (responses - responses.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, np.nan)
    others: FloatArray = (scaled.sum(axis=0) - scaled) / (len(scaled) - 1)
    return others
