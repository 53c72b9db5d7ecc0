"""How one thing goes with another over layers, where the same layers, people and properties come again and again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from brainexp.containers import FloatArray, IntArray

#: With two layers any slope fits.
MIN_LEVELS = 3


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
    layers: with a predictor that varies over layers only, the slope is as uncertain as so few layers leave it.

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
    from statsmodels.regression.mixed_linear_model import MixedLM, VCSpec

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
    effects = VCSpec(
        list(matrices),
        [[[f"{name} {at}" for at in range(matrix.shape[1])]] for name, matrix in matrices.items()],
        [[matrix] for matrix in matrices.values()],
    )
    return _fitted(MixedLM(values, np.column_stack([np.ones(n), regressor]), np.zeros(n), exog_vc=effects), scale_y / scale_x)


def _fitted(model: object, scale: float) -> Slope:
    import warnings

    n = len(model.endog)  # type: ignore[attr-defined]
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            found = model.fit(reml=True)  # type: ignore[attr-defined]
        except np.linalg.LinAlgError as error:
            return Slope(n, remark=f"the mixed model cannot be fitted: {error}")
    doubts = [] if found.converged else ["the fit did not converge"]
    if any("boundary" in str(one.message) or "singular" in str(one.message) for one in told):
        doubts.append("a variance is 0, or not to be told from it")
    slope, se = float(found.fe_params[1]), float(found.bse_fe[1])
    return Slope(n, slope * scale, se * scale, slope / se, float(found.pvalues[1]), "; ".join(doubts))
