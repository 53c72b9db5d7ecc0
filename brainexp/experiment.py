"""One experiment, from stimuli to scores. It reads like the method section of a paper."""

from __future__ import annotations

import logging
import resource
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, Literal
from zlib import crc32

import numpy as np

# Importing the rooms registers their members.
from brainexp import compression, dataset, encoder, model, probe, prompt  # noqa: F401
from brainexp.align.baseline import autocorrelation, position, word_rate
from brainexp.align.clock import require_words_inside
from brainexp.align.delay import delayed
from brainexp.align.downsample import DOWNSAMPLERS
from brainexp.align.fold import folds_of_blocks, folds_of_runs
from brainexp.align.residual import residual
from brainexp.align.trim import kept_rows
from brainexp.cache import ArrayCache, Write, default_cache_dir, digest, features_cost, readable_bytes, require_room
from brainexp.compression.cost import cost
from brainexp.containers import Clock, FloatArray, Fold, Layers, Responses, Stimulus
from brainexp.errors import ConfigError, DataError, ModelError
from brainexp.evaluation import Evaluation, Target, evaluated, scorable_voxels, side_by_side
from brainexp.interfaces import Compression, Dataset, Encoder, LoadedModel, Model, Probe, ProbeInput, Prompt
from brainexp.progress import Stopwatch, counter, pace
from brainexp.registry import (
    COMPRESSIONS,
    DATASETS,
    ENCODERS,
    MODELS,
    PROBES,
    PROMPTS,
    did_you_mean,
    load_plugins,
    validated,
)
from brainexp.result import Result, Voxels, summarised
from brainexp.score.permutation import CROSS_VALIDATED, block_permutation_p
from brainexp.settings import Align, Cache, Scoring, Split

log = logging.getLogger(__name__)

#: Baselines that every dataset offers; its nuisance regressors and annotations can be named beside them.
BASELINES = ("word_rate", "position", "autocorrelation", "untrained")
#: All annotations of the stimuli together: what a perfect model of them would reach.
ALL_ANNOTATIONS = "annotations"


@dataclass(frozen=True)
class Experiment:
    """Everything that decides the numbers of one run, and where features are kept."""

    dataset: Dataset
    model: Model
    compression: Compression
    prompt: Prompt
    encoder: Encoder
    probes: Mapping[str, Probe] = field(default_factory=dict)
    align: Align = field(default_factory=Align)
    split: Split = field(default_factory=Split)
    scoring: Scoring = field(default_factory=Scoring)
    baselines: tuple[str, ...] = ()
    seed: int = 0
    cache_dir: Path = field(default_factory=default_cache_dir)
    cache_dtype: Literal["float32", "float16"] = "float32"

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Experiment:
        """Build an experiment from plain values, as Hydra composes them; raise ConfigError if they do not fit."""
        load_plugins()
        cache = validated(Cache, config["cache"], "cache")
        return cls(
            dataset=DATASETS.build(config["dataset"]),
            model=MODELS.build(config["model"]),
            compression=COMPRESSIONS.build(config["compression"]),
            prompt=PROMPTS.build(config["prompt"]),
            encoder=ENCODERS.build(config["encoder"]),
            probes={name: PROBES.build(options) for name, options in (config.get("probe") or {}).items()},
            align=validated(Align, config["align"], "align"),
            split=validated(Split, config["split"], "split"),
            scoring=validated(Scoring, config["scoring"], "scoring"),
            baselines=tuple(config["baselines"]),
            seed=int(config["seed"]),
            cache_dir=default_cache_dir() if cache.dir is None else Path(cache.dir).expanduser(),
            cache_dtype=cache.dtype,
        )

    def rng(self, stage: str) -> np.random.Generator:
        """Return the stage's own random numbers, the same whatever other stages draw."""
        return np.random.default_rng([self.seed, crc32(stage.encode())])


