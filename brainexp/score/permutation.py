"""Is a voxel predicted better than chance, given that time series are autocorrelated?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from scipy.fft import irfft, rfft
from scipy.sparse import csr_array
from scipy.stats import false_discovery_control

from brainexp.containers import FloatArray, IntArray
from brainexp.errors import ConfigError
from brainexp.score.correlation import standardised

#: A row of so many numbers is added at the speed of the processor's cache.
VOXELS_AT_ONCE = 64
#: Most that the inner products of the voxels at hand may take, in bytes: they are read in random order, from the cache.
TABLE_BYTES = 2**24
#: Inner products per voxel and fold to have ready: where blocks are few they may start anywhere; where they are many, their
#: orders alone are beyond counting, and a few phases will do.
BLOCK_PRODUCTS = 2048
#: Sums of equal numbers in another order differ by less.
ROUNDING = 1e-6
#: How much wider mean r scatters by chance in cross-validation than if folds were predicted independently. By chance, r of
#: fold f is a sum over the folds g that it was learned on, of how rows of f resemble those of g in features and responses.
#: Each pair of folds so enters twice, as (f, g) and as (g, f): the variance of the mean is up to twice as large.
CROSS_VALIDATED = float(np.sqrt(2))


def block_permutation_p(
    observed: Sequence[FloatArray],
    predicted: Sequence[FloatArray],
    n_permutations: int,
    block_trs: int,
    rng: np.random.Generator,
    null_scale: float = 1.0,
) -> FloatArray:
    """One-sided p of the mean r over folds, by permuting blocks of the prediction within each fold.

    Blocks keep most of the autocorrelation that a permutation of single TRs would destroy. They start at a random phase and
    wrap, else a fold of few blocks has few distinct orders.

    Parameters
    ----------
    observed, predicted : sequences of arrays of shape (n_trs, n_voxels)
        Held-out responses and predictions, one pair per fold.
    n_permutations : int
        How many permutations.
    block_trs : int
        TRs per block, about: blocks of a fold are equally long, and what is left over is a last, shorter one.
    rng : numpy.random.Generator
    null_scale : float
        Factor on r of the permutations: 1 where folds were predicted independently of each other's responses,
        `CROSS_VALIDATED` where each was predicted from all the others. Permuting predictions alone cannot show this.

    Returns
    -------
    array of shape (n_voxels,)
        (b + 1) / (m + 1) with b of m permutations at least as high (Phipson & Smyth 2010), so never 0; NaN where r is.
    """
    orders = [BlockOrders.drawn(len(fold), n_permutations, block_trs, rng) for fold in observed]
    return _p(observed, predicted, orders, null_scale)


def circular_shift_p(
    observed: Sequence[FloatArray],
    predicted: Sequence[FloatArray],
    n_permutations: int,
    block_trs: int,
    rng: np.random.Generator,
    null_scale: float = 1.0,
) -> FloatArray:
    """One-sided p of the mean r over folds, by shifting the prediction in time within each fold.

    What is shifted over the end comes in at the start. This keeps all of the autocorrelation, but a fold has no more shifts
    than TRs: where all folds together have at most ``n_permutations``, each is taken once, and p is no smaller than they
    allow. In folds that hold few independent stretches p is too small, more so than with blocks (see the tests).

    Parameters
    ----------
    observed, predicted, n_permutations, rng, null_scale
        As for `block_permutation_p`.
    block_trs : int
        The least shift in TRs, in both directions: with a smaller one a smooth prediction would still resemble itself.

    Returns
    -------
    array of shape (n_voxels,)
        As for `block_permutation_p`.

    Raises
    ------
    ConfigError
        If a fold is too short to be shifted so far.
    """
    require_shiftable([len(fold) for fold in observed], block_trs)
    allowed = [np.arange(block_trs, len(fold) - block_trs + 1) for fold in observed]
    counts = [len(shifts) for shifts in allowed]
    if np.prod(counts, dtype=float) <= n_permutations:
        chosen = list(np.indices(counts).reshape(len(counts), -1))
    else:
        chosen = [rng.integers(count, size=n_permutations) for count in counts]
    return _p(observed, predicted, [Shifts(shifts[at]) for shifts, at in zip(allowed, chosen, strict=True)], null_scale)


def require_shiftable(n_trs: Sequence[int], block_trs: int) -> None:
    """Raise ConfigError if a held-out fold, of so many TRs each, is too short to be shifted by ``block_trs`` both ways."""
    if min(n_trs) < 2 * block_trs:
        raise ConfigError(
            f"scoring.shuffle=circular_shift moves predictions by at least scoring.block_trs={block_trs} TRs, but a held-out "
            f"fold has only {min(n_trs)}. Give scoring.block_trs={min(n_trs) // 2} or less, lower split.folds, or take "
            "scoring.shuffle=block."
        )


#: By the name in ``scoring.shuffle``.
SHUFFLES: dict[str, Callable[..., FloatArray]] = {"block": block_permutation_p, "circular_shift": circular_shift_p}


def false_discovery_q(p: FloatArray, method: Literal["bh", "by"] = "bh") -> FloatArray:
    """Smallest false discovery rate at which each voxel is found.

    Parameters
    ----------
    p : array of shape (n_voxels,)
    method : {"bh", "by"}
        Benjamini & Hochberg (1995), for voxels that are independent or go together; Benjamini & Yekutieli (2001), for any
        dependence, and stricter by a factor of about log(n_voxels).

    Returns
    -------
    array of shape (n_voxels,)
        NaN stays NaN and is not counted.
    """
    q = np.full(p.shape, np.nan)
    known = np.isfinite(p)
    if known.any():
        q[known] = false_discovery_control(p[known], method=method)
    return q


class Orders(Protocol):
    """All rearrangements of one fold's prediction: r of each is a sum of inner products that are computed once."""

    def products(self, target: FloatArray, guess: FloatArray) -> FloatArray:
        """Inner products of parts of two standardised folds (n_trs, n_voxels), array of shape (n_products, n_voxels)."""

    def picked(self) -> IntArray:
        """Which products add up to r, array of shape (n_permutations, n_parts)."""


