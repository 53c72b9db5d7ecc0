"""Train the tiny ladder: four causal language models of one recipe on stories of the project's own grammar.

    python training/tiny_models.py                        # all sizes, into brainexp/model/tiny
    python training/tiny_models.py --size l --out DIR

One size writes ``DIR/<size>/`` with config, bfloat16 weights and tokenizer, and its loss curve into
``DIR/loss_curves.json``. The tokens to train on are fixed, not the minutes, so a run can be repeated; two
runs agree up to the rounding of floating point. ``tiny_card.py`` beside this file measures the ladder.
"""

import argparse
import json
import math
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from tqdm import tqdm
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.modeling_outputs import CausalLMOutputWithPast

from brainexp.dataset.synthetic import FIRST_SEED_NOT_FOR_TESTS
from brainexp.grammar import text

#: Stories of these seeds and above are read in training, those of `VALIDATION_SEEDS` only for validation;
#: seeds below `SCORED_BELOW` are never read, so that a synthetic brain can listen to them.
SCORED_BELOW = FIRST_SEED_NOT_FOR_TESTS
VALIDATION_SEEDS = range(900_000, 900_200)
TRAINING_FROM = 1_000_000
STORY_WORDS = (600, 1500)
VALIDATION_WORDS = 280
#: The tokenizer learns from the first stories of the training seeds.
TOKENIZER_STORIES = 2000
VOCABULARY = 1024

CONTEXT_TOKENS = 512
WINDOWS_PER_STEP = 4
WINDOWS_SHUFFLED = 256
WARM_UP = 0.02
WEIGHT_DECAY = 0.05
BETAS = (0.9, 0.98)
LARGEST_NORM = 1.0
STEPS_PER_POINT = 100
VALIDATED_TIMES = 10


@dataclass(frozen=True)
class Size:
    """One rung: the shape of the model and what fits it.

    Attributes
    ----------
    hidden, intermediate, blocks, heads : int
    group : int
        Every linear layer's number of inputs is a multiple of this.
    learning_rate : float
        At its peak, after the warm-up.
    n_tokens : int
        Tokens read in training.
    autocast : bool
        Whether products are taken in bfloat16, where that is faster.
    """

    hidden: int
    intermediate: int
    blocks: int
    heads: int
    group: int
    learning_rate: float
    n_tokens: int
    autocast: bool


SIZES = {
    "xs": Size(32, 96, 2, 2, 32, 1e-2, 7_000_000, False),
    "s": Size(64, 192, 4, 4, 64, 6e-3, 7_000_000, False),
    "m": Size(128, 384, 4, 4, 128, 3.5e-3, 7_000_000, True),
    "l": Size(256, 768, 4, 8, 128, 2e-3, 7_000_000, True),
}


def train(name: str, size: Size, out: Path, compiled: bool) -> None:
    """Train one size and write its folder.

    Parameters
    ----------
    name : str
    size : Size
    out : Path
        The folder ``out/name`` appears when all is written; an older one is replaced.
    compiled : bool
        Whether to compile the model first, which needs a C++ compiler and saves about a third of the time.
    """
    began_s = time.perf_counter()
    tokenizer = learn_tokenizer()
    torch.manual_seed(0)
    model = LlamaForCausalLM(configuration(size, tokenizer))
    forward = torch.compile(model) if compiled else model
    steps = size.n_tokens // (CONTEXT_TOKENS * WINDOWS_PER_STEP)
    optimizer = torch.optim.AdamW(parameter_groups(model), lr=size.learning_rate, betas=BETAS)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: share_of_peak(step, steps))
    few = [encoded(tokenizer, text(seed, VALIDATION_WORDS)) for seed in VALIDATION_SEEDS[:20]]
    curve: list[dict[str, float]] = []
    recent: list[float] = []
    batches = training_batches(tokenizer)
    bar = tqdm(range(1, steps + 1), desc=name, mininterval=10, miniters=1)
    for step in bar:
        batch = torch.from_numpy(next(batches))
        with torch.autocast("cpu", torch.bfloat16, enabled=size.autocast):
            loss = token_losses(forward, batch).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), LARGEST_NORM)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        recent.append(loss.item())
        if step % STEPS_PER_POINT == 0 or step == steps:
            point = {"tokens": step * CONTEXT_TOKENS * WINDOWS_PER_STEP, "loss": float(np.mean(recent))}
            if step % (steps // VALIDATED_TIMES) < STEPS_PER_POINT or step == steps:
                point["validation"] = validation_loss(model, few)
            curve.append(point)
            recent.clear()
            bar.set_postfix(loss=point["loss"])
    record = {
        "size": asdict(size),
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "tokens": steps * CONTEXT_TOKENS * WINDOWS_PER_STEP,
        "seconds": round(time.perf_counter() - began_s),
        "curve": curve,
    }
    write(out / name, model, tokenizer)
    add_curve(out / "loss_curves.json", name, record)


def learn_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of the training stories; it adds no special token by itself."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<pad>", "<eos>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    stories = (text(TRAINING_FROM + number, STORY_WORDS[0]) for number in range(TOKENIZER_STORIES))
    tokenizer.train_from_iterator(stories, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="<eos>",
        model_max_length=CONTEXT_TOKENS,
        clean_up_tokenization_spaces=False,
    )


def configuration(size: Size, tokenizer: PreTrainedTokenizerFast) -> LlamaConfig:
    """The architecture of a size."""
    return LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=size.hidden,
        intermediate_size=size.intermediate,
        num_hidden_layers=size.blocks,
        num_attention_heads=size.heads,
        num_key_value_heads=size.heads,
        max_position_embeddings=CONTEXT_TOKENS,
        tie_word_embeddings=True,
        initializer_range=0.5 * size.hidden**-0.5,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )


