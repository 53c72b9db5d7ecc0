"""How alike two representations of the same units are."""

from __future__ import annotations

import numpy as np

from brainexp.containers import FloatArray


def relative_error(base: FloatArray, other: FloatArray) -> float:
    """Size of the difference relative to the size of the base, ‖other - base‖ / ‖base‖ (Frobenius).

    Parameters
    ----------
    base, other : arrays of shape (n_units, n_dims)

    Returns
    -------
    float
        0 for equal ones; NaN where the base is zero.
    """
    size = float(np.linalg.norm(base.astype(float)))
    return float(np.linalg.norm(other.astype(float) - base)) / size if size > 0 else float("nan")


def linear_cka(one: FloatArray, other: FloatArray) -> float:
    """Linear centered kernel alignment (Kornblith et al. 2019), ‖Xᵀ Y‖² / (‖Xᵀ X‖ ‖Yᵀ Y‖) of centred columns.

    The same for rotated and scaled representations, not for any invertible map of them. Biased upwards where dims are many
    and units are few: see `unbiased_linear_cka`.

    Parameters
    ----------
    one, other : arrays of shape (n_units, n_dims), (n_units, n_other_dims)

    Returns
    -------
    float
        Between 0 and 1; NaN where either is constant.
    """
    kernels = [_centred(_kernel(values)) for values in (one, other)]
    shared, own, others = (float((a * b).sum()) for a, b in _pairs(*kernels))
    return _ratio(shared, own, others)


def unbiased_linear_cka(one: FloatArray, other: FloatArray) -> float:
    """Linear CKA with the unbiased estimator of HSIC (Song et al. 2012; Nguyen et al. 2021).

    Parameters
    ----------
    one, other : arrays of shape (n_units, n_dims), (n_units, n_other_dims)
        Of at least four units.

    Returns
    -------
    float
        1 for representations that are rotations of each other; near 0, on either side, for unrelated ones, however many dims
        they have. NaN where either is constant.
    """
    kernels = [_kernel(values) for values in (one, other)]
    for kernel in kernels:
        np.fill_diagonal(kernel, 0.0)
    return _ratio(*(_unbiased_hsic(a, b) for a, b in _pairs(*kernels)))


def _kernel(values: FloatArray) -> FloatArray:
    """Products between units; centred first, which changes no result but keeps the digits of large means."""
    centred = values - values.mean(axis=0, dtype=float)
    kernel: FloatArray = centred @ centred.T
    return kernel


def _pairs(one: FloatArray, other: FloatArray) -> tuple[tuple[FloatArray, FloatArray], ...]:
    return (one, other), (one, one), (other, other)


def _centred(kernel: FloatArray) -> FloatArray:
    means = kernel.mean(axis=0)
    centred: FloatArray = kernel - means - means[:, None] + means.mean()
    return centred


def _unbiased_hsic(one: FloatArray, other: FloatArray) -> float:
    """Unbiased HSIC, without the factor that cancels; kernels of shape (n_units, n_units) with zeros on the diagonal."""
    n = len(one)
    sums, other_sums = one.sum(axis=0), other.sum(axis=0)
    trace = float((one * other).sum())
    products = float(sums.sum()) * float(other_sums.sum()) / ((n - 1) * (n - 2))
    return trace + products - 2.0 * float(sums @ other_sums) / (n - 2)


def _ratio(shared: float, own: float, others: float) -> float:
    return shared / float(np.sqrt(own * others)) if own > 0 and others > 0 else float("nan")
