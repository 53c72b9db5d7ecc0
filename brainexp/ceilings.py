"""The ceiling of every voxel, by the method that the config names, and how well it is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from brainexp.containers import FloatArray, Fold, Space
from brainexp.errors import ConfigError, DataError
from brainexp.evaluation import Target
from brainexp.interfaces import Dataset, Repeated, SignalToNoise
from brainexp.progress import progress
from brainexp.score.ceiling import (
    SIGNAL_SHARES,
    best_r,
    block_weights,
    cross_subject_r,
    extrapolated,
    others_mean,
    share_of_ncsnr,
    signal_share_draws,
    source_subsets,
    weighted_r,
)
from brainexp.score.ceiling.bootstrap import MIN_BLOCKS
from brainexp.settings import Ceiling

#: Methods that compare the analysed subjects with each other.
BETWEEN_SUBJECTS = ("inter_subject", "cross_subject")


@dataclass(frozen=True, eq=False)
class Ceilings:
    """What is known of the best r that the noise allows.

    Parameters
    ----------
    value : array of shape (n_voxels,)
        NaN where nothing is known.
    draws : array of shape (n_draws, n_voxels), float32
        The same, with rows, or subsets of subjects, drawn anew; no draws where the uncertainty is unknown. One draw takes the
        same blocks of TRs in all subjects.
    metrics : mapping of str to float
        What was counted.
    remarks : tuple of str
        What the user should know.
    """

    value: FloatArray
    draws: FloatArray
    metrics: Mapping[str, float] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


def ceiling_objection(settings: Ceiling, dataset: Dataset) -> str | None:
    """Return why the dataset cannot serve the method, or None."""
    name = type(dataset).__name__.lower()
    method = settings.method
    published = method == "ncsnr" and isinstance(dataset, SignalToNoise)
    if method in SIGNAL_SHARES and not published and not isinstance(dataset, Repeated):
        return (
            f"ceiling.method={method} needs repeated recordings of some story, but dataset {name!r} has none. Give "
            "ceiling.method=dataset, inter_subject or cross_subject."
        )
    if method in BETWEEN_SUBJECTS:
        n_subjects = len(dataset.chosen_subjects())
        needed = 3 if settings.extrapolate else 2
        if n_subjects < needed:
            asked = f"ceiling.method={method}{' with ceiling.extrapolate=true' if settings.extrapolate else ''}"
            return (
                f"{asked} needs {needed} or more subjects, but dataset.subjects names {n_subjects}. Name more, or give "
                "ceiling.method=dataset."
            )
    return None


def estimated_ceilings(
    settings: Ceiling,
    dataset: Dataset,
    target: Target,
    folds: Sequence[Fold],
    spaces: Mapping[str, Space],
    kept: Mapping[str, slice],
    nuisance: Sequence[str],
    block_trs: int,
    rng: np.random.Generator,
) -> Ceilings:
    """Estimate the ceiling of each voxel by any method but ``dataset``, and draw it anew to see how well it is known.

    Ceilings from repeats are those of the recordings as they are, with no nuisance removed, over the kept rows of the
    repeated stories. Those between subjects are r of the responses that are predicted, nuisance removed, on held-out rows,
    averaged over folds, as r of the model is.

    What is drawn: for repeats, ``inter_subject`` and ``cross_subject``, blocks of TRs of each repeated story or held-out
    fold, the same in all repeats and subjects, with what was learned on training rows kept as it is; for ``extrapolate``,
    subsets of subjects of each size.

    Parameters
    ----------
    settings : Ceiling
        The method and its options.
    dataset : Dataset
        Where repeats or declared ceilings come from.
    target : Target
        Responses of all subjects side by side.
    folds : sequence of Fold
        Rows of the target.
    spaces : mapping of str to Space
        By subject, in the order of the target's columns.
    kept : mapping of str to slice
        By story, the rows that trimming leaves.
    nuisance : sequence of str
        Regressors that are removed from the target.
    block_trs : int
        TRs per block that is drawn.
    rng : numpy.random.Generator

    Raises
    ------
    ConfigError
        If stretches are too short to be drawn from, or subjects' columns do not correspond.
    DataError
        If repeats do not fit the recordings, or a subject has no voxel that can be scored.
    """
    n_voxels = len(target.scorable)
    nothing = np.empty((0, n_voxels))
    if settings.method == "none":
        return Ceilings(np.full(n_voxels, np.nan), nothing)
    if settings.method == "ncsnr" and isinstance(dataset, SignalToNoise):
        ratio = np.concatenate([dataset.ncsnr(subject) for subject in spaces])
        return Ceilings(np.sqrt(share_of_ncsnr(ratio, settings.averaged)), nothing)
    if settings.method == "inter_subject":
        _require_same_columns(spaces)
        return _inter_subject(settings, target, folds, spaces, block_trs, rng)
    if settings.method == "cross_subject":
        return _cross_subject(settings, target, folds, tuple(spaces), block_trs, rng)
    assert isinstance(dataset, Repeated)  # see ceiling_objection
    return _from_repeats(settings, dataset, spaces, kept, nuisance, block_trs, rng)


def _weights(n_trs: int, what: str, settings: Ceiling, block_trs: int, rng: np.random.Generator) -> FloatArray:
    """Each row once, for the estimate; then the draws: array of shape (1 + bootstraps, n_trs)."""
    if not settings.bootstraps:
        return np.ones((1, n_trs))
    if n_trs < MIN_BLOCKS * block_trs:
        raise ConfigError(
            f"{what} has {n_trs} TRs, which is fewer than {MIN_BLOCKS} blocks of scoring.block_trs={block_trs} to draw from. "
            "Lower scoring.block_trs or split.folds, or give ceiling.bootstraps=0."
        )
    return np.vstack([np.ones(n_trs), block_weights(n_trs, block_trs, settings.bootstraps, rng)])


def _from_repeats(
    settings: Ceiling,
    dataset: Repeated,
    spaces: Mapping[str, Space],
    kept: Mapping[str, slice],
    nuisance: Sequence[str],
    block_trs: int,
    rng: np.random.Generator,
) -> Ceilings:
    weights: dict[str, FloatArray] = {}
    per_subject = []
    for subject, space in spaces.items():
        shares, lengths = [], []
        for story, recordings in dataset.repeats(subject).items():
            rows = kept.get(story)
            n_repeats, n_trs, n_columns = recordings.shape
            if rows is None or n_repeats < 2 or n_trs < rows.stop or n_columns != space.n_voxels:
                raise DataError(
                    f"subject {subject!r}: repeats of story {story!r} have shape {recordings.shape}, but at least 2 "
                    f"recordings of a story of the dataset are needed, with all its TRs and {space.n_voxels} columns. "
                    "Repair them, or give ceiling.method=dataset."
                )
            values = recordings[:, rows]
            if story not in weights:
                weights[story] = _weights(values.shape[1], f"story {story!r}", settings, block_trs, rng)
            shares.append(signal_share_draws(values, settings.method, weights[story]))
            lengths.append(values.shape[1])
        if not shares:
            raise DataError(f"subject {subject!r} has no repeated story. Leave it out, or give ceiling.method=dataset.")
        per_subject.append(best_r(np.average(shares, axis=0, weights=lengths), settings.averaged))
    remark = (
        f"ceiling: {', '.join(nuisance)} removed from the responses, but not from the repeats, whose ceilings are therefore "
        "too low. Leave encoder.nuisance empty, or give ceiling.method=inter_subject or cross_subject."
    )
    return _joined(per_subject, (remark,) if nuisance else ())


def _joined(per_subject: Sequence[FloatArray], remarks: tuple[str, ...] = ()) -> Ceilings:
    """Put estimates and draws of all subjects side by side, from arrays of shape (1 + n_draws, n_voxels)."""
    value = np.concatenate([r[0] for r in per_subject])
    return Ceilings(value, np.hstack([r[1:].astype(np.float32) for r in per_subject]), remarks=remarks)


def _inter_subject(
    settings: Ceiling,
    target: Target,
    folds: Sequence[Fold],
    spaces: Mapping[str, Space],
    block_trs: int,
    rng: np.random.Generator,
) -> Ceilings:
    owner = np.repeat(np.arange(len(spaces)), [space.n_voxels for space in spaces.values()])
    n_subjects = len(spaces)
    total: list[FloatArray] = [np.zeros(())] * n_subjects
    for fold in folds:
        weights = _weights(len(fold.test), "a held-out fold", settings, block_trs, rng)
        rows = target.spread(target.held_out(fold)).astype(float)
        people = np.stack([rows[:, owner == number] for number in range(n_subjects)])
        pairs = zip(total, people, others_mean(people), strict=True)
        total = [so_far + weighted_r(own, others, weights) for so_far, own, others in pairs]
    return _joined([one / len(folds) for one in total])


def _cross_subject(
    settings: Ceiling,
    target: Target,
    folds: Sequence[Fold],
    subjects: Sequence[str],
    block_trs: int,
    rng: np.random.Generator,
) -> Ceilings:
    columns = [np.flatnonzero(target.subject == number) for number in range(len(subjects))]
    for subject, own in zip(subjects, columns, strict=True):
        if not len(own):
            raise DataError(f"subject {subject!r} has no voxel that can be scored. Leave it out of dataset.subjects.")
    everyone = range(len(subjects))
    if settings.extrapolate:
        subsets = source_subsets(len(subjects), settings.subsets, rng)
    else:
        subsets = [tuple(at for at in everyone if at != number) for number in everyone]
    total: list[FloatArray] = [np.zeros(())] * len(subjects)
    for fold in progress(folds, len(folds), "ceiling"):
        # Draws of subsets take the place of draws of rows.
        drawn = (
            _weights(len(fold.test), "a held-out fold", settings, block_trs, rng) if not settings.extrapolate else None
        )
        left = target.of_fold(fold)
        responses = [left[:, own] for own in columns]
        found = cross_subject_r(responses, fold, subsets, drawn, legacy=settings.legacy)
        total = [one + more for one, more in zip(total, found, strict=True)]
    value = np.full(len(target.subject), np.nan)
    draws = np.full((settings.bootstraps, len(value)), np.nan, np.float32)
    for number, (own, scores) in enumerate(zip(columns, total, strict=True)):
        r = scores / len(folds)
        if settings.extrapolate:
            sizes = np.array([len(sources) for sources in subsets if number not in sources])
            value[own], draws[:, own] = extrapolated(sizes, r[:, 0], settings.bootstraps, rng)
        else:
            value[own], draws[:, own] = r[0, 0], r[0, 1:]
    counted = _counted(value, draws) if settings.extrapolate else ({}, ())
    return Ceilings(target.spread(value), target.spread(draws), *counted)


def _counted(value: FloatArray, draws: FloatArray) -> tuple[dict[str, float], tuple[str, ...]]:
    """How many extrapolations do not converge, as metrics and in words."""
    failed = int(np.isnan(value).sum())
    metrics = {"ceiling/unconverged_voxels": float(failed)}
    if draws.size:
        metrics["ceiling/unconverged_fits"] = float(np.isnan(draws).mean())
    told = f"ceiling: the extrapolation of {failed} of {len(value)} voxels does not converge, and they have no ceiling."
    return metrics, (told,) if failed else ()


def _require_same_columns(spaces: Mapping[str, Space]) -> None:
    """Raise ConfigError if column i of one subject is not the same place as column i of another."""
    (first, one), *others = spaces.items()
    for subject, other in others:
        if not one.same_columns(other):
            raise ConfigError(
                f"ceiling.method=inter_subject needs the same columns in all subjects, but those of {first!r} and "
                f"{subject!r} differ. Give ceiling.method=cross_subject."
            )
