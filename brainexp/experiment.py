"""One experiment, from stimuli to scores. It reads like the method section of a paper."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal
from zlib import crc32

import numpy as np

# Importing the rooms registers their members.
from brainexp import compression, dataset, encoder, model, probe, prompt  # noqa: F401
from brainexp.align.fold import folds_of_blocks, folds_of_runs
from brainexp.cache import ArrayCache, default_cache_dir
from brainexp.ceilings import Ceilings, ceiling_objection, estimated_ceilings
from brainexp.comparison import compared
from brainexp.containers import Design, Fold, Layers, Stimulus
from brainexp.encoder.banded_ridge import BandedRidge
from brainexp.encoder.options import RidgeOptions, ridge_options
from brainexp.encoder.ridge import Ridge
from brainexp.errors import ConfigError, DataError
from brainexp.evaluation import Evaluation, Space, Target, evaluated, scorable_voxels
from brainexp.features import peak_memory_bytes, word_features
from brainexp.interfaces import Compression, Dataset, Encoder, Model, Probe, ProbeInput, Prompt
from brainexp.partition import Partition, partitioned
from brainexp.progress import Stopwatch
from brainexp.readout import READOUT_FORMATS, Readout, read_out
from brainexp.recordings import OF_THE_MODEL, Recordings, feature_space, layer_designs, recorded
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
from brainexp.result import MODEL, Result, Voxels, summarised
from brainexp.score.permutation import CROSS_VALIDATED, SHUFFLES, require_shiftable
from brainexp.settings import Align, Cache, Ceiling, Partitioning, Scoring, Split


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
    readout: bool = False
    seed: int = 0
    cache_dir: Path = field(default_factory=default_cache_dir)
    cache_dtype: Literal["float32", "float16"] = "float32"

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
            readout=config["readout"] is not None,
            seed=int(config["seed"]),
            cache_dir=default_cache_dir() if cache.dir is None else Path(cache.dir).expanduser(),
            cache_dtype=cache.dtype,
        )

    def rng(self, stage: str) -> np.random.Generator:
        """Return the stage's own random numbers, the same whatever other stages draw."""
        return np.random.default_rng([self.seed, crc32(stage.encode())])


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
        recordings = recorded(experiment.dataset)
        require_known_spaces(experiment, recordings)
        folds = held_out(experiment, recordings.run_lengths)
        if experiment.scoring.shuffle == "circular_shift":
            require_shiftable([len(fold.test) for fold in folds], experiment.scoring.block_trs)
        target, voxels = to_predict(experiment, recordings, folds)

    with watch.stage("ceiling"):
        known = known_ceilings(experiment, recordings, folds, target, voxels)
        voxels = with_ceilings(experiment, voxels, known)

    with watch.stage("features"):
        features, facts = features_of(experiment, experiment.model, recordings.stimuli)

    with watch.stage("encode"):
        layers = layer_designs(experiment.align, recordings, features)
        prompted = prompted_layers(experiment, recordings)
        bands = experiment.encoder.beside
        beside = [feature_space(name, experiment.align, recordings) for name in bands if name not in prompted]
        scored = evaluated(
            experiment.encoder,
            layers,
            target,
            folds,
            experiment.split.layer_choice,
            "layers",
            beside=beside,
            numbers=experiment.model.layer_numbers(),
            alike=[prompted[name] for name in bands if name in prompted],
        )

    with watch.stage("baselines"):
        baselines = {
            name: baseline(name, experiment, recordings, layers, target, folds) for name in experiment.baselines
        }

    with watch.stage("partition"):
        parts = partition_of(experiment, recordings, {MODEL: layers, **prompted}, scored, target, folds)

    with watch.stage("significance"):
        p = target.spread(
            SHUFFLES[experiment.scoring.shuffle](
                [target.held_out(fold) for fold in folds],
                scored.predicted,
                n_permutations=experiment.scoring.permutations,
                block_trs=experiment.scoring.block_trs,
                rng=experiment.rng("significance"),
                null_scale=CROSS_VALIDATED,
            )
        )

    with watch.stage("readout"):
        readouts = readouts_of(experiment, layers, scored, target, folds, voxels) if experiment.readout else {}

    with watch.stage("probe"):
        given = ProbeInput(recordings.stimuli, features, experiment.rng("probe"))
        probed = {name: one.measure(given) for name, one in experiment.probes.items()}

    result = summarised(
        {"model": scored, **baselines},
        p,
        target,
        voxels,
        metrics={
            **facts,
            **known.metrics,
            **{f"probe/{name}/{key}": value for name, found in probed.items() for key, value in found.metrics.items()},
            **{f"time/{stage}_s": seconds for stage, seconds in watch.seconds.items()},
            "memory/peak_bytes": peak_memory_bytes(),
        },
        curves={f"probe/{name}/{key}": value for name, found in probed.items() for key, value in found.curves.items()},
        parts=parts,
        legacy=experiment.partition.legacy,
        readouts=readouts,
        remarks=(*known.remarks, *experiment.encoder.remarks(scored.penalty[..., target.scorable])),
        fdr=experiment.scoring.fdr,
    )
    return compared(result, experiment.scoring, experiment.rng("comparisons"))


