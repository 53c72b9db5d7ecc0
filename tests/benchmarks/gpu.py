"""Word features on a GPU: tokens per second, and what share of the device's measured matrix-product rate that is."""

import time

from brainexp.interfaces import Frame
from brainexp.model.transformer import LoadedTransformer, Transformer
from brainexp.prompt.plain import Plain
from tests.benchmarks.features import tale

BLOCKS, WIDTH, HIDDEN = 24, 2048, 5632  # of a Llama of 1.2 billion parameters
ROUNDS = 3


def measured():
    """Names and values, or None where there is no GPU."""
    import torch

    if not torch.cuda.is_available():
        return None
    loaded = reader()
    story = tale(1500)
    lengths = [len(ids) for ids, _ in loaded._encoded(loaded._readings(story, Frame()), special_tokens=True)]
    weights = sum(weight.numel() for block in loaded.network.layers for weight in block.parameters())
    operations = sum(2 * weights * n + 4 * BLOCKS * WIDTH * n * n / 2 for n in lengths)  # a causal half of attention
    seconds = fastest(lambda: list(loaded.extract(story, Plain())))
    rate = matmul_rate()
    return {
        "tokens per window, mean": sum(lengths) / len(lengths),
        "tokens per second": sum(lengths) / seconds,
        "words per second": len(lengths) / seconds,
        "matrix products, TFLOP/s": rate / 1e12,
        "share of that": operations / seconds / rate,
        "most memory, GB": torch.cuda.max_memory_allocated() / 1e9,
    }


def reader():
    import torch
    import transformers as hf

    from tests.conftest import byte_level_tokenizer

    config = hf.LlamaConfig(
        vocab_size=32_000, hidden_size=WIDTH, intermediate_size=HIDDEN, num_hidden_layers=BLOCKS, num_attention_heads=16
    )
    with torch.device("cuda"):
        network = hf.AutoModel.from_config(config, dtype=torch.bfloat16).eval()
    tokenizer = byte_level_tokenizer(brackets=False)
    tokenizer.pad_token = tokenizer.eos_token
    model = Transformer(path="random", context_words=256, dtype="bfloat16")
    loaded = LoadedTransformer(model=model, network=network, tokenizer=tokenizer)
    list(loaded.extract(tale(300), Plain()))  # warm
    return loaded


def matmul_rate(size=8192):
    """Floating-point operations per second of a large product in bfloat16."""
    import torch

    left, right = (torch.randn(size, size, dtype=torch.bfloat16, device="cuda") for _ in range(2))

    def work():
        for _ in range(20):
            left @ right
        torch.cuda.synchronize()

    work()
    return 20 * 2 * size**3 / fastest(work)


def fastest(work):
    """Seconds of the fastest of a few rounds."""

    def seconds():
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    return min(seconds() for _ in range(ROUNDS))
