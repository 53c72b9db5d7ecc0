"""Of what one experiment consists, built from a config, and which rows it holds out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from zlib import crc32

import numpy as np

# Importing the rooms registers their members.
from brainexp import compression, dataset, encoder, model, probe, prompt  # noqa: F401
from brainexp.align.fold import fold_of_stories, folds_of_blocks, folds_of_runs
from brainexp.align.trim import kept_rows
from brainexp.cache import default_cache_dir
from brainexp.compressed import CompressedModel
from brainexp.compression.none import NoCompression
from brainexp.containers import Clock, Fold, Stimulus
from brainexp.errors import ConfigError
from brainexp.interfaces import Compression, Dataset, Encoder, Model, Probe, Prompt
from brainexp.readout import READOUT_FORMATS
from brainexp.registry import COMPRESSIONS, DATASETS, ENCODERS, MODELS, PROBES, PROMPTS, load_plugins, validated
from brainexp.settings import Align, Cache, Ceiling, Damage, Partitioning, Resources, Scoring, Split


@dataclass(frozen=True)
class Experiment:
    """Everything that decides the numbers of one run, and where features are kept."""

    dataset: Dataset
    model: Model
    compression: Compression
    prompt: Prompt
    encoder: Encoder
    also_prompts: Mapping[str, Prompt] = field(default_factory=dict)
    probes: Mapping[str, Probe] = field(default_factory=dict)
    align: Align = field(default_factory=Align)
    split: Split = field(default_factory=Split)
    scoring: Scoring = field(default_factory=Scoring)
    ceiling: Ceiling = field(default_factory=Ceiling)
    baselines: tuple[str, ...] = ()
    partition: Partitioning = field(default_factory=lambda: Partitioning(spaces=()))
    damage: Damage = field(default_factory=lambda: Damage(measure=False))
    readout: bool = False
    seed: int = 0
    cache_dir: Path = field(default_factory=default_cache_dir)
    cache_dtype: Literal["float32", "float16"] = "float32"
    memory_bytes: float | None = None

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Experiment:
        """Build an experiment from plain values, as Hydra composes them; raise ConfigError if they do not fit."""
        load_plugins()
        cache = validated(Cache, config["cache"], "cache")
        if config["readout"] not in (None, *READOUT_FORMATS):
            raise ConfigError(
                f"readout={config['readout']!r} is not known. Give {' or '.join(READOUT_FORMATS)}, or null."
            )
        return cls(
            dataset=DATASETS.build(config["dataset"]),
            model=MODELS.build(config["model"]),
            compression=COMPRESSIONS.build(config["compression"]),
            prompt=PROMPTS.build(config["prompt"]),
            encoder=ENCODERS.build(config["encoder"]),
            also_prompts={name: PROMPTS.build(options) for name, options in (config.get("also_prompts") or {}).items()},
            probes={name: PROBES.build(options) for name, options in (config.get("probe") or {}).items()},
            align=validated(Align, config["align"], "align"),
            split=validated(Split, config["split"], "split"),
            scoring=validated(Scoring, config["scoring"], "scoring"),
            ceiling=validated(Ceiling, config["ceiling"], "ceiling"),
            baselines=tuple(config["baselines"]),
            partition=validated(Partitioning, config["partition"], "partition"),
            damage=validated(Damage, config["damage"], "damage"),
            readout=config["readout"] is not None,
            seed=int(config["seed"]),
            cache_dir=default_cache_dir() if cache.dir is None else Path(cache.dir).expanduser(),
            cache_dtype=cache.dtype,
            memory_bytes=validated(Resources, config.get("resources") or {}, "resources").memory_bytes,
        )

    def seeds_of(self, stage: str) -> list[int]:
        """Return from what the stage's random numbers start."""
        return [self.seed, crc32(stage.encode())]

    def rng(self, stage: str) -> np.random.Generator:
        """Return the stage's own random numbers, the same whatever other stages draw."""
        return np.random.default_rng(self.seeds_of(stage))


def held_out(experiment: Experiment, run_lengths: Sequence[int]) -> tuple[Fold, ...]:
    """Split the stacked rows; raise ConfigError if a gap is shorter than the reach of the features."""
    split = experiment.split
    facts = experiment.dataset.facts()
    if split.by == "declared" and not facts.test_stories:
        raise ConfigError(
            f"split.by=declared, but dataset {type(experiment.dataset).__name__.lower()!r} declares no test stories among "
            "those that are analysed. Give split.by=auto, run or block."
        )
    if split.by == "declared" or (split.by == "auto" and facts.test_stories):
        return fold_of_stories(run_lengths, [facts.stories.index(one) for one in facts.test_stories], split.folds)
    by_run = split.by == "run" or (split.by == "auto" and len(run_lengths) > 1)
    if by_run:
        return folds_of_runs(run_lengths, split.folds)
    reach_trs = experiment.align.reach_trs
    gap_trs = reach_trs if split.gap_trs is None else split.gap_trs
    if gap_trs < reach_trs:
        raise ConfigError(
            f"split.gap_trs={gap_trs}, but delays and filter reach {reach_trs} TRs, so training rows would see held-out "
            f"words. Give at least split.gap_trs={reach_trs}, or leave it null."
        )
    return folds_of_blocks(run_lengths, split.folds, gap_trs)


def declared_rows(source: Dataset) -> list[int]:
    """Rows of each run after trimming, as the dataset declares them; nothing is loaded."""
    facts = source.facts()
    clocks = (Clock(0.0, facts.tr_s, facts.n_trs[story]) for story in facts.stories)
    return [
        len(range(*kept_rows(clock, source.trim_start_s, source.trim_stop_s).indices(clock.n_trs))) for clock in clocks
    ]


def smaller(experiment: Experiment, source: Model | None = None, stimuli: Sequence[Stimulus] = ()) -> CompressedModel:
    """Return the compressed model, or an untrained twin, which is not compressed, so that one serves a whole sweep."""
    source = experiment.model if source is None else source
    method = experiment.compression if source.weights == "pretrained" else NoCompression()
    return CompressedModel(source, method, tuple(stimuli), experiment.cache_dir, experiment.memory_bytes)
