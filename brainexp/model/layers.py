"""States of a network's layers, caught while it runs and pooled at once, and what it must not see."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from brainexp.containers import FloatArray, IntArray
from brainexp.errors import ModelError

#: Called with tokens and mask, both of shape (n_texts, n_tokens), and options for transformers; returns its output.
Forward = Callable[..., Any]
#: Called with a layer's number and its states of shape (n_texts, n_tokens, n_dims).
Take = Callable[[int, Any], None]

#: How far states may be apart by rounding to eight bits: that of bfloat16, which has as many.
EIGHT_BITS = 2**-5


class _DeepEnough(Exception):  # noqa: N818  no error: it ends a pass before the layers that nobody wants
    pass


@dataclass(frozen=True, eq=False)
class Anatomy:
    """What is known of a network after two short passes.

    Parameters
    ----------
    n_blocks : int
        Number of blocks; layers are 0 (the embedding output) to ``n_blocks``.
    blocks : torch.nn.ModuleList or None
        The blocks in order, where what goes into and comes out of them is what transformers calls hidden states; None
        where it is not, as in models that share one block among layers.
    causal : bool
        Whether a token's states are the same whatever comes after it.
    told_embedding : bool
        Whether the first of transformers' hidden states is the embedding output, our layer 0. Mamba's is the output of the
        first block, and its last but one that of the last block.
    """

    n_blocks: int
    blocks: Any
    causal: bool
    told_embedding: bool = True


def examined(
    part: Any, forward: Forward, n_blocks: int, n_tokens: int, device: Any, *, rounded: bool = False
) -> Anatomy:
    """Find a network's blocks, and whether it is causal, by trying instead of by its name.

    Two texts that begin alike and go on differently are read: in a causal network the first token has equal states.

    Parameters
    ----------
    part : torch.nn.Module
        What holds the blocks: the network, or its decoder.
    forward : callable
        Runs the network.
    n_blocks : int
        How many blocks the checkpoint declares.
    n_tokens : int
        Size of the vocabulary.
    device : torch.device
        Where tokens go.
    rounded : bool
        Whether the network rounds the inputs of its layers to eight bits, as quantized ones do.

    Raises
    ------
    ModelError
        If transformers gives another number of hidden states than the blocks and the embedding, or the network does not
        heed an attention mask.
    """
    import torch

    one, other = n_tokens // 2, n_tokens // 3
    texts = [torch.tensor([[one] + [later] * 7], device=device) for later in (one, other)]
    whole = torch.ones_like(texts[0])
    alone = (torch.arange(8, device=device) == 0).long()[None]  # what comes after the first token is masked
    blocks = block_list(part, n_blocks)
    caught: dict[int, Any] = {}

    def states(mask: Any) -> list[Any]:
        return [_hidden_states(forward(text, mask, output_hidden_states=True)) for text in texts]

    with torch.inference_mode():
        expected, continued = states(whole)
        if len(expected) != n_blocks + 1:
            raise ModelError(
                f"the network gives {len(expected)} hidden states, but {n_blocks} blocks and an embedding are declared. "
                "It is of a kind that brainexp cannot read."
            )
        # Rounding is none in most networks; where experts are chosen, it depends on how many tokens each one gets.
        rounding = _difference(*states(alone))
        if rounding > (EIGHT_BITS if rounded else _tolerance(expected[0])):
            raise ModelError(
                "the network's states of a token depend on tokens that the attention mask hides, so padding would change "
                "its features. It is of a kind that brainexp cannot read."
            )
        causal = _difference(expected, continued) <= max(8 * rounding, 1e-5)
        if blocks is not None:
            run(Anatomy(n_blocks, blocks, causal), forward, texts[0], whole, range(n_blocks + 1), caught.__setitem__)
    if caught and _close(caught[n_blocks], expected[n_blocks]):
        if all(_close(caught[layer], expected[layer]) for layer in range(n_blocks)):
            return Anatomy(n_blocks, blocks, causal)
        if n_blocks > 1 and all(_close(caught[layer + 1], expected[layer]) for layer in range(n_blocks - 1)):
            return Anatomy(n_blocks, blocks, causal, told_embedding=False)
    return Anatomy(n_blocks, None, causal)


def _difference(one: Any, other: Any) -> float:
    """Return how much the first token's states differ, in the layer where they do most."""
    return max(
        float((there[:, 0].float() - here[:, 0].float()).abs().max() / here[:, 0].float().abs().max())
        for here, there in zip(one, other, strict=True)
    )


