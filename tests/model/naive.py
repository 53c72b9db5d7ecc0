"""The same features by one forward pass per word, written without the package."""

import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer


def first_word(words, at, context, n, stride=None):
    """By the definitions, step by step."""
    if context == "window":
        return max(0, at - n + 1)
    if context == "growing":
        begin = 0
        for i in range(at + 1):
            if i - begin == n:
                begin = i - n // 2
        return begin
    if context == "sliding":
        begin = 0
        while at >= begin + n:
            begin += stride
        return begin
    begin = at
    while begin and (words[begin - 1] == "e.g." or words[begin - 1].rstrip("\"'”’)")[-1:] not in set(".!?…")):
        begin -= 1
    return begin


class Naive:
    """A network as transformers gives it, fed one text at a time."""

    def __init__(self, folder, half=None):
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.network = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
        self.half = half

    def states(self, text):
        """Hidden states of every layer, of shape (n_layers, n_tokens, n_dims), and the tokens' characters."""
        encoded = self.tokenizer(text, return_offsets_mapping=True)
        ids, offsets = encoded["input_ids"], encoded["offset_mapping"]
        with torch.no_grad():
            if self.half == "decoder":
                ids, offsets = [self.network.config.decoder_start_token_id, *ids[:-1]], [(0, 0), *offsets[:-1]]
                empty = torch.tensor([self.tokenizer("")["input_ids"]])
                found = self.network(
                    input_ids=empty, decoder_input_ids=torch.tensor([ids]), output_hidden_states=True
                ).decoder_hidden_states
            else:
                part = self.network.encoder if self.half == "encoder" else self.network
                found = part(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states
                if self.network.config.model_type == "mamba":  # gives the last block's output instead of the embedding
                    found = (part.embeddings(torch.tensor([ids])), *found[:-2], found[-1])
        return torch.stack([state[0] for state in found]), offsets

    def features(self, words, context="window", n=20, stride=None, pooling="mean"):
        """Features of every word, of shape (n_layers, n_words, n_dims)."""
        rows = []
        for at, word in enumerate(words):
            text = " ".join(words[first_word(words, at, context, n, stride) : at + 1])
            states, offsets = self.states(text)
            inside = [i for i, (start, stop) in enumerate(offsets) if stop > len(text) - len(word) and start < stop]
            picked = states[:, inside]
            rows.append(
                {
                    "mean": picked.mean(1),
                    "sum": picked.sum(1),
                    "first": picked[:, 0],
                    "last": picked[:, -1],
                }[pooling].numpy()
            )
        return np.stack(rows, axis=1)


def relative_error(found, expected):
    """Largest distance of a word's vector in a layer from the expected one, relative to its length."""
    assert found.shape == expected.shape
    return (np.linalg.norm(found - expected, axis=-1) / np.linalg.norm(expected, axis=-1)).max()
