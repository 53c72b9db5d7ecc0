"""What features cost on disk, and whether they fit."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal

import numpy as np

from brainexp.errors import ConfigError

#: Units of sizes, decimal as on the label of a disk.
UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def features_cost(n_layers: int, n_units: int, n_dims: int, dtype: Literal["float32", "float16"] = "float32") -> int:
    """Bytes on disk of the features of ``n_units`` units.

    >>> readable_bytes(features_cost(37, 30_000, 4096, "float16"))
    '9.1 GB'
    """
    return n_layers * n_units * n_dims * np.dtype(dtype).itemsize


def disk_free(folder: Path) -> int:
    """Bytes free where a folder is, or will be."""
    return shutil.disk_usage(_standing(folder)).free


def require_room(folder: Path, n_bytes: int, what: str, *, of: str = "features") -> int:
    """Return the free bytes of the disk on which a folder is, or will be.

    Parameters
    ----------
    folder : Path
        Need not be there yet.
    n_bytes : int
        That are to be written.
    what : str
        What they are, for the message, such as "13 layers × 2,000 words × 768 × 4 bytes".
    of : str
        How the message calls the whole, such as "features", which can be stored in half the room.

    Raises
    ------
    ConfigError
        If they do not fit.
    """
    free = disk_free(folder)
    if n_bytes > free:
        advice = "Halve them with cache.dtype=float16, give" if of == "features" else "Give"
        raise ConfigError(
            f"the {of} need{'s' * (of != 'features')} {readable_bytes(n_bytes)} ({what}), but {_standing(folder)} has "
            f"{readable_bytes(free)} free. {advice} cache.dir= a folder on a larger disk, or make room with "
            "python -m brainexp.cache prune"
        )
    return free


def _standing(folder: Path) -> Path:
    return next(one for one in (folder, *folder.absolute().parents) if one.exists())


def readable_bytes(n_bytes: float) -> str:
    """Return a size as people read it.

    >>> readable_bytes(999), readable_bytes(1_500_000)
    ('999 B', '1.5 MB')
    """
    power = 0
    while n_bytes >= 1000 and power < len(UNITS) - 1:
        n_bytes /= 1000
        power += 1
    return f"{n_bytes:.0f} {UNITS[0]}" if power == 0 else f"{n_bytes:.1f} {UNITS[power]}"
