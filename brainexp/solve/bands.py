"""One or several feature spaces, and the cheapest solver for them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from brainexp.containers import Design, FloatArray, Fold
from brainexp.solve.features import row_kernel, row_matrix, scaling
from brainexp.solve.penalties import BLOCK_WIDTH, PER_FUNCTION, RANK
from brainexp.solve.ridge import Downdated, Dual, Primal
from brainexp.solve.solver import Solver, Work, fast_dtype

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger(__name__)

Form = Literal["primal", "dual", "downdated"]
FORMS: tuple[Form, ...] = ("primal", "dual", "downdated")
#: Multiplications that an eigendecomposition costs per cube of its size, at the rate of a matrix product (measured).
EIGH = 10
#: Multiplications that an inverse costs per cube of its size, alike.
INVERSE = 4
#: A product in double precision costs as much as two in single precision, four in half precision as much as one.
DOUBLE, HALF = 2, 0.25
#: Natural logarithm of the largest over the smallest eigenvalue that matters, in a usual spectrum.
LOG_RANGE = 10


class Bands:
    """Feature spaces of one fold, standardised on its training rows, from which a solver for any shares is made.

    Parameters
    ----------
    designs : sequence of Design
        One per feature space.
    fold : Fold
        Rows.
    alphas : sequence of float
        Penalties.
    n_voxels : int
        How many voxels will be solved, for the choice of the form.
    work : Work
        How to compute.
    form : {"auto", "primal", "dual", "downdated"}
        auto takes the form with the fewest multiplications; with several spaces each is priced as if alone.
    """

    def __init__(
        self,
        designs: Sequence[Design],
        fold: Fold,
        alphas: Sequence[float],
        n_voxels: int,
        work: Work,
        form: Literal["auto", "primal", "dual", "downdated"] = "auto",
    ) -> None:
        self._fold, self._alphas, self._work = fold, alphas, work
        self._widths = [len(scaling(design, fold.train).varying) * len(design.delays) for design in designs]
        n_features = sum(self._widths)
        price = prices(fold, n_features, len(alphas), n_voxels, work)
        self.form: Form = min(price, key=price.__getitem__) if form == "auto" else form
        log.info(
            "%s: %s form, %.2g multiplications (%s)",
            " + ".join(design.name for design in designs),
            self.form,
            price[self.form],
            ", ".join(f"{kind} {value:.2g}" for kind, value in price.items()),
        )
        read = row_matrix if self.form == "primal" else row_kernel
        self._spaces: list[Tensor] = [read(design, fold.train, work.device) for design in designs]

    @property
    def n_features(self) -> int:
        """Columns that vary on the training rows, delays included."""
        return sum(self._widths)

    def solver(self, shares: Sequence[float]) -> Solver:
        """Make a solver in which a feature space of share g has its features multiplied by the root of g."""
        import torch

        if self.form == "primal":
            rows = torch.cat(
                [float(np.sqrt(g)) * own for g, own in zip(shares, self._spaces, strict=True) if g > 0], dim=1
            )
            return Primal(rows, self._fold, self._alphas, self._work)
        kernel = sum(g * own for g, own in zip(shares, self._spaces, strict=True) if g > 0)
        kind = Dual if self.form == "dual" else Downdated
        return kind(kernel, self._fold, self._alphas, self._work)  # type: ignore[arg-type]

    def parts(self, shares: Sequence[float], weights: FloatArray) -> FloatArray:
        """What each feature space adds to the predictions of held-out rows.

        Parameters
        ----------
        shares : sequence of float
            As for `solver`.
        weights : array of shape (n_weights, n_voxels)
            Its weights.

        Returns
        -------
        array of shape (n_spaces, n_test, n_voxels)
            Each without its mean over training rows, so that they sum to the predictions without intercept.
        """
        import torch

        train = torch.from_numpy(self._fold.train).to(self._work.device)
        test = torch.from_numpy(self._fold.test).to(self._work.device)
        given = torch.from_numpy(weights).to(self._work.device)
        first, found = 0, []
        for g, own in zip(shares, self._spaces, strict=True):
            if g == 0:
                found.append(torch.zeros((len(test), weights.shape[1]), dtype=given.dtype))
                continue
            if self.form == "primal":
                rows = float(np.sqrt(g)) * (own[test] - own[train].mean(dim=0))
                used = given[first : first + own.shape[1]]
                first += own.shape[1]
            else:
                between = own[test[:, None], train]
                rows = g * (between - own[train[:, None], train].mean(dim=0))
                used = given
            found.append((rows.to(given.dtype) @ used).cpu())
        return torch.stack(found).numpy()


def prices(fold: Fold, n_features: int, n_penalties: int, n_voxels: int, work: Work) -> dict[Form, float]:
    """Multiplications that each form needs for one fold; see `cost`."""
    import torch

    half = work.dtype == "float32" and fast_dtype(work) == torch.bfloat16
    return {form: cost(form, fold, n_features, n_penalties, n_voxels, HALF if half else 1.0) for form in FORMS}


def cost(form: str, fold: Fold, n_features: int, n_penalties: int, n_voxels: int, fast: float = 1.0) -> float:
    """Multiplications that a form needs for one fold, in single precision's.

    Parameters
    ----------
    form : {"primal", "dual", "downdated"}
    fold : Fold
    n_features, n_penalties, n_voxels : int
    fast : float
        What one of those by which penalties are compared costs.

    Returns
    -------
    float
    """
    n, p = len(fold.train), n_features
    fit = np.array([len(rows) for rows, _ in fold.inner], dtype=float)
    held = np.array([len(rows) for _, rows in fold.inner], dtype=float)
    out = n - fit
    if form == "primal":
        small = DOUBLE * (2.0 * (n + np.sum(out + held)) * p**2 + EIGH * (len(fit) + 1) * p**3)
        return float(small + n_voxels * (2.0 * n * p + np.sum(2 * p**2 + held * _search(p, n_penalties, fast))))
    kernel = DOUBLE * 2.0 * n**2 * p
    if form == "dual":
        small = kernel + DOUBLE * (EIGH * (n**3 + np.sum(fit**3)) + np.sum(2 * held * fit**2))
        wide = 2.0 * n**2 + np.sum(2 * fast * fit**2 + held * _search(fit, n_penalties, fast))
        return float(small + n_voxels * wide)
    small = kernel + DOUBLE * (EIGH * n**3 + n_penalties * np.sum(2 * out**2 * n + INVERSE * out**3))
    wide = 2.0 * n**2 + np.sum(out * (2 * n + _search(n, n_penalties, 1.0) + 2 * n_penalties * held))
    return float(small + n_voxels * wide)


def _search(n_components: FloatArray | int, n_penalties: int, fast: float) -> FloatArray:
    """Multiplications and additions per row and voxel that give the sums of every penalty, with nodes or without."""
    functions = np.minimum(n_components, RANK * LOG_RANGE / BLOCK_WIDTH)
    found: FloatArray = np.minimum(
        2 * fast * RANK * n_components + 2 * PER_FUNCTION * n_penalties * functions, 2 * n_penalties * n_components
    )
    return found
