"""Tiny random networks with their heads, and what is read again of them when they are compressed."""

from __future__ import annotations

import re

from brainexp.compressed import uncompressed
from brainexp.model.transformer import Transformer
from tests.model.families import FAMILIES, TOKENIZERS, checkpoint

HEADS = ("AutoModelForSeq2SeqLM", "AutoModelForMaskedLM", "AutoModelForCausalLM")
TINY = "package:brainexp/model/tiny"


def with_head(family, folder):
    """Save a random model with the head that it is trained with, and a tokenizer of its kind; return the Transformer."""
    import torch
    import transformers as hf

    kind, values, tokens = FAMILIES[family]
    config = getattr(hf, kind)(**values)
    head = next(name for name in HEADS if type(config) in getattr(hf, name)._model_mapping)
    torch.manual_seed(0)
    network = getattr(hf, head).from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for weight in network.parameters():
            if weight.ndim > 1 and family != "t5":
                weight.mul_(5.0)  # so wide that layers differ
    network.save_pretrained(folder)
    TOKENIZERS[tokens]().save_pretrained(folder)
    return Transformer(path=str(folder), device="cpu")


def without_head(family, folder):
    """Save a random model without a head."""
    return Transformer(path=str(checkpoint(family, folder)), device="cpu")


def blueprint(family, folder):
    """Blueprint of a family, with its head, from nothing but a config."""
    import transformers as hf

    kind, values, _ = FAMILIES[family]
    config = getattr(hf, kind)(**values)
    mapping = next(
        getattr(hf, name)._model_mapping for name in HEADS if type(config) in getattr(hf, name)._model_mapping
    )
    config.architectures = [mapping[type(config)].__name__]
    config.save_pretrained(folder)
    return Transformer(path=str(folder), device="cpu").blueprint()


def saved(model, compression, folder):
    """Compress, save as any checkpoint is saved, and return the Transformer that reads it."""
    network = compression.compress(uncompressed(model, compression, []))
    network.save_pretrained(folder)
    model.tokenizer().save_pretrained(folder)
    return model.at(folder)


def weights(model):
    """Every tensor of a network with its head, by name."""
    return model.network_with_head().state_dict()


def zeros(model, names):
    """Exact zeros in layers, and their weights, counted."""
    network = model.network_with_head()
    layers = [network.get_submodule(name).weight for name in names]
    return sum(int((weight == 0).sum()) for weight in layers), sum(weight.numel() for weight in layers)


def unchanged(before, after, but=()):
    """Whether all tensors but the weights of some layers are the same, bit for bit, in value and dtype."""
    import torch

    changed = {f"{name}.weight" for name in but}
    kept = [name for name in before if name not in changed]
    return before.keys() == after.keys() and all(
        before[name].dtype == after[name].dtype and torch.equal(before[name], after[name]) for name in kept
    )


def features(model, story):
    """All layers of a story's words, array of shape (n_layers, n_words, n_dims)."""
    import numpy as np

    from brainexp.prompt.plain import Plain

    loaded = model.load()
    found = np.zeros((loaded.n_layers, len(story.units), loaded.n_dims), np.float32)
    for at, values in loaded.extract(story, Plain()):
        found[:, at] = values
    return found


def perplexity(model, tokens):
    """Of text that was not calibrated on, array of int of shape (n_texts, n_tokens)."""
    import torch

    ids = torch.tensor(tokens)
    with torch.inference_mode():
        return float(model.network_with_head()(input_ids=ids, labels=ids).loss.float().exp())


def kinds(names):
    """Names without the numbers of blocks, each once."""
    return {re.sub(r"\.\d+", "", name) for name in names}