def require_possible(experiment: Experiment) -> None:
    """Raise ConfigError or ModelError for what cannot work, before anything is loaded."""
    for objection in (experiment.encoder.objection(), experiment.compression.objection(experiment.model)):
        if objection is not None:
            raise ConfigError(objection)
    if experiment.readout and not isinstance(experiment.encoder, Ridge):
        raise ConfigError(
            f"readout: encoder {ENCODERS.name_of(experiment.encoder)!r} has no weights to save. Give encoder=ridge, or "
            "readout=null."
        )
    experiment.model.require_ready()
    if "static" in experiment.baselines and experiment.model.layer_numbers()[0] != 0:
        raise ConfigError(
            "baseline 'static' is the model's layer 0, which model.layers leaves out. Add 0 to model.layers, or leave "
            "static out of baselines."
        )
    for one in (experiment.prompt, *experiment.also_prompts.values()):
        unfit = experiment.model.objection(experiment.compression, one)
        if unfit is not None:
            raise ConfigError(unfit)
    experiment.dataset.chosen_subjects()
    objection = ceiling_objection(experiment.ceiling, experiment.dataset)
    if objection is not None:
        raise ConfigError(objection)


def require_known_spaces(experiment: Experiment, recordings: Recordings) -> None:
    """Raise ConfigError if a nuisance regressor, a band or a baseline is named that the dataset does not have."""
    known = tuple(next(iter(recordings.nuisance.values())))
    offered = (*recordings.spaces(), *OF_THE_MODEL)
    spaces = (*recordings.spaces(), *experiment.also_prompts)
    for option, names, choice in (
        ("encoder.nuisance", experiment.encoder.nuisance, known),
        ("encoder.beside", experiment.encoder.beside, spaces),
        ("baselines", experiment.baselines, offered),
        ("partition.spaces", experiment.partition.spaces, (MODEL, *spaces)),
    ):
        for name in names:
            if name not in choice:
                raise ConfigError(f"unknown feature space {name!r} in {option}.{did_you_mean(name, choice)}")
    require_own_names(experiment, (MODEL, *offered))


def require_own_names(experiment: Experiment, taken: Sequence[str]) -> None:
    """Raise ConfigError if another prompt has the name of a feature space, or stands nowhere."""
    for name in experiment.also_prompts:
        if name in taken:
            raise ConfigError(f"also_prompts: {name!r} is a feature space already. Give the prompt another name.")
        if name not in (*experiment.encoder.beside, *experiment.partition.spaces):
            raise ConfigError(
                f"also_prompts: {name!r} is not used. Name it in encoder.beside (encoder=banded_ridge or stacked) or in "
                "partition.spaces, or leave it out."
            )


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
    scorable = np.concatenate([scorable_voxels(values, folds) for values in recordings.responses.values()])
    if not scorable.any():
        raise DataError(
            "every voxel has NaN or is constant in a held-out block. Check the responses, or lower split.folds."
        )
    subjects = tuple(recordings.responses)
    declared = experiment.ceiling.method == "dataset"
    owner = np.repeat(np.arange(len(subjects)), [values.shape[1] for values in recordings.responses.values()])
    voxels = Voxels(
        subjects=subjects,
        spaces={subject: experiment.dataset.space(subject) for subject in subjects},
        owner=owner,
        ceiling=np.concatenate([experiment.dataset.ceiling(subject) for subject in subjects])
        if declared
        else np.full(len(owner), np.nan),
        ceiling_floor=experiment.scoring.ceiling_floor,
    )
    values = np.hstack(list(recordings.responses.values()))[:, scorable]
    removed = experiment.encoder.nuisance
    nuisance = [recordings.nuisance_rows(removed, subject) for subject in subjects] if removed else []
    return Target(values, owner[scorable], scorable, nuisance), voxels


def known_ceilings(
    experiment: Experiment, recordings: Recordings, folds: Sequence[Fold], target: Target, voxels: Voxels
) -> Ceilings:
    """Estimate the ceilings as the config says; the dataset's own are in ``voxels`` already."""
    if experiment.ceiling.method == "dataset":
        return Ceilings(voxels.ceiling, np.empty((0, len(voxels.ceiling))))
    return estimated_ceilings(
        experiment.ceiling,
        experiment.dataset,
        target,
        folds,
        spaces=voxels.spaces,
        kept={one.story: rows for one, rows in zip(recordings.stimuli, recordings.rows, strict=True)},
        nuisance=experiment.encoder.nuisance,
        block_trs=experiment.scoring.block_trs,
        rng=experiment.rng("ceiling"),
    )


