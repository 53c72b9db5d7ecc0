"""Remove regressors of no interest from responses, with weights of the training rows."""

from __future__ import annotations

import numpy as np

from brainexp.containers import FloatArray, IntArray


def residual(responses: FloatArray, nuisance: FloatArray, train: IntArray) -> FloatArray:
    """Subtract what a linear model of the nuisance regressors predicts.

    Parameters
    ----------
    responses : array of shape (n_trs, n_voxels)
        Responses of one subject, all runs.
    nuisance : array of shape (n_trs, n_regressors)
        Regressors of the same rows.
    train : array of int
        Rows on which weights and intercept are learned, by least squares.

    Returns
    -------
    array of shape (n_trs, n_voxels)
        All rows, held-out ones by the weights of the training rows.
    """
    design = np.column_stack([nuisance, np.ones(len(nuisance))])
    peak = np.abs(design[train]).max(axis=0)
    scale = np.where(peak > 0, peak, 1.0)  # regressors differ by orders of magnitude
    weights, *_ = np.linalg.lstsq(design[train] / scale, responses[train], rcond=None)
    rest: FloatArray = responses - (design / scale) @ weights
    return rest
