"""Word features of a causal model: the class with a language-model head, one window at a time, against ours."""

import tempfile
from pathlib import Path

import numpy as np

from brainexp.containers import Stimulus
from brainexp.model.transformer import Transformer
from brainexp.prompt.plain import Plain


def window_per_word():
    import torch
    import transformers as hf

    from tests.conftest import byte_level_tokenizer

    folder = Path(tempfile.mkdtemp())
    config = hf.GPT2Config(n_embd=384, n_layer=6, n_head=6, n_positions=128)  # the head is over GPT-2's 50,257 tokens
    torch.manual_seed(0)
    head = hf.GPT2LMHeadModel(config).eval()
    head.save_pretrained(folder)
    tokenizer = byte_level_tokenizer(brackets=False)
    tokenizer.save_pretrained(folder)
    words = tuple("the crow drank tea but the fox did not".split() * 14)
    onset_s = np.arange(len(words)) * 0.4
    story = Stimulus(story="tea", units=words, onset_s=onset_s, offset_s=onset_s + 0.3)
    loaded = Transformer(path=str(folder)).load()

    def peer():
        rows = []
        for at in range(len(words)):
            text = " ".join(words[max(0, at - 19) : at + 1])
            encoded = tokenizer(text, return_tensors="pt", return_offsets_mapping=True)
            start = len(text) - len(words[at])
            inside = [i for i, (_, stop) in enumerate(encoded["offset_mapping"][0].tolist()) if stop > start]
            with torch.no_grad():
                states = head(input_ids=encoded["input_ids"], output_hidden_states=True).hidden_states
            rows.append(torch.stack([state[0, inside].mean(0) for state in states]).numpy())
        return np.stack(rows, axis=1)

    def ours():
        values = np.empty((loaded.n_layers, len(words), loaded.n_dims), np.float32)
        for at, batch in loaded.extract(story, Plain()):
            values[:, at] = batch
        return values

    return "features, 20 words, 6 layers × 384", "class with head, one window at a time", peer, ours


CASES = (window_per_word,)
