"""How an experiment aligns, splits and scores: the sections of the config beside the six groups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from brainexp.align.downsample import LANCZOS_LOBES
from brainexp.errors import ConfigError

#: A joint fit per subset: four spaces make fifteen.
MAX_SPACES = 4
#: Bytes.
GB = 1e9
#: Sections and options of the config that do not decide a number.
VOLATILE = ("tracking", "calibration", "cache.dir", "report", "readout", "resources", "study", "sweep")


@dataclass(frozen=True)
class Align:
    """From words to TRs.

    Parameters
    ----------
    downsample : {"lanczos", "mean", "sum", "last"}
        How features of words become features of TRs.
    delays : tuple of int, in TRs
        Finite impulse response: which earlier TRs a response may depend on.
    clock_tolerance_s : float
        By how many seconds words, TRs and the scanner's triggers may disagree before a run stops (see
        `brainexp.align.audit`).
    """

    downsample: Literal["lanczos", "mean", "sum", "last"] = "lanczos"
    delays: tuple[int, ...] = (1, 2, 3, 4)
    clock_tolerance_s: float = 0.5

    def __post_init__(self) -> None:
        if not self.clock_tolerance_s > 0:
            raise ConfigError(f"align: clock_tolerance_s must be positive, in seconds, got {self.clock_tolerance_s}")
        if not self.delays or min(self.delays) < 0 or len(set(self.delays)) < len(self.delays):
            raise ConfigError(f"align: delays must be distinct and not negative, in TRs, got {self.delays}")

    @property
    def reach_trs(self) -> int:
        """How far a row's features reach into other rows, in TRs: the gap beside a held-out block."""
        return max(self.delays) + (LANCZOS_LOBES if self.downsample == "lanczos" else 0)


@dataclass(frozen=True)
class Split:
    """What is held out.

    Parameters
    ----------
    by : {"auto", "declared", "run", "block"}
        The dataset's declared test stories, whole runs, or a contiguous block of each run; auto takes test stories where
        the dataset declares some, else runs where there are several.
    folds : int
        Each is tested once, with penalty and layer chosen on the others; with declared test stories, how many inner folds
        the training stories make.
    gap_trs : int or None
        TRs beside a held-out block that are not trained on; None for the reach of delays and filter.
    layer_choice : {"model", "subject", "voxel"}
        One layer for all subjects, one per subject or one per voxel, by r on training rows only.
    """

    by: Literal["auto", "declared", "run", "block"] = "auto"
    folds: int = 5
    gap_trs: int | None = None
    layer_choice: Literal["model", "subject", "voxel"] = "model"


@dataclass(frozen=True)
class Scoring:
    """How scores are judged.

    Parameters
    ----------
    permutations : int
        Permutations for p of a voxel.
    shuffle : {"block", "circular_shift"}
        What is done to predictions in each: blocks of them change places, or they are shifted in time.
    block_trs : int
        TRs per permuted block, or the least shift; noise that stays alike for longer needs longer ones, else p is too small.
    fdr : {"bh", "by"}
        From p to q: Benjamini-Hochberg, or Benjamini-Yekutieli for any dependence between voxels.
    ceiling_floor : float
        Voxels with a lower ceiling have no normalised r.
    equivalence_margin : float
        In units of r: conditions whose mean r differs by less count as equivalent.
    confidence : float
        Of intervals; a test is significant below one minus this.
    multiplicity : {"holm", "bh", "by"}
        How p of a family of comparisons over subjects are adjusted.
    """

    permutations: int = 5000
    shuffle: Literal["block", "circular_shift"] = "block"
    block_trs: int = 10
    fdr: Literal["bh", "by"] = "bh"
    ceiling_floor: float = 0.05
    equivalence_margin: float = 0.01
    confidence: float = 0.95
    multiplicity: Literal["holm", "bh", "by"] = "holm"

    def __post_init__(self) -> None:
        if self.permutations < 1 or self.block_trs < 1:
            raise ConfigError(
                f"scoring: permutations and block_trs must be at least 1, got {self.permutations} and {self.block_trs}"
            )
        if not 0 < self.equivalence_margin < 1:
            raise ConfigError(
                f"scoring: equivalence_margin must lie between 0 and 1, in units of r, got {self.equivalence_margin}"
            )
        if not 0.5 < self.confidence < 1:
            raise ConfigError(f"scoring: confidence must lie between 0.5 and 1, such as 0.95, got {self.confidence}")


