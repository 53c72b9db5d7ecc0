"""What a run will need, reckoned before it starts, and refused where it does not fit."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from brainexp.cache import disk_free, features_cost, readable_bytes
from brainexp.composition import Experiment, declared_rows, held_out, smaller
from brainexp.compressed import HELD, base_bytes, fits
from brainexp.compression.none import NoCompression
from brainexp.containers import Fold
from brainexp.encoder.options import RidgeOptions, ridge_options
from brainexp.environment import memory_available
from brainexp.errors import ConfigError
from brainexp.settings import GB, Resources
from brainexp.solve.bands import Form, prices

if TYPE_CHECKING:
    from rich.table import Table

#: Words a second of speech, where transcripts are not yet read.
WORDS_PER_S = 3.0
#: Interpreter and libraries, in bytes.
LIBRARIES = 0.9 * GB
#: Feature spaces whose scoring costs as much as the model's layers.
AS_MANY_LAYERS = ("untrained",)
#: What is kept in the cache.
FEATURES, COMPRESSED = "features in the cache", "compressed checkpoint in the cache, at most"


@dataclass(frozen=True)
class Estimate:
    """What a run will need.

    Parameters
    ----------
    memory : mapping of str to float
        Bytes at the peak, by what they hold.
    disk : mapping of str to float
        Bytes by what they hold: features in the cache and files of the run.
    multiplications : mapping of str to float
        By stage, in single precision.
    """

    memory: Mapping[str, float]
    disk: Mapping[str, float]
    multiplications: Mapping[str, float]

    @property
    def memory_bytes(self) -> float:
        """All memory."""
        return sum(self.memory.values())

    @property
    def disk_bytes(self) -> float:
        """All that is written."""
        return sum(self.disk.values())

    def seconds(self, rate: float) -> float:
        """Time at a rate of multiplications a second, which a run reaches about half of."""
        return 2 * sum(self.multiplications.values()) / rate


def estimated(experiment: Experiment) -> Estimate:
    """Reckon from declared facts and the model's config what a run will need; nothing is loaded.

    Parameters
    ----------
    experiment : Experiment
        What will be done.

    Returns
    -------
    Estimate
        Of the uncached run; of encoders without a price of their own, that of ridge.
    """
    facts, chosen = experiment.dataset.facts(), experiment.dataset.chosen_subjects()
    size, (n_layers, n_dims) = experiment.model.size(), smaller(experiment).shape()
    weights_bytes, compressing = compressing_cost(experiment)
    n_voxels = [facts.n_voxels[subject] for subject in chosen]
    run_lengths = declared_rows(experiment.dataset)
    folds = held_out(experiment, run_lengths)
    n_trs, wide, n_rows = sum(facts.n_trs[story] for story in facts.stories), sum(n_voxels), sum(run_lengths)
    n_test = sum(len(fold.test) for fold in folds)
    n_words = n_trs * facts.tr_s * WORDS_PER_S
    options = ridge_options(experiment.encoder)
    n_features = n_dims * len(experiment.align.delays)
    price = prices(folds[0], n_features, len(options.alphas), wide, options.work())
    form = min(price, key=price.__getitem__) if options.form == "auto" else options.form
    per_fold = price[form]
    twins = 1 + sum(name in AS_MANY_LAYERS for name in experiment.baselines)
    read = twins + len(experiment.also_prompts)
    responses = 4.0 * n_rows * wide
    copies = (len(folds) > 1) + bool(
        experiment.encoder.nuisance
    )  # training rows, where test rows lie between; nuisance removed
    being_read = 4.0 * max(facts.n_trs.values()) if facts.read_by_story else 12.0 * n_trs
    return Estimate(
        memory={
            "libraries": LIBRARIES,
            "responses of all subjects": responses,
            "responses of one subject, being read": being_read * max(n_voxels),
            "training rows, predictions and held-out rows": copies * responses + 8.0 * n_test * wide,
            "scores of every layer": 16.0 * n_layers * wide,
            "model, or decompositions of one layer and fold": max(
                size.n_bytes,
                _held_while_compressing(experiment, weights_bytes),
                _solver_bytes(form, folds[0], n_trs, n_features, options),
            ),
            "work on a batch of voxels": 20.0 * n_rows * min(wide, options.voxels_per_batch),
        },
        disk={
            COMPRESSED: weights_bytes,
            FEATURES: read * features_cost(n_layers, int(n_words), n_dims, experiment.cache_dtype),
            "files of the run": 8.0 * wide * (20 + 3 * len(folds) + len(experiment.baselines)),
            "readouts": 4.0 * n_features * wide * experiment.readout,
        },
        multiplications={
            "compression": compressing,
            "features": read * n_words * size.multiplications_per_unit,
            "encoding": twins * n_layers * len(folds) * per_fold,
            "partition": len(folds)
            * per_fold
            * (experiment.partition.n_shares + 1)
            * bool(experiment.partition.spaces),
            "significance": 2.0 * experiment.scoring.permutations * n_test * wide,
        },
    )


def compressing_cost(experiment: Experiment) -> tuple[float, float]:
    """Bytes of the weights that a compression works on, and multiplications for its calibration; both may be zero."""
    compression = experiment.compression
    if isinstance(compression, NoCompression):
        return 0.0, 0.0
    n_bytes, text = base_bytes(experiment.model), compression.calibration
    n_tokens = 0 if text is None else text.samples * text.tokens
    n_weights = n_bytes / (4 if experiment.model.blueprint().dtype == "float32" else 2)
    # Every block is run twice: to measure what comes in, and, compressed, to pass on what comes out.
    return n_bytes, 4.0 * n_weights * n_tokens


def _held_while_compressing(experiment: Experiment, n_bytes: float) -> float:
    """Bytes of the weights that are in memory at once: a part, where they do not fit and may stay on the disk."""
    may_take = memory_available() if experiment.memory_bytes is None else experiment.memory_bytes
    if fits(n_bytes, may_take) or experiment.compression.needs_all_weights is not None:
        return n_bytes
    return HELD * may_take


def require_fits(estimate: Estimate, resources: Resources, folder: Path) -> None:
    """Refuse a run that needs more than there is.

    Raises
    ------
    ConfigError
        If memory or disk do not suffice; the message says what takes how much and what to change.
    """
    if not resources.check:
        return
    available = memory_available() if resources.memory_gb is None else resources.memory_gb * GB
    if estimate.memory_bytes > available:
        largest = sorted(estimate.memory.items(), key=lambda item: -item[1])[:3]
        most = ", ".join(f"{name} {readable_bytes(size)}" for name, size in largest)
        raise ConfigError(
            f"the run would need about {readable_bytes(estimate.memory_bytes)} of memory, but "
            f"{readable_bytes(available)} may be used. Most of it: {most}. Analyse fewer subjects at a time "
            "(dataset.subjects=[...]), fewer voxels per batch (encoder.voxels_per_batch), a smaller model.dtype or fewer "
            "align.delays; or give resources.memory_gb, or resources.check=false to try all the same."
        )
    # They may be in the cache already; before others are made, the cache looks whether there is room.
    written = sum(n_bytes for what, n_bytes in estimate.disk.items() if what not in (FEATURES, COMPRESSED))
    free = disk_free(folder)
    if written > free:
        raise ConfigError(
            f"the run would write about {readable_bytes(written)}, but {readable_bytes(free)} are free at {folder}. Give "
            "another hydra.run.dir, make room, or give resources.check=false to try all the same."
        )


def estimate_table(estimate: Estimate, cache_dir: Path) -> Table:
    """Put what a run needs beside what there is; the rate of this machine is measured on the way."""
    from rich.table import Table

    table = Table(title="what the run needs, about", show_header=False)
    table.add_column("what")
    table.add_column("needed", justify="right")
    table.add_column("there is", justify="right")
    table.add_row("memory", readable_bytes(estimate.memory_bytes), readable_bytes(memory_available()))
    table.add_row("disk", readable_bytes(estimate.disk_bytes), readable_bytes(disk_free(cache_dir)))
    table.add_row("time, without a cache or a GPU", _duration(estimate.seconds(multiplication_rate())), "")
    return table


def multiplication_rate(seconds: float = 0.1) -> float:
    """Multiplications a second of single-precision matrix products on this processor."""
    import torch

    size, done = 1024, 0
    values = torch.ones(size, size)
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        values @ values
        done += 1
    return 2.0 * size**3 * done / (time.perf_counter() - start)


def _solver_bytes(form: Form, fold: Fold, n_trs: int, n_features: int, options: RidgeOptions) -> float:
    """Features of a layer, the kernel or covariance, and the spectra of one fold."""
    width = n_features / 4
    features = 4.0 * n_trs * width + 16.0 * n_trs * width
    fit = np.array([len(rows) for rows, _ in fold.inner], dtype=float)
    n = len(fold.train)
    if form == "primal":
        return features + 8.0 * n_trs * n_features * 2.5 + 12.0 * (len(fit) + 1) * n_features**2
    kernel = 8.0 * n_trs**2 * 3
    if form == "dual":
        return features + kernel + 10.0 * float(np.sum(fit**2)) + 28.0 * n**2
    out = n - fit
    return features + kernel + 40.0 * n**2 + 20.0 * len(options.alphas) * float(np.sum(out**2))


def _duration(seconds: float) -> str:
    for unit, length in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds > 1.5 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} seconds"