@dataclass(frozen=True, eq=False)
class Recordings:
    """Stimuli and responses of the chosen subjects, on one clock per story.

    Parameters
    ----------
    stimuli : tuple of Stimulus
        Every story.
    subjects : dict of str to tuple of Responses
        By subject, one recording per story.
    clocks : tuple of Clock
        One per story, the same for all subjects.
    rows : tuple of slice
        What trimming leaves of each run.
    """

    stimuli: tuple[Stimulus, ...]
    subjects: Mapping[str, tuple[Responses, ...]]
    clocks: tuple[Clock, ...]
    rows: tuple[slice, ...]

    def stacked(self, per_run: Sequence[FloatArray]) -> FloatArray:
        """Trim what is given run by run, arrays of shape (n_trs, ...), and stack it."""
        return np.concatenate([run[kept] for run, kept in zip(per_run, self.rows, strict=True)])

    @property
    def run_lengths(self) -> list[int]:
        """Rows of each run after trimming."""
        return [len(range(*kept.indices(clock.n_trs))) for kept, clock in zip(self.rows, self.clocks, strict=True)]


def run(experiment: Experiment) -> Result:
    """Predict brain responses from a language model, on rows that no choice has seen.

    Parameters
    ----------
    experiment : Experiment
        What to do.

    Returns
    -------
    Result
        Scores per voxel, layer and subject, their summaries, and what the run cost.

    Raises
    ------
    BrainexpError
        Before work starts where the config allows to know, else at the stage that found the problem.
    """
    watch = Stopwatch()
    require_possible(experiment)

    with watch.stage("load"):
        recordings = recorded(experiment)
        folds = held_out(experiment, recordings.run_lengths)
        target, voxels = to_predict(experiment, recordings, folds)

    with watch.stage("features"):
        features, facts = word_features(experiment, experiment.model, recordings.stimuli)

    with watch.stage("encode"):
        designs = layer_designs(experiment, recordings, features)
        scored = evaluated(experiment.encoder, designs, target, folds, experiment.split.layer_choice, "layers")

    with watch.stage("baselines"):
        baselines = {name: baseline(name, experiment, recordings, target, folds) for name in experiment.baselines}

    with watch.stage("significance"):
        p = block_permutation_p(
            scored.observed,
            scored.predicted,
            n_permutations=experiment.scoring.permutations,
            block_trs=experiment.scoring.block_trs,
            rng=experiment.rng("significance"),
            null_scale=CROSS_VALIDATED,
        )

    with watch.stage("probe"):
        given = ProbeInput(recordings.stimuli, features, experiment.rng("probe"))
        probed = {name: one.measure(given) for name, one in experiment.probes.items()}

    return summarised(
        {"model": scored, **baselines},
        p,
        target,
        voxels,
        metrics={
            **facts,
            **{f"probe/{name}/{key}": value for name, found in probed.items() for key, value in found.metrics.items()},
            **{f"time/{stage}_s": seconds for stage, seconds in watch.seconds.items()},
            "memory/peak_bytes": peak_memory_bytes(),
        },
        curves={f"probe/{name}/{key}": value for name, found in probed.items() for key, value in found.curves.items()},
        remarks=experiment.encoder.remarks(scored.penalty[:, target.scorable]),
    )


def require_possible(experiment: Experiment) -> None:
    """Raise ConfigError or ModelError for what cannot work, before anything is loaded."""
    for objection in (experiment.encoder.objection(), experiment.compression.objection(experiment.model)):
        if objection is not None:
            raise ConfigError(objection)
    experiment.model.require_ready()
    unfit = experiment.model.objection(experiment.compression, experiment.prompt)
    if unfit is not None:
        raise ConfigError(unfit)
    experiment.dataset.chosen_subjects()


