"""Features from what a model answers: the head that a base model lacks, and states of generated tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from brainexp.containers import FloatArray, IntArray
from brainexp.errors import ModelError
from brainexp.model.checkpoint import from_pretrained, located
from brainexp.model.prequantized import dense, recognised
from brainexp.model.reading import read_network

if TYPE_CHECKING:
    from brainexp.model.loaded import LoadedTransformer
    from brainexp.model.transformer import Transformer


def no_answer(config: Any) -> str | None:
    """Return why a model of this config cannot generate text, or None."""
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_MASKED_LM_MAPPING

    causal = type(config) in MODEL_FOR_CAUSAL_LM_MAPPING and not config.is_encoder_decoder
    both_ways = type(config) in MODEL_FOR_MASKED_LM_MAPPING and not getattr(config, "is_decoder", False)
    if causal and not both_ways:
        return None
    return (
        f"prompt.features=generated needs a causal language model, but this is {config.model_type!r}, which fills in or "
        "translates. Give prompt.features=stimulus or last, or another model."
    )


def last_token(offsets: Sequence[tuple[int, int]]) -> tuple[IntArray, IntArray]:
    """First and one past the last token that has characters: tokens that the tokenizer added after it do not count."""
    last = np.array([max(token for token, (start, stop) in enumerate(offsets) if stop > start)])
    return last, last + 1


def answers(
    loaded: LoadedTransformer, ids: Sequence[Sequence[int]], max_new_tokens: int, tokens_per_batch: int
) -> Iterator[tuple[IntArray, FloatArray]]:
    """Let the model answer every text, greedily, and average the states that its answer was chosen from.

    The state at the last token of the text is that from which the first token of the answer is chosen, the state at the
    first token of the answer that from which the second is chosen, and so on: as many states as tokens. States from
    which the end of the answer was chosen, or anything after it, do not count, unless the answer ends before it begins.

    Parameters
    ----------
    loaded : LoadedTransformer
        A causal network without its head, compressed or not.
    ids : sequence of sequences of int
        Tokens of the texts.
    max_new_tokens : int
        Longest answer.
    tokens_per_batch : int
        Tokens, answers included, that are in memory at a time; at least one text is.

    Yields
    ------
    at : array of int of shape (n,)
        Which texts.
    values : array of float32 of shape (n_layers, n, n_dims)
    """
    import torch

    network = with_head(loaded.model, loaded.network)
    device = next(loaded.network.parameters()).device
    by_length = sorted(range(len(ids)), key=lambda text: len(ids[text]))
    # Only texts of one length together: padding before a text changes features of recurrent models, and it needs none.
    for _, alike in groupby(by_length, key=lambda text: len(ids[text])):
        texts = list(alike)
        n_texts = max(tokens_per_batch // (len(ids[texts[0]]) + max_new_tokens), 1)
        for first in range(0, len(texts), n_texts):
            at = texts[first : first + n_texts]
            tokens = torch.tensor([ids[text] for text in at], device=device)
            yield np.array(at), _mean_states(network, tokens, max_new_tokens)


def with_head(model: Transformer, network: Any) -> Any:
    """Put the checkpoint's language-model head on a network that was loaded without, compressed or not.

    Parameters
    ----------
    model : Transformer
        Where the network came from. Its checkpoint is read a second time, and all but the head let go.
    network : torch.nn.Module
        It stays what it is; a head that is tied to the embedding is tied to this network's.

    Returns
    -------
    transformers model that can ``generate``
        Of its checkpoint's settings for that, only what ends an answer is kept: others, such as a penalty on words that
        come again, are no part of the model.

    Raises
    ------
    ModelError
        If the checkpoint has no such head.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

    path = located(model.path)
    dtype = getattr(torch, model.dtype)
    config = recognised(from_pretrained(AutoConfig, path, model.revision), path, model.revision)
    if model.weights == "random":
        with torch.random.fork_rng():
            torch.manual_seed(model.seed)
            whole = AutoModelForCausalLM.from_config(dense(config), dtype=dtype)  # type: ignore[no-untyped-call]
    else:
        where = (path, model.revision, config, str(next(network.parameters()).device), model.states)
        whole, missing = read_network(AutoModelForCausalLM, *where, dtype=dtype)
        if missing or whole.get_output_embeddings() is None:  # a quantized one is read as what it was saved from
            raise ModelError(
                f"the checkpoint of {model.path!r} was saved without {', '.join(missing) or 'a head'}, so the model cannot "
                "answer. Give prompt.features=stimulus or last, or a whole checkpoint."
            )
    ends = whole.generation_config.eos_token_id
    whole.generation_config = GenerationConfig(eos_token_id=ends, pad_token_id=0)  # type: ignore[no-untyped-call]
    setattr(whole, whole.base_model_prefix, network)  # before anything moves, so that one network is on the device
    device = next(network.parameters()).device
    for name, part in whole.named_children():
        if name != whole.base_model_prefix:
            part.to(device)
    whole.eval()
    if whole.config.get_text_config().tie_word_embeddings:
        whole.get_output_embeddings().weight = network.get_input_embeddings().weight
    return whole


def _mean_states(network: Any, tokens: Any, max_new_tokens: int) -> FloatArray:
    import torch

    with torch.inference_mode():
        told = network.generate(
            tokens,
            attention_mask=torch.ones_like(tokens),
            do_sample=False,
            max_new_tokens=max_new_tokens,
            output_hidden_states=True,
            return_dict_in_generate=True,
        )
        answer = told.sequences[:, tokens.shape[1] :]
        end = network.generation_config.eos_token_id
        ends = torch.tensor(np.atleast_1d(-1 if end is None else end), device=answer.device)
        counts = (torch.isin(answer, ends).cumsum(dim=1) == 0).float()
        counts[:, 0] = 1  # an answer that ends before it begins has the state that chose to end it
        counts /= counts.sum(dim=1, keepdim=True)
        pooled = []
        for layer in range(len(told.hidden_states[0])):
            chosen_from = torch.stack([step[layer][:, -1].float() for step in told.hidden_states], dim=1)
            pooled.append(torch.einsum("nt,ntd->nd", counts, chosen_from))
        return np.asarray(torch.stack(pooled).cpu().numpy())
