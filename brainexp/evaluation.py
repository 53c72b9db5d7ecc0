"""Nested cross-validation over layers: penalties and layers on training rows, scores on held-out rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from brainexp.align.residual import residual
from brainexp.containers import Design, Fitted, FloatArray, Fold, IntArray
from brainexp.interfaces import Encoder
from brainexp.progress import progress
from brainexp.score.correlation import pearson_r, r_squared

#: Columns of the responses that are looked at together.
VOXELS_AT_ONCE = 4096
#: A feature space of all subjects, or one per subject where each has its own, such as head motion.
Space = Design | Sequence[Design]


@dataclass(frozen=True, eq=False)
class Target:
    """What is predicted: the responses of all subjects side by side.

    Parameters
    ----------
    values : array of shape (n_rows, n_scorable)
        Responses of the voxels that can be scored.
    subject : array of int of shape (n_scorable,)
        Whose voxel each column is.
    scorable : array of bool of shape (n_voxels,)
        False where a voxel has NaN or is constant; such voxels are not fitted and score NaN.
    nuisance : sequence of arrays of shape (n_rows, n_regressors)
        By subject, what is removed from the responses; empty for nothing.
    """

    values: FloatArray
    subject: IntArray
    scorable: NDArray[np.bool_]
    nuisance: Sequence[FloatArray] = ()

    def of_fold(self, fold: Fold) -> FloatArray:
        """Responses of all rows, nuisance removed with weights of the fold's training rows."""
        if not self.nuisance:
            return self.values
        left = np.empty_like(self.values)
        for number, regressors in enumerate(self.nuisance):
            own = self.subject == number
            left[:, own] = residual(self.values[:, own], regressors, fold.train)
        return left

    def held_out(self, fold: Fold) -> FloatArray:
        """Responses of a fold's held-out rows, array of shape (n_test, n_scorable)."""
        return rows_of(self.of_fold(fold), fold.test)

    def spread(self, values: NDArray[Any], missing: float = np.nan) -> NDArray[Any]:
        """Put values of scorable voxels, last axis, among all voxels; NaN, or what is given, for the others."""
        every = np.full((*values.shape[:-1], len(self.scorable)), missing, values.dtype)
        every[..., self.scorable] = values
        return every


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Scores of one feature space, or of several that stand together.

    Parameters
    ----------
    validation_r : array of shape (n_layers, n_voxels)
        r on inner validation rows of the training rows, averaged over folds.
    test_r, test_r2 : arrays of shape (n_layers, n_voxels)
        On held-out rows, averaged over folds: the whole curve, from which nothing is chosen.
    layer : array of int of shape (n_folds, n_voxels)
        Chosen on the training rows of each fold, as its position among the layers; -1 where a voxel is not scored.
    penalty : array of shape (n_folds, n_bands, n_voxels)
        Chosen likewise, at the chosen layer.
    r, r2 : arrays of shape (n_voxels,)
        On held-out rows at the chosen layer, averaged over folds.
    predicted : lists of arrays of shape (n_test_rows, n_scorable)
        Held-out rows at the chosen layer, one array per fold.
    numbers : tuple of int
        Number of each layer in the model; 0 is the embedding output.
    """

    validation_r: FloatArray
    test_r: FloatArray
    test_r2: FloatArray
    layer: IntArray
    penalty: FloatArray
    r: FloatArray
    r2: FloatArray
    predicted: list[FloatArray]
    numbers: tuple[int, ...]

    @cached_property
    def usual_layer(self) -> IntArray:
        """The layer that most voxels have chosen in each fold, array of shape (n_folds,)."""
        return np.array([np.bincount(layers[layers >= 0]).argmax() for layers in self.layer])


def evaluated(
    encoder: Encoder,
    spaces: Sequence[Callable[[], Space]],
    target: Target,
    folds: Sequence[Fold],
    layer_choice: Literal["model", "subject", "voxel"],
    what: str,
    beside: Sequence[Space] = (),
    numbers: Sequence[int] = (0,),
    alike: Sequence[Sequence[Callable[[], Space]]] = (),
) -> Evaluation:
    """Fit and score every layer on every fold, and choose a layer per fold.

    Parameters
    ----------
    encoder : Encoder
        Chooses penalties on the inner folds. One that takes layers together sees all of them at once, as one layer.
    spaces : sequence of callables
        One per layer, each returns its features.
    target : Target
        Responses.
    folds : sequence of Fold
        Rows.
    layer_choice : {"model", "subject", "voxel"}
        Over which voxels the validation r is averaged before layers are compared.
    what : str
        Name on the progress bar.
    beside : sequence of Design, or of one Design per subject
        Feature spaces that stand beside every layer.
    numbers : sequence of int
        Number of each layer in the model.
    alike : sequence of sequences of callables
        Feature spaces that have a layer for each of ``spaces``, each a band beside the layer of the same number.

    Returns
    -------
    Evaluation
    """
    each = list(zip(spaces, *alike, strict=True))
    groups = [[space for same in each for space in same]] if encoder.together else [list(same) for same in each]
    n_folds, n_known = len(folds), len(target.subject)
    group = _groups(layer_choice, target.subject)
    curves = {name: np.zeros((len(groups), n_known), np.float32) for name in ("validation_r", "test_r", "test_r2")}
    best = [_Best.none(n_known) for _ in folds]
    for layer, members in enumerate(progress(groups, len(groups), what)):
        bands = [*(space() for space in members), *beside]
        for at, fold in enumerate(folds):
            responses = target.of_fold(fold)
            fitted = fit(encoder.fit, bands, rows_of(responses, fold.train), target.subject, fold)
            observed = rows_of(responses, fold.test)
            r, r2 = (_by_columns(score, observed, fitted.predicted) for score in (pearson_r, r_squared))
            for name, found in (("validation_r", fitted.validation_r), ("test_r", r), ("test_r2", r2)):
                curves[name][layer] += found / n_folds
            best[at].improve(layer, _group_mean(fitted.validation_r, group), fitted, r, r2)
    return Evaluation(
        **{name: target.spread(curve) for name, curve in curves.items()},
        layer=target.spread(np.stack([one.layer for one in best]), missing=-1),
        penalty=target.spread(np.stack([one.penalty for one in best if one.penalty is not None])),
        r=target.spread(np.mean([one.r for one in best], axis=0)),
        r2=target.spread(np.mean([one.r2 for one in best], axis=0)),
        predicted=[one.predicted for one in best],
        numbers=(0,) if encoder.together else tuple(numbers),
    )


def fit(
    fit_shared: Callable[[Sequence[Design], FloatArray, IntArray, Fold], Fitted],
    bands: Sequence[Space],
    responses: FloatArray,
    subject: IntArray,
    fold: Fold,
) -> Fitted:
    """Fit all subjects at once, or one by one where a feature space is each one's own.

    Parameters
    ----------
    fit_shared : callable
        As `brainexp.interfaces.Encoder.fit`.
    bands : sequence of Design, or of one Design per subject
    responses : array of shape (n_train, n_voxels)
        Training rows.
    subject : array of int of shape (n_voxels,)
    fold : Fold

    Returns
    -------
    Fitted
        All voxels, in their order.
    """
    shared = [band for band in bands if isinstance(band, Design)]
    if len(shared) == len(bands):
        return fit_shared(shared, responses, subject, fold)
    columns, found = [], []
    for number in np.unique(subject):
        own = np.flatnonzero(subject == number)
        its = [band if isinstance(band, Design) else band[number] for band in bands]
        columns.append(own)
        found.append(fit_shared(its, responses[:, own], subject[own], fold))
    order = np.argsort(np.concatenate(columns))
    parts = [one.parts for one in found if one.parts is not None]
    return Fitted(
        validation_r=np.concatenate([one.validation_r for one in found])[order],
        penalty=np.concatenate([one.penalty for one in found], axis=1)[:, order],
        predicted=np.concatenate([one.predicted for one in found], axis=1)[:, order],
        parts=np.concatenate(parts, axis=2)[:, :, order] if parts else None,
    )


@dataclass(eq=False)
class _Best:
    """Of one fold, what is kept of the best layer so far."""

    merit: FloatArray
    layer: IntArray
    r: FloatArray
    r2: FloatArray
    predicted: FloatArray
    penalty: FloatArray | None = None

    @classmethod
    def none(cls, n_voxels: int) -> _Best:
        unknown = np.full(n_voxels, np.nan)
        return cls(
            merit=np.full(n_voxels, -np.inf),
            layer=np.zeros(n_voxels, np.intp),
            r=unknown,
            r2=unknown.copy(),
            predicted=np.empty((0, 0)),
        )

    def improve(self, layer: int, merit: FloatArray, fitted: Fitted, r: FloatArray, r2: FloatArray) -> None:
        """Take over the voxels for which this layer has the higher merit."""
        better = (merit > self.merit) | (layer == 0)
        if self.penalty is None:
            self.penalty, self.predicted = np.full_like(fitted.penalty, np.nan), np.full_like(fitted.predicted, np.nan)
        self.merit[better], self.layer[better] = merit[better], layer
        self.r[better], self.r2[better] = r[better], r2[better]
        self.penalty[:, better] = fitted.penalty[:, better]
        self.predicted[:, better] = fitted.predicted[:, better]


def scorable_voxels(values: FloatArray, folds: Sequence[Fold]) -> NDArray[np.bool_]:
    """Which voxels can be scored: no NaN, and not constant in any held-out block.

    Parameters
    ----------
    values : array of shape (n_rows, n_voxels)
    folds : sequence of Fold

    Returns
    -------
    array of bool of shape (n_voxels,)
    """
    found = np.zeros(values.shape[1], bool)
    for first in range(0, len(found), VOXELS_AT_ONCE):  # else what is looked at takes as much memory as the values
        columns = slice(first, first + VOXELS_AT_ONCE)
        varies = np.all([np.ptp(values[fold.test, columns], axis=0) > 0 for fold in folds], axis=0)
        found[columns] = varies & np.isfinite(values[:, columns]).all(axis=0)
    return found


def _by_columns(
    score: Callable[[FloatArray, FloatArray], FloatArray], observed: FloatArray, predicted: FloatArray
) -> FloatArray:
    """Score some columns at a time: what is computed on the way takes several times the memory of what is scored."""
    pieces = [slice(first, first + VOXELS_AT_ONCE) for first in range(0, observed.shape[1], VOXELS_AT_ONCE)]
    return np.concatenate([score(observed[:, columns], predicted[:, columns]) for columns in pieces])


def rows_of(values: FloatArray, rows: IntArray) -> FloatArray:
    """Some rows of an array of shape (n_rows, n_columns): a view where they follow each other, as whole runs do."""
    if len(rows) and (np.diff(rows) == 1).all():
        return values[rows[0] : rows[-1] + 1]
    return values[rows]


def moved_up(values: FloatArray, kept: NDArray[np.bool_]) -> FloatArray:
    """Keep some columns of a C-ordered array of shape (n_rows, n_columns), in its own memory."""
    if kept.all():
        return values
    n_kept, flat = int(kept.sum()), values.reshape(-1)
    for at, row in enumerate(values):  # a row is copied before its place is written, and lies behind what is written
        flat[at * n_kept : (at + 1) * n_kept] = row[kept]
    return flat[: len(values) * n_kept].reshape(len(values), n_kept)


def _groups(layer_choice: str, subject: IntArray) -> IntArray:
    if layer_choice == "voxel":
        return np.arange(len(subject))
    return subject if layer_choice == "subject" else np.zeros_like(subject)


def _group_mean(values: FloatArray, group: IntArray) -> FloatArray:
    """Mean of each voxel's group, array of shape (n_voxels,); -inf where no voxel of the group is known."""
    known = np.isfinite(values)
    sums = np.bincount(group, weights=np.where(known, values, 0.0))
    counts = np.bincount(group, weights=known.astype(float))
    # A layer of which nothing is known must not win over one that predicts badly.
    mean: FloatArray = np.where(counts > 0, sums / np.maximum(counts, 1), -np.inf)[group]
    return mean