def recorded(experiment: Experiment) -> Recordings:
    """Load stimuli and responses, and refuse what does not fit together.

    Raises
    ------
    DataError
        If a word lies outside its recording, or subjects were recorded on different clocks.
    ConfigError
        If a nuisance regressor or a baseline is named that the dataset does not have.
    """
    source = experiment.dataset
    stimuli = source.stimuli()
    subjects = {subject: source.responses(subject) for subject in source.chosen_subjects()}
    first, *others = subjects
    clocks = tuple(response.clock for response in subjects[first])
    for other in others:
        if tuple(response.clock for response in subjects[other]) != clocks:
            raise DataError(
                f"subjects {first!r} and {other!r} were recorded on different clocks. Analyse them in separate runs: "
                f"dataset.subjects={other}"
            )
    for stimulus, clock in zip(stimuli, clocks, strict=True):
        require_words_inside(stimulus, clock, first)
    known = tuple(subjects[first][0].nuisance)
    annotated = (*stimuli[0].annotations, ALL_ANNOTATIONS) if stimuli[0].annotations else ()
    offered = (*BASELINES, *known, *annotated)
    for name in experiment.encoder.nuisance:
        if name not in known:
            raise ConfigError(f"unknown nuisance regressor {name!r} in encoder.nuisance.{did_you_mean(name, known)}")
    for name in experiment.baselines:
        if name not in offered:
            raise ConfigError(f"unknown baseline {name!r} in baselines.{did_you_mean(name, offered)}")
    rows = tuple(kept_rows(clock, source.trim_start_s, source.trim_stop_s) for clock in clocks)
    return Recordings(stimuli=stimuli, subjects=subjects, clocks=clocks, rows=rows)


def held_out(experiment: Experiment, run_lengths: Sequence[int]) -> tuple[Fold, ...]:
    """Split the stacked rows; raise ConfigError if a gap is shorter than the reach of the features."""
    split = experiment.split
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


def to_predict(experiment: Experiment, recordings: Recordings, folds: Sequence[Fold]) -> tuple[Target, Voxels]:
    """Put the responses of all subjects side by side, nuisance removed with weights of each fold's training rows.

    Raises
    ------
    DataError
        If no voxel can be scored.
    """
    raw = {name: recordings.stacked([run.values for run in runs]) for name, runs in recordings.subjects.items()}
    scorable = np.concatenate([scorable_voxels(values, folds) for values in raw.values()])
    if not scorable.any():
        raise DataError(
            "every voxel has NaN or is constant in a held-out block. Check the responses, or lower split.folds."
        )
    if experiment.encoder.nuisance:
        beside = {
            subject: recordings.stacked(
                [np.hstack([run.nuisance[name] for name in experiment.encoder.nuisance]) for run in runs]
            )
            for subject, runs in recordings.subjects.items()
        }
        per_fold = [
            np.hstack([residual(values, beside[subject], fold.train) for subject, values in raw.items()])
            for fold in folds
        ]
    else:
        per_fold = [np.hstack(list(raw.values()))] * len(folds)
    subjects = tuple(raw)
    owner = np.repeat(np.arange(len(subjects)), [values.shape[1] for values in raw.values()])
    voxels = Voxels(
        subjects=subjects,
        spaces={subject: experiment.dataset.space(subject) for subject in subjects},
        owner=owner,
        ceiling=np.concatenate([experiment.dataset.ceiling(subject) for subject in subjects]),
        ceiling_floor=experiment.scoring.ceiling_floor,
    )
    return Target(per_fold=per_fold, subject=owner, scorable=scorable), voxels


