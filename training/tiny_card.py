"""Measure the tiny ladder and write its model card.

python training/tiny_card.py        # after tiny_models.py: measures.json, README.md, docs/tiny_loss.png
"""

import itertools
import json
import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from tiny_models import (
    CONTEXT_TOKENS,
    SIZES,
    STORY_WORDS,
    TRAINING_FROM,
    VALIDATION_SEEDS,
    VALIDATION_WORDS,
    token_losses,
)
from transformers import AutoTokenizer, LlamaForCausalLM, PreTrainedTokenizerFast

from brainexp.grammar import PROBES, text
from brainexp.grammar.draws import Draws
from brainexp.grammar.probe import Lottery, Probe

ROOT = Path(__file__).parents[1]
LADDER = ROOT / "brainexp/model/tiny"
#: The first few validation stories, so that a test can repeat their loss in seconds.
FEW_SEEDS = VALIDATION_SEEDS[:6]
#: Probes whose right and wrong sentences differ only in what is asked, with what chance would give.
PAIRED = (
    *("agreement-distractor", "determiner-noun", "reflexive-agreement", "irregular-forms"),
    *("selectional-restriction", "connective", "possession", "transitivity", "antonym-negation", "location"),
)
N_PAIRS = 500
PAIR_SEED = 11
BATCH = 50
#: Trigrams and bigrams take one of these shares each, whichever do best on stories kept aside for that.
SHARES = (0.5, 0.6, 0.7, 0.8, 0.9)
ASIDE = range(TRAINING_FROM + 500_000, TRAINING_FROM + 500_020)


def measures() -> dict[str, object]:
    """Losses, perplexities and accuracies of every size, and perplexities of the baselines."""
    few = [text(seed, VALIDATION_WORDS) for seed in FEW_SEEDS]
    stories = [text(seed, VALIDATION_WORDS) for seed in VALIDATION_SEEDS]
    found: dict[str, object] = {"few_seeds": list(FEW_SEEDS), "validation_words": VALIDATION_WORDS}
    for name in SIZES:
        model = LlamaForCausalLM.from_pretrained(LADDER / name, dtype=torch.float32).eval()
        tokenizer = AutoTokenizer.from_pretrained(LADDER / name)
        surprise, n_tokens, n_words = totals(model, tokenizer, stories)
        surprise_few, n_tokens_few, _ = totals(model, tokenizer, few)
        found[name] = {
            "loss_few": surprise_few / n_tokens_few,
            "loss": surprise / n_tokens,
            "perplexity_token": math.exp(surprise / n_tokens),
            "perplexity_word": math.exp(surprise / n_words),
            "pairs": {probe.name: pair_accuracy(model, tokenizer, probe) for probe in PROBES if probe.name in PAIRED},
        }
    found["baselines"] = baselines(stories)
    return found


@torch.no_grad()
def totals(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, stories: list[str]) -> tuple[float, int, int]:
    """Surprise in nats, tokens and words of stories from their second word to the end of the context."""
    surprise, n_tokens, n_words = 0.0, 0, 0
    for story in stories:
        read = tokenizer(story, return_offsets_mapping=True, truncation=True, max_length=CONTEXT_TOKENS)
        starts, ends = np.array(read["offset_mapping"]).T
        # Nothing comes before the first word, so no model can be asked about it.
        asked = starts[1:] >= story.index(" ")
        losses = token_losses(model, torch.tensor([read["input_ids"]]))[0].numpy()
        surprise += float(losses[asked].sum())
        n_tokens += int(asked.sum())
        n_words += len(story[: ends[-1]].split()) - 1
    return surprise, n_tokens, n_words


def pair_accuracy(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, probe: Probe) -> float:
    """Share of pairs in which the right sentence is likelier than the wrong one."""
    rights, wrongs = zip(*pairs(probe), strict=True)
    right, wrong = (np.concatenate(list(surprises(model, tokenizer, each))) for each in (rights, wrongs))
    return float(np.mean(right < wrong))


def pairs(probe: Probe) -> Iterator[tuple[str, str]]:
    """Right and wrong sentence of the same draws."""
    for number in range(N_PAIRS):
        right, wrong = (
            probe.draw(Lottery(Draws(np.random.default_rng([PAIR_SEED, number])), "test"), label).inputs[0]
            for label in (1, 0)
        )
        assert isinstance(right, str)
        assert isinstance(wrong, str)
        yield right, wrong


@torch.no_grad()
def surprises(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, sentences: tuple[str, ...]
) -> Iterator[np.ndarray]:
    """Surprise of every sentence, in nats, one batch after another."""
    for start in range(0, len(sentences), BATCH):
        read = tokenizer(list(sentences[start : start + BATCH]), padding=True, return_tensors="pt")
        # A causal model does not see the padding behind a sentence; it only must not be counted.
        losses = token_losses(model, read["input_ids"]) * read["attention_mask"][:, 1:]
        yield losses.sum(1).numpy()


