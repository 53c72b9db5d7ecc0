"""The best r that the noise allows."""

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
    scaled = (responses - responses.mean(axis=1, keepdims=True)) / responses.std(axis=1, keepdims=True)
    others = (scaled.sum(axis=0) - scaled) / (len(scaled) - 1)
    return np.stack([pearson_r(subject, rest) for subject, rest in zip(scaled, others, strict=True)])


def normalised(r: FloatArray, ceiling: FloatArray, floor: float) -> FloatArray:
    """Divide r by its ceiling.

    Parameters
    ----------
    r, ceiling : arrays of shape (n_voxels,)
    floor : float
        Voxels whose ceiling is lower are not normalised but NaN: a ratio of two small numbers says nothing.

    Returns
    -------
    array of shape (n_voxels,)
    """
    ratio: FloatArray = r / np.where((ceiling >= floor) & (ceiling > 0), ceiling, np.nan)
    return ratio