def word_features(
    experiment: Experiment, source: Model, stimuli: Sequence[Stimulus]
) -> tuple[dict[str, Layers], dict[str, float]]:
    """Read every story with the compressed model, or find in the cache what was read before.

    Parameters
    ----------
    experiment : Experiment
        For compression, prompt and cache.
    source : Model
        The model, or its untrained twin.
    stimuli : sequence of Stimulus
        The stories.

    Returns
    -------
    features : dict of str to Layers of shape (n_layers, n_units, n_dims)
        By story.
    facts : dict
        Measured when the features were made: what the model costs, ``compression/…``, and what reading took,
        ``features/…``.

    Raises
    ------
    ConfigError
        If what is still to be read does not fit on the disk; before the model is loaded.
    """
    cache = ArrayCache(experiment.cache_dir / "features", experiment.cache_dtype)
    common = {
        "model": {**MODELS.cache_key(source), "identity": source.identity()},
        "compression": COMPRESSIONS.cache_key(experiment.compression),
        "prompt": PROMPTS.cache_key(experiment.prompt),
    }
    keys = {stimulus.story: {**common, "units": digest(stimulus.units)} for stimulus in stimuli}
    entries = {story: cache.get(key) for story, key in keys.items()}
    unread = [stimulus for stimulus in stimuli if entries[stimulus.story] is None]
    n_layers, n_dims = source.shape()
    n_units = sum(len(stimulus.units) for stimulus in unread)
    if unread:
        require_room_for(n_layers, n_units, n_dims, cache)
    loaded: list[LoadedModel] = []  # filled on first need: a run whose features are all cached loads no weights

    def fill(stimulus: Stimulus, bar: Any, write: Write) -> dict[str, float]:
        if not loaded:
            loaded.append(experiment.compression.compress(source.load()))
        return _read(loaded[0], stimulus, experiment.prompt, bar, write)

    start, n_done = perf_counter(), 0
    with counter(n_units, "words") as bar:
        for stimulus in unread:
            bar.set_description(f"words, now of {stimulus.story}")
            shape = (n_layers, len(stimulus.units), n_dims)
            about = {
                "model": MODELS.options(source),
                "compression": COMPRESSIONS.options(experiment.compression),
                "prompt": PROMPTS.options(experiment.prompt),
                "story": stimulus.story,
            }
            entries[stimulus.story] = cache.get_or_put(keys[stimulus.story], shape, partial(fill, stimulus, bar), about)
            n_done += len(stimulus.units)
            bar.update(n_done - bar.n)  # another job may have read it
            log.info("story %r: %s", stimulus.story, pace(n_done, n_units, perf_counter() - start, "words"))
    found = {story: entry for story, entry in entries.items() if entry is not None}
    return {story: layers for story, (layers, _) in found.items()}, _together([facts for _, facts in found.values()])


def require_room_for(n_layers: int, n_units: int, n_dims: int, cache: ArrayCache) -> None:
    """Say what features will cost on the disk, and raise ConfigError if they do not fit."""
    n_bytes = features_cost(n_layers, n_units, n_dims, cache.dtype)
    what = f"{n_layers} layers × {n_units:,} words × {n_dims:,} × {np.dtype(cache.dtype).itemsize} bytes"
    free = require_room(cache.root, n_bytes, what)
    log.info("features to read: %s (%s), %s free", readable_bytes(n_bytes), what, readable_bytes(free))


def _read(reader: LoadedModel, stimulus: Stimulus, words: Prompt, bar: Any, write: Write) -> dict[str, float]:
    watch = Stopwatch()
    missing = np.ones(len(stimulus.units), bool)
    with watch.stage("read"):
        for at, batch in reader.extract(stimulus, words):
            if not np.isfinite(batch).all():
                raise ModelError(
                    f"the model's features of story {stimulus.story!r} have NaN or infinite values. "
                    "Give model.dtype=float32 or bfloat16; float16 overflows in some models."
                )
            write(at, batch)
            missing[at] = False
            bar.update(len(at))
    if missing.any():
        first = int(missing.argmax())
        raise ModelError(
            f"the model gave no features of {missing.sum()} words of story {stimulus.story!r}, the first of them word "
            f"{first} ({stimulus.units[first]!r}). Every word needs them: correct the model's extract."
        )
    return {
        **{f"compression/{name}": value for name, value in cost(reader).items()},
        **{f"features/{name}": value for name, value in reader.facts(stimulus).items()},
        "features/words": float(len(missing)),
        "features/seconds": watch.seconds["read"],
        "features/peak_memory_bytes": peak_memory_bytes(),
        "features/peak_gpu_memory_bytes": peak_gpu_memory_bytes(),
    }


