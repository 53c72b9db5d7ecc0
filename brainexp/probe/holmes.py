"""Linear probes of linguistic competence, as the Holmes and FlashHolmes benchmarks ask them."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from brainexp.cache import default_cache_dir
from brainexp.errors import ConfigError
from brainexp.probe.holmes_layout import COMPETENCES, config, folders, samples, task
from brainexp.probe.linear import Training
from brainexp.probe.probing import APART, LinearProbing
from brainexp.probe.task import Task
from brainexp.registry import PROBES


@PROBES.register("holmes")
@dataclass(frozen=True)
class Holmes(LinearProbing):
    """Can a linear probe tell a linguistic property from the model's features?

    Waldis et al. (2024). Holmes: a benchmark to assess the linguistic competence of language models. TACL 12, 1616-1647.
    The benchmark probes the last layer only, with learning_rate=0.001, which does not learn sets of a thousand samples to
    the end.

    Parameters
    ----------
    folder : str or None
        A folder with one folder per probing set, in the layout of the benchmark; None for 24 sets of the built-in grammar.
    gold_samples : int
        Samples per set of the grammar.
    competences : tuple of str
        Fields of linguistics: morphology, syntax, semantics, discourse, reasoning.
    train_share : float
        Share of the training samples that is used; 1/32 in FlashHolmes.
    legacy : bool
        Train as the published code: softmax twice, features not standardised, small sets not gone through more often. Its
        code lengths are not reproduced.
    """

    folder: str | None = field(default=None, metadata=APART)
    gold_samples: int = field(default=1000, metadata=APART)
    competences: tuple[str, ...] = field(default=COMPETENCES, metadata=APART)
    train_share: float = 1.0
    legacy: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.train_share <= 1:
            raise ConfigError(f"probe 'holmes': train_share must lie in (0, 1], got {self.train_share}")
        unknown = [name for name in self.competences if name not in COMPETENCES]
        if unknown or not self.competences:
            raise ConfigError(
                f"probe 'holmes': competences must be some of {', '.join(COMPETENCES)}, got {list(self.competences)}"
            )
        if self.legacy and self.code_length:
            raise ConfigError(
                "probe 'holmes': with legacy=true the scores are no probabilities, so they have no code length. "
                "Give code_length=false."
            )

    def require_ready(self) -> None:
        """Raise ConfigError or DataError if a task is not known or its files are not there; none are written for it."""
        if self.folder is not None:
            super().require_ready()
            return
        from brainexp.grammar import PROBES as GOLD

        self._require_known(one.name for one in GOLD if one.competence in self.competences)

    def offered(self) -> dict[str, Callable[[], Task]]:
        """Every probing set of the folder that is of one of the competences."""
        found: dict[str, Callable[[], Task]] = {}
        for folder in folders(self._folder()):
            name = folder.name.removeprefix("flash-").removeprefix("holmes-")
            published = dict(zip(("competence", "phenomenon"), _published().get(name, ("", "")), strict=True))
            about = {**published, **config(folder)}
            if about["competence"] not in COMPETENCES:
                raise ConfigError(
                    f"probe 'holmes': nobody says which competence {name!r} belongs to. Add competence: and phenomenon: to "
                    f"{folder / 'config-none.yaml'}; competence is one of {', '.join(COMPETENCES)}."
                )
            if about["competence"] in self.competences:
                found[name] = partial(self._read, folder, name, about)
        if not found:
            raise ConfigError(f"probe 'holmes': {self._folder()} has no tasks of {', '.join(self.competences)}.")
        return found

    def training(self) -> Training:
        """Train as published, where asked."""
        how = super().training()
        return replace(how, legacy=True, standardise=False, least_steps=0) if self.legacy else how

    def _read(self, folder: Path, name: str, about: dict[str, Any]) -> Task:
        return self._shortened(task(name, about, list(samples(folder, about["probe_task_type"]))))

    def _folder(self) -> Path:
        if self.folder is not None:
            return Path(self.folder).expanduser()
        from brainexp.grammar import GOLD_VERSION, write_holmes

        root = default_cache_dir() / "gold" / f"grammar-{GOLD_VERSION}-{self.gold_samples}"
        if not root.is_dir():
            with suppress(FileExistsError):  # another job was faster
                write_holmes(root, seed=0, n_samples=self.gold_samples)
        return root

    def _shortened(self, whole: Task) -> Task:
        """Keep a share of the training samples, and the texts of kept samples only."""
        train = whole.rows("train")
        n_kept = max(round(self.train_share * len(train)), 2 * whole.n_labels)
        if n_kept >= len(train):
            return whole
        drawn = np.random.default_rng(0).permutation(train)[:n_kept]
        return whole.subset(np.sort(np.concatenate([drawn, whole.rows("dev"), whole.rows("test")])))


@cache
def _published() -> Mapping[str, tuple[str, str]]:
    """Competence and phenomenon of every published probing set, as the benchmark's leaderboard has them."""
    with Path(__file__).with_name("holmes_tasks.csv").open(encoding="utf-8", newline="") as file:
        return {row["task"]: (row["competence"], row["phenomenon"]) for row in csv.DictReader(file)}
