"""Checkpoints that others have quantized: what they say of themselves, and how they are read.

Checkpoints of compressed-tensors and bitsandbytes are read by transformers, which needs these libraries. Those of GPTQ
(auto-gptq, GPTQModel, optimum) and AWQ (AutoAWQ) would need GPTQModel and its kernels; they are read here instead: their
integers are unpacked and multiplied by their scales once, and the network is the dense one. Its weights are exactly the
quantized ones, rounded once to the dtype in which the network computes; in memory they take as much as the dense model's.

Layouts, for a layer of ``n_in`` inputs and ``n_out`` outputs whose weights take b bits (words are int32; a row of numbers is
one stream of bits, lowest first, that runs on from word to word, so that 32 numbers of 3 bits take 3 words):

======== ========================================== ===================================== =========================
tensor   GPTQ                                       AWQ (GEMM)                            meaning
======== ========================================== ===================================== =========================
qweight  (n_in·b/32, n_out), packed along inputs    (n_in, n_out·b/32), along outputs     q, from 0 to 2ᵇ-1
qzeros   (n_groups, n_out·b/32), along outputs      (n_groups, n_out·b/32)                z, the q that stands for zero
scales   (n_groups, n_out)                          (n_groups, n_out)                     s
g_idx    (n_in,): the group of each input           none: neighbours in equal shares
======== ========================================== ===================================== =========================

A weight is s·(q − z). GPTQ's first format, auto-gptq's and still the default, stores z − 1, taken off the packed words as a
whole (`checkpoint_format` "gptq_v2" stores z). AWQ has 8 numbers of 4 bits in a word in the order 0, 2, 4, 6, 1, 3, 5, 7.
Sources: the packing and unpacking code of GPTQModel 7.6.0 and AutoAWQ 0.2.9, with whose weights ours are equal bit by bit.
"""

from __future__ import annotations

import importlib.util
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from brainexp.errors import ModelError

Told = Mapping[str, Any]

#: Methods that are read here, with the packing formats that are understood.
READ_HERE: Mapping[str, tuple[str, ...]] = {"gptq": ("gptq", "gptq_v2"), "awq": ("gemm",)}
BITS: Mapping[str, tuple[int, ...]] = {"gptq": (2, 3, 4, 8), "awq": (4,)}
#: Methods that transformers reads with a library, and its module.
READ_WITH: Mapping[str, str] = {"compressed-tensors": "compressed_tensors", "bitsandbytes": "bitsandbytes"}
#: Where old checkpoints say how they are quantized, beside a config that does not.
OLD_FILES: Mapping[str, str] = {"quantize_config.json": "gptq", "quant_config.json": "awq"}
OLD_NAMES: Mapping[str, str] = {"w_bit": "bits", "q_group_size": "group_size"}
#: Which of the 8 numbers of a word is that of the first output, of the second, ...
AWQ_ORDER = (0, 4, 1, 5, 2, 6, 3, 7)
#: The attribute of a network's body that says what its dense weights were unpacked from.
UNPACKED_FROM = "unpacked_from"


def quantization(config: Any) -> Told | None:
    """Return what a config says of its checkpoint's quantization, as plain values, or None.

    Parameters
    ----------
    config : transformers.PretrainedConfig
    """
    told = getattr(config, "quantization_config", None)
    if told is None and hasattr(config, "get_text_config"):
        told = getattr(config.get_text_config(), "quantization_config", None)
    if told is None:
        return None
    plain = dict(told if isinstance(told, Mapping) else told.to_dict())
    method = plain.get("quant_method", "")
    named = str(getattr(method, "value", method))
    if not named and (plain.get("load_in_4bit") or plain.get("load_in_8bit")):
        named = "bitsandbytes"
    return plain | {"quant_method": named or "unknown"}


def recognised(config: Any, path: str, revision: str | None) -> Any:
    """Return the config with what files of old checkpoints say of their quantization, where it says nothing itself.

    Parameters
    ----------
    config : transformers.PretrainedConfig
    path : str
        A folder or a Hugging Face id.
    revision : str or None
    """
    if quantization(config) is None:
        for name, method in OLD_FILES.items():
            file = _file(path, revision, name, getattr(config, "_commit_hash", None))
            if file is not None:
                told = json.loads(file.read_text())
                named = {OLD_NAMES.get(key, key): value for key, value in told.items()}
                config.quantization_config = {"quant_method": method} | named
                break
    return config