def _together(per_story: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Facts of all stories: sums of what reading took, the largest peak, and the cost of the one model."""
    together = dict(per_story[-1])
    for name in together:
        if name.startswith("features/"):
            join = max if "peak" in name else sum
            together[name] = join(facts[name] for facts in per_story)
    return together


def layer_designs(
    experiment: Experiment, recordings: Recordings, features: Mapping[str, FloatArray | Layers]
) -> list[Callable[[], FloatArray]]:
    """One callable per layer that brings its features to TRs: downsampled, delayed and trimmed inside each run."""
    downsampler = DOWNSAMPLERS[experiment.align.downsample]
    to_trs = [
        downsampler(stimulus.midpoint_s, clock)
        for stimulus, clock in zip(recordings.stimuli, recordings.clocks, strict=True)
    ]

    def design(layer: int) -> FloatArray:
        runs = [
            delayed(matrix @ features[stimulus.story][layer], experiment.align.delays)
            for matrix, stimulus in zip(to_trs, recordings.stimuli, strict=True)
        ]
        return recordings.stacked(runs)

    n_layers = len(next(iter(features.values())))
    return [partial(design, layer) for layer in range(n_layers)]


def baseline(
    name: str, experiment: Experiment, recordings: Recordings, target: Target, folds: Sequence[Fold]
) -> Evaluation:
    """Score features that know nothing of language, or little, on the same folds.

    Parameters
    ----------
    name : str
        One of `BASELINES`, an annotation of the stimuli or all of them, or a nuisance regressor of the dataset.
    experiment, recordings, target, folds
        As for the model.
    """
    score = partial(evaluated, folds=folds, layer_choice=experiment.split.layer_choice, what=name)
    if name == "untrained":
        features, _ = word_features(experiment, replace(experiment.model, weights="random"), recordings.stimuli)  # type: ignore[type-var]
        return score(experiment.encoder, layer_designs(experiment, recordings, features), target)
    if name in BASELINES:
        per_run = [
            _language_free(name, stimulus, clock, recordings, experiment.align.delays)
            for stimulus, clock in zip(recordings.stimuli, recordings.clocks, strict=True)
        ]
        return score(experiment.encoder, [lambda: recordings.stacked(per_run)], target)
    first = recordings.stimuli[0].annotations
    if name in first or name == ALL_ANNOTATIONS:
        spaces = list(first) if name == ALL_ANNOTATIONS else [name]
        known = {one.story: np.hstack([one.annotations[space] for space in spaces])[None] for one in recordings.stimuli}
        return score(experiment.encoder, layer_designs(experiment, recordings, known), target)
    own = [recordings.stacked([run.nuisance[name] for run in runs]) for runs in recordings.subjects.values()]
    return side_by_side(
        [
            score(experiment.encoder, [partial(np.asarray, regressor)], target.of_subject(number))
            for number, regressor in enumerate(own)
        ]
    )


def _language_free(
    name: str, stimulus: Stimulus, clock: Clock, recordings: Recordings, delays: Sequence[int]
) -> FloatArray:
    if name == "word_rate":
        return delayed(word_rate(stimulus.midpoint_s, clock), delays)
    longest = max(one.n_trs for one in recordings.clocks)
    return {"position": position, "autocorrelation": autocorrelation}[name](longest)[: clock.n_trs]


def peak_gpu_memory_bytes() -> float:
    """Most memory that torch has held on any one GPU, in bytes; 0 without one."""
    if "torch" not in sys.modules:
        return 0.0
    import torch

    return float(max((torch.cuda.max_memory_allocated(gpu) for gpu in range(torch.cuda.device_count())), default=0))


def peak_memory_bytes() -> float:
    """Most memory that this process has held, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)
