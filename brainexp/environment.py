"""On what a run was made: versions, commit, hardware."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from brainexp import __version__

#: Packages whose version can change a number.
PACKAGES = (
    "numpy",
    "scipy",
    "torch",
    "transformers",
    "tokenizers",
    "himalaya",
    "scikit-learn",
    "pandas",
    "nilearn",
    "mlflow",
)


def environment() -> dict[str, Any]:
    """Describe software and hardware as values that JSON can hold."""
    return {
        "brainexp": __version__,
        "git_commit": git_commit(Path(__file__).parent),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in PACKAGES},
        "cpu_count": os.cpu_count(),
        "gpus": _gpus(),
        "command": sys.argv[1:],
    }


def git_commit(folder: Path) -> str | None:
    """Commit of the checkout that holds a folder, with ``-dirty`` for uncommitted changes; None outside of one."""
    try:
        asked = ["git", "-C", str(folder), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
        told = subprocess.run(asked, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return told.stdout.strip() or None


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


def memory_available() -> float:
    """Bytes that this process may still take: of the machine, or of its control group as schedulers set it."""
    import psutil

    free = float(psutil.virtual_memory().available)
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        try:
            free = min(free, float(Path(limit).read_text()) - float(Path(used).read_text()))
        except (OSError, ValueError):  # no such group, or "max"
            continue
    return free


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _gpus() -> list[str]:
    if "torch" not in sys.modules:  # not needed for the run, so not worth its seconds here
        return []
    import torch

    return [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