def description(told: Told) -> str:
    """Name a quantization in a few words, such as "gptq w4 g128".

    Parameters
    ----------
    told : mapping
        From `quantization`.
    """
    method = str(told["quant_method"])
    if method == "bitsandbytes":
        four = told.get("load_in_4bit")
        kind = told.get("bnb_4bit_quant_type", "fp4") if four else "int8"
        return f"{method} {kind}" + (" double" if four and told.get("bnb_4bit_use_double_quant") else "")
    if method == "compressed-tensors":
        groups = (told.get("config_groups") or {}).values()
        schemes = dict.fromkeys(filter(None, map(_scheme, groups)))
        return " ".join([method, " and ".join(schemes)]).strip()
    bits, group = told.get("bits"), told.get("group_size")
    words = [method, f"w{bits}" if bits else "", _group(group), "act-order" if told.get("desc_act") else ""]
    return " ".join(word for word in words if word)


def _scheme(group: Mapping[str, Any]) -> str:
    weights, inputs = group.get("weights"), group.get("input_activations")
    if weights is None:
        return ""
    float_ = "fp" if weights.get("type") == "float" else ""
    words = [f"w{float_}{weights.get('num_bits')}", f"a{inputs.get('num_bits')}" if inputs else ""]
    return " ".join(word for word in [*words, _group(weights.get("group_size"))] if word)


def _group(size: int | None) -> str:
    return f"g{size}" if size is not None and size > 0 else ""


def require_readable(told: Told, path: str) -> None:
    """Raise ModelError if a checkpoint of this quantization cannot be read on this machine; quick.

    Parameters
    ----------
    told : mapping
        From `quantization`.
    path : str
        As the user gave it.
    """
    from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING as KNOWN

    method = str(told["quant_method"])
    if method in READ_HERE:
        packing = _packing(told)
        if packing not in READ_HERE[method]:
            raise ModelError(
                f"the checkpoint of {path!r} is quantized by {method} in the packing format {packing!r}, made for one "
                f"kernel. Understood: {', '.join(READ_HERE[method])}. Take a checkpoint in one of these, or the full model "
                "with compression=gptq or compression=awq."
            )
        if told.get("bits") not in BITS[method]:
            raise ModelError(
                f"the checkpoint of {path!r} is quantized by {method} to {told.get('bits')} bits. Understood: "
                f"{', '.join(map(str, BITS[method]))}."
            )
        return
    if method not in (*READ_WITH, *KNOWN):
        raise ModelError(
            f"the checkpoint of {path!r} is quantized by {method!r}, which neither brainexp nor transformers reads. "
            f"Supported: {', '.join((*READ_HERE, *READ_WITH))}. Take a checkpoint of one of these, or the model that it was "
            "made from, with compression=... of your choice."
        )
    if method in READ_WITH and importlib.util.find_spec(READ_WITH[method]) is None:
        raise ModelError(
            f"the checkpoint of {path!r} is quantized by {method}, whose library is not installed. "
            "Install it: pip install brainexp[compress]"
        )


def _packing(told: Told) -> str:
    if told.get("is_marlin_format"):
        return "marlin"
    if told.get("pack_dtype", "int32") != "int32":
        return f"{told['pack_dtype']} words"
    named = told.get("version") if told["quant_method"] == "awq" else None
    return str(
        named or told.get("checkpoint_format") or told.get("format") or READ_HERE[told["quant_method"]][0]
    ).lower()


def dense(config: Any) -> Any:
    """Return the config of the same architecture without quantization.

    Parameters
    ----------
    config : transformers.PretrainedConfig
        Stays as it is.
    """
    import copy

    twin = copy.deepcopy(config)
    for part in (twin, twin.get_text_config()):
        if hasattr(part, "quantization_config"):
            del part.quantization_config
    return twin


