import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import pearsonr

from brainexp.score.mixed import crossed_slope


def crossed(rng, slope=0.0, n_subjects=8, n_layers=8, of_layer=1.0):
    """A predictor of layers, responses of subjects that share what is special about a layer."""
    subject, layer = (one.ravel() for one in np.meshgrid(np.arange(n_subjects), np.arange(n_layers), indexing="ij"))
    x = rng.standard_normal(n_layers)[layer]
    y = slope * x + of_layer * rng.standard_normal(n_layers)[layer]
    y = y + 0.3 * rng.standard_normal(n_subjects)[subject] + 0.5 * rng.standard_normal(len(x))
    return y, x, {"subject": subject, "layer": layer}


def test_slope_and_error_are_those_of_restricted_likelihood_written_out(rng):
    y, x, factors = crossed(rng, slope=0.7)
    found = crossed_slope(y, x, factors)

    design = np.column_stack([np.ones(len(x)), x])
    parts = [(levels[:, None] == levels).astype(float) for levels in factors.values()]

    def solved(logs):
        spread = sum(np.exp(log) * part for log, part in zip(logs, [*parts, np.eye(len(x))], strict=True))
        inverse = np.linalg.inv(spread)
        information = design.T @ inverse @ design
        weights = np.linalg.solve(information, design.T @ inverse @ y)
        left = y - design @ weights
        deviance = np.linalg.slogdet(spread)[1] + np.linalg.slogdet(information)[1] + left @ inverse @ left
        return deviance, weights, information

    best = minimize(
        lambda logs: solved(logs)[0], np.zeros(3), method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-9}
    )
    _, weights, information = solved(best.x)
    assert found.slope == pytest.approx(weights[1], abs=1e-3)
    assert found.se == pytest.approx(np.sqrt(np.linalg.inv(information)[1, 1]), rel=1e-2)
    assert not found.remark


def test_subjects_do_not_multiply_layers():
    """Without an effect: rows taken for independent claim one most of the time, the mixed model seldom."""
    claimed = {"rows": 0, "mixed": 0}
    for seed in range(40):
        y, x, factors = crossed(np.random.default_rng(seed), n_layers=12)
        claimed["rows"] += pearsonr(x, y).pvalue < 0.05
        claimed["mixed"] += crossed_slope(y, x, factors).p < 0.05

    assert claimed["rows"] >= 16
    assert claimed["mixed"] <= 8  # binomial(40, 0.1), once in a hundred


def test_a_true_slope_is_found(rng):
    found = crossed_slope(*crossed(rng, slope=2.0, of_layer=0.3), slope_of="subject")

    assert found.p < 1e-4
    assert found.slope == pytest.approx(2.0, abs=4 * found.se)


def test_what_cannot_be_fitted_says_why(rng):
    y, x, factors = crossed(rng)

    assert "fewer than 3 different values" in crossed_slope(y, np.ones(len(x)), factors).remark
    assert crossed_slope(np.ones(len(x)), x, factors).remark == "all values are the same"
    assert crossed_slope(y[:3] * np.nan, x[:3], {}).n == 0


def test_random_effects_without_variance_are_left_out_and_named(rng):
    y, x, factors = crossed(rng, slope=1.0)
    found = crossed_slope(y + 100 * factors["subject"] * 0, x, factors, "subject")

    assert np.isfinite(found.se)
    assert found.remark in ("", "no variance of subject slope")