def parameter_groups(model: LlamaForCausalLM) -> list[dict[str, object]]:
    """Matrices with weight decay; gains of the norms without."""
    matrices = [weight for weight in model.parameters() if weight.ndim > 1]
    gains = [weight for weight in model.parameters() if weight.ndim == 1]
    return [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": gains, "weight_decay": 0.0}]


def share_of_peak(step: int, steps: int) -> float:
    """Learning rate as a share of its peak: up in a line, down to zero in half a cosine."""
    warm = WARM_UP * steps
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / (steps - warm)))


def training_batches(tokenizer: PreTrainedTokenizerFast) -> Iterator[NDArray[np.int64]]:
    """Batches of shape (WINDOWS_PER_STEP, CONTEXT_TOKENS), the same for every size, without end."""
    rng = np.random.default_rng(0)
    windows = story_windows(tokenizer)
    while True:
        drawn = np.stack([next(windows) for _ in range(WINDOWS_SHUFFLED)])
        rng.shuffle(drawn)
        yield from drawn.reshape(-1, WINDOWS_PER_STEP, CONTEXT_TOKENS)


def story_windows(tokenizer: PreTrainedTokenizerFast) -> Iterator[NDArray[np.int64]]:
    """Windows of the training stories; none crosses from one story into another."""
    low, high = STORY_WORDS
    seed = TRAINING_FROM
    while True:
        tokens = encoded(tokenizer, text(seed, low + seed % (high - low + 1)))
        for start in range(0, len(tokens) - CONTEXT_TOKENS + 1, CONTEXT_TOKENS):
            yield tokens[start : start + CONTEXT_TOKENS]
        seed += 1


def encoded(tokenizer: PreTrainedTokenizerFast, story: str) -> NDArray[np.int64]:
    """Token ids of a text, however long."""
    return np.array(tokenizer.backend_tokenizer.encode(story).ids)


def token_losses(model: Callable[..., CausalLMOutputWithPast], tokens: torch.Tensor) -> torch.Tensor:
    """Surprise at each token but the first, in nats.

    Parameters
    ----------
    model : LlamaForCausalLM, or what torch.compile made of it
    tokens : Tensor of shape (n_texts, n_tokens), int64

    Returns
    -------
    Tensor of shape (n_texts, n_tokens - 1), float32
    """
    logits = model(input_ids=tokens, use_cache=False).logits[:, :-1]
    return torch.nn.functional.cross_entropy(logits.float().mT, tokens[:, 1:], reduction="none")


@torch.no_grad()
def validation_loss(model: LlamaForCausalLM, stories: list[NDArray[np.int64]]) -> float:
    """Mean surprise per token over the beginnings of stories, in nats."""
    losses = [token_losses(model, torch.from_numpy(one[None, :CONTEXT_TOKENS])) for one in stories]
    return float(torch.cat([loss.flatten() for loss in losses]).mean())


def write(folder: Path, model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast) -> None:
    """Write a finished model under a temporary name, then rename it."""
    unfinished = folder.with_name(f".{folder.name}-unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    model.to(torch.bfloat16).save_pretrained(unfinished)
    tokenizer.save_pretrained(unfinished)
    (unfinished / "generation_config.json").unlink(missing_ok=True)
    settings = unfinished / "tokenizer_config.json"
    # The class is called by the name that every version of transformers knows.
    written = json.loads(settings.read_text(encoding="utf-8"))
    written["tokenizer_class"] = "PreTrainedTokenizerFast"
    settings.write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")
    (unfinished / "model.safetensors").chmod(0o644)
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)


def add_curve(path: Path, name: str, record: dict[str, object]) -> None:
    """Put the record of one size beside those of the others, in the order of the ladder."""
    records = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    records[name] = record
    ordered = {size: records[size] for size in SIZES if size in records}
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")
    unfinished.rename(path)


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description="Train the tiny ladder.")
    parser.add_argument("--size", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "brainexp/model/tiny")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--compiled", action=argparse.BooleanOptionalAction, default=True)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    for name in chosen.size:
        train(name, SIZES[name], chosen.out, chosen.compiled)


if __name__ == "__main__":
    main()