def quiet_bitsandbytes() -> None:
    """Leave out what bitsandbytes logs in every pass.

    Such as that 8-bit products take inputs in float16, and that a kernel of the hub, which is not used, is not there.
    """
    for name in ("bitsandbytes.autograd._functions", "bitsandbytes.backends.cpu.ops"):
        logging.getLogger(name).setLevel(logging.ERROR)


def unpacked_network(kind: Any, path: str, revision: str | None, config: Any, **options: Any) -> tuple[Any, Any]:
    """Read a checkpoint of GPTQ or AWQ into the dense network of its class.

    Parameters
    ----------
    kind : class of transformers
        That the checkpoint was saved from; no Auto class, which would read the packed weights.
    path : str
        A folder or a Hugging Face id.
    revision : str or None
    config : transformers.PretrainedConfig
        Of the checkpoint, from `recognised`.
    **options
        Of ``from_pretrained``; ``dtype`` must be given.

    Returns
    -------
    network : transformers.PreTrainedModel
    loading : mapping
        What transformers says of the loading.

    Raises
    ------
    ModelError
        If files or tensors are not there, or not for this architecture.
    """
    import transformers

    told, plain = quantization(config), dense(config)
    assert told is not None
    method = str(told["quant_method"])
    first_format = method == "gptq" and _packing(told) == "gptq"
    weights = _dense_weights(weight_files(path, revision, told), method, first_format, options["dtype"])
    network, loading = kind.from_pretrained(
        None, config=plain, state_dict=weights, **{**options, "output_loading_info": True}
    )
    if loading["missing_keys"] or loading["mismatched_keys"]:
        lacking = sorted(map(str, {*loading["missing_keys"], *loading["mismatched_keys"]}))
        raise ModelError(
            f"the checkpoint of {path!r} ({description(told)}) has no weights, or weights of another shape, for "
            f"{', '.join(lacking[:3])}{' …' if len(lacking) > 3 else ''}. It is incomplete, or of an architecture whose "
            "quantized layers have other names; take the full model with compression=... instead."
        )
    settings = _file(path, revision, "generation_config.json", getattr(config, "_commit_hash", None))
    if settings is not None and network.can_generate():
        network.generation_config = transformers.GenerationConfig.from_pretrained(settings.parent)
    setattr(network.base_model, UNPACKED_FROM, description(told))
    return network, loading


def _dense_weights(files: Sequence[Path], method: str, first_format: bool, dtype: Any) -> dict[str, Any]:
    """All tensors of a checkpoint by name, packed ones unpacked; a layer's tensors may stand in several files."""
    from safetensors import safe_open

    tensors: dict[str, Any] = {}
    parts: dict[str, dict[str, Any]] = {}
    for file in files:
        with safe_open(file, framework="pt") as stored:
            for name in stored.keys():  # noqa: SIM118  not a mapping
                layer, _, part = name.rpartition(".")
                if part in ("qweight", "qzeros", "scales", "g_idx"):
                    parts.setdefault(layer, {})[part] = stored.get_tensor(name)
                else:
                    tensors[name] = stored.get_tensor(name)
        for layer in [name for name, found in parts.items() if {"qweight", "qzeros", "scales"} <= found.keys()]:
            if method == "gptq" and "g_idx" not in parts[layer] and file != files[-1]:
                continue  # it may come with the next file
            weight = (
                gptq_weight(**parts.pop(layer), first_format=first_format)
                if method == "gptq"
                else awq_weight(**parts.pop(layer))
            )
            tensors[f"{layer}.weight"] = weight.to(dtype).contiguous()
    if parts:
        raise ModelError(f"the checkpoint lacks qweight, qzeros or scales of {', '.join(sorted(parts)[:3])}.")
    return tensors


