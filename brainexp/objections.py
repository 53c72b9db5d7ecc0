"""What cannot work in an experiment, known before hours are spent, and what its user should know."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from brainexp.ceilings import ceiling_objection
from brainexp.composition import Experiment, declared_rows, held_out, smaller
from brainexp.containers import Fold
from brainexp.encoder.ridge import Ridge
from brainexp.errors import ConfigError
from brainexp.interfaces import Cleaned, Dataset
from brainexp.probe.erasure import Erasure
from brainexp.recordings import OF_THE_MODEL, Recordings
from brainexp.registry import CALIBRATIONS, COMPRESSIONS, ENCODERS, did_you_mean
from brainexp.result import MODEL
from brainexp.settings import item_objection


def require_possible(experiment: Experiment) -> None:
    """Raise ConfigError or ModelError for what cannot work, before anything is loaded."""
    for objection in (
        experiment.encoder.objection(),
        experiment.compression.objection(experiment.model),
        no_gradients(experiment),
        unsuited(experiment),
    ):
        if objection is not None:
            raise ConfigError(objection)
    if experiment.readout and not isinstance(experiment.encoder, Ridge):
        raise ConfigError(
            f"readout: encoder {ENCODERS.name_of(experiment.encoder)!r} has no weights to save. Give encoder=ridge, or "
            "readout=null."
        )
    experiment.model.require_ready()
    if experiment.damage.measure:
        CALIBRATIONS.build(experiment.damage.text)
    if "static" in experiment.baselines and experiment.model.layer_numbers()[0] != 0:
        raise ConfigError(
            "baseline 'static' is the model's layer 0, which model.layers leaves out. Add 0 to model.layers, or leave "
            "static out of baselines."
        )
    for one in (experiment.prompt, *experiment.also_prompts.values()):
        unfit = experiment.model.objection(experiment.compression, one)
        if unfit is not None:
            raise ConfigError(unfit)
    smaller(experiment).layer_numbers()
    for asked in experiment.probes.values():
        asked.require_ready()
    experiment.dataset.chosen_subjects()
    require_untested_calibration(experiment)
    objection = ceiling_objection(experiment.ceiling, experiment.dataset)
    if objection is not None:
        raise ConfigError(objection)


def unsuited(experiment: Experiment) -> str | None:
    """Return which settings are for TRs, where rows of the dataset are separate items, or None."""
    source = experiment.dataset
    if not source.facts().items:
        return None
    return item_objection(experiment.align, experiment.scoring, source.trim_start_s + source.trim_stop_s)


def no_gradients(experiment: Experiment) -> str | None:
    """Return which probe needs gradients that the compressed weights do not give, or None."""
    if experiment.compression.differentiable:
        return None
    for name, one in experiment.probes.items():
        if one.needs_gradients:
            return (
                f"probe {name!r} needs gradients, but none flow through the weights of compression "
                f"{COMPRESSIONS.name_of(experiment.compression)!r}. Leave the probe out, or give another compression."
            )
    return None


def require_untested_calibration(experiment: Experiment) -> None:
    """Raise ConfigError if a compression is calibrated on a story whose responses are predicted in any fold."""
    text = experiment.compression.calibration
    stories = set(text.stories()) if text is not None else set()
    if not stories:
        return
    names = list(experiment.dataset.facts().stories)
    lengths = declared_rows(experiment.dataset)
    run = np.repeat(np.arange(len(lengths)), lengths)
    tested = {names[at] for fold in held_out(experiment, lengths) for at in np.unique(run[fold.test])}
    if stories & tested:
        which = "as every story is" if tested == set(names) else "as they are"
        raise ConfigError(
            f"compression.calibration reads {', '.join(sorted(stories & tested))}, held out in some fold, {which}: a model "
            "must not be fitted to a story that it is tested on. Calibrate on other text, such as "
            "compression/calibration=grammar or a text of your own."
        )


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
    for one in experiment.probes.values():
        if isinstance(one, Erasure):
            one.labels(recordings.stimuli)


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


def cleaning_remarks(source: Dataset, run_lengths: Sequence[int], folds: Sequence[Fold]) -> tuple[str, ...]:
    """Say so where responses were cleaned over whole runs of which a fold holds out a part."""
    run = np.repeat(np.arange(len(run_lengths)), run_lengths)
    split = any(np.isin(run[fold.test], run[fold.train]).any() for fold in folds)
    if not split or not isinstance(source, Cleaned) or not source.cleaning.crosses_rows:
        return ()
    steps = ", ".join(f"dataset.cleaning.{step}" for step in source.cleaning.crosses_rows)
    return (
        f"{steps}: fitted to whole runs, of which folds hold out a part, so training rows know a little of held-out ones. "
        "Hold out whole runs (split.by=run), or switch these steps off; nuisance can be removed with weights of training "
        "rows by encoder.nuisance.",
    )
