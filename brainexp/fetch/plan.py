"""What there is to fetch: the store's list against the folder, and nothing of others touched."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from brainexp.cache import disk_free, readable_bytes
from brainexp.errors import ConfigError, DataError
from brainexp.fetch.ledger import Ledger
from brainexp.fetch.stores import RemoteFile
from brainexp.fetch.transfer import DiskFullError, StoppedError, fault, fetch_file, part_path
from brainexp.fetch.web import UnreachableError, Web

#: How many files a message names.
MANY = 5


@dataclass(frozen=True)
class Plan:
    """What a fetch will do.

    Parameters
    ----------
    folder : Path
        Of the dataset.
    missing : tuple of RemoteFile
        What has to come.
    there : tuple of RemoteFile
        What is there already, fetched before or put there by somebody, as the store has it.
    conflicts : tuple of str
        Files that are there but otherwise, in words; they are not touched.
    """

    folder: Path
    missing: tuple[RemoteFile, ...]
    there: tuple[RemoteFile, ...]
    conflicts: tuple[str, ...]

    @property
    def n_bytes(self) -> int:
        """Bytes that have to come, but for files whose size the store does not tell."""
        return sum((file.size or 0) - self._begun(file) for file in self.missing)

    @property
    def n_unknown(self) -> int:
        """Files that have to come whose size the store does not tell."""
        return sum(file.size is None for file in self.missing)

    def _begun(self, file: RemoteFile) -> int:
        part = part_path(file, self.folder / file.path)
        return min(part.stat().st_size, file.size or 0) if part.exists() else 0

    def require_possible(self) -> None:
        """Refuse what would touch files of others or does not fit.

        Raises
        ------
        DataError
            If there are conflicts.
        ConfigError
            If the disk is too small.
        """
        if self.conflicts:
            more = f"\n  and {len(self.conflicts) - MANY} more" if len(self.conflicts) > MANY else ""
            raise DataError(
                f"{len(self.conflicts)} files in {self.folder} are in the way, and are never overwritten:\n  "
                + "\n  ".join(self.conflicts[:MANY])
                + f"{more}\nMove them away, or give another folder: root=FOLDER"
            )
        free = disk_free(self.folder)
        if self.n_bytes > free:
            raise ConfigError(
                f"{readable_bytes(self.n_bytes)} have to come, but {readable_bytes(free)} are free at {self.folder}. Give "
                "root= on a larger disk, or fewer subjects, stories or parts (what=)."
            )


def planned(files: Sequence[RemoteFile], folder: Path) -> Plan:
    """Compare what a store lists with what is there; files that the ledger does not vouch for are read.

    Raises
    ------
    DataError
        If the store names a place outside of the folder.
    """
    entries = Ledger(folder).entries()
    missing, there, conflicts = [], [], []
    for file in files:
        target = inside(folder, file.path)
        if not target.exists():
            missing.append(file)
            continue
        state, entry = target.stat(), entries.get(file.path)
        ours = entry is not None and (entry.size, entry.mtime_ns) == (state.st_size, state.st_mtime_ns)
        if ours and entry is not None and (entry.digest, entry.url) == (file.digest, file.url):
            there.append(file)
            continue
        wrong = fault(target, file) if target.is_file() else "it is no file"
        if wrong is None:
            there.append(file)
        else:
            whose = "fetched before, but the store has another version" if ours else "not written by brainexp.fetch"
            conflicts.append(f"{file.path} ({whose}: {wrong})")
    return Plan(folder, tuple(missing), tuple(there), tuple(conflicts))


def inside(folder: Path, path: str) -> Path:
    """Place of a store's file below the folder; raises DataError if it would lie elsewhere."""
    parts = PurePosixPath(path).parts
    target = folder.joinpath(*parts)
    unsafe = not parts or ".." in parts or path.startswith("/") or any("\\" in part or ":" in part for part in parts)
    if unsafe or not target.resolve().is_relative_to(folder.resolve()):
        raise DataError(f"the store names a file {path!r}, which would lie outside of {folder}. Nothing was fetched.")
    return target


def carried_out(plan: Plan, web: Web, workers: int, moved: Callable[[int], object]) -> dict[str, str]:
    """Fetch what is missing, some files at once.

    Parameters
    ----------
    plan : Plan
        What to do.
    web : Web
        How to ask.
    workers : int
        Files at once.
    moved : callable
        Told of bytes as they come.

    Returns
    -------
    dict of str to str
        Files that could not be fetched, and why; the others are there.

    Raises
    ------
    ConfigError
        If another fetch works in the folder.
    DiskFullError
        If no room is left; all stop.
    UnreachableError
        If the store no longer answers; all stop.
    """
    from filelock import FileLock, Timeout

    plan.folder.mkdir(parents=True, exist_ok=True)
    ledger, stop, failed = Ledger(plan.folder), threading.Event(), {}
    own = threading.local()  # a session keeps its connection for the next file, but serves one thread

    def one(file: RemoteFile) -> None:
        try:
            if not stop.is_set():
                own.session = getattr(own, "session", None) or web.session()
                fetch_file(file, plan.folder / file.path, web, own.session, stop, moved)
                ledger.add(file)
        except (DiskFullError, UnreachableError):
            stop.set()
            raise
        except StoppedError:
            pass
        except DataError as error:
            failed[file.path] = str(error)

    try:
        with FileLock(plan.folder / ".brainexp-fetch.lock", timeout=0), ThreadPoolExecutor(workers) as pool:
            try:
                jobs = [pool.submit(one, file) for file in plan.missing]
                done, _ = wait(jobs, return_when=FIRST_EXCEPTION)
                for job in done:
                    job.result()
            finally:  # an interrupt too: begun files stop at their next chunk
                stop.set()
                pool.shutdown(cancel_futures=True)
    except Timeout:
        raise ConfigError(f"another fetch is at work in {plan.folder}. Wait for it, or give another root=.") from None
    return failed
