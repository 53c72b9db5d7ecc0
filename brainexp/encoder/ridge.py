"""Ridge regression with one penalty per voxel, exact, with the work shared by all subjects done once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from brainexp.containers import Design, Fitted, FloatArray, Fold, IntArray
from brainexp.encoder.options import RidgeOptions, mean_only, validation_r
from brainexp.registry import ENCODERS
from brainexp.solve.bands import Bands


@ENCODERS.register("ridge")
@dataclass(frozen=True)
class Ridge(RidgeOptions):
    """Minimise ``|y - Xw|² + alpha |w|²`` per voxel, alpha chosen on inner validation blocks.

    Features are standardised with mean and scale of the training rows before they are delayed; features that are constant
    there are left out. The intercept is not penalised. Scores, penalties and predictions are those of himalaya's
    ``KernelRidgeCV`` and ``RidgeCV`` (Dupré la Tour et al. 2022) with the same folds. Options are those of
    `brainexp.encoder.options.RidgeOptions`.
    """

    beside: ClassVar[tuple[str, ...]] = ()
    together: ClassVar[bool] = False

    def fit(self, bands: Sequence[Design], responses: FloatArray, subject: IntArray, fold: Fold) -> Fitted:
        """Choose a penalty per voxel on inner folds, fit all training rows, predict held-out rows.

        Parameters
        ----------
        bands : sequence of Design
            One feature space.
        responses : array of shape (n_train, n_voxels)
            Training rows; no NaN.
        subject : array of int of shape (n_voxels,)
            Not used: voxels do not know of each other.
        fold : Fold
            Rows.

        Returns
        -------
        Fitted
            Without r and at the mean of the training rows where no feature varies.
        """
        assert len(bands) == 1  # it asks for no other
        given = Bands(bands, fold, self.alphas, responses.shape[1], self.work(), self.form)
        if not given.n_features:
            return mean_only(responses, fold, n_bands=1)
        solver = given.solver([1.0])
        best, penalty, predicted = solver.solve(responses, self.choose_by)
        r = best if self.choose_by == "r" else validation_r(solver, responses, penalty, self.alphas)
        return Fitted(r, penalty[None], predicted)
