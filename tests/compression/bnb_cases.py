"""What tests of all compressions of bitsandbytes share: small networks, and weights read from the files by hand."""

import dataclasses

import numpy as np
from safetensors.torch import load_file

from brainexp.compressed import uncompressed
from brainexp.model.transformer import Transformer
from brainexp.prompt.plain import Plain


def saved(compression, model, folder):
    """Compress, save, and return the same options for the saved checkpoint."""
    compression.compress(uncompressed(model, compression, ())).save_pretrained(folder)
    model.tokenizer().save_pretrained(folder)
    return model.at(folder)


def features(model, story, **options):
    """All layers' features of a story, of shape (n_layers, n_words, n_dims)."""
    loaded = dataclasses.replace(model, **options).load()
    out = np.zeros((loaded.n_layers, len(story.units), loaded.n_dims), np.float32)
    for at, values in loaded.extract(story, Plain()):
        out[:, at] = values
    return out


def tensors(model, layer):
    """What the file holds of a layer."""
    stored = load_file(f"{model.path}/model.safetensors")
    return {name.removeprefix(f"{layer}."): value for name, value in stored.items() if name.startswith(f"{layer}.")}


def four_bit_by_hand(model, layer, shape):
    """Weights as the formula says: a level for each half byte, the upper first, times the scale of its 64."""
    told = {name: value.numpy() for name, value in tensors(model, layer).items()}
    codes = told["weight"].reshape(-1)
    levels = told["weight.quant_map"][np.stack([codes >> 4, codes & 15], axis=1).reshape(-1)]
    scales = told["weight.absmax"]
    if "weight.nested_absmax" in told:
        import json

        kind = next(name for name in told if "quant_state" in name)
        offset = json.loads(told[kind].tobytes())["nested_offset"]
        outer = np.repeat(told["weight.nested_absmax"], 256)[: len(scales)]
        scales = told["weight.nested_quant_map"][scales] * outer + offset
    return (levels * np.repeat(scales, 64)[: len(levels)]).reshape(shape)


def values_per_group(weights, group):
    """Most distinct values in any group of neighbouring inputs."""
    return max(len(np.unique(row)) for row in np.asarray(weights).reshape(-1, group))


def relative(one, other):
    return float(np.linalg.norm(one - other) / np.linalg.norm(other))


TINY = Transformer(path="package:brainexp/model/tiny/xs", device="cpu")