def baselines(stories: list[str]) -> dict[str, float]:
    """Perplexity per word of counts over about as many words as the models read."""
    one, two, three = Counter[str](), Counter[tuple[str, str]](), Counter[tuple[str, str, str]]()
    n_read, seed = 0, TRAINING_FROM
    n_words = SIZES["l"].n_tokens / 1.75
    while n_read < n_words:
        words = text(seed, STORY_WORDS[0] + seed % (STORY_WORDS[1] - STORY_WORDS[0] + 1)).split()
        one.update(words)
        two.update(itertools.pairwise(words))
        three.update(zip(words, words[1:], words[2:], strict=False))
        n_read, seed = n_read + len(words), seed + 1

    def trigram(share: float, context: tuple[str, str], word: str) -> float:
        simple = (one[word] + 1) / (n_read + len(one) + 1)
        if one[context[1]]:
            simple = share * two[context[1], word] / one[context[1]] + (1 - share) * simple
        if two[context]:
            simple = share * three[*context, word] / two[context] + (1 - share) * simple
        return simple

    def perplexity(share: float, told: list[str]) -> float:
        surprise, n_words = 0.0, 0
        for story in told:
            words = ["", *story.split()]
            for at in range(2, len(words)):
                surprise -= math.log(trigram(share, (words[at - 2], words[at - 1]), words[at]))
            n_words += len(words) - 2
        return math.exp(surprise / n_words)

    aside = [text(seed, VALIDATION_WORDS) for seed in ASIDE]
    best = min(SHARES, key=lambda share: perplexity(share, aside))
    return {"unigram": perplexity(0.0, stories), "trigram": perplexity(best, stories), "words": n_read}


def figure(curves: dict[str, dict], path: Path) -> None:
    """Training and validation loss over tokens, one colour for each size."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    drawing, axes = pyplot.subplots(figsize=(6, 4), layout="constrained")
    colours = matplotlib.colormaps["viridis"](np.linspace(0.85, 0.1, len(SIZES)))
    for name, colour in zip(SIZES, colours, strict=True):
        curve = curves[name]["curve"]
        millions = [point["tokens"] / 1e6 for point in curve]
        axes.plot(millions, [point["loss"] for point in curve], color=colour, lw=0.8, alpha=0.6)
        checked = [point for point in curve if "validation" in point]
        axes.plot(
            [point["tokens"] / 1e6 for point in checked],
            [point["validation"] for point in checked],
            "o-",
            color=colour,
            ms=3,
            label=f"{name} ({curves[name]['parameters'] / 1e6:.2f} M)",
        )
    axes.set(xlabel="million tokens read", ylabel="loss (nats per token)", xscale="log")
    axes.set_xticks(ticks := (0.2, 0.5, 1, 2, 5), labels=[f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.legend(title="parameters", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    drawing.savefig(path, dpi=150)


def card(curves: dict[str, dict], found: dict) -> str:
    """The model card."""
    filled = {
        "sizes": table(
            ("", "parameters", "hidden", "blocks", "heads", "intermediate", "group", "bytes", "minutes"),
            [
                (
                    name,
                    f"{curves[name]['parameters']:,}",
                    *(size.hidden, size.blocks, size.heads, size.intermediate, size.group),
                    f"{(LADDER / name / 'model.safetensors').stat().st_size:,}",
                    round(curves[name]["seconds"] / 60),
                )
                for name, size in SIZES.items()
            ],
        ),
        "curves": table(
            ("million tokens", *SIZES),
            [
                (f"{row[0]['tokens'] / 1e6:.1f}", *(f"{point['validation']:.3f}" for point in row))
                for row in zip(
                    *([p for p in curves[name]["curve"] if "validation" in p] for name in SIZES), strict=True
                )
            ],
        ),
        "perplexities": table(
            ("", "loss (nats per token)", "perplexity per token", "perplexity per word"),
            [
                ("unigram, add one", "", "", f"{found['baselines']['unigram']:.1f}"),
                ("trigram, interpolated", "", "", f"{found['baselines']['trigram']:.1f}"),
                *(
                    (
                        name,
                        f"{found[name]['loss']:.3f}",
                        f"{found[name]['perplexity_token']:.2f}",
                        f"{found[name]['perplexity_word']:.2f}",
                    )
                    for name in SIZES
                ),
            ],
        ),
        "pairs": table(
            ("minimal pairs", *SIZES),
            [(task, *(f"{found[name]['pairs'][task]:.2f}" for name in SIZES)) for task in PAIRED],
        ),
        "tokens": f"{curves['l']['tokens']:,}",
        "megabytes": f"{sum(path.stat().st_size for path in LADDER.glob('*/*.safetensors')) / 1e6:.1f}",
    }
    return (ROOT / "training/tiny_card.md").read_text(encoding="utf-8").format(**filled)


def table(head: tuple[object, ...], rows: list[tuple[object, ...]]) -> str:
    """A table in Markdown."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def main() -> None:
    """Measure, draw, write."""
    curves = json.loads((LADDER / "loss_curves.json").read_text(encoding="utf-8"))
    found = measures()
    (LADDER / "measures.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    figure(curves, ROOT / "docs/tiny_loss.png")
    (LADDER / "README.md").write_text(card(curves, found), encoding="utf-8")


if __name__ == "__main__":
    main()
