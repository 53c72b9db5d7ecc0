"""Weights of linear layers after compression, and what is claimed of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from brainexp.interfaces import Claims
from brainexp.model.workarounds.bitsandbytes_cpu_blocks import unpacked_by_blocks

#: Random directions on which weights are projected to be compared.
DIRECTIONS = 8
#: Columns that methods prune together, each such block rounded to whole weights.
BLOCK_COLUMNS = 128
#: Share of weights that may go beside those that were asked for, where their scores tie.
TIED = 0.01


@dataclass(frozen=True, eq=False)
class Measured:
    """What is kept of a layer's weights when its network is let go.

    Parameters
    ----------
    shape : tuple of int
        Outputs and inputs.
    zeros : int
        Weights that are exactly zero.
    sketch : torch.Tensor of shape (n_outputs, DIRECTIONS)
        Projections of the rows.
    """

    shape: tuple[int, int]
    zeros: int
    sketch: Any


def measured(weight: Any) -> Measured:
    """Count zeros, and project the rows on random directions, the same for all weights with as many inputs.

    The norm of a difference of two sketches is on average √DIRECTIONS times that of the weights' difference, and zero only
    where that is (Johnson and Lindenstrauss 1984), so that two networks can be compared that do not fit into memory
    together.

    Parameters
    ----------
    weight : torch.Tensor of shape (n_outputs, n_inputs)
    """
    import torch

    n_inputs = weight.shape[1]
    directions = torch.randn(n_inputs, DIRECTIONS, generator=torch.Generator().manual_seed(n_inputs))
    shape = (int(weight.shape[0]), int(n_inputs))
    return Measured(shape, int((weight == 0).sum()), weight.float().cpu() @ directions)


def weight_change(before: Mapping[str, Measured], after: Mapping[str, Measured]) -> dict[str, float]:
    """Norm of the difference of each layer's weights, over the norm of what they were."""
    return {
        name: float((after[name].sketch - one.sketch).norm() / one.sketch.norm().clamp_min(1e-30))
        for name, one in before.items()
    }


def dense(module: Any) -> Any:
    """Return a linear layer's weights as they multiply, tensor of shape (n_outputs, n_inputs).

    Parameters
    ----------
    module : torch.nn.Module
        A linear layer of torch, of GPT-2 (which stores inputs times outputs), of compressed-tensors when dequantized, or of
        bitsandbytes.
    """
    from transformers.pytorch_utils import Conv1D

    weight = module.weight.data
    if getattr(module.weight, "quant_state", None) is not None:
        return unpacked_by_blocks(module.weight)
    scale = getattr(module.weight, "SCB", None)
    if scale is not None:
        return weight.float() * scale.float()[:, None] / 127.0
    return weight.T if isinstance(module, Conv1D) else weight


def fault(weight: Any, name: str, claims: Claims) -> str | None:
    """Return what is claimed of one layer's weights and not true, and what was found instead, or None.

    Parameters
    ----------
    weight : torch.Tensor of shape (n_outputs, n_inputs)
    name : str
        Of the layer.
    claims : Claims
        Of all layers; sparsity is not looked at here.
    """
    if not weight.isfinite().all():
        return "was to have finite weights, but has NaN or infinite ones"
    if claims.bits is not None:
        most = most_values(weight, claims.group_size)
        if most > 2**claims.bits:
            group = "a row" if claims.group_size is None else f"a group of {claims.group_size}"
            return f"was to have at most 2^{claims.bits} = {2**claims.bits} values in {group}, but has {most}"
    if claims.two_of_four:
        most = _most_of_four(weight)
        if most > 2:
            return (
                f"was to have two zeros among every four neighbouring inputs, but has {most} other weights among four"
            )
    if name in claims.ranks:
        rank = rank_of(weight)
        if rank > claims.ranks[name]:
            return f"was to have rank {claims.ranks[name]}, but has rank {rank}"
    return None


def most_values(weight: Any, group_size: int | None) -> int:
    """Most distinct values in any group of neighbouring inputs; in any row where there are no groups.

    >>> import torch
    >>> most_values(torch.tensor([[0.0, 1.0, 1.0, 2.0], [3.0, 3.0, 3.0, 3.0]]), None), most_values(torch.eye(4), 2)
    (3, 2)
    """
    import torch

    # Where groups do not divide a row, they go on in the next one, as those of bitsandbytes.
    size = weight.shape[1] if group_size is None else group_size
    flat = weight.contiguous().flatten()
    whole = len(flat) // size * size
    most = 0
    for part in (flat[:whole].reshape(-1, size), flat[whole:][None]):
        if part.numel():
            ordered = part.sort(dim=1).values
            most = max(most, 1 + int(torch.count_nonzero(ordered.diff(dim=1), dim=1).max()))
    return most


def rank_of(weight: Any) -> int:
    """Rank of weights, as far as it can be told in their precision.

    Rounding to a precision with unit roundoff u changes every singular value by at most u times the Frobenius norm (Weyl's
    inequality); those below twice that count as zero. A product in single precision has itself errors of a few such.
    """
    import torch

    exact = weight.dtype == torch.float32
    values = torch.linalg.svdvals(weight.double() if exact else weight.float())
    tolerance = torch.finfo(weight.dtype).eps * (16 if exact else 1)
    return int((values > tolerance * weight.float().norm()).sum())


def sparsity_fault(before: Mapping[str, Measured], after: Mapping[str, Measured], claims: Claims) -> str | None:
    """Return which layers have not the share of zeros that is claimed, or None.

    Methods round to whole weights, some in each row, some in blocks of columns. More zeros than claimed are right where
    there were as many before, or where weights were quantized too, which makes zeros.

    Parameters
    ----------
    before, after : mapping of str to Measured
        Layers by name, uncompressed, as far as they can be compared, and compressed.
    claims : Claims
        Of all layers.
    """
    if claims.sparsity is None:
        return None
    together = {"all changed layers together": tuple(after)}
    for what, names in ({name: (name,) for name in after} if claims.in_each else together).items():
        n = sum(after[name].shape[0] * after[name].shape[1] for name in names)
        zeros = sum(after[name].zeros for name in names)
        slack = sum(_rounding(*after[name].shape, claims.sparsity) for name in names)
        most = (
            n
            if claims.bits is not None
            else max(claims.sparsity * n, sum(before[name].zeros for name in names if name in before))
        )
        tied = TIED * n if claims.ties else 0.0
        if not claims.sparsity * n - slack <= zeros <= most + slack + tied:
            return f"{what} was to have a share of {claims.sparsity:g} zeros, but has {zeros / n:.4f}"
    return None


def _rounding(n_outputs: int, n_inputs: int, sparsity: float) -> float:
    """Zeros by which rounding to whole weights may change a layer's number of them: one, or one a row or block."""
    in_a_row = sparsity * n_inputs
    rows = 0 if abs(in_a_row - round(in_a_row)) < 1e-6 else n_outputs
    return rows + -(-n_inputs // BLOCK_COLUMNS)


def _most_of_four(weight: Any) -> int:
    n_whole = weight.shape[1] // 4 * 4
    return int((weight[:, :n_whole].reshape(-1, 4) != 0).sum(dim=1).max())
