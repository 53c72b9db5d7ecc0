"""One experiment, from stimuli to scores. It reads like the method section of a paper."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from brainexp.cache import ArrayCache, Notes
from brainexp.ceilings import Ceilings, estimated_ceilings
from brainexp.comparison import compared
from brainexp.composition import Experiment, held_out, smaller
from brainexp.compressed import CompressedModel
from brainexp.compression.none import NoCompression
from brainexp.containers import Design, FloatArray, Fold, Layers, Passage, Stimulus
from brainexp.damage import Measured, damage
from brainexp.encoder.banded_ridge import BandedRidge
from brainexp.encoder.options import RidgeOptions, ridge_options
from brainexp.encoder.ridge import Ridge
from brainexp.encoding import encoding_again
from brainexp.environment import peak_memory_bytes
from brainexp.errors import ConfigError, DataError
from brainexp.evaluation import Evaluation, Space, Target, evaluated, moved_up, scorable_voxels
from brainexp.features import passage_features, word_features
from brainexp.interfaces import Encoding, Model, ProbeInput, ProbeResult
from brainexp.model.arithmetic import DENSE
from brainexp.model.transformer import Transformer
from brainexp.objections import cleaning_remarks, require_known_spaces, require_possible
from brainexp.partition import Partition, partitioned
from brainexp.progress import Stopwatch
from brainexp.provenance import DRAWING, of_compression, of_data, of_features, of_files, of_model
from brainexp.readout import Readout, read_out
from brainexp.recordings import Recordings, feature_space, layer_designs, recorded, word_space
from brainexp.registry import COMPRESSIONS, plain_fields
from brainexp.result import MODEL, Result, Voxels, clock_table, over_areas, summarised
from brainexp.score.permutation import CROSS_VALIDATED, SHUFFLES, require_shiftable

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    import pandas as pd


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
    told = experiment.compression.remarks(experiment.model.blueprint())
    for remark in told:
        log.info(remark)

    with watch.stage("load"):
        recordings = recorded(experiment.dataset, experiment.align.clock_tolerance_s)
        require_known_spaces(experiment, recordings)
        folds = held_out(experiment, recordings.run_lengths)
        if experiment.scoring.shuffle == "circular_shift":
            require_shiftable([len(fold.test) for fold in folds], experiment.scoring.block_trs)
        data = of_data(recordings)  # before its array is taken over
        target, voxels = to_predict(experiment, recordings, folds)

    with watch.stage("ceiling"):
        known = known_ceilings(experiment, recordings, folds, target, voxels)
        voxels = with_ceilings(experiment, voxels, known)

    with watch.stage("damage"):
        damaged = damage_of(experiment, recordings.stimuli)

    with watch.stage("features"):
        features, facts = features_of(experiment, experiment.model, recordings.stimuli)
        path = facts.pop("arithmetic")
        numbers = smaller(experiment).layer_numbers()

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
            numbers=numbers,
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
                null_scale=CROSS_VALIDATED if len(folds) > 1 else 1.0,
            )
        )

    with watch.stage("readout"):
        readouts = readouts_of(experiment, layers, scored, target, folds, voxels) if experiment.readout else {}

    with watch.stage("probe"):
        encode_words = partial(encoded_words, experiment, recordings, target, folds, voxels)
        encoding = partial(encoding_of, experiment, recordings, scored, target, folds, voxels, len(layers), beside)
        probed = probes_of(experiment, recordings, features, encode_words, encoding)

    result = summarised(
        {"model": scored, **baselines},
        p,
        target,
        voxels,
        metrics={
            **facts,
            **damaged.metrics,
            **known.metrics,
            **{f"probe/{name}/{key}": value for name, found in probed.items() for key, value in found.metrics.items()},
            **{f"time/{stage}_s": seconds for stage, seconds in watch.seconds.items()},
            "memory/peak_bytes": peak_memory_bytes(),
        },
        curves={
            **damaged.curves,
            **{f"probe/{name}/{key}": value for name, found in probed.items() for key, value in found.curves.items()},
        },
        parts=parts,
        legacy=experiment.partition.legacy,
        readouts=readouts,
        remarks=(
            *recordings.remarks,
            *cleaning_remarks(experiment.dataset, recordings.run_lengths, folds),
            *told,
            *known.remarks,
            *damaged.remarks,
            *experiment.encoder.remarks(scored.penalty[..., target.scorable]),
            *([] if path.startswith(DENSE) else [f"Features were computed with {path}."] if path else []),
        ),
        fdr=experiment.scoring.fdr,
    )
    result = replace(result, tables={**result.tables, "clocks": clock_table(recordings.audits)})
    result = compared(result, experiment.scoring, experiment.rng("comparisons"))
    tables = {f"probe_{name}_{key}": table for name, one in probed.items() for key, table in one.tables.items()}
    return replace(
        result,
        tables={**result.tables, **tables},
        compression=compressed_as(experiment),
        provenance=provenance_of(experiment, recordings.stimuli, data, features),
    )


def provenance_of(
    experiment: Experiment, stimuli: Sequence[Stimulus], data: Mapping[str, Any], features: Mapping[str, Layers]
) -> dict[str, Any]:
    """Tell from what the numbers came: seeds, and digests of data, weights and features (see `brainexp.provenance`)."""
    stages = (*DRAWING, *(f"probe {name}" for name in experiment.probes))
    components = {  # the dataset may be one of the caller's own, which no registry knows
        "dataset": plain_fields(experiment.dataset) if is_dataclass(experiment.dataset) else {},
        "model": plain_fields(experiment.model),
        "compression": plain_fields(experiment.compression),
        "probe": {name: plain_fields(one) for name, one in experiment.probes.items()},
    }
    return {
        "seeds": {"root": experiment.seed, **{stage: experiment.seeds_of(stage) for stage in stages}},
        "files": of_files(components),
        "data": dict(data),
        "model": of_model(experiment.model),
        "compression": of_compression(smaller(experiment, stimuli=stimuli)),
        "features": of_features(features),
    }


def compressed_as(experiment: Experiment) -> str:
    """Return the name of the compression and, for a checkpoint that was quantized already, how."""
    name, before = COMPRESSIONS.name_of(experiment.compression), experiment.model.blueprint().quantized
    return name if before is None else f"{name} (checkpoint is {before})"


def to_predict(experiment: Experiment, recordings: Recordings, folds: Sequence[Fold]) -> tuple[Target, Voxels]:
    """Take over the responses of all subjects, nuisance to be removed with weights of each fold's training rows.

    Nothing is copied: where voxels cannot be scored, the others move up in the recordings' own array, whose values are of no
    use afterwards.

    Raises
    ------
    DataError
        If no voxel can be scored.
    """
    scorable = scorable_voxels(recordings.values, folds)
    if not scorable.any():
        raise DataError(
            "every voxel has NaN or is constant in a held-out block. Check the responses, or lower split.folds."
        )
    subjects = tuple(recordings.columns)
    declared = experiment.ceiling.method == "dataset"
    owner = np.repeat(np.arange(len(subjects)), [own.stop - own.start for own in recordings.columns.values()])
    voxels = Voxels(
        subjects=subjects,
        spaces={subject: experiment.dataset.space(subject) for subject in subjects},
        owner=owner,
        ceiling=np.concatenate([experiment.dataset.ceiling(subject) for subject in subjects])
        if declared
        else np.full(len(owner), np.nan),
        ceiling_floor=experiment.scoring.ceiling_floor,
    )
    removed = experiment.encoder.nuisance
    nuisance = [recordings.nuisance_rows(removed, subject) for subject in subjects] if removed else []
    return Target(moved_up(recordings.values, scorable), owner[scorable], scorable, nuisance), voxels


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


def exportable(experiment: Experiment) -> CompressedModel:
    """Return the compressed model by itself; stories are read only where it is calibrated on them.

    Raises
    ------
    ConfigError or ModelError
        If nothing is compressed, or the model cannot be.
    """
    if isinstance(experiment.compression, NoCompression):
        raise ConfigError("compression=none changes nothing. Give the compression to export: compression=...")
    objection = experiment.compression.objection(experiment.model)
    if objection is not None:
        raise ConfigError(objection)
    experiment.model.require_ready()
    text = experiment.compression.calibration
    stimuli = experiment.dataset.stimuli() if text is not None and text.stories() else ()
    return smaller(experiment, stimuli=stimuli)


def damage_of(experiment: Experiment, stimuli: Sequence[Stimulus]) -> Measured:
    """Measure the model on held-out text, beside what it was made from, where the config says so."""
    if not experiment.damage.measure:
        return Measured()
    base, settings, kept = experiment.model, experiment.damage, experiment.cache_dir
    made = smaller(experiment, stimuli=stimuli)
    if isinstance(made.compression, NoCompression) or not isinstance(base, Transformer):
        return damage(base, None, settings, kept, stimuli, None, experiment.cache_dtype)
    return damage(base, base.at(made.artifact[0]), settings, kept, stimuli, made.given.samples, experiment.cache_dtype)


def features_of(
    experiment: Experiment, source: Model, stimuli: Sequence[Stimulus]
) -> tuple[dict[str, Layers], dict[str, Any]]:
    """Features of the model, or of its untrained twin, by story, and what reading took."""
    cache = ArrayCache(experiment.cache_dir / "features", experiment.cache_dtype)
    return word_features(smaller(experiment, source, stimuli), experiment.prompt, stimuli, cache)


def probes_of(
    experiment: Experiment,
    recordings: Recordings,
    features: Mapping[str, Layers],
    encode_words: Callable[[str, Mapping[str, FloatArray]], pd.DataFrame] | None = None,
    encoding: Callable[[], Encoding] | None = None,
) -> dict[str, ProbeResult]:
    """Ask every probe, of the same compressed weights, which are read at most once."""
    cache = ArrayCache(experiment.cache_dir / "features", experiment.cache_dtype)
    notes = Notes(experiment.cache_dir / "probes")
    made = smaller(experiment, stimuli=recordings.stimuli)
    of = {**made.key, "dtype": experiment.cache_dtype}

    def read(name: str, passages: Sequence[Passage]) -> Layers:
        return passage_features(made, passages, cache, name)

    def read_untrained(name: str, passages: Sequence[Passage]) -> Layers:
        twin = replace(experiment.model, weights="random")  # type: ignore[type-var]
        return passage_features(smaller(experiment, twin), passages, cache, name)

    found = {}
    for name, one in experiment.probes.items():
        found[name] = one.measure(
            ProbeInput(
                recordings.stimuli,
                features,
                experiment.rng(f"probe {name}"),  # whatever other probes draw
                read=read,
                layer_numbers=made.layer_numbers(),
                read_untrained=read_untrained,
                language_model=made.language_model,
                kept=lambda key, compute: notes.kept({**of, **key}, compute),
                encode_words=encode_words,
                encoding=encoding,
            )
        )
    return found


def prompted_layers(experiment: Experiment, recordings: Recordings) -> dict[str, list[Callable[[], Design]]]:
    """Layers of the model with each of the other prompts, by the name of the prompt."""
    found = {}
    for name, other in experiment.also_prompts.items():
        features, _ = features_of(replace(experiment, prompt=other), experiment.model, recordings.stimuli)
        found[name] = layer_designs(experiment.align, recordings, features, name)
    return found


def encoded_words(
    experiment: Experiment,
    recordings: Recordings,
    target: Target,
    folds: Sequence[Fold],
    voxels: Voxels,
    name: str,
    values: Mapping[str, FloatArray],
) -> pd.DataFrame:
    """Score features of words, arrays of shape (n_units, n_dims) by story, as a baseline is scored.

    Returns
    -------
    DataFrame
        ``r`` on held-out rows, mean over the scored voxels of each ``subject`` and ``roi``.
    """
    import pandas as pd

    space = word_space(name, [values[one.story] for one in recordings.stimuli], experiment.align, recordings)
    r = evaluated(experiment.encoder, [lambda: space], target, folds, experiment.split.layer_choice, name).r

    def mean(of_columns: FloatArray) -> FloatArray:
        return np.asarray(np.nanmean(of_columns, axis=-1))

    rows = [
        {"subject": voxels.subjects[number], "roi": roi, "r": float(over_areas(mean, areas, r))}
        for number, roi, areas in voxels.roi_areas()
        if all(np.isfinite(r[at]).any() for at in areas)
    ]
    return pd.DataFrame(rows, columns=["subject", "roi", "r"])


def encoding_of(
    experiment: Experiment,
    recordings: Recordings,
    scored: Evaluation,
    target: Target,
    folds: Sequence[Fold],
    voxels: Voxels,
    n_layers: int,
    beside: Sequence[Space],
) -> Encoding:
    """Offer the encoding model to probes that ask what other features of the same words would reach."""
    regions = tuple((voxels.subjects[at], roi, np.concatenate(areas)) for at, roi, areas in voxels.roi_areas())
    given = (recordings, scored, target, folds, regions, n_layers, beside)
    return encoding_again(experiment.encoder, experiment.align, *given)


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
