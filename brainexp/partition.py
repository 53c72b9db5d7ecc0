"""Fit feature spaces alone and together on the same folds, and say whose variance is whose."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np

from brainexp.containers import Design, Fitted, FloatArray, Fold, IntArray
from brainexp.evaluation import Space, Target, fit, rows_of
from brainexp.progress import progress
from brainexp.score.correlation import pearson_r, r_squared
from brainexp.score.partition import Subset, commonality, legacy_overlap, product_measure, subsets


class PartEncoder(Protocol):
    """An encoder that also says what each feature space adds to its predictions."""

    def fit(
        self, bands: Sequence[Design], responses: FloatArray, subject: IntArray, fold: Fold, parts: bool = False
    ) -> Fitted:
        """As `brainexp.interfaces.Encoder.fit`, with ``parts`` where they are asked for."""


@dataclass(frozen=True, eq=False)
class Partition:
    """Variance of every voxel by feature space.

    Parameters
    ----------
    names : tuple of str
        The spaces.
    r, r2 : dict of frozenset of str to array of shape (n_voxels,)
        Of the joint fit of every subset, on held-out rows without their mean, averaged over folds.
    common : dict of frozenset of str to array of shape (n_voxels,)
        R² that exactly these spaces have in common; of a single one, its unique R².
    product : array of shape (n_spaces, n_voxels)
        Each space's share in the R² of all, by the product measure.
    """

    names: tuple[str, ...]
    r: dict[Subset, FloatArray]
    r2: dict[Subset, FloatArray]
    common: dict[Subset, FloatArray]
    product: FloatArray

    def arrays(self) -> dict[str, FloatArray]:
        """Everything by name, arrays of shape (n_voxels,): ``<spaces>/r2``, ``unique/<space>``, ``shared/<spaces>``, …"""
        found = {f"{'+'.join(self._ordered(one))}/r2": values for one, values in self.r2.items()}
        for one, values in self.common.items():
            found[f"{'unique' if len(one) == 1 else 'shared'}/{'+'.join(self._ordered(one))}"] = values
        return found | {f"product/{name}": values for name, values in zip(self.names, self.product, strict=True)}

    def legacy(self, normalised: Callable[[FloatArray], FloatArray]) -> dict[str, FloatArray]:
        """Set arithmetic on normalised r of two spaces, as published; see `brainexp.score.partition.legacy_overlap`."""
        first, second = self.names
        parts = legacy_overlap(
            normalised(self.r[frozenset([first])]),
            normalised(self.r[frozenset([second])]),
            normalised(self.r[frozenset(self.names)]),
        )
        named = {"shared": f"{first}+{second}", "unique_first": first, "unique_second": second}
        return {f"legacy/{kind.split('_')[0]}/{named[kind]}": values for kind, values in parts.items()}

    def _ordered(self, subset: Subset) -> list[str]:
        return [name for name in self.names if name in subset]


def partitioned(
    encoder: PartEncoder,
    spaces: Mapping[str, Callable[[int], Sequence[Space]]],
    target: Target,
    folds: Sequence[Fold],
) -> Partition:
    """Fit every subset of feature spaces.

    Parameters
    ----------
    encoder : PartEncoder
        Chooses a penalty per space.
    spaces : mapping of str to callable
        By name; takes the number of a fold, for the model's layer may differ, and returns the bands of the space.
    target : Target
        Responses.
    folds : sequence of Fold
        Rows.

    Returns
    -------
    Partition
        Of all voxels, NaN where they are not scored.
    """
    names = tuple(spaces)
    wanted = subsets(names)
    n_known = len(target.subject)
    r, r2 = ({one: np.zeros(n_known) for one in wanted} for _ in range(2))
    product = np.zeros((len(names), n_known))
    for at, fold in enumerate(progress(folds, len(folds), "partition")):
        responses = target.of_fold(fold)
        bands = {name: list(space(at)) for name, space in spaces.items()}
        for one in wanted:
            given = [band for name in names if name in one for band in bands[name]]
            joint = partial(encoder.fit, parts=len(one) == len(names))
            fitted = fit(joint, given, rows_of(responses, fold.train), target.subject, fold)
            observed = rows_of(responses, fold.test)
            r[one] += pearson_r(observed, fitted.predicted) / len(folds)
            r2[one] += r_squared(*(_centred(values) for values in (observed, fitted.predicted))) / len(folds)
            if fitted.parts is not None:
                product += _of_spaces(product_measure(observed, fitted.parts), bands) / len(folds)
    spread = {one: target.spread(values) for one, values in r2.items()}
    return Partition(
        names=names,
        r={one: target.spread(values) for one, values in r.items()},
        r2=spread,
        common=commonality(spread),
        product=target.spread(product),
    )


def _centred(values: FloatArray) -> FloatArray:
    """Without the mean of the held-out rows: it drifts from run to run, and is no variance of any space."""
    centred: FloatArray = values - values.mean(axis=0)
    return centred


def _of_spaces(measure: FloatArray, bands: Mapping[str, Sequence[Space]]) -> FloatArray:
    """Sum over the bands of each space."""
    ends = np.cumsum([len(own) for own in bands.values()])
    return np.stack([part.sum(axis=0) for part in np.split(measure, ends[:-1])])