def run(anatomy: Anatomy, forward: Forward, tokens: Any, mask: Any, layers: Sequence[int], take: Take) -> None:
    """Run a network up to the deepest wanted layer and hand over each wanted layer's states when they are there.

    Parameters
    ----------
    anatomy : Anatomy
        Of the network.
    forward : callable
        Runs the network.
    tokens, mask : torch.Tensor
        Of shape (n_texts, n_tokens).
    layers : sequence of int
        Increasing. Layer n_blocks is what transformers returns last: after the final norm, where there is one.
    take : callable
        Called once per layer, from the lowest to the deepest.
    """
    if anatomy.blocks is None:
        states = _hidden_states(forward(tokens, mask, output_hidden_states=True))
        for layer in layers:
            take(layer, states[layer])
        return
    with _hooks(anatomy, layers, take):
        try:
            output = forward(tokens, mask)
        except _DeepEnough:
            return
    take(anatomy.n_blocks, output.last_hidden_state)


@contextmanager
def _hooks(anatomy: Anatomy, layers: Sequence[int], take: Take) -> Iterator[None]:
    deepest = layers[-1]

    def taken(layer: int, state: Any) -> None:
        take(layer, state)
        if layer == deepest:
            raise _DeepEnough

    with ExitStack() as hooks:
        if layers[0] == 0:
            before = anatomy.blocks[0].register_forward_pre_hook(
                lambda _, given, named: taken(0, given[0] if given else named["hidden_states"]), with_kwargs=True
            )
            hooks.callback(before.remove)
        for layer in layers:
            if 0 < layer < anatomy.n_blocks:
                after = anatomy.blocks[layer - 1].register_forward_hook(
                    lambda _, __, given, layer=layer: taken(layer, given[0] if isinstance(given, tuple) else given)
                )
                hooks.callback(after.remove)
        yield


def block_list(part: Any, n_blocks: int) -> Any:
    """Return the outermost list of so many modules, or None."""
    import torch

    lists = [
        (name.count("."), name)
        for name, module in part.named_modules()
        if isinstance(module, torch.nn.ModuleList) and len(module) == n_blocks
    ]
    return part.get_submodule(min(lists)[1]) if lists else None


def _hidden_states(output: Any) -> Any:
    return output.decoder_hidden_states if "decoder_hidden_states" in output else output.hidden_states


def _close(state: Any, expected: Any) -> bool:
    """Whether two states are equal but for rounding."""
    if state.shape != expected.shape:
        return False
    difference = (state.float() - expected.float().to(state.device)).abs().max()
    return bool(difference <= _tolerance(expected) * expected.float().abs().max())


def _tolerance(state: Any) -> float:
    """Return how far states may be apart, relative to the largest, by rounding; it is coarse in half precision."""
    import torch

    return float(max(1e-4, 4 * torch.finfo(state.dtype).eps))


@dataclass(frozen=True, eq=False)
class Pool:
    """Where the tokens of words are in a batch, and what is made of them.

    Parameters
    ----------
    picks : list of (torch.Tensor, torch.Tensor)
        Numbers of words, and in the batch laid out flat, the first token of each, the second of those that have two ...
    n_tokens : torch.Tensor of shape (n_words, 1)
        How many tokens a word has.
    mean : bool
        Whether their sum is divided by their number.
    """

    picks: list[tuple[Any, Any]]
    n_tokens: Any
    mean: bool

    @classmethod
    def of(cls, start: IntArray, stop: IntArray, pooling: Literal["mean", "last", "first", "sum"], device: Any) -> Pool:
        """Prepare pooling of words that run from ``start`` to ``stop`` in the flat batch, arrays of shape (n_words,)."""
        import torch

        if pooling == "last":
            start = stop - 1
        if pooling == "first":
            stop = start + 1
        n_tokens = stop - start
        picks = []
        for at in range(int(n_tokens.max())):
            words = np.flatnonzero(n_tokens > at)
            picks.append((torch.as_tensor(words, device=device), torch.as_tensor(start[words] + at, device=device)))
        return cls(picks, torch.as_tensor(n_tokens, device=device)[:, None], mean=pooling == "mean")

    def __call__(self, state: Any) -> Any:
        """Pool one layer's states of shape (n_texts, n_tokens, n_dims) to float32 of shape (n_words, n_dims).

        Only the words' own tokens are touched: what stands at padding, even NaN, does not count.
        """
        import torch

        flat = state.reshape(-1, state.shape[-1])
        total = flat.new_zeros((len(self.n_tokens), flat.shape[-1]), dtype=torch.float32)
        for words, tokens in self.picks:
            total.index_add_(0, words.to(flat.device), flat[tokens.to(flat.device)].float())
        return total / self.n_tokens.to(flat.device) if self.mean else total


def to_numpy(rows: Sequence[Any]) -> FloatArray:
    """Bring pooled layers from their devices, and stack them."""
    return np.stack([row.cpu().numpy() for row in rows])
