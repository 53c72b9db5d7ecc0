"""How one thing goes with another over layers, where the same layers, people and properties come again and again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import linregress, norm

from brainexp.containers import FloatArray, IntArray

#: With two layers any slope fits.
MIN_LEVELS = 3
#: Share of the variance of y below which a random effect has none.
NO_VARIANCE = 1e-4
#: Optimizers of statsmodels, each where the one before did not converge.
METHODS = ["lbfgs", "bfgs", "powell"]


@dataclass(frozen=True)
class Slope:
    """A slope with its random effects allowed for; what cannot be fitted is NaN, and ``remark`` says why.

    Parameters
    ----------
    n : int
        Values.
    slope, se, z, p : float
        Two-sided p of z, which is too small where there are few layers.
    remark : str
        Why something is missing or doubtful; else empty.
    """

    n: int
    slope: float = float("nan")
    se: float = float("nan")
    z: float = float("nan")
    p: float = float("nan")
    remark: str = ""


def crossed_slope(y: FloatArray, x: FloatArray, factors: Mapping[str, IntArray], slope_of: str | None = None) -> Slope:
    """Slope of y on x in a linear mixed model with crossed random intercepts, by restricted maximum likelihood.

    A random intercept of each layer takes up what all subjects have in common there, so that subjects do not multiply
    layers: with a predictor that varies over layers only, the slope is as uncertain as so few layers leave it. Random
    effects whose variance is estimated as 0 are left out, and named.

    Parameters
    ----------
    y, x : arrays of shape (n,)
        Values of which one is NaN are left out.
    factors : mapping of str to array of int of shape (n,)
        Level of each factor, such as subject and layer; each gets a random intercept.
    slope_of : str, optional
        Factor over whose levels the slope varies too.

    Returns
    -------
    Slope
    """
    known = np.isfinite(y) & np.isfinite(x)
    y, x = y[known], x[known]
    n = len(y)
    if n == 0 or len(np.unique(x)) < MIN_LEVELS:
        return Slope(n, remark=f"no slope from fewer than {MIN_LEVELS} different values of the predictor")
    if np.ptp(y) == 0:
        return Slope(n, remark="all values are the same")
    scale_x, scale_y = x.std(), y.std()
    regressor, values = (x - x.mean()) / scale_x, (y - y.mean()) / scale_y
    matrices = {}
    for name, levels in factors.items():
        own = levels[known]
        indicators = (own[:, None] == np.unique(own)).astype(float)
        if 1 < indicators.shape[1] < n:
            matrices[name] = indicators
            if name == slope_of:
                matrices[f"{name} slope"] = indicators * regressor[:, None]
    if not matrices:
        return Slope(n, remark="no factor has several levels, with several values each")
    design = np.column_stack([np.ones(n), regressor])
    dropped: list[str] = []
    while matrices:
        found = _fitted(values, design, matrices)
        if found is None:
            return Slope(n, remark="the mixed model cannot be fitted")
        variances = dict(zip(sorted(matrices), found.vcomp, strict=True))  # the order in which they are reported
        least = min(variances, key=lambda name: variances[name])
        if variances[least] > NO_VARIANCE:
            told = [f"no variance of {', '.join(dropped)}"] if dropped else []
            told += [] if found.converged else ["the fit did not converge"]
            slope, se = _weighted(values, design, matrices, variances, float(found.scale))
            scale = scale_y / scale_x
            p = float(2 * norm.sf(abs(slope / se)))
            return Slope(n, slope * scale, se * scale, slope / se, p, "; ".join(told))
        dropped.append(least)
        del matrices[least]  # at a variance of 0 the likelihood is that of the model without it
    plain = linregress(x, y)
    z = float(plain.slope / plain.stderr)
    return Slope(
        n, float(plain.slope), float(plain.stderr), z, float(plain.pvalue), "no random effect has any variance"
    )


def _weighted(
    values: FloatArray,
    design: FloatArray,
    matrices: Mapping[str, FloatArray],
    variances: Mapping[str, float],
    left: float,
) -> tuple[float, float]:
    """Slope and standard error by generalised least squares; statsmodels' own error may be that of no minimum."""
    spread = left * np.eye(len(values))
    for name, matrix in matrices.items():
        spread += variances[name] * (matrix @ matrix.T)
    weighted = np.linalg.solve(spread, design)
    error = np.linalg.inv(design.T @ weighted)
    return float((error @ (weighted.T @ values))[1]), float(np.sqrt(error[1, 1]))


def _fitted(values: FloatArray, design: FloatArray, matrices: Mapping[str, FloatArray]) -> Any:
    """The fit of statsmodels, or None."""
    import warnings

    from statsmodels.regression.mixed_linear_model import MixedLM, VCSpec

    names = sorted(matrices)
    columns = [[[f"{name} {at}" for at in range(matrices[name].shape[1])]] for name in names]
    effects = VCSpec(names, columns, [[matrices[name]] for name in names])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of variances at 0, which are dealt with
        try:
            return MixedLM(values, design, np.zeros(len(values)), exog_vc=effects).fit(reml=True, method=METHODS)
        except np.linalg.LinAlgError:
            return None