def gptq_weight(qweight: Any, qzeros: Any, scales: Any, g_idx: Any = None, *, first_format: bool) -> Any:
    """Weights of a layer in the format of GPTQ.

    Parameters
    ----------
    qweight, qzeros, scales, g_idx : torch.Tensor
        As in the table above; without ``g_idx``, neighbouring inputs share a group.
    first_format : bool
        Whether ``qzeros`` hold one less than the zero points.

    Returns
    -------
    torch.Tensor of float32 of shape (n_out, n_in)
        Exact: a product of a half-precision number and a small integer.
    """
    import torch

    n_groups, n_out = scales.shape
    if g_idx is None:
        bits = 32 * qzeros.shape[1] // n_out
        n_in = 32 * qweight.shape[0] // bits
    else:
        n_in = len(g_idx)
        bits = 32 * qweight.shape[0] // n_in  # told by the layer itself: some checkpoints mix widths
    group = torch.arange(n_in) * n_groups // n_in if g_idx is None else g_idx.long()
    zeros = _zero_points(qzeros, bits, n_out, first_format)
    return (unpacked(qweight, bits)[:n_in] - zeros[group]).float().mul_(scales.float()[group]).T


def _zero_points(qzeros: Any, bits: int, n_out: int, first_format: bool) -> Any:
    """Zero points of shape (n_groups, n_out).

    One was taken off each number, but in the arithmetic of whole words, where it is borrowed from the next number if there is
    nothing to take it off; numbers that go from one word to the next (3 bits) are reckoned by themselves.
    """
    import torch

    whole = 32 % bits == 0
    if first_format and whole:
        ones = sum(1 << at for at in range(0, 32, bits))
        qzeros = qzeros + torch.tensor(ones - (ones >> 31 << 32), dtype=torch.int32)  # wraps around, as words do
    zeros = unpacked(qzeros.T, bits).T[:, :n_out]
    return (zeros + 1) % 2**bits if first_format and not whole else zeros


def awq_weight(qweight: Any, qzeros: Any, scales: Any) -> Any:
    """Weights of a layer in the GEMM format of AWQ.

    Parameters
    ----------
    qweight, qzeros, scales : torch.Tensor
        As in the table above.

    Returns
    -------
    torch.Tensor of float32 of shape (n_out, n_in)
        Exact, as `gptq_weight`.
    """
    import torch

    n_in, n_groups = qweight.shape[0], scales.shape[0]
    group = torch.arange(n_in) * n_groups // n_in
    q, zeros = (_in_awq_order(unpacked(words.T, 4)) for words in (qweight, qzeros))
    return (q - zeros[:, group]).float().mul_(scales.T.float()[:, group])


