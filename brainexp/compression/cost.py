"""What a model costs to keep: bits per weight by formula, bytes and zeros as measured."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from brainexp.compression.low_rank import bits_of_rank
from brainexp.interfaces import Blueprint, Compression, LoadedModel, Model

#: Files that hold weights, by how their names end.
WEIGHTS = (".safetensors", ".bin", ".pt")
#: What stands in a safetensors file before its header: the header's length.
LENGTH_BYTES = 8


def cost(model: LoadedModel) -> dict[str, float]:
    """Measure a loaded model.

    Parameters
    ----------
    model : LoadedModel
        After compression; without the head that turns states into words.

    Returns
    -------
    dict
        ``bytes`` of parameters and buffers as they lie in memory, ``sparsity`` (see `sparsity`) and ``parameters`` (the
        number of weights, however they are packed). Empty for a model without a network.
    """
    if model.network is None:
        return {}
    kept = [*model.network.parameters(), *model.network.buffers()]
    return {
        "bytes": float(sum(tensor.numel() * tensor.element_size() for tensor in kept)),
        "sparsity": sparsity([model.network]),
        "parameters": float(sum(n for n, _ in _weights(model.network))),
    }


def sparsity(parts: Iterable[Any]) -> float:
    """Share of exact zeros among the weights of matrices, embeddings left out.

    A zero is no proof of pruning: a quantizer rounds small weights to zero too, GPTQ at 4 bits some 15 % of them.

    Parameters
    ----------
    parts : iterable of torch.nn.Module

    Returns
    -------
    float
        NaN where there are no matrices, or their weights are packed so that zeros cannot be counted.
    """
    n_weights, n_zeros = 0, 0
    for part in parts:
        for n, weight in _weights(part, matrices=True):
            if weight is None:
                return float("nan")
            n_weights += n
            n_zeros += int((weight == 0).sum())
    return n_zeros / n_weights if n_weights else float("nan")


def _weights(network: Any, *, matrices: bool = False) -> Iterator[tuple[int, Any]]:
    """Yield the number of weights of each parameter, and its values; None where they are packed.

    With ``matrices`` only those of two or more dimensions that are no table of embeddings.
    """
    import torch

    seen = set()
    for module in network.modules():
        if matrices and isinstance(module, torch.nn.Embedding):
            continue
        names = [name for name, _ in module.named_parameters(recurse=False)]
        if isinstance(module, torch.nn.Linear):
            n_weights = module.out_features * module.in_features
            weight = _unpacked(module)
            known = weight is not None and weight.numel() == n_weights
            yield n_weights, weight if known else None
            names = [name for name in names if name == "bias"]
        for name in names:
            values = getattr(module, name)
            if id(values) not in seen and not (matrices and values.ndim < 2):
                seen.add(id(values))
                yield values.numel(), values


def _unpacked(layer: Any) -> Any:
    """Return the weights of a linear layer, those that bitsandbytes packs two to a byte unpacked."""
    weight = getattr(layer, "weight", None)
    state = getattr(weight, "quant_state", None)
    if weight is None or state is None:
        return weight
    from bitsandbytes.functional import dequantize_4bit

    return dequantize_4bit(weight.data, state)


def bits(model: Model, compression: Compression, ranks: Mapping[str, int] | None = None) -> dict[str, float]:
    """Effective bits per weight of the uncompressed model: by the method's formula, or as stored by those who quantized it.

    Parameters
    ----------
    model : Model
        Before compression.
    compression : Compression
        What it does to which linear layers, scales and masks included.
    ranks : mapping of str to int, optional
        Rank of each layer that got one which only its weights could tell.

    Returns
    -------
    dict
        ``bits_per_weight`` over all parameters, embeddings and norms included, and ``bits_per_linear_weight`` over linear
        layers; both without the head that turns states into words, and both per weight that the uncompressed model has, so
        that linear layers which are gone count as nothing (norms and biases that went with them count as kept). Zeros of
        unstructured pruning count as the bit of the mask, not as they are stored, for no file format keeps them so. Empty
        for word vectors; without the second where the blueprint has no linear layers; NaN where only the weights tell and
        ``ranks`` do not.
    """
    blueprint = model.blueprint()
    if blueprint.reads == "table":
        return {}
    dense_bits = float(bits_of(blueprint.dtype))
    n_parameters = 8 * model.size().n_bytes / dense_bits
    if blueprint.quantized is not None:
        folder = getattr(model, "folder", lambda: None)()
        return {} if folder is None else stored_bits(tensor_bytes(folder), blueprint, n_parameters)
    changed, left = set(compression.claims(blueprint).modules), compression.after(blueprint).linear
    before = _linear(blueprint)
    n_linear = float(sum(outputs * inputs for outputs, inputs in before.values()))

    def of_weight(name: str) -> float:
        if ranks and name in ranks:
            return bits_of_rank(before[name], ranks[name], dense_bits)
        if name not in changed or ranks:
            return dense_bits
        return compression.bits_per_weight(before[name], dense_bits)

    linear_bits = sum(before[name][0] * before[name][1] * of_weight(name) for name in before if name in left)
    n_other = n_parameters - n_linear
    found = {"bits_per_weight": (linear_bits + n_other * dense_bits) / n_parameters}
    return found | ({"bits_per_linear_weight": linear_bits / n_linear} if n_linear else {})


def stored_bits(stored: Mapping[str, int], blueprint: Blueprint, n_parameters: float) -> dict[str, float]:
    """Bits per weight of what a checkpoint stores, scales, zero points and maps of codes included.

    Parameters
    ----------
    stored : mapping of str to int
        Bytes of each tensor, from `tensor_bytes`.
    blueprint : Blueprint
        Names and shapes of the linear layers.
    n_parameters : float
        Weights of the network without its head, before quantization.

    Returns
    -------
    dict
        As of `bits`; empty where nothing is stored in safetensors.
    """
    if not stored:
        return {}
    head = tuple(f"{name}." for name in blueprint.head)
    found = {"bits_per_weight": 8 * sum(n for key, n in stored.items() if not key.startswith(head)) / n_parameters}
    linear = _linear(blueprint)
    n_bytes = sum(n for key, n in stored.items() if not key.endswith(".bias") and _owner(key, linear) is not None)
    n_weights = sum(outputs * inputs for outputs, inputs in linear.values())
    return found | ({"bits_per_linear_weight": 8 * n_bytes / n_weights} if n_bytes else {})


def _linear(blueprint: Blueprint) -> dict[str, tuple[int, int]]:
    return {name: shape for name, shape in blueprint.linear.items() if name not in blueprint.head}


def _owner(key: str, linear: Mapping[str, tuple[int, int]]) -> str | None:
    """Name of the linear layer that a tensor belongs to: ``….weight``, ``….weight_packed``, ``….weight.absmax``."""
    while key:
        key = key.rpartition(".")[0]
        if key in linear:
            return key
    return None


def tensor_bytes(folder: Path) -> dict[str, int]:
    """Bytes of every tensor in the safetensors files of a checkpoint, by name; read from their headers alone."""
    found: dict[str, int] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(LENGTH_BYTES), "little")))
        for name, told in header.items():
            if name != "__metadata__":
                start, stop = told["data_offsets"]
                found[name] = stop - start
    return found


def stored(model: Model) -> dict[str, float]:
    """``disk_bytes`` of an uncompressed model's checkpoint; empty where it has none, or none was fetched."""
    folder = getattr(model, "folder", lambda: None)()
    n_bytes = 0 if folder is None else disk_bytes(folder)
    return {"disk_bytes": float(n_bytes)} if n_bytes else {}


def disk_bytes(folder: Path) -> int:
    """Bytes of the files of a checkpoint that hold weights; tokenizer and config are left out."""
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file() and path.suffix in WEIGHTS)


def bits_of(dtype: str) -> int:
    """Bits of a number.

    >>> bits_of("bfloat16")
    16
    """
    return int(dtype.removeprefix("b").removeprefix("float"))
