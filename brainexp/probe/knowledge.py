"""Facts that the model's weights hold: which word does it put into the gap of a sentence?"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from brainexp.cache import digest
from brainexp.errors import ConfigError, DataError
from brainexp.interfaces import BLANK, LanguageModel, ProbeInput, ProbeResult
from brainexp.progress import counter
from brainexp.registry import PROBES

#: Raise when scores of the same options change.
PROBE_VERSION = 1
#: A sentence with a gap, and the word that belongs there.
Fact = tuple[str, str]


@PROBES.register("knowledge")
@dataclass(frozen=True)
class Knowledge:
    """Top-1 and top-5 accuracy on LAMA's cloze sentences.

    Petroni et al. (2019). Language models as knowledge bases? EMNLP, 2463-2473; as asked of compressed models by Namburi et
    al. (2023), EMNLP Findings. Only words that are a single token can be right, so only they are asked for; the tokenizer,
    which compression leaves alone, decides which. Causal models see what stands before the gap, so they are asked sentences
    that end with it. Words are compared in lower case.

    Parameters
    ----------
    folder : str
        Holds one folder of ``*.jsonl`` files per corpus (Google_RE, TREx, ConceptNet, Squad), or such files.
    n_best : int
        How many guesses count in ``top_n``.
    most_words : int
        Longer sentences are left out.
    """

    needs_gradients: ClassVar[bool] = False

    folder: str = ""
    n_best: int = 5
    most_words: int = 100

    def __post_init__(self) -> None:
        if self.n_best < 1 or self.most_words < 1:
            raise ConfigError(
                f"probe 'knowledge': n_best and most_words must be at least 1, got {self.n_best} and {self.most_words}"
            )

    def require_ready(self) -> None:
        """Raise DataError if there are no files."""
        self._corpora()

    def measure(self, given: ProbeInput) -> ProbeResult:
        """Ask for every fact; finished corpora are not asked again."""
        import pandas as pd

        corpora = self._corpora()
        rows = []
        with counter(len(corpora), "corpora") as bar:
            for name, files in corpora.items():
                bar.set_description(f"facts of {name}")
                facts = list(dict.fromkeys(fact for file in files for fact in read_facts(file, self.most_words)))
                key = {"probe": ["knowledge", PROBE_VERSION], "facts": digest(facts), "n_best": self.n_best}
                row = given.kept(key, partial(self._accuracy, facts, given))
                rows.append({"corpus": name, **row})
                bar.update(1)
        table = pd.DataFrame(rows)
        metrics = {
            f"{row['corpus']}_{how}": float(row[how]) for row in rows for how in ("top_1", "top_n") if row["n_asked"]
        }
        asked = table[table.n_asked > 0]
        metrics |= {how: float(asked[how].mean()) for how in ("top_1", "top_n") if len(asked)}
        return ProbeResult(metrics=metrics, tables={"accuracy": table})

    def _accuracy(self, facts: Sequence[Fact], given: ProbeInput) -> dict[str, Any]:
        model = given.language_model()
        single = model.is_one_token([word for _, word in facts])
        asked = [fact for fact, one in zip(facts, single, strict=True) if one]
        hits = [hit for hit in self.hits(model, asked) if hit is not None]
        n = len(hits)
        return {
            "n_facts": len(facts),
            "n_single_token": len(asked),
            "n_asked": n,
            "top_1": sum(hit == 0 for hit in hits) / n if n else float("nan"),
            "top_n": sum(hit < self.n_best for hit in hits) / n if n else float("nan"),
        }

    def hits(self, model: LanguageModel, facts: Sequence[Fact]) -> list[int | None]:
        """Rank of the right word among the guesses, from 0; ``n_best`` where it is not there, None where not asked."""
        found = model.fillers([sentence for sentence, _ in facts], self.n_best)
        ranks: list[int | None] = []
        for guesses, (_, word) in zip(found, facts, strict=True):
            if guesses is None:
                ranks.append(None)
                continue
            lowered = [guess.lower() for guess in guesses]
            ranks.append(lowered.index(word.lower()) if word.lower() in lowered else self.n_best)
        return ranks

    def _corpora(self) -> dict[str, list[Path]]:
        folder = Path(self.folder).expanduser()
        found: dict[str, list[Path]] = {}
        for file in sorted(folder.rglob("*.jsonl")) if self.folder else ():
            found.setdefault(file.stem if file.parent == folder else file.relative_to(folder).parts[0], []).append(file)
        if not found:
            raise DataError(
                f"{self.folder!r} has no .jsonl files of facts. Give probe.knowledge.folder= the data folder of LAMA, with a "
                "folder per corpus."
            )
        return found


def read_facts(file: Path, most_words: int) -> Iterator[Fact]:
    """Yield sentences with one gap and the word that belongs there.

    Parameters
    ----------
    file : Path
        A JSON object per line, with ``masked_sentences`` (of which several are joined) and ``obj_label``, or with
        ``evidences`` that each have ``masked_sentence`` and ``obj_surface``, as in T-REx.
    most_words : int
        Longer sentences are left out, and so are those with no gap or more than one.

    Raises
    ------
    DataError
        With the line that is no fact.
    """
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                told = json.loads(line)
                found = (
                    [(one["masked_sentence"], one["obj_surface"]) for one in told["evidences"]]
                    if "masked_sentences" not in told
                    else [(" ".join(told["masked_sentences"]), told["obj_label"])]
                )
            except (ValueError, KeyError, TypeError) as error:
                raise DataError(
                    f"{file}, line {number} is no fact ({error!r}). A line is a JSON object with masked_sentences and "
                    "obj_label, or with evidences."
                ) from error
            for sentence, word in found:
                if sentence.count(BLANK) == 1 and len(sentence.split()) <= most_words:
                    yield sentence, word