def with_ceilings(experiment: Experiment, voxels: Voxels, known: Ceilings) -> Voxels:
    """Put ceilings beside the voxels, and draw subjects anew as often as ceilings, for the intervals of normalised scores."""
    n_subjects = len(voxels.subjects)
    drawn = experiment.rng("subjects").integers(n_subjects, size=(experiment.ceiling.bootstraps, n_subjects))
    return replace(voxels, ceiling=known.value, ceiling_draws=known.draws, subject_draws=drawn)


def features_of(
    experiment: Experiment, source: Model, stimuli: Sequence[Stimulus]
) -> tuple[dict[str, Layers], dict[str, float]]:
    """Features of the model, or of its untrained twin, by story, and what reading took."""
    cache = ArrayCache(experiment.cache_dir / "features", experiment.cache_dtype)
    return word_features(source, experiment.compression, experiment.prompt, stimuli, cache)


def prompted_layers(experiment: Experiment, recordings: Recordings) -> dict[str, list[Callable[[], Design]]]:
    """Layers of the model with each of the other prompts, by the name of the prompt."""
    found = {}
    for name, other in experiment.also_prompts.items():
        features, _ = features_of(replace(experiment, prompt=other), experiment.model, recordings.stimuli)
        found[name] = layer_designs(experiment.align, recordings, features, name)
    return found


def baseline(
    name: str,
    experiment: Experiment,
    recordings: Recordings,
    of_model: Sequence[Callable[[], Design]],
    target: Target,
    folds: Sequence[Fold],
) -> Evaluation:
    """Score features that know nothing of language, or little, on the same folds.

    Parameters
    ----------
    name : str
        "untrained" for the model's untrained twin, "static" for its layer 0, or a name of `feature_space`.
    experiment, recordings, target, folds
        As for the model.
    of_model : sequence of callables
        The model's own layers.
    """
    layers: Sequence[Callable[[], Space]]
    if name == "untrained":
        features, _ = features_of(experiment, replace(experiment.model, weights="random"), recordings.stimuli)  # type: ignore[type-var]
        layers = layer_designs(experiment.align, recordings, features)
    elif name == "static":
        layers = of_model[:1]
    else:
        layers = [partial(feature_space, name, experiment.align, recordings)]
    numbers = experiment.model.layer_numbers() if name == "untrained" else (0,)
    return evaluated(experiment.encoder, layers, target, folds, experiment.split.layer_choice, name, numbers=numbers)


def partition_of(
    experiment: Experiment,
    recordings: Recordings,
    layered: Mapping[str, Sequence[Callable[[], Design]]],
    scored: Evaluation,
    target: Target,
    folds: Sequence[Fold],
) -> Partition | None:
    """Separate the variance of the model, at each fold's chosen layer, from that of other feature spaces.

    Parameters
    ----------
    experiment, recordings, target, folds
        As for `baseline`.
    layered : mapping of str to sequence of callables
        Features of the model, and with other prompts, layer by layer.
    scored : Evaluation
        Of the model; names the layers.

    Returns
    -------
    Partition or None
        None where no spaces are named.
    """
    names = experiment.partition.spaces
    if not names:
        return None
    options = ridge_options(experiment.encoder)
    shared: dict[str, Any] = {one.name: getattr(options, one.name) for one in fields(RidgeOptions)}
    joint = BandedRidge(**shared | {"beside": (), "n_shares": experiment.partition.n_shares, "choose_by": "r2"})

    def of_name(name: str) -> Callable[[int], list[Space]]:
        if name in layered:
            layers = layered[name]
            every = experiment.encoder.together
            return lambda at: [layer() for layer in (layers if every else [layers[scored.usual_layer[at]]])]
        space = feature_space(name, experiment.align, recordings)
        return lambda _: [space]

    return partitioned(joint, {name: of_name(name) for name in names}, target, folds)


def readouts_of(
    experiment: Experiment,
    layers: Sequence[Callable[[], Design]],
    scored: Evaluation,
    target: Target,
    folds: Sequence[Fold],
    voxels: Voxels,
) -> dict[str, Readout]:
    """Fit every subject's weights on all rows, at the layer that most folds have chosen."""
    ridge = experiment.encoder
    assert isinstance(ridge, Ridge)  # checked before work started
    layer = int(np.bincount(scored.usual_layer).argmax())
    design = layers[layer]()
    every = Fold(train=np.arange(design.n_rows), test=np.arange(0), inner=())
    responses = target.of_fold(every)
    found = {}
    for number, subject in enumerate(voxels.subjects):
        own = target.subject == number
        columns = np.flatnonzero(target.scorable[voxels.owner == number])
        given = (design, scored.numbers[layer], responses[:, own], columns, folds)
        found[subject] = read_out(*given, ridge.alphas, ridge.work(), ridge.form)
    return found
