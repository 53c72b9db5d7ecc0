"""Whose variance is it: what feature spaces explain alone and together."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain, combinations

import numpy as np

from brainexp.containers import FloatArray

#: Names of spaces whose joint fit is meant.
Subset = frozenset[str]


def subsets(names: tuple[str, ...]) -> list[Subset]:
    """Every subset of the names but the empty one, small ones first."""
    return [frozenset(chosen) for chosen in chain.from_iterable(combinations(names, n + 1) for n in range(len(names)))]


def commonality(r2: Mapping[Subset, FloatArray]) -> dict[Subset, FloatArray]:
    """Cut explained variance into what exactly these spaces, and no others, have in common.

    Commonality analysis (Newton & Spurrell 1967; for encoding models Lescroart et al. 2015, de Heer et al. 2017): areas of
    a Venn diagram in which the area of a union is the R² of a joint fit. The part of one space alone is its unique variance.

    Parameters
    ----------
    r2 : mapping of frozenset of str to array of shape (n_voxels,)
        R² of the joint fit of every subset of the spaces.

    Returns
    -------
    dict of frozenset of str to array of shape (n_voxels,)
        By subset, what only its members together explain. They sum to the R² of all spaces. Parts are not clipped: a
        negative one says that a joint fit does worse than its members, or that spaces suppress each other's noise.
    """
    whole: Subset = frozenset().union(*r2)
    nothing = np.zeros_like(r2[whole])

    def lost_without(gone: Subset) -> FloatArray:
        return r2[whole] - r2.get(whole - gone, nothing)

    found = {}
    for exactly in r2:
        inner: list[Subset] = [frozenset(), *(one for one in r2 if one <= exactly)]
        terms = [(-1) ** (len(exactly) - len(one)) * lost_without(one) for one in inner]
        found[exactly] = np.sum(terms, axis=0)
    return found


def product_measure(observed: FloatArray, parts: FloatArray) -> FloatArray:
    """Share of each feature space in the R² of a joint fit.

    Pratt (1987), as in himalaya's ``r2_score_split`` (Dupré la Tour et al. 2022): the covariance of a space's predictions
    with ``2 y - ŷ``, over the variance of y.

    Parameters
    ----------
    observed : array of shape (n_trs, n_voxels)
        Held-out responses.
    parts : array of shape (n_spaces, n_trs, n_voxels)
        What each space adds to the predictions.

    Returns
    -------
    array of shape (n_spaces, n_voxels)
        They sum to the R² of predictions with the right mean; NaN where responses are constant.
    """
    target = observed - observed.mean(axis=0)
    centred = parts - parts.mean(axis=1, keepdims=True)
    spread = (target**2).sum(axis=0)
    joint = centred.sum(axis=0)
    measure: FloatArray = (centred * (2 * target - joint)).sum(axis=1) / np.where(spread > 0, spread, np.nan)
    return measure


def legacy_overlap(first: FloatArray, second: FloatArray, joint: FloatArray) -> dict[str, FloatArray]:
    """Set arithmetic on r over ceiling, as published (Oota et al. 2025, appendix M), for comparison only.

    r does not add up like variance, so these areas are no shares of anything: two spaces that explain half of the variance
    each, and nothing in common, get an overlap of 2 √½ - 1 = 0.41.

    Parameters
    ----------
    first, second, joint : arrays of shape (n_voxels,)
        Normalised r of each space and of both.

    Returns
    -------
    dict of str to array of shape (n_voxels,)
        ``shared``, ``unique_first`` and ``unique_second``.
    """
    shared = first + second - joint
    return {"shared": shared, "unique_first": first - shared, "unique_second": second - shared}
