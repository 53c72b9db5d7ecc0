"""The run's own encoding model, asked again with other features of the same words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from brainexp.containers import Design, FloatArray, Fold, IntArray
from brainexp.evaluation import Evaluation, Space, Target, fit
from brainexp.interfaces import Encoder, Encoding
from brainexp.recordings import Recordings, word_weights
from brainexp.score.correlation import pearson_r
from brainexp.settings import Align


def encoding_again(
    encoder: Encoder,
    align: Align,
    recordings: Recordings,
    scored: Evaluation,
    target: Target,
    folds: Sequence[Fold],
    regions: tuple[tuple[str, str, IntArray], ...],
    n_layers: int,
    beside: Sequence[Space] = (),
) -> Encoding:
    """Offer what `brainexp.evaluation.evaluated` does to a layer, fold by fold.

    Parameters
    ----------
    encoder, target, folds, beside
        As for `brainexp.evaluation.evaluated`.
    align, recordings
        As for `brainexp.recordings.layer_designs`.
    scored : Evaluation
        Of the model's own features.
    regions : tuple of (str, str, array of int)
        Subject, ROI and its columns.
    n_layers : int
        Of the model's features.

    Returns
    -------
    Encoding
    """
    weights = word_weights(align, recordings)
    edges = np.cumsum([len(one.units) for one in recordings.stimuli])[:-1]

    def design(features: FloatArray) -> Design:
        stories = np.split(features.astype(np.float32), edges)
        runs = tuple(matrix @ story for matrix, story in zip(weights, stories, strict=True))
        return Design("erased", runs, recordings.rows, align.delays)

    def score(at: int, layers: Sequence[FloatArray]) -> FloatArray:
        fold, responses = folds[at], target.of_fold(folds[at])
        bands = [*(design(features) for features in layers), *beside]
        fitted = fit(encoder.fit, bands, responses[fold.train], target.subject, fold)
        return target.spread(pearson_r(responses[fold.test], fitted.predicted))

    units = [_apart(weights, recordings, align.delays, fold) for fold in folds]
    return Encoding(
        train_units=tuple(train for train, _ in units),
        test_units=tuple(test for _, test in units),
        score=score,
        groups=(tuple(range(n_layers)),) if encoder.together else tuple((layer,) for layer in range(n_layers)),
        r=scored.test_r,
        chosen=scored.layer,
        chosen_r=scored.r,
        regions=regions,
    )


def _apart(
    weights: Sequence[FloatArray], recordings: Recordings, delays: tuple[int, ...], fold: Fold
) -> tuple[IntArray, IntArray]:
    """Words that only training rows draw on, and words that only held-out rows draw on."""
    clock = Design("rows", tuple(matrix[:, :0] for matrix in weights), recordings.rows, delays)
    sources = clock.sources()
    train, test = (_words_of(weights, sources[:, rows]) for rows in (fold.train, fold.test))
    return np.flatnonzero(train & ~test), np.flatnonzero(test & ~train)


def _words_of(weights: Sequence[FloatArray], sources: IntArray) -> NDArray[np.bool_]:
    """Which words have a weight in any of these TRs, array of bool of shape (n_words,)."""
    used = np.zeros(sum(len(matrix) for matrix in weights), bool)
    used[sources[sources >= 0]] = True
    runs = np.split(used, np.cumsum([len(matrix) for matrix in weights])[:-1])
    return np.concatenate([(matrix[trs] != 0).any(axis=0) for matrix, trs in zip(weights, runs, strict=True)])
