"""What a model costs to keep, measured on the network itself."""

from __future__ import annotations

from brainexp.interfaces import LoadedModel


def cost(model: LoadedModel) -> dict[str, float]:
    """Measure a loaded model.

    Parameters
    ----------
    model : LoadedModel
        After compression.

    Returns
    -------
    dict
        ``bytes`` of parameters and buffers, ``bits_per_weight`` (stored bits of a parameter, on average), ``sparsity``
        (share of parameters that are exactly zero) and ``parameters`` (their number). Empty for a model without a
        network.
    """
    if model.network is None:
        return {}
    parameters = list(model.network.parameters())
    n_bytes = sum(tensor.numel() * tensor.element_size() for tensor in [*parameters, *model.network.buffers()])
    weight_bits = sum(8 * tensor.numel() * tensor.element_size() for tensor in parameters)
    n_parameters = sum(tensor.numel() for tensor in parameters)
    n_zero = sum(int((tensor == 0).sum()) for tensor in parameters)
    return {
        "bytes": float(n_bytes),
        "bits_per_weight": weight_bits / n_parameters,
        "sparsity": n_zero / n_parameters,
        "parameters": float(n_parameters),
    }
