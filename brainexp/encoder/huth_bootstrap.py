"""Ridge as Huth's laboratory fits it: squared alpha, chosen on random chunks of the training rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from brainexp.containers import IntArray
from brainexp.encoder.squared import MIN_ROWS, Draw, SquaredRidge, chunks
from brainexp.errors import ConfigError
from brainexp.registry import ENCODERS


@ENCODERS.register("huth_bootstrap")
@dataclass(frozen=True)
class HuthBootstrap(SquaredRidge):
    """Weights ``V diag(S / (S² + alpha²)) Uᵀ Y`` with alpha scored on random chunks, mean over draws.

    Alpha is squared: alpha of ``encoder=ridge`` is the square of ours. The formula, the draws and the choice are those of
    HuthLab/deep-fMRI-dataset (LeBel et al. 2023), encoding-model-scaling-laws (Antonello et al. 2023) and semantic-decoding
    (Tang et al. 2023), from which Oota et al. took theirs; ``conf/encoder`` has the settings of each under its own name.

    What differs from what was published, on purpose: draws have a seed; delays stay inside a run and come before
    standardisation, not after the runs are stacked; held-out responses are scored as they are, not standardised by their
    own statistics; small singular values are dropped in the final fit too; as many chunks as asked for are held out, or
    there is an error. What remains as published: rows beside a held-out chunk are fitted, so the chosen alpha is somewhat
    too small for autocorrelated responses, and weights of a draw have no intercept of their own. All layers, voxels and
    subjects share the draws of a fold.

    Singular values below a millionth or so of the largest are dropped whatever ``singcutoff``, for they are roots of
    eigenvalues; at penalties of the field they contribute nothing. An alpha above 1000 times the largest one predicts
    held-out rows as 1000 times would: it only shrinks, until rounding leaves a constant, which has no r.

    Parameters
    ----------
    alphas : tuple of float
        Penalties to choose from, before they are squared.
    nboots : int
        Draws.
    chunklen : int
        Neighbouring TRs per chunk.
    nchunks : int or float
        How many chunks a draw holds out; below 1, the share of training rows, rounded up to whole chunks.
    normalpha : bool
        Whether alpha is multiplied by the largest singular value of the rows that are fitted.
    singcutoff : float
        Singular values up to it are dropped.
    single_alpha : bool
        One alpha per subject, by the mean score of its voxels, instead of one per voxel.
    score : {"correlation", "signed_r2", "halfway_signed_r2", "clipped_r2"}
        What is compared: r (published ``use_corr=True``); root of the absolute R², with the sign of R²; the same with the
        mean of the variance and 1 in place of the variance (``use_corr=False`` in the first two repositories); or R², not
        below zero (in the third).
    standardise : {"train", "run"}
        Mean and scale of features and responses: of the training rows; or of each run, as published, where held-out
        features are standardised by their own statistics, so that one row's prediction depends on later ones.
    respect_runs : bool
        Whether chunks lie in one run, without gap; False cuts the stacked runs as one, as published.
    seed : int
        Of the draws.
    nuisance : tuple of str
        Regressors of the dataset to remove from the responses, with weights learned on training rows.
    device : str
        "auto" takes a GPU if there is one; "cpu", "cuda" or "cuda:1" insist. Everything is in double precision.
    voxels_per_batch : int
        How many voxels are solved at once.
    """

    alphas: tuple[float, ...] = (
        10.0,
        16.68100537200059,
        27.825594022071243,
        46.41588833612777,
        77.4263682681127,
        129.1549665014884,
        215.44346900318823,
        359.38136638046257,
        599.4842503189409,
        1000.0,
    )
    nboots: int = 50
    chunklen: int = 40
    nchunks: int | float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.nboots < 1 or self.chunklen < 1:
            raise ConfigError(
                f"{self.title}: nboots and chunklen must be at least 1, got {self.nboots} and {self.chunklen}"
            )
        if self.nchunks <= 0 or (isinstance(self.nchunks, float) and self.nchunks >= 1):
            raise ConfigError(
                f"{self.title}: nchunks must be a whole number of chunks, or a share of the rows between 0 and 1, "
                f"got {self.nchunks}"
            )

    def draws(self, rows: IntArray, run: IntArray) -> list[Draw]:
        """Return ``nboots`` times random chunks, and the rows beside them.

        Parameters
        ----------
        rows : array of int of shape (n_train,)
            Training rows, among the stacked rows of all runs.
        run : array of int of shape (n_train,)
            The run of each.

        Raises
        ------
        ConfigError
            If there are not enough chunks to hold out so many and fit another.
        """
        all_chunks = chunks(rows, run, self.chunklen, self.respect_runs)
        share = isinstance(self.nchunks, float)
        n_held = int(np.ceil(self.nchunks * len(rows) / self.chunklen)) if share else int(self.nchunks)
        if n_held >= len(all_chunks) or n_held * self.chunklen < MIN_ROWS:
            raise ConfigError(
                f"{self.title}: {len(rows)} training rows hold {len(all_chunks)} chunks of chunklen={self.chunklen} TRs, and "
                f"nchunks={self.nchunks} asks to hold out {n_held} of them. There must be {MIN_ROWS} TRs to validate on and "
                "a chunk to fit. Give another encoder.chunklen or encoder.nchunks (0.2 takes a fifth of the rows)."
            )
        rng = np.random.default_rng(self.seed)
        found = []
        for _ in range(self.nboots):
            drawn = rng.permutation(len(all_chunks))[:n_held]
            held = np.sort(np.concatenate([all_chunks[at] for at in drawn]))
            found.append((np.setdiff1d(np.arange(len(rows)), held), held))
        return found
