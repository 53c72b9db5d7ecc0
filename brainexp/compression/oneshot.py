"""Recipes of llm-compressor, run on a network: block by block, quietly, and leaving no file behind."""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from tempfile import TemporaryDirectory
from typing import Any

from brainexp.compression.parts import on_disk
from brainexp.errors import ModelError
from brainexp.interfaces import Uncompressed
from brainexp.progress import bars_on_terminals_only

#: Warnings of llm-compressor after which the method was another than the one that was asked for.
NOT_WHAT_WAS_ASKED = (
    "Hessian inversion failed",
    "Failed to invert hessian",
    "No finite loss",
    "No error metrics were collected",
    "NaN or inf",
)


def oneshot(
    given: Uncompressed,
    recipe: Callable[[], list[Any]],
    around: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext,
) -> Any:
    """Run a recipe on a network.

    Blocks are done one after the other, each on what the changed ones before it put out, and on the first GPU where torch
    finds one; between, they are on the CPU.

    Parameters
    ----------
    given : Uncompressed
        The network is read here; its samples are read by recipes that need text, in their order.
    recipe : callable
        Gives the modifiers of llm-compressor, which is imported only here, because it then decides what it logs.
    around : callable
        Gives a context in which they are run.

    Returns
    -------
    transformers.PreTrainedModel
        The network with its head, on the CPU or, as far as it was read so, on the disk; ``save_pretrained`` packs its
        weights.

    Raises
    ------
    ModelError
        If llm-compressor did something else than it was asked to.
    """
    import torch

    with _quiet() as warnings, torch.random.fork_rng():
        torch.manual_seed(0)
        network = given.network()
        with _config_by_name(network), _session(), around():
            from compressed_tensors.offload import remove_dispatch
            from llmcompressor import oneshot as run

            run(
                model=network,
                processor=given.tokenizer,
                recipe=recipe(),
                dataset=_dataset(given),
                num_calibration_samples=max(len(given.samples), 1),
                shuffle_calibration_samples=False,
                max_seq_length=given.samples.shape[1] or None,
                sequential_targets=_kinds_of_blocks(network, given.blueprint.n_blocks),
            )
            if not on_disk(network):
                remove_dispatch(network)
    for warning in warnings:
        if any(told in warning for told in NOT_WHAT_WAS_ASKED):
            raise ModelError(
                f"llm-compressor could not do what was asked: {warning} Give more text (compression.calibration.samples) "
                "another model.dtype or, for gptq and sparsegpt, a larger compression.damping."
            )
    return network


def targets(blocks: Sequence[str]) -> list[str]:
    r"""Return patterns that stand for linear layers by name, for the network with and without its head.

    Parameters
    ----------
    blocks : sequence of str
        Names in the network with its head; layers of the same name in other blocks are meant too.

    >>> targets(["model.layers.0.mlp.up_proj", "model.layers.1.mlp.up_proj"])
    ['re:(.*\\.)?layers\\.\\d+\\.mlp\\.up_proj$']
    """
    return list(dict.fromkeys(f"re:(.*\\.)?{_pattern(name)}$" for name in blocks))


def _pattern(name: str) -> str:
    """Return the name from the list of blocks on, with any number in place of a block's."""
    words = name.split(".")
    numbers = [at for at, word in enumerate(words) if word.isdigit()]
    kept = words[numbers[0] - 1 :] if numbers else words[-2:]
    return r"\.".join(r"\d+" if word.isdigit() else re.escape(word) for word in kept)


def _dataset(given: Uncompressed) -> Any:
    """Return the samples as llm-compressor reads them, or None where there are none."""
    if not len(given.samples):
        return None
    from datasets import Dataset

    tokens = given.samples.tolist()
    return Dataset.from_dict({"input_ids": tokens, "attention_mask": [[1] * len(row) for row in tokens]})


def _kinds_of_blocks(network: Any, n_blocks: int) -> list[str]:
    """Return the names of the classes of the network's blocks."""
    import torch

    lists = [module for module in network.modules() if isinstance(module, torch.nn.ModuleList)]
    return list(dict.fromkeys(type(block).__name__ for one in lists if len(one) == n_blocks for block in one))


@contextlib.contextmanager
def _config_by_name(network: Any) -> Iterator[None]:
    """Let the config be read again by the name it came from, which is what llm-compressor does.

    It reads the main revision of the hub, needs a network for that, and saves what it read: the number of blocks, say,
    before some were dropped. So the config is put where it looks, and afterwards has no name: what is saved is then
    transformers' own.
    """
    with TemporaryDirectory() as folder:
        network.config.save_pretrained(folder)
        network.config.name_or_path = folder
        try:
            yield
        finally:
            network.config.name_or_path = ""


@contextlib.contextmanager
def _session() -> Iterator[None]:
    """Let nothing of a run that failed reach into the next; of one that did not, saving needs the recipe."""
    import llmcompressor

    try:
        yield
    except BaseException:
        llmcompressor.reset_session()
        raise


@contextlib.contextmanager
def _quiet() -> Iterator[list[str]]:
    """Show no logs, and no progress where stderr is no terminal; collect llm-compressor's warnings."""
    os.environ.setdefault("LLM_COMPRESSOR_LOG_LEVEL", "ERROR")  # read on import
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # it would, and warn
    import llmcompressor  # noqa: F401  takes away all handlers of loguru, so it has to come first
    from loguru import logger

    warnings: list[str] = []
    collector = logger.add(
        lambda message: warnings.append(message.record["message"]), level="WARNING", format="{message}"
    )
    tracing = logging.getLogger("torch.fx._symbolic_trace")
    level = tracing.level
    tracing.setLevel(logging.ERROR)
    try:
        with bars_on_terminals_only():
            yield warnings
    finally:
        tracing.setLevel(level)
        logger.remove(collector)