def item_objection(align: Align, scoring: Scoring, trim_s: float) -> str | None:
    """Return which settings make no sense where rows are separate items and no TRs, or None.

    Parameters
    ----------
    align, scoring
        What was asked for.
    trim_s : float
        Seconds that the dataset cuts from the edges of runs.
    """
    way_out = (
        "Give align.downsample=mean align.delays=[0] scoring.shuffle=block, as the config of dataset=tuckute2024 does."
    )
    if align.downsample == "lanczos":
        return (
            "align.downsample=lanczos blends neighbours in time, but rows of this dataset are separate items: a row would "
            f"get features of other sentences. {way_out}"
        )
    if align.delays != (0,):
        return (
            f"align.delays={list(align.delays)} let a response depend on earlier rows, but rows of this dataset are separate "
            f"items, and each response is to its own item. {way_out}"
        )
    if scoring.shuffle == "circular_shift":
        return f"scoring.shuffle=circular_shift shifts in time, but rows of this dataset are separate items. {way_out}"
    if trim_s:
        return (
            "dataset.trim_start_s and trim_stop_s cut seconds, but rows of this dataset are separate items without time. "
            "Give 0 for both."
        )
    return None


@dataclass(frozen=True)
class Partitioning:
    """Whose variance is separated.

    Parameters
    ----------
    spaces : tuple of str
        Two to four feature spaces: "model" for the layer that is chosen on training rows, and names of baselines that are
        no model; empty for no partition.
    n_shares : int
        Shares of the spaces that a joint fit tries (see `brainexp.encoder.banded_ridge`).
    legacy : bool
        Whether set arithmetic on normalised r is added, as published, for two spaces.
    """

    spaces: tuple[str, ...] = ("model", "low_level")
    n_shares: int = 5
    legacy: bool = False

    def __post_init__(self) -> None:
        if self.spaces and (not 2 <= len(self.spaces) <= MAX_SPACES or len(set(self.spaces)) < len(self.spaces)):
            raise ConfigError(
                f"partition: spaces must name two to {MAX_SPACES} different feature spaces, or none, got {self.spaces}"
            )
        if self.legacy and len(self.spaces) != 2:
            raise ConfigError(f"partition: legacy is defined for two spaces, got {self.spaces}")
        if self.n_shares < 1:
            raise ConfigError(f"partition: n_shares must be at least 1, got {self.n_shares}")


@dataclass(frozen=True)
class Ceiling:
    """Where the ceiling comes from; voxels below ``scoring.ceiling_floor`` are not normalised.

    Parameters
    ----------
    method : str
        ``dataset``: what the dataset declares, without uncertainty. ``none``: no ceiling. From repeats of a story:
        ``repeats`` (CC_max of Schoppe et al. 2016), ``explainable_variance``, ``split_half`` or ``ncsnr`` (the dataset's own
        where it publishes one). From the analysed subjects: ``inter_subject``, r with the mean of the others, and
        ``cross_subject``, r of a regression on the others' voxels.
    averaged : int
        Of how many recordings the dataset's responses are the mean; for ceilings from repeats.
    bootstraps : int
        Draws for standard errors and intervals; 0 for none. Blocks of ``scoring.block_trs`` are drawn.
    extrapolate : bool
        For ``cross_subject``: fit a plateau over the number of subjects, else predict from all others.
    legacy : bool
        For ``cross_subject``: the mean of single-source r with penalty 1, as published, else one regression on all.
    subsets : int
        For ``extrapolate``: subsets of one size from which a subject is predicted, at most about this many. Each takes about
        as long as one layer of a model.
    """

    method: Literal[
        "dataset",
        "none",
        "repeats",
        "explainable_variance",
        "split_half",
        "inter_subject",
        "cross_subject",
        "ncsnr",
    ] = "dataset"
    averaged: int = 1
    bootstraps: int = 200
    extrapolate: bool = False
    legacy: bool = False
    subsets: int = 10

    def __post_init__(self) -> None:
        if self.averaged < 1 or self.subsets < 1:
            raise ConfigError(
                f"ceiling: averaged and subsets must be at least 1, got {self.averaged} and {self.subsets}"
            )
        if self.bootstraps < 0 or self.bootstraps == 1:
            raise ConfigError(f"ceiling: bootstraps must be 0 for none, or at least 2, got {self.bootstraps}")
        if (self.extrapolate or self.legacy) and self.method != "cross_subject":
            raise ConfigError(
                f"ceiling: extrapolate and legacy belong to method=cross_subject, but method is {self.method}. Leave them "
                "out, or give ceiling.method=cross_subject."
            )


