"""Word features of a causal model: what peers do, a class with a language-model head fed one word at a time, against ours."""

import tempfile
from functools import cache, partial
from pathlib import Path

import numpy as np

from brainexp.containers import Stimulus
from brainexp.model.context import first_words
from brainexp.model.transformer import Transformer
from brainexp.prompt.plain import Plain

SMALL_HEAD, LARGE_HEAD = 50_257, 151_936  # GPT-2's and Qwen's vocabularies
BASE = (12, 768)
HALF_SIZE = (6, 384)


@cache
def network(vocabulary, shape):
    """A random GPT-2 with its head, and its folder."""
    import torch
    import transformers as hf

    from tests.conftest import byte_level_tokenizer

    folder = Path(tempfile.mkdtemp())
    blocks, width = shape
    torch.manual_seed(0)
    config = hf.GPT2Config(vocab_size=vocabulary, n_embd=width, n_layer=blocks, n_head=width // 64, n_positions=4096)
    head = hf.GPT2LMHeadModel(config).eval()
    head.save_pretrained(folder)
    byte_level_tokenizer(brackets=False).save_pretrained(folder)
    return head, folder


def tale(n_words):
    words = tuple("the crow drank tea. but the fox did not. any of it went home slowly, and the crow slept.".split())
    units = (words * (n_words // len(words) + 1))[:n_words]
    onset_s = np.arange(n_words) * 0.4
    return Stimulus(story="tea", units=units, onset_s=onset_s, offset_s=onset_s + 0.3)


def head_per_word(vocabulary, shape, story, first, asked):
    """The peers' way: all hidden states of a causal-LM class, one word at a time."""
    import torch
    import transformers as hf

    head, folder = network(vocabulary, shape)
    tokenizer = hf.AutoTokenizer.from_pretrained(folder)
    rows = []
    for at in asked:
        text = " ".join(story.units[first[at] : at + 1])
        encoded = tokenizer(text, return_tensors="pt", return_offsets_mapping=True)
        start = len(text) - len(story.units[at])
        inside = [i for i, (_, stop) in enumerate(encoded["offset_mapping"][0].tolist()) if stop > start]
        with torch.no_grad():
            states = head(input_ids=encoded["input_ids"], output_hidden_states=True).hidden_states
        rows.append(torch.stack([state[0, inside].mean(0) for state in states]).numpy())
    return np.stack(rows, axis=1)


def extracted(loaded, story, asked=slice(None)):
    values = np.empty((loaded.n_layers, len(story.units), loaded.n_dims), np.float32)
    for at, batch in loaded.extract(story, Plain()):
        values[:, at] = batch
    return values[:, asked]


def against_the_head(name, vocabulary, shape, n_words, n_asked=None, **options):
    """Name, peer's name, peer, ours, and how many times the peer's work would be done for all words."""
    story = tale(n_words)
    asked = np.arange(n_words) if n_asked is None else np.linspace(0, n_words - 1, n_asked).astype(int)
    loaded = Transformer(path=str(network(vocabulary, shape)[1]), device="cpu", **options).load()
    model = loaded.model
    first = first_words(story, model.context, model.context_words, model.stride_words)
    peer = partial(head_per_word, vocabulary, shape, story, first, asked)
    size = f"{shape[0]} × {shape[1]}, {vocabulary // 1000}k head"
    return f"{name}; {size}", "head, word by word", peer, partial(extracted, loaded, story, asked), n_words / len(asked)


def a_third_of_the_layers():
    story, folder = tale(30), str(network(SMALL_HEAD, BASE)[1])
    every = Transformer(path=folder, device="cpu").load()
    third = Transformer(path=folder, device="cpu", layers=tuple(range(5))).load()
    return (
        "window of 20 words, layers 0 to 4; 12 × 768",
        "ours, all layers",
        lambda: extracted(every, story)[:5],
        partial(extracted, third, story),
    )


CASES = (
    partial(against_the_head, "window of 20 words", SMALL_HEAD, HALF_SIZE, 60),
    partial(against_the_head, "window of 20 words", SMALL_HEAD, BASE, 30),
    partial(against_the_head, "window of 20 words", LARGE_HEAD, BASE, 30),
    partial(against_the_head, "window of 20 words, bf16", LARGE_HEAD, BASE, 30, dtype="bfloat16"),
    a_third_of_the_layers,
    partial(against_the_head, "sentence", SMALL_HEAD, HALF_SIZE, 400, 40, context="sentence"),
    partial(
        against_the_head, "growing to 256 words", SMALL_HEAD, HALF_SIZE, 1024, 8, context="growing", context_words=256
    ),
    partial(
        against_the_head,
        "chunks of 256 words, every 32",
        SMALL_HEAD,
        HALF_SIZE,
        1024,
        8,
        context="sliding",
        context_words=256,
    ),
    partial(
        against_the_head,
        "all words before, up to 2,600 tokens",
        SMALL_HEAD,
        HALF_SIZE,
        1370,
        4,
        context="growing",
        context_words=None,
    ),
)