def _in_awq_order(numbers: Any) -> Any:
    """Sort the 8 numbers of each word, of shape (n_out, n), to their outputs."""
    n_out, n = numbers.shape
    return numbers.view(n_out // 8, 8, n)[:, list(AWQ_ORDER)].reshape(n_out, n)


def unpacked(words: Any, bits: int) -> Any:
    """Numbers of so many bits, packed into words along the first axis as one stream, lowest bits first.

    Parameters
    ----------
    words : torch.Tensor of int of shape (n_words, n)
        Each of 32 bits.
    bits : int

    Returns
    -------
    torch.Tensor of int16 of shape (32 · n_words / bits, n)
    """
    import torch

    if 32 % bits == 0:  # the usual case, in a fifth of the time
        shifts = torch.arange(0, 32, bits, dtype=torch.int32)[:, None]
        return ((words.to(torch.int32)[:, None] >> shifts) & (2**bits - 1)).to(torch.int16).flatten(0, 1)
    at = bits * torch.arange(32 * len(words) // bits)[:, None]
    word, shift = at // 32, at % 32
    low = words[word[:, 0]].long() & 0xFFFFFFFF
    high = (
        words[(word[:, 0] + 1).clamp(max=len(words) - 1)].long() & 0xFFFFFFFF
    )  # where a number runs on into the next word
    return (((low >> shift) | (high << (32 - shift))) & (2**bits - 1)).to(torch.int16)


def weight_files(path: str, revision: str | None, told: Told | None = None) -> tuple[Path, ...]:
    """Return the safetensors files of a checkpoint, fetched from the hub where need be.

    Parameters
    ----------
    path : str
        A folder or a Hugging Face id.
    revision : str or None
    told : mapping or None
        From `quantization`: old checkpoints name their file after it.

    Raises
    ------
    ModelError
        If there are none.
    """
    told = told or {}
    old = told.get("model_file_base_name"), f"gptq_model-{told.get('bits')}bit-{told.get('group_size')}g"
    for name in ("model", *filter(None, old)):
        index = _file(path, revision, f"{name}.safetensors.index.json")
        if index is not None:
            shards = sorted(set(json.loads(index.read_text())["weight_map"].values()))
            found = {shard: _file(path, revision, shard) for shard in shards}
            lacking = [shard for shard, file in found.items() if file is None]
            if lacking:
                raise ModelError(f"the checkpoint of {path!r} lacks {', '.join(lacking)}. Fetch it anew.")
            return tuple(file for file in found.values() if file is not None)
        file = _file(path, revision, f"{name}.safetensors")
        if file is not None:
            return (file,)
    raise ModelError(
        f"the checkpoint of {path!r} has no model.safetensors. Pickled weights (.bin, .pt) of quantized checkpoints are not "
        "read, for they can run any code; take a checkpoint with safetensors, or convert it."
    )


def _file(path: str, revision: str | None, name: str, commit: str | None = None) -> Path | None:
    """A file of a checkpoint, or None if it has no such file."""
    if Path(path).is_dir():
        return Path(path) / name if (Path(path) / name).is_file() else None
    from transformers.utils.hub import cached_file

    found = cached_file(
        path,
        name,
        revision=revision or "main",
        _commit_hash=commit,
        _raise_exceptions_for_gated_repo=False,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    return Path(found) if found is not None else None


def stored_bits(
    path: str, revision: str | None, told: Told | None, linear: Mapping[str, tuple[int, int]]
) -> dict[str, float]:
    """Bits that the weights of linear layers take on the disk, with scales, zero points and tables, from the files' headers.

    Parameters
    ----------
    path : str
        A folder or a Hugging Face id.
    revision : str or None
    told : mapping or None
        From `quantization`.
    linear : mapping of str to (int, int)
        Outputs and inputs of each layer, by its name in the network with its head.

    Returns
    -------
    dict of str to float
        Bits per weight, by layer. Layers that have no tensors of their own, such as a head that is tied to the embedding,
        are left out.
    """
    from safetensors import safe_open

    bits = dict.fromkeys(linear, 0)
    for file in weight_files(path, revision, told):
        with safe_open(file, framework="pt") as stored:
            for name in stored.keys():  # noqa: SIM118  not a mapping
                layer = next((whole for whole in _owners(name) if whole in bits), None)
                if layer is not None and not name.endswith(".bias"):
                    tensor = stored.get_slice(name)
                    n_values = 1
                    for length in tensor.get_shape():
                        n_values *= length
                    bits[layer] += n_values * BITS_OF[tensor.get_dtype()]
    return {layer: total / (linear[layer][0] * linear[layer][1]) for layer, total in bits.items() if total}


def bytes_in_memory(network: Any, told: Told | None) -> float:
    """Bytes of a network's weights once it is loaded: those of bitsandbytes stay packed, all others become dense.

    Parameters
    ----------
    network : torch.nn.Module
        Dense, with or without values.
    told : mapping or None
        From `quantization`.
    """
    import torch

    total = float(sum(weight.numel() * weight.element_size() for weight in network.parameters()))
    if told is None or told["quant_method"] != "bitsandbytes":
        return total
    from transformers.quantizers.quantizers_utils import should_convert_module

    kept = list(told.get("llm_int8_skip_modules") or ())
    packed = 0.5 + 4 / 64 if told.get("load_in_4bit") else 1.0
    for name, module in network.named_modules():
        if isinstance(module, torch.nn.Linear) and should_convert_module(name, kept):
            total -= module.weight.numel() * (module.weight.element_size() - packed)
    return total


#: Bits of an element, by safetensors' name of its type.
BITS_OF = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64,
}  # fmt: skip


def _owners(tensor: str) -> list[str]:
    """Names of modules that a tensor may belong to: all beginnings of its name."""
    parts = tensor.split(".")
    return [".".join(parts[:n]) for n in range(len(parts) - 1, 0, -1)]
