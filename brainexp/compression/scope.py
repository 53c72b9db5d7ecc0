"""Which linear layers a compression changes: attention, feed-forward, head, or all but the head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from brainexp.interfaces import Blueprint

Modules = Literal["all", "attention", "feed_forward", "head"]
Part = Literal["attention", "feed_forward", "head", "other"]

#: Parts of a name that stand for attention in some family. They go first: BERT calls both ``attention.output.dense`` and
#: ``output.dense``, of which only the second is feed-forward.
ATTENTION = frozenset(
    {"attention", "attn", "self_attn", "self_attention", "encoder_attn", "SelfAttention", "EncDecAttention"}
)
FEED_FORWARD = frozenset(
    {"mlp", "ffn", "ffn_output", "fc1", "fc2", "DenseReluDense", "intermediate", "output", "experts", "shared_expert"}
)
#: Last parts of a name that choose between experts, or weigh them.
ROUTERS = frozenset({"gate", "router", "shared_expert_gate"})
#: Last parts of the name of a head's last layer; what stands before it is a transformation of states.
LAST_OF_HEAD = frozenset({"lm_head", "decoder", "vocab_projector", "embed_out", "classifier", "score"})


def parts(blueprint: Blueprint) -> Mapping[str, Part]:
    """Say for every linear layer what it is part of, by its name.

    Attention is all its projections, those of its output and of cross-attention included; feed-forward is what stands
    between two attentions. Published code that prunes parts of BERT takes query, key and value for attention and counts
    its output to the feed-forward part, which there has "dense" in its names. "Other" is what is neither: Mamba's mixers,
    ALBERT's and OPT's projections of the embedding, routers of experts.

    Parameters
    ----------
    blueprint : Blueprint

    Returns
    -------
    mapping of str to {"attention", "feed_forward", "head", "other"}
    """
    return {name: "head" if name in blueprint.head else _part(name) for name in blueprint.linear}


def _part(name: str) -> Part:
    words = name.split(".")
    if ATTENTION.intersection(words):
        return "attention"
    if FEED_FORWARD.intersection(words) and words[-1] not in ROUTERS:
        return "feed_forward"
    return "other"


def chosen(blueprint: Blueprint, modules: Modules) -> tuple[str, ...]:
    """Return the names of the linear layers that are meant.

    Parameters
    ----------
    blueprint : Blueprint
    modules : {"all", "attention", "feed_forward", "head"}
        All is every layer but the head. Head is its last layer.
    """
    of = parts(blueprint)
    if modules == "all":
        return tuple(name for name, part in of.items() if part != "head")
    if modules == "head":
        return tuple(name for name, part in of.items() if part == "head" and name.split(".")[-1] in LAST_OF_HEAD)
    return tuple(name for name, part in of.items() if part == modules)


def objection(blueprint: Blueprint, modules: Modules) -> str | None:
    """Return why no layers, or too few, are meant, or None."""
    found = set(parts(blueprint).values())
    if not chosen(blueprint, modules):
        has = " | ".join(name for name in ("all", "attention", "feed_forward", "head") if chosen(blueprint, name))
        return f"modules={modules} means no linear layer of a {blueprint.family}. " + (
            f"Give modules={has}." if has else "Give another model."
        )
    if modules == "all" and "attention" in found and "feed_forward" not in found:
        return (
            f"the experts of a {blueprint.family} are held in one tensor per block, no linear layers, and would be left as "
            "they are, most of the model. Give modules=attention if that is meant, or a model without experts."
        )
    return None


def named(modules: Modules) -> tuple[str, ...]:
    """Return the choice as part of a label, nothing for all layers."""
    return () if modules == "all" else (modules,)


def remarks(modules: Modules) -> tuple[str, ...]:
    """Return what the user should know about the choice."""
    if modules == "head":
        return (
            "modules=head: no feature depends on the head, so alignment is that of the whole model; generated answers and "
            "perplexity change.",
        )
    return ()
