"""Eigenvectors of centred training rows, or of the covariance of their features, and what they add to held-out rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from brainexp.containers import IntArray

if TYPE_CHECKING:
    from torch import Tensor

#: Components below this share of the largest eigenvalue are rounding.
RANK = 1e-13


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Decomposition of the rows that are fitted.

    Parameters
    ----------
    vectors : Tensor of shape (n_train, n_components), or (n_features, n_components)
    eigenvalues : Tensor of shape (n_components,)
        float64, descending.
    basis : Tensor of shape (n_held_out, n_components)
        What a component adds to each held-out row.
    """

    vectors: Tensor
    eigenvalues: Tensor
    basis: Tensor

    @classmethod
    def of(cls, kernel: Tensor, train: IntArray, held_out: IntArray, largest: float | None = None) -> Spectrum:
        """Decompose the centred kernel of the training rows.

        All components but the constant are kept; with the ``largest`` eigenvalue of a kernel that holds this one, those
        that are more than rounding beside it.
        """
        import torch

        at, held = places(train, kernel), places(held_out, kernel)
        own = kernel[at[:, None], at]
        mean = own.mean(dim=0)
        # The constant, which centring takes out, is moved to the top, where no other component mixes with it.
        top = 2 * torch.trace(own) if largest is None else 2 * largest
        varies = largest is None or features_vary(kernel, train, largest)  # else all that is left is rounding
        own -= mean
        own -= mean[:, None]
        own += mean.mean() + top / len(own)
        value, vectors = torch.linalg.eigh(own.neg_())  # ascending, so that eigenvalues descend
        value, vectors = value.neg_()[1:].clamp(min=0.0), vectors[:, 1:]
        if largest is not None:
            kept = int((value > RANK * largest).sum()) if varies else 0
            value, vectors = value[:kept], vectors[:, :kept]
        between = kernel[held[:, None], at]
        between = between - between.mean(dim=1, keepdim=True) - mean + mean.mean()
        return cls(vectors, value, (between @ vectors) / value.clamp(min=torch.finfo(value.dtype).tiny))

    @classmethod
    def of_covariance(cls, covariance: Tensor, held_out: Tensor) -> Spectrum:
        """Decompose the covariance of centred training rows."""
        import torch

        value, vectors = torch.linalg.eigh(-covariance)
        return cls(vectors, -value, held_out @ vectors)

    @property
    def largest(self) -> float:
        """The largest eigenvalue."""
        return float(self.eigenvalues[0])

    def trimmed(self, largest: float) -> Spectrum:
        """Without components that are rounding beside this eigenvalue; none is left where no feature varies."""
        kept = int((self.eigenvalues > RANK * largest).sum())
        return Spectrum(self.vectors[:, :kept], self.eigenvalues[:kept], self.basis[:, :kept])

    def components(self, covariance: Tensor) -> Tensor:
        """``Λ⁻¹ Qᵀ Xᵀ Y`` of the covariance of features and responses."""
        return (self.vectors.T @ covariance) / self.eigenvalues[:, None].to(covariance.dtype)

    def cast(self, dtype: Any) -> Spectrum:
        """The same with vectors and basis of another type; eigenvalues stay float64."""
        return Spectrum(self.vectors.to(dtype), self.eigenvalues, self.basis.to(dtype))


def features_vary(kernel: Tensor, rows: IntArray, largest: float) -> bool:
    """Whether features vary over these rows of a kernel by more than rounding beside an eigenvalue."""
    at = places(rows, kernel)
    among = kernel.new_zeros(len(kernel))
    among[at] = 1.0
    return bool(kernel.diagonal()[at].sum() - among @ kernel @ among / len(rows) > RANK * largest)


def places(rows: IntArray, like: Tensor) -> Tensor:
    """Positions as an index of a tensor."""
    import torch

    return torch.from_numpy(rows).to(like.device)
