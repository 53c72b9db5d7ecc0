"""One file from a store to the disk: whole and verified, or not there."""

from __future__ import annotations

import errno
import hashlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from brainexp.errors import DataError
from brainexp.fetch.stores import RemoteFile
from brainexp.fetch.web import UnreachableError, Web

if TYPE_CHECKING:
    from requests import Response, Session

#: Written at once; of a connection that breaks at most so much is lost.
CHUNK_BYTES = 1 << 17
#: What a file is called until it is whole: its name, eight digits of what it will be, and this.
PARTIAL = ".brainexp-part"
#: How a page begins that a server sends instead of a file.
WEB_PAGE = (b"<!doctype html", b"<html")


class DiskFullError(DataError):
    """No room is left; what was fetched so far stays."""


class StoppedError(DataError):
    """Somebody else failed, or nobody wants it any more."""


def fetch_file(
    file: RemoteFile,
    target: Path,
    web: Web,
    session: Session,
    stop: threading.Event,
    moved: Callable[[int], object],
) -> None:
    """Download a file, going on where an earlier attempt ended, and verify it.

    Parameters
    ----------
    file : RemoteFile
        What to get.
    target : Path
        Where it shall be; must not be there.
    web : Web
        How to ask.
    session : Session
        Of this thread.
    stop : threading.Event
        Set to give up.
    moved : callable
        Told of bytes as they come, negative ones where they have to come again.

    Raises
    ------
    DataError
        If the server says no, or what comes is not what the store lists, twice. A part of a file stays under a name of its
        own and is gone on with the next time.
    DiskFullError
        If no room is left.
    UnreachableError
        If connections break too often.
    """
    part = part_path(file, target)
    part.parent.mkdir(parents=True, exist_ok=True)
    failures, rejected = 0, 0
    while True:
        before = _size(part)
        try:
            if file.size is None or before != file.size or not part.exists():
                _append(file, part, web, session, stop, moved)
        except _BrokenOffError as broken:
            failures = 1 if _size(part) > before else failures + 1
            if failures >= web.attempts:
                raise UnreachableError(f"{file.url} broke off {failures} times in a row ({broken}).") from None
            stop.wait(web.wait_s * 2 ** (failures - 1))
            continue
        wrong = fault(part, file)
        if wrong is None:
            if target.exists():
                raise DataError(f"{target} came into being while it was fetched, and stays as it is.")
            part.rename(target)
            return
        moved(-_size(part))
        part.unlink()
        rejected += 1
        if rejected == 2:
            raise DataError(f"{file.url} is not what its store lists: {wrong}. Nothing of it was kept.")


def part_path(file: RemoteFile, target: Path) -> Path:
    """Where the beginning of a file waits for its rest; another version of the file has another name."""
    version = hashlib.sha256(f"{file.url} {file.size} {file.digest}".encode()).hexdigest()[:8]
    return target.with_name(f"{target.name}.{version}{PARTIAL}")


def fault(path: Path, file: RemoteFile) -> str | None:
    """What is wrong with a file's content, None if nothing."""
    size = _size(path)
    if file.size is not None and size != file.size:
        return f"it has {size:,} bytes instead of {file.size:,}"
    if file.digest is not None:
        kind, _, expected = file.digest.partition(":")
        found = digest(path, kind)
        return None if found == expected.lower() else f"its {kind} is {found} instead of {expected}"
    with path.open("rb") as content:
        head = content.read(200).lstrip().lower()
    return "it is a web page" if head.startswith(WEB_PAGE) and not file.path.endswith(".html") else None


def digest(path: Path, kind: str) -> str:
    """Hexadecimal digest of a file; "git" is that of a git blob."""
    found = hashlib.sha1(b"blob %d\0" % path.stat().st_size) if kind == "git" else hashlib.new(kind)  # noqa: S324
    with path.open("rb") as content:
        while chunk := content.read(CHUNK_BYTES):
            found.update(chunk)
    return found.hexdigest()


class _BrokenOffError(Exception):
    """A connection that ended too early; what came is kept."""


def _append(
    file: RemoteFile, part: Path, web: Web, session: Session, stop: threading.Event, moved: Callable[[int], object]
) -> None:
    """Ask for what is missing of a part and add it; _BrokenOffError where the connection ends."""
    import requests
    import urllib3

    start = _size(part)
    try:
        headers = {"Range": f"bytes={start}-"} if start else {}
        with web.get(session, file.url, headers=headers, stream=True) as response:
            if start and not _goes_on(response, start):
                moved(-start)  # the server sends all of it, or does not know that much
                start = 0
                if response.status_code != 200:
                    part.unlink()
                    raise _BrokenOffError(f"the server answered {response.status_code} to a part")
            with part.open("ab" if start else "wb") as to:
                for chunk in response.iter_content(CHUNK_BYTES):
                    if stop.is_set():
                        raise StoppedError(f"{file.path} was left off.")
                    to.write(chunk)
                    moved(len(chunk))
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise _BrokenOffError(type(error).__name__) from None
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DiskFullError(
            f"no room is left for {part.parent}. What came stays; make room and run the same command again to go on."
        ) from None
    if file.size is not None and _size(part) < file.size:
        raise _BrokenOffError(f"{_size(part):,} of {file.size:,} bytes came")


def _goes_on(response: Response, start: int) -> bool:
    """Whether an answer is the rest that was asked for."""
    return response.status_code == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {start}-")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