@dataclass(frozen=True)
class Damage:
    """What compression does to a model as such, measured on held-out text.

    Parameters
    ----------
    measure : bool
        Whether it is measured.
    text : mapping
        Where the text comes from: a member of ``compression/calibration`` with its options. How many stretches a
        compression would draw from it does not matter, but must suffice for ``words``.
    words : int
        The beginning of the text is read, so many words, whatever the tokenizer.
    feature_words : int
        Of these, the first so many are compared layer by layer.
    window_tokens : int or None
        Tokens that a causal model reads at once; None for 512, or what it can read if that is less.
    stride_tokens : int or None
        From one window to the next: each token is predicted from at least a window less a stride of tokens, where there are
        so many. None for half a window.
    masked_tokens : int
        Of a masked model, evenly spaced tokens that are predicted, a pass for each.
    """

    measure: bool = True
    text: Mapping[str, Any] = field(
        default_factory=lambda: {"name": "grammar", "samples": 8, "tokens": 256, "seed": 1_000_000}
    )
    words: int = 2000
    feature_words: int = 500
    window_tokens: int | None = None
    stride_tokens: int | None = None
    masked_tokens: int = 200

    def __post_init__(self) -> None:
        for objection in self._objections():
            raise ConfigError(f"damage: {objection}")

    def _objections(self) -> Iterator[str]:
        if self.masked_tokens < 1 or self.words < 2:
            yield f"words must be at least 2 and masked_tokens at least 1, got {self.words} and {self.masked_tokens}"
        if not 4 <= self.feature_words <= self.words:
            yield f"feature_words must lie between 4 and words={self.words}, got {self.feature_words}"
        if self.window_tokens is not None and self.window_tokens < 8:
            yield f"window_tokens must be at least 8, got {self.window_tokens}"
        if self.stride_tokens is not None and self.stride_tokens < 1:
            yield f"stride_tokens must be at least 1, got {self.stride_tokens}"


@dataclass(frozen=True)
class Cache:
    """How features are kept.

    Parameters
    ----------
    dir : str or None
        Where; None for the folder that BRAINEXP_CACHE names, else ~/.cache/brainexp.
    dtype : {"float32", "float16"}
        In which they are stored. float16 takes half the room and rounds to 11 binary digits.
    """

    dir: str | None = None
    dtype: Literal["float32", "float16"] = "float32"


@dataclass(frozen=True)
class Resources:
    """What a run may use.

    Parameters
    ----------
    memory_gb : float or None
        Most memory, in gigabytes; None for what is free.
    check : bool
        Whether a run that needs more is refused.
    gpus : {"auto"}, tuple of int or None
        GPUs of this machine of which a run takes one that no other run has. "auto": of all that can be seen, where a launcher
        runs jobs side by side on this machine; schedulers such as SLURM assign theirs themselves. None leaves it to PyTorch.
    """

    memory_gb: float | None = None
    check: bool = True
    gpus: Literal["auto"] | tuple[int, ...] | None = "auto"

    def __post_init__(self) -> None:
        if self.memory_gb is not None and self.memory_gb <= 0:
            raise ConfigError(f"resources: memory_gb must be positive or null, got {self.memory_gb}")
        if isinstance(self.gpus, tuple) and (not self.gpus or min(self.gpus) < 0):
            raise ConfigError(f"resources: gpus must be auto, null or numbers such as [0,1], got {list(self.gpus)}")

    @property
    def memory_bytes(self) -> float | None:
        """Most memory, in bytes; None for what is free."""
        return None if self.memory_gb is None else self.memory_gb * GB


@dataclass(frozen=True)
class Sweep:
    """What a job of a sweep does where its config has finished before.

    Parameters
    ----------
    resume : bool
        Whether it is not run again.
    finished : str
        Folder that says which configs have finished, and where their results are.
    """

    resume: bool = True
    finished: str = "outputs/finished"


def decisive(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a config that decide a number, by dotted name."""
    return {
        name: value
        for name, value in leaves(config)
        if not any(name == one or name.startswith(f"{one}.") for one in VOLATILE)
    }


def leaves(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every option of a config with its dotted name, such as ``("model.path", "gpt2")``."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
