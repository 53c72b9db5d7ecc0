"""One job at a time makes an entry, under a temporary name; a kill leaves no half of one."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

log = logging.getLogger(__name__)

#: Folders that are being filled; a killed job leaves one, which the next job of the same entry removes.
UNFINISHED = ".unfinished-"


@contextmanager
def alone(folder: Path, what: str) -> Iterator[None]:
    """Hold the lock of an entry, and remove what a killed holder has left of it.

    Parameters
    ----------
    folder : Path
        The entry, which need not be there.
    what : str
        What is made, for those who wait, such as "features of story 'tea'".
    """
    with held(lock_file(folder), what) as is_held:
        if is_held:
            for killed in folder.parent.glob(f"{UNFINISHED}{folder.name}-*"):
                shutil.rmtree(killed, ignore_errors=True)
        yield


@contextmanager
def held(file: Path, what: str) -> Iterator[bool]:
    """Hold a lock, which is the operating system's and ends with its holder; wait for another holder.

    Parameters
    ----------
    file : Path
        The lock's file, which need not be there and stays.
    what : str
        What is done meanwhile, for those who wait.

    Yields
    ------
    bool
        False where the file system knows no locks.
    """
    from filelock import FileLock, Timeout

    file.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(file, mode=0o666)  # for all who may write the folder
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.warning("another job computes %s; waiting for it.", what)
        lock.acquire(poll_interval=0.2)
    except OSError as error:  # some network file systems have none
        log.warning("%s knows no locks (%s), so jobs that start together compute %s twice.", file.parent, error, what)
    try:
        yield lock.is_locked
    finally:
        lock.release()


@contextmanager
def under_way(folder: Path) -> Iterator[Path]:
    """Give a new folder beside an entry, to be filled and renamed; what is not renamed is removed."""
    temporary = folder.parent / f"{UNFINISHED}{folder.name}-{uuid4().hex}"  # not mkdtemp: others must read it
    temporary.mkdir()
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def lock_file(folder: Path) -> Path:
    """Where the job that computes an entry holds its lock; it stays, for a waiting job may have it open."""
    return folder.parent / f".{folder.name}.lock"


def remove(folder: Path) -> None:
    """Remove an entry such that no other job ever sees a part of it."""
    doomed = folder.parent / f"{UNFINISHED}{folder.name}-{uuid4().hex}"
    with suppress(FileNotFoundError):  # another job was faster
        folder.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)
