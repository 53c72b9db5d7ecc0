"""Split rows so that nothing near a test row is trained on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from brainexp.containers import Fold, IntArray
from brainexp.errors import ConfigError

#: One test fold, one validation fold, one to train on.
MIN_FOLDS = 3
#: Beside declared test stories: one validation fold, one to train on.
MIN_INNER_FOLDS = 2
#: Fewer rows have no correlation worth the name.
MIN_ROWS = 3


def folds_of_runs(run_lengths: Sequence[int], n_folds: int) -> tuple[Fold, ...]:
    """Hold out whole runs.

    Parameters
    ----------
    run_lengths : sequence of int
        Rows of each run, in the order in which they are stacked.
    n_folds : int
        Neighbouring runs share a fold where there are more runs than folds.

    Returns
    -------
    tuple of Fold
        Inner folds hold out the test runs of another fold.

    Raises
    ------
    ConfigError
        If there are fewer runs than folds, or fewer than three folds.
    """
    n_runs = len(run_lengths)
    _check(n_folds)
    if n_runs < n_folds:
        raise ConfigError(
            f"split.folds={n_folds}, but there are only {n_runs} runs. "
            f"Lower split.folds, or cut runs into blocks with split.by=block."
        )
    fold_of_run = np.arange(n_runs) * n_folds // n_runs
    run = np.repeat(np.arange(n_runs), run_lengths)
    return _folds(fold_of_run[run], run, gap_trs=0)


def fold_of_stories(run_lengths: Sequence[int], test: Sequence[int], n_inner: int) -> tuple[Fold, ...]:
    """Hold out the runs that are named and train on all others: one fold.

    Parameters
    ----------
    run_lengths : sequence of int
        Rows of each run, in the order in which they are stacked.
    test : sequence of int
        Positions of the runs to test on.
    n_inner : int
        Inner folds; neighbouring training runs share one where there are more of them.

    Returns
    -------
    tuple of one Fold
        Inner folds hold out whole training runs.

    Raises
    ------
    ConfigError
        If there are fewer training runs than inner folds, or fewer than two inner folds.
    """
    train = [run for run in range(len(run_lengths)) if run not in test]
    if not MIN_INNER_FOLDS <= n_inner <= len(train):
        raise ConfigError(
            f"split.folds={n_inner}, but there are {len(train)} training stories beside the {len(test)} declared test "
            f"stories. Each inner fold needs one, and at least {MIN_INNER_FOLDS} are needed to choose penalty and layer. "
            "Give other split.folds, more stories, or split.by=run or block."
        )
    fold_of_run = {run: at * n_inner // len(train) for at, run in enumerate(train)}
    fold_of_row = np.repeat([fold_of_run.get(run, n_inner) for run in range(len(run_lengths))], run_lengths)
    return _folds(fold_of_row, np.repeat(np.arange(len(run_lengths)), run_lengths), gap_trs=0)[n_inner:]


def folds_of_blocks(run_lengths: Sequence[int], n_folds: int, gap_trs: int) -> tuple[Fold, ...]:
    """Hold out one contiguous block of each run.

    Parameters
    ----------
    run_lengths : sequence of int
        Rows of each run, in the order in which they are stacked.
    n_folds : int
        Blocks per run.
    gap_trs : int
        Rows next to a held-out block, on both sides and within the run, that are not trained on. At least the longest
        delay, else a training row sees features of the held-out block.

    Raises
    ------
    ConfigError
        If gaps leave too little to fit or to validate on, or there are fewer than three folds.
    """
    _check(n_folds)
    shortest = min(run_lengths) // n_folds
    if shortest <= gap_trs:
        raise ConfigError(
            f"split.folds={n_folds} cuts the shortest run into blocks of {shortest} TRs, but the gap beside each is "
            f"{gap_trs} TRs. Lower split.folds."
        )
    run = np.repeat(np.arange(len(run_lengths)), run_lengths)
    block = np.concatenate([np.arange(length) * n_folds // length for length in run_lengths])
    folds = _folds(block, run, gap_trs)
    if any(len(rows) < MIN_ROWS for fold in folds for pair in fold.inner for rows in pair):
        raise ConfigError(
            f"split.folds={n_folds} with a gap of {gap_trs} TRs leaves fewer than {MIN_ROWS} TRs to fit or to validate on: "
            f"the gap is too long for blocks of {shortest} TRs. Use other split.folds, or shorter delays."
        )
    return folds


def _check(n_folds: int) -> None:
    if n_folds < MIN_FOLDS:
        raise ConfigError(
            f"split.folds={n_folds}: at least {MIN_FOLDS} are needed, to test on one, to choose penalty and layer on "
            "another and to train on the rest."
        )


def _folds(fold_of_row: IntArray, run: IntArray, gap_trs: int) -> tuple[Fold, ...]:
    folds = []
    for held_out in range(fold_of_row.max() + 1):
        test = fold_of_row == held_out
        train = np.flatnonzero(~test & ~_near(test, run, gap_trs))
        inner = []
        for other in range(fold_of_row.max() + 1):
            if other != held_out:
                validation = fold_of_row == other
                fit = ~validation & ~_near(validation, run, gap_trs)
                inner.append((np.flatnonzero(fit[train]), np.flatnonzero(validation[train])))
        folds.append(Fold(train=train, test=np.flatnonzero(test), inner=tuple(inner)))
    return tuple(folds)


def _near(held_out: np.ndarray, run: IntArray, gap_trs: int) -> np.ndarray:
    """Rows at most ``gap_trs`` away from a held-out row of the same run."""
    near = np.zeros_like(held_out)
    for shift in range(1, gap_trs + 1):
        same_run = run[shift:] == run[:-shift]
        near[shift:] |= held_out[:-shift] & same_run
        near[:-shift] |= held_out[shift:] & same_run
    return near
