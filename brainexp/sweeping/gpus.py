"""One GPU for each of the jobs that run side by side on a machine."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from brainexp.errors import ConfigError

if TYPE_CHECKING:
    from filelock import BaseFileLock

log = logging.getLogger(__name__)

VISIBLE = "CUDA_VISIBLE_DEVICES"
#: Launchers that run jobs side by side on this machine and assign no GPUs.
SIDE_BY_SIDE = ("JoblibLauncher", "RayLauncher")
#: Seconds between looks for a free GPU.
PAUSE_S = 0.5
#: GPU of which this process has a context: CUDA, once it has started, sees no other.
_ours: str | None = None


@contextmanager
def one_gpu(chosen: Literal["auto"] | tuple[int, ...] | None, launcher: str) -> Iterator[str | None]:
    """Let a job see one GPU that no other job has, and wait for one where all are taken.

    Each GPU has a lock, which is the operating system's and ends with its holder, so a killed job frees its GPU. PyTorch
    must not have looked for GPUs in this process before.

    Parameters
    ----------
    chosen : {"auto"}, tuple of int or None
        As `brainexp.settings.Resources` explains.
    launcher : str
        Class of Hydra's launcher.

    Yields
    ------
    str or None
        The GPU, as CUDA_VISIBLE_DEVICES names it; None where nothing is assigned.
    """
    global _ours  # noqa: PLW0603  CUDA itself is a state of the process
    names = _choice(chosen, launcher)
    if not names:
        yield None
        return
    if _started():
        names = [_ours] if _ours is not None else names
    gpu, lock = _free(names)
    before = os.environ.get(VISIBLE)
    os.environ[VISIBLE] = _ours = gpu
    log.info("the job has GPU %s of this machine", gpu)
    try:
        yield gpu
    finally:
        if before is None:
            del os.environ[VISIBLE]
        else:
            os.environ[VISIBLE] = before
        _emptied()
        lock.release()


def visible_gpus() -> list[str]:
    """Names of the GPUs that CUDA_VISIBLE_DEVICES allows, else of all that the driver lists; nothing is started on them."""
    allowed = os.environ.get(VISIBLE)
    if allowed is not None:
        return [name.strip() for name in allowed.split(",") if name.strip() and name.strip() != "-1"]
    listing = shutil.which("nvidia-smi")
    if listing is None:
        return []
    asked = [listing, "--query-gpu=index", "--format=csv,noheader"]
    told = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False)
    return told.stdout.split() if told.returncode == 0 else []


def _choice(chosen: Literal["auto"] | tuple[int, ...] | None, launcher: str) -> list[str]:
    if chosen is None or (chosen == "auto" and not launcher.endswith(SIDE_BY_SIDE)):
        return []
    seen = visible_gpus()
    if chosen == "auto":
        return seen
    missing = [number for number in map(str, chosen) if number not in seen]
    if missing:
        raise ConfigError(
            f"resources.gpus={list(chosen)}, but there is no GPU {missing[0]} here. To be seen: {', '.join(seen) or 'none'}. "
            "Name some of these, or give resources.gpus=null."
        )
    return [str(number) for number in chosen]


def _free(names: Sequence[str]) -> tuple[str, BaseFileLock]:
    """Return a GPU that nobody has, and its lock, held; wait for one."""
    from filelock import FileLock, Timeout

    told = False
    while True:
        for name in names:
            lock = FileLock(Path(tempfile.gettempdir()) / f"brainexp-gpu-{name.replace('/', '_')}.lock", mode=0o666)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            return name, lock
        if not told:
            log.warning("all GPUs (%s) are taken; waiting for one.", ", ".join(names))
            told = True
        time.sleep(PAUSE_S)


def _started() -> bool:
    """Whether PyTorch has started CUDA in this process; it then keeps to the GPUs that it saw."""
    torch = sys.modules.get("torch")
    return torch is not None and bool(torch.cuda.is_initialized())


def _emptied() -> None:
    """Give back the memory that PyTorch keeps of a finished job, for the next job may be another process'."""
    if _started():
        import gc

        import torch

        gc.collect()
        torch.cuda.empty_cache()