@dataclass(frozen=True, eq=False)
class BlockOrders:
    """Blocks of equal length in random orders, cut at random phases.

    Parameters
    ----------
    n_trs : int
        Length of the fold.
    n_blocks : int
        How many blocks; TRs that are left over keep the last place.
    starts : array of int of shape (n_phases,)
        Where the first block may start; blocks wrap at the end of the fold.
    phase : array of int of shape (n_permutations,)
        Index of the start that a permutation takes.
    order : array of int of shape (n_permutations, n_blocks)
        Which block comes to each place.
    """

    n_trs: int
    n_blocks: int
    starts: IntArray
    phase: IntArray
    order: IntArray

    @classmethod
    def drawn(cls, n_trs: int, n_permutations: int, block_trs: int, rng: np.random.Generator) -> BlockOrders:
        """Draw the orders of one fold."""
        n_blocks = max(1, round(n_trs / block_trs))
        n_phases = int(np.clip(BLOCK_PRODUCTS // n_blocks**2, 1, n_trs))
        return cls(
            n_trs=n_trs,
            n_blocks=n_blocks,
            starts=rng.permutation(n_trs)[:n_phases],
            phase=rng.integers(n_phases, size=n_permutations),
            order=rng.permuted(np.tile(np.arange(n_blocks), (n_permutations, 1)), axis=1),
        )

    def products(self, target: FloatArray, guess: FloatArray) -> FloatArray:
        """For each phase, every block of the target with every block of the prediction; then what is left over."""
        n_voxels, length = target.shape[1], self.n_trs // self.n_blocks
        cut = self.n_blocks * length
        shape = (n_voxels, self.n_blocks, length)
        places = np.ascontiguousarray(target.T)
        wrapped = np.concatenate([guess, guess]).T.copy()
        table = np.empty((len(self.starts), self.n_blocks**2, n_voxels), target.dtype)
        left_over = np.empty((len(self.starts), n_voxels), target.dtype)
        for at, start in enumerate(self.starts):
            blocks = wrapped[:, start : start + cut].reshape(shape)
            table[at] = (places[:, :cut].reshape(shape) @ blocks.transpose(0, 2, 1)).reshape(n_voxels, -1).T
            left_over[at] = np.einsum("vt,vt->v", places[:, cut:], wrapped[:, start + cut : start + self.n_trs])
        return np.concatenate([table.reshape(-1, n_voxels), left_over])

    def picked(self) -> IntArray:
        """One product per place, and the one of what is left over."""
        in_phase = np.arange(self.n_blocks) * self.n_blocks + self.order
        left_over = len(self.starts) * self.n_blocks**2 + self.phase
        return np.column_stack([self.phase[:, None] * self.n_blocks**2 + in_phase, left_over])


@dataclass(frozen=True, eq=False)
class Shifts:
    """Circular shifts.

    Parameters
    ----------
    by : array of int of shape (n_permutations,), in TRs
        How far the prediction is moved.
    """

    by: IntArray

    def products(self, target: FloatArray, guess: FloatArray) -> FloatArray:
        """Circular cross-correlation, one row per shift."""
        together = rfft(target, axis=0) * rfft(guess, axis=0).conj()
        by_shift: FloatArray = irfft(together, len(target), axis=0)
        return by_shift

    def picked(self) -> IntArray:
        """The product of the shift."""
        return self.by[:, None]


def _p(
    observed: Sequence[FloatArray], predicted: Sequence[FloatArray], orders: Sequence[Orders], null_scale: float
) -> FloatArray:
    picked = [one.picked() for one in orders]
    n_permutations, n_voxels = len(picked[0]), observed[0].shape[1]
    p = np.full(n_voxels, np.nan)
    chooser: csr_array | None = None
    first, at_once = 0, 1  # the first voxel shows how large the table is
    while first < n_voxels:
        chunk = slice(first, first + at_once)
        target, guess = [[_prepared(fold[:, chunk]) for fold in folds] for folds in (observed, predicted)]
        tables = [one.products(own, its) for one, own, its in zip(orders, target, guess, strict=True)]
        if chooser is None:
            chooser = _chooser(picked, [len(table) for table in tables])
        actual = sum(np.einsum("tv,tv->v", own, its) for own, its in zip(target, guess, strict=True))
        null = null_scale * (chooser @ np.concatenate(tables))
        at_least = (null >= actual - ROUNDING).sum(axis=0)
        p[chunk] = np.where(np.isfinite(actual), (at_least + 1) / (n_permutations + 1), np.nan)
        first += at_once
        at_once = int(np.clip(TABLE_BYTES // (chooser.shape[1] * actual.itemsize), 1, VOXELS_AT_ONCE))
    return p


def _prepared(fold: FloatArray) -> FloatArray:
    # Half the bytes are twice the speed, and more digits than any p has.
    return standardised(fold).astype(np.float32)


def _chooser(picked: Sequence[IntArray], n_products: Sequence[int]) -> csr_array:
    """The matrix of ones that sums the picked products of all folds, (n_permutations, sum of n_products)."""
    before = np.concatenate([[0], np.cumsum(n_products)[:-1]])
    columns = np.hstack([own + offset for own, offset in zip(picked, before, strict=True)])
    ends = np.arange(len(columns) + 1) * columns.shape[1]
    ones = np.ones(columns.size, np.float32)
    return csr_array((ones, columns.ravel(), ends), shape=(len(columns), int(sum(n_products))))
