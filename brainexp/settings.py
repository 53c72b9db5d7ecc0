"""How an experiment aligns, splits and scores: the sections of the config beside the six groups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from brainexp.align.downsample import LANCZOS_LOBES
from brainexp.errors import ConfigError

#: Sections and options of the config that do not decide a number.
VOLATILE = ("tracking", "cache.dir", "report")


@dataclass(frozen=True)
class Align:
    """From words to TRs.

    Parameters
    ----------
    downsample : {"lanczos", "mean", "sum", "last"}
        How features of words become features of TRs.
    delays : tuple of int, in TRs
        Finite impulse response: which earlier TRs a response may depend on.
    """

    downsample: Literal["lanczos", "mean", "sum", "last"] = "lanczos"
    delays: tuple[int, ...] = (1, 2, 3, 4)

    def __post_init__(self) -> None:
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
    by : {"auto", "run", "block"}
        Whole runs, or a contiguous block of each run; auto takes runs where there are several.
    folds : int
        Each is tested once, with penalty and layer chosen on the others.
    gap_trs : int or None
        TRs beside a held-out block that are not trained on; None for the reach of delays and filter.
    layer_choice : {"model", "subject", "voxel"}
        One layer for all subjects, one per subject or one per voxel, by r on training rows only.
    """

    by: Literal["auto", "run", "block"] = "auto"
    folds: int = 5
    gap_trs: int | None = None
    layer_choice: Literal["model", "subject", "voxel"] = "model"


@dataclass(frozen=True)
class Scoring:
    """How scores are judged.

    Parameters
    ----------
    permutations : int
        Block permutations for p.
    block_trs : int
        TRs per permuted block; noise that stays alike for longer needs longer ones, else p is too small.
    ceiling_floor : float
        Voxels with a lower ceiling have no normalised r.
    """

    permutations: int = 1000
    block_trs: int = 10
    ceiling_floor: float = 0.05

    def __post_init__(self) -> None:
        if self.permutations < 1 or self.block_trs < 1:
            raise ConfigError(
                f"scoring: permutations and block_trs must be at least 1, got {self.permutations} and {self.block_trs}"
            )


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
