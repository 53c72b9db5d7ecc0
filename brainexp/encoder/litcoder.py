"""Ridge as LITcoder fits it: squared alpha in units of the largest singular value, chosen on inner folds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from brainexp.containers import IntArray
from brainexp.encoder.squared import MIN_ROWS, Draw, SquaredRidge, chunks
from brainexp.errors import ConfigError
from brainexp.registry import ENCODERS


@ENCODERS.register("litcoder")
@dataclass(frozen=True)
class Litcoder(SquaredRidge):
    """Weights ``V diag(S / (S² + (alpha S₀)²)) Uᵀ Y`` with alpha chosen per voxel by its mean r over inner folds.

    The formula, the seven inner foldings and their settings are those of GT-LIT-Lab/litcoder_core (arXiv 2509.09152). Its
    outer folds are a matter of ``split``: ``split.by=run`` for held-out stories, ``split.by=block`` for one long story.

    What differs from what was published, on purpose: chunks are shuffled with a seed; ``trim_size`` reaches the inner
    folds (there the slot is given the groups, so 5 is always taken); a folding that the rows cannot fill is an error, not
    another one; r is r (there 1e-8 is added to each standard deviation, so that the faint predictions of large penalties
    count as uncorrelated, and there is a factor (n - 1) / n); features and responses are always standardised, held-out rows
    not by their own statistics unless ``standardise=run`` asks for it for the features. What remains as published: rows
    beside a chunk are fitted unless the folding trims, rows after the last whole chunk are not used inside, and weights of
    a fold have no intercept of their own. All layers, voxels and subjects share the inner folds.

    In units of S₀ the penalties from 1000 on shrink a prediction and do not turn it: their r is the same but for rounding,
    which of them is chosen says nothing, and held-out rows are predicted with 1000.

    Parameters
    ----------
    alphas : tuple of float
        Penalties to choose from, before they are multiplied and squared.
    folding : {"chunked", "chunked_trimmed", "chunked_contiguous", "kfold", "kfold_trimmed", "timeseries", "group"}
        Inner folds: chunks, shuffled or in order; contiguous blocks; blocks that are predicted from what came before; or
        whole runs. Trimmed ones validate on what lies ``trim_size`` TRs inside of each chunk or block.
    n_inner_folds : int
        Inner folds.
    chunk_length : int
        Neighbouring TRs per chunk.
    trim_size : int
        TRs left out at both ends of a chunk or block, by the trimmed foldings.
    normalpha : bool
        Whether alpha is multiplied by the largest singular value S₀ of the rows that are fitted.
    singcutoff : float
        Singular values up to it are dropped.
    single_alpha : bool
        One alpha per subject, by the mean score of its voxels, instead of one per voxel.
    score : {"correlation", "signed_r2", "halfway_signed_r2", "clipped_r2"}
        What is compared: r (published ``use_corr=True``); root of the absolute R², with the sign of R²
        (``use_corr=False``); or as in ``encoder=huth_bootstrap``.
    standardise : {"train", "run"}
        Mean and scale of features and responses: of the training rows (published ``normalize_features`` and
        ``normalize_targets``); or of each run, as its story data are, where held-out features are standardised by their own
        statistics, so that one row's prediction depends on later ones.
    respect_runs : bool
        Whether chunks lie in one run, without gap; False cuts the stacked runs as one, as published.
    seed : int
        Of the order of chunks.
    nuisance : tuple of str
        Regressors of the dataset to remove from the responses, with weights learned on training rows.
    device : str
        "auto" takes a GPU if there is one; "cpu", "cuda" or "cuda:1" insist. Everything is in double precision.
    voxels_per_batch : int
        How many voxels are solved at once.
    """

    alphas: tuple[float, ...] = (1e-1, 1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8)
    folding: Literal[
        "chunked", "chunked_trimmed", "chunked_contiguous", "kfold", "kfold_trimmed", "timeseries", "group"
    ] = "chunked"
    n_inner_folds: int = 5
    chunk_length: int = 20
    trim_size: int = 5
    normalpha: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_inner_folds < 2 or self.chunk_length < 1 or self.trim_size < 0:
            raise ConfigError(
                f"{self.title}: n_inner_folds must be at least 2, chunk_length at least 1 and trim_size not negative, got "
                f"{self.n_inner_folds}, {self.chunk_length} and {self.trim_size}"
            )

    def draws(self, rows: IntArray, run: IntArray) -> list[Draw]:
        """Return the inner folds.

        Parameters
        ----------
        rows : array of int of shape (n_train,)
            Training rows, among the stacked rows of all runs.
        run : array of int of shape (n_train,)
            The run of each.

        Raises
        ------
        ConfigError
            If rows, chunks or runs are too few for the folding.
        """
        if self.folding.startswith("chunked"):
            found = self._of_chunks(chunks(rows, run, self.chunk_length, self.respect_runs))
        else:
            found = self._of_rows(run)
        if any(len(held) < MIN_ROWS or len(fit) < MIN_ROWS for fit, held in found):
            raise self._too_few(f"{len(rows)} training rows leave fewer than {MIN_ROWS} to fit or to validate on")
        return found

    def _of_chunks(self, parts: list[IntArray]) -> list[Draw]:
        """Hold out as many chunks in each fold, and what is left over in the last one."""
        if len(parts) < self.n_inner_folds:
            raise self._too_few(
                f"the training rows hold only {len(parts)} chunks of chunk_length={self.chunk_length} TRs"
            )
        if self.folding != "chunked_contiguous":
            parts = [parts[at] for at in np.random.default_rng(self.seed).permutation(len(parts))]
        trim = self.trim_size if self.folding == "chunked_trimmed" else 0
        per_fold = len(parts) // self.n_inner_folds
        found = []
        for fold in range(self.n_inner_folds):
            start = fold * per_fold
            stop = start + per_fold if fold < self.n_inner_folds - 1 else len(parts)
            held = [part[trim : len(part) - trim] for part in parts[start:stop]]
            fit = parts[:start] + parts[stop:]
            found.append((np.sort(np.concatenate(fit)), np.sort(np.concatenate(held))))
        return found

    def _of_rows(self, run: IntArray) -> list[Draw]:
        """Hold out contiguous blocks of the stacked rows, or whole runs, as scikit-learn cuts them."""
        from sklearn.model_selection import GroupKFold, KFold, TimeSeriesSplit

        kinds = {"group": GroupKFold, "timeseries": TimeSeriesSplit}
        splitter = kinds.get(self.folding, KFold)(n_splits=self.n_inner_folds)
        groups = run if self.folding == "group" else None
        try:
            found = list(splitter.split(np.zeros((len(run), 1)), groups=groups))
        except ValueError as error:
            raise self._too_few(str(error).rstrip(".")) from None
        trim = self.trim_size if self.folding == "kfold_trimmed" else 0
        return [(fit, held[trim : len(held) - trim]) for fit, held in found]

    def _too_few(self, why: str) -> ConfigError:
        return ConfigError(
            f"{self.title}: folding={self.folding} with n_inner_folds={self.n_inner_folds} cannot be had: {why}. Lower "
            "encoder.n_inner_folds, encoder.chunk_length or encoder.trim_size, or give encoder.folding=kfold."
        )
