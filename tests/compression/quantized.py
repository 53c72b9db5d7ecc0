"""What tests of quantizations share: a model compressed, saved and read again, its weights and its states."""

import os
from contextlib import contextmanager

import numpy as np

from brainexp.compressed import uncompressed
from brainexp.compression.calibration import windows
from brainexp.compression.calibration.grammar import GrammarText
from brainexp.model.transformer import Transformer
from tests.conftest import byte_level_tokenizer

#: Enough for the layers of tiny_xs, which have 96 inputs at most.
TEXT = GrammarText(samples=8, tokens=32)
STORED = {"F32": 32, "BF16": 16, "F16": 16, "I32": 32, "I8": 8, "F8_E4M3": 8}


def tiny(size, **options):
    return Transformer(path=f"package:brainexp/model/tiny/{size}", device="cpu", **options)


def local(folder):
    return Transformer(path=str(folder), device="cpu")


def compressed(method, model):
    """The network with its head, as the method leaves it."""
    assert method.objection(model) is None
    return method.compress(uncompressed(model, method, []))


def saved(network, folder, model):
    """Save it with its tokenizer; the same model, there."""
    network.save_pretrained(folder, save_compressed=True)
    model.tokenizer().save_pretrained(folder)
    return model.at(folder)


def tokens(model, n_rows=4, n_tokens=24, seed=7):
    """Stories that no method was calibrated on, unless with that seed."""
    import torch

    text = GrammarText(samples=n_rows, tokens=n_tokens, seed=seed)
    return torch.tensor(windows(text.texts([]), model.tokenizer(), n_rows, n_tokens, seed))


def states(network, ids):
    """Hidden states, array of shape (n_layers, n_rows, n_tokens, n_dims)."""
    import torch

    with torch.inference_mode():
        found = network(input_ids=ids, output_hidden_states=True).hidden_states
    return torch.stack(found).float().numpy()


def error(method, model, ids):
    """Relative error of the states above the embedding."""
    base = states(model.network_with_head(), ids)[1:]
    return float(np.linalg.norm(states(compressed(method, model), ids)[1:] - base) / np.linalg.norm(base))


def weights(model):
    """Weights of the linear layers and the embedding that a saved model computes with, by name without the head's prefix."""
    import torch

    network = model.load().network
    with torch.inference_mode():
        network(input_ids=torch.zeros((1, 2), dtype=torch.long))  # the first pass unpacks
    return {
        name: module.weight.detach().float().numpy()
        for name, module in network.named_modules()
        if isinstance(module, torch.nn.Linear | torch.nn.Embedding)
    }


def saved_weights(method, model, folder):
    return weights(saved(compressed(method, model), folder, model))


def most_values(weight, group_size):
    """The largest number of distinct values in a group."""
    groups = weight.reshape(-1, group_size or weight.shape[1])
    return max(len(np.unique(group)) for group in groups)


def stored_bits(folder, layer):
    """Bits that the file holds for a layer's weights; a record of their shape, two numbers, is left out."""
    from safetensors import safe_open

    with safe_open(folder / "model.safetensors", "np") as file:
        names = file.keys()
        found = [file.get_slice(name) for name in names if name.startswith(f"{layer}.") and "shape" not in name]
        return sum(int(np.prod(one.get_shape())) * STORED[one.get_dtype()] for one in found)


def inputs(model, layer, text):
    """What a layer of the full network reads on a text, array of shape (n_samples, n_tokens, n_inputs)."""
    import torch

    network = model.network_with_head()
    seen = []
    network.get_submodule(layer).register_forward_pre_hook(lambda _, given: seen.append(given[0].detach()))
    with torch.inference_mode():
        network(torch.tensor(windows(text.texts([]), model.tokenizer(), text.samples, text.tokens, text.seed)))
    return seen[0].numpy()


@contextmanager
def messages(level):
    """Collect what llm-compressor logs."""
    os.environ.setdefault("LLM_COMPRESSOR_LOG_LEVEL", "ERROR")
    import llmcompressor  # noqa: F401  takes all handlers away when it is imported
    from loguru import logger

    found = []
    handler = logger.add(lambda message: found.append(message.record["message"]), level=level)
    try:
        yield found
    finally:
        logger.remove(handler)


def family(name, folder):
    """A tiny random decoder of a family of transformers, whose norms do not merely multiply by one."""
    import torch
    import transformers

    size = {"vocab_size": 300, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    more = {"num_key_value_heads": 2} if name not in ("bloom", "olmo", "olmo3", "phi") else {}
    wide = {"intermediate_size": 128} if name != "bloom" else {}
    config = transformers.AutoConfig.for_model(
        name, **size, **more, **wide, pad_token_id=0, bos_token_id=1, eos_token_id=2, max_position_embeddings=128
    )
    torch.manual_seed(0)
    network = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for weight in network.parameters():
            if weight.ndim == 1:
                weight.add_(0.3 * torch.randn(weight.shape))
            else:
                weight.mul_(3)
    network.save_pretrained(folder)
    byte_level_tokenizer(brackets=False).save_pretrained(folder)
    return local(folder)
