"""How well a network predicts the tokens of a long text, in windows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from brainexp.containers import FloatArray, IntArray
from brainexp.errors import ConfigError

#: Tokens that a causal model reads at once, and a masked one, which makes a pass for each token.
WINDOW, MASKED_WINDOW = 512, 128
#: Masked texts in one forward pass.
PASSES = 8


def windows(
    window: int | None, stride: int | None, n_positions: int | None, usual: int, section: str
) -> tuple[int, int]:
    """Tokens of a window and from one to the next.

    Parameters
    ----------
    window, stride : int or None
        As asked for; None for the usual window, or what the model can read, and half a window.
    n_positions : int or None
        Tokens that the model reads at once; None where nothing limits them.
    usual : int
        Tokens of a window that nobody asked for.
    section : str
        Where ``window_tokens`` and ``stride_tokens`` stand in the config, for messages.

    Raises
    ------
    ConfigError
        If they cannot be.
    """
    most = math.inf if n_positions is None else n_positions
    window = int(min(usual, most)) if window is None else window
    stride = max(window // 2, 1) if stride is None else stride
    if window > most:
        raise ConfigError(
            f"{section}.window_tokens={window}, but the model reads at most {n_positions} tokens at once. Give at most "
            f"{section}.window_tokens={n_positions}, or null."
        )
    if stride >= window:
        raise ConfigError(
            f"{section}.stride_tokens={stride} must be less than a window ({window}), else tokens have nothing to be "
            "predicted from."
        )
    return window, stride


def token_losses(
    logits: Callable[[Any], Any], ids: Sequence[int], window: int, stride: int, before: Sequence[int] = ()
) -> FloatArray:
    """Predict each token of a text from those before it, in windows that overlap.

    Windows begin every ``stride`` tokens; in each, only tokens that no earlier window has predicted are scored, so that each
    but the first ones is predicted from at least ``window - stride`` tokens (the sliding window of transformers'
    documentation on perplexity).

    Parameters
    ----------
    logits : callable
        From tokens of shape (1, n_tokens) to logits of shape (1, n_tokens, n_vocabulary); each knows tokens up to its own.
    ids : sequence of int
        The text.
    window, stride : int
        In tokens, stride less than window; ``before`` counts in the window.
    before : sequence of int
        Special tokens before every window, as the tokenizer puts them before a text.

    Returns
    -------
    array of shape (n_tokens - 1,)
        -log p, in nats, of all tokens but the first.
    """
    import torch

    losses = np.empty(len(ids) - 1)
    done = 1
    for begin in range(0, len(ids), stride):
        end = min(begin + window - len(before), len(ids))
        told = torch.tensor([[*before, *ids[begin:end]]])
        # What stands at the place before a token predicts it.
        rows = logits(told)[0, len(before) + done - begin - 1 : -1].float()
        target = torch.tensor(ids[done:end], device=rows.device)
        losses[done - 1 : end - 1] = torch.nn.functional.cross_entropy(rows, target, reduction="none").double().cpu()
        done = end
        if end == len(ids):
            break
    return losses


def masked_losses(
    logits: Callable[[Any], Any],
    ids: Sequence[int],
    mask: int,
    window: int,
    n_masked: int,
    before: Sequence[int] = (),
    after: Sequence[int] = (),
) -> FloatArray:
    """Predict evenly spaced tokens of a text from what stands on both sides, each masked alone (Salazar et al. 2020).

    Not a perplexity: the probabilities do not multiply to that of the text. Compare only with other masked models.

    Parameters
    ----------
    logits : callable
        From tokens of shape (n_texts, n_tokens) to logits of shape (n_texts, n_tokens, n_vocabulary).
    ids : sequence of int
        The text.
    mask : int
        The token that stands for a masked one.
    window : int
        Tokens around, special tokens and the masked one included.
    n_masked : int
        How many tokens are predicted, at most.
    before, after : sequence of int
        Special tokens around every window.

    Returns
    -------
    array of shape (n_predicted,)
        -log p, in nats.
    """
    import torch

    inner = min(window - len(before) - len(after), len(ids))
    places = masked_places(len(ids), n_masked)
    begins = np.clip(places - inner // 2, 0, len(ids) - inner)
    rows = [[*before, *ids[begin : begin + inner], *after] for begin in begins]
    at = places - begins + len(before)
    for row, place in zip(rows, at, strict=True):
        row[place] = mask
    losses = []
    for first in range(0, len(rows), PASSES):
        some = slice(first, first + PASSES)
        found = logits(torch.tensor(rows[some]))
        picked = found[torch.arange(len(found)), torch.as_tensor(at[some])].float()
        target = torch.tensor([ids[place] for place in places[some]], device=picked.device)
        losses.append(torch.nn.functional.cross_entropy(picked, target, reduction="none").double().cpu().numpy())
    return np.concatenate(losses)


def masked_places(n_tokens: int, n_masked: int) -> IntArray:
    """Which tokens of a text `masked_losses` predicts: evenly spaced, at most so many."""
    return np.unique(np.linspace(0, n_tokens - 1, min(n_masked, n_tokens)).round().astype(np.intp))


def logits_of(network: Any) -> Callable[[Any], Any]:
    """From tokens to logits, on the network's device."""
    import torch

    device = next((one.device for one in network.parameters() if one.device.type != "meta"), torch.device("cpu"))

    def logits(tokens: Any) -> Any:
        with torch.inference_mode():
            return network(input_ids=tokens.to(device)).logits

    return logits


def encoded(tokenizer: Any, words: Sequence[str]) -> tuple[list[int], list[int]]:
    """Tokens of the words in a row, without special ones, and after which character each ends."""
    told = tokenizer(" ".join(words), return_offsets_mapping=True, add_special_tokens=False, verbose=False)
    return told["input_ids"], [end for _, end in told["offset_mapping"]]


def around(tokenizer: Any) -> tuple[list[int], list[int]]:
    """Special tokens that the tokenizer puts before and after a text."""
    special = list(tokenizer("")["input_ids"])
    starts = {tokenizer.bos_token_id, tokenizer.cls_token_id} - {None}
    n_before = int(bool(special) and special[0] in starts)
    return special[:n_before], special[n_before:]
