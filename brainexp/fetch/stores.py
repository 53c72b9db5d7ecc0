"""What public stores hold: addresses, sizes and digests of files."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import quote
from xml.etree import ElementTree

from brainexp.errors import ConfigError, DataError
from brainexp.fetch.web import UnreachableError, Web

#: Longer than any pointer of git-annex.
POINTER_BYTES = 1024
S3_NAMES = {"s3": "http://s3.amazonaws.com/doc/2006-03-01/"}


@dataclass(frozen=True)
class RemoteFile:
    """A file in a store.

    Parameters
    ----------
    path : str
        Where it belongs, below the dataset's folder, with ``/``.
    url : str
        Where it is.
    size : int or None
        Bytes, where the store says so.
    digest : str or None
        Such as "md5:0cc1…", where the store says so: md5, sha1, sha256, sha512 or git (of a blob).
    """

    path: str
    url: str
    size: int | None = None
    digest: str | None = None


class Store(Protocol):
    """A public place with files."""

    @property
    def address(self) -> str:
        """Where people find it."""

    def files(self, web: Web, prefix: str) -> Iterator[RemoteFile]:
        """Every file whose path begins so, in the order of the store; raises DataError if it cannot be listed."""


@dataclass(frozen=True)
class S3:
    """A folder of an Amazon S3 bucket that lets anyone list it, over HTTPS.

    Parameters
    ----------
    bucket : str
        Address of the bucket.
    folder : str
        Of the dataset; paths are relative to it.
    """

    bucket: str
    folder: str

    @property
    def address(self) -> str:
        """Where the files are."""
        return f"{self.bucket}/{self.folder}"

    def files(self, web: Web, prefix: str) -> Iterator[RemoteFile]:
        """List pages of up to 1,000 files (ListObjectsV2)."""
        session, token = web.session(), None
        while True:
            asked = {"list-type": "2", "prefix": f"{self.folder}/{prefix}"} | (
                {"continuation-token": token} if token else {}
            )
            page = self._page(web.get(session, self.bucket, params=asked).content)
            for entry in page.iterfind("s3:Contents", S3_NAMES):
                key = entry.findtext("s3:Key", "", S3_NAMES)
                if key.endswith("/"):  # a folder
                    continue
                yield RemoteFile(
                    path=key.removeprefix(f"{self.folder}/"),
                    url=f"{self.bucket}/{quote(key)}",
                    size=int(entry.findtext("s3:Size", "0", S3_NAMES)),
                    digest=_md5_of_etag(entry.findtext("s3:ETag", "", S3_NAMES)),
                )
            if page.findtext("s3:IsTruncated", "false", S3_NAMES) != "true":
                return
            previous, token = token, page.findtext("s3:NextContinuationToken", None, S3_NAMES)
            if token is None or token == previous:
                raise DataError(f"the list of {self.address} breaks off: a page says that more follow, but not where.")

    def _page(self, content: bytes) -> ElementTree.Element:
        try:
            page = ElementTree.fromstring(content)  # noqa: S314  Amazon's own, and expat limits expansion of entities
        except ElementTree.ParseError as error:
            raise DataError(
                f"{self.bucket} answers with no list of files: {error}. Is there a login page between?"
            ) from None
        if not page.tag.endswith("ListBucketResult"):
            raise DataError(f"{self.bucket} answers with {page.tag!r}, not with a list of files.")
        return page


@dataclass(frozen=True)
class GitAnnex:
    """A repository with git-annex whose server hands out annexed content, as GIN does.

    The repository is cloned without content into a temporary folder: pointers name size and digest of each file.

    Parameters
    ----------
    repository : str
        Address for ``git clone``.
    raw : str
        Address of a file: ``{commit}`` and ``{path}`` stand for its place.
    """

    repository: str
    raw: str

    @property
    def address(self) -> str:
        """Where the repository is."""
        return self.repository

    def files(self, web: Web, prefix: str) -> Iterator[RemoteFile]:
        """List the newest commit."""
        with tempfile.TemporaryDirectory() as folder:
            clone = ("clone", "--quiet", "--bare", "--depth", "1", self.repository, folder)
            self._git(*clone, timeout_s=20 * web.timeout_s)
            commit = self._git("-C", folder, "rev-parse", "HEAD").decode().strip()
            listed = self._git("-C", folder, "ls-tree", "-r", "-z", "--long", "HEAD").decode()
            blobs = [re.split(r"\s+", line, maxsplit=4) for line in listed.split("\0") if line]
            pointers = [blob for mode, _, blob, size, _ in blobs if mode == "120000" or _is_small(size)]
            texts = dict(zip(pointers, self._contents(Path(folder), pointers), strict=True))
        for mode, kind, blob, size, path in blobs:
            if kind != "blob" or not path.startswith(prefix):
                continue
            url = self.raw.format(commit=commit, path=quote(path))
            key = annex_key(texts.get(blob, b""))
            if key is not None:
                yield RemoteFile(path, url, *key)
            elif mode != "120000":
                yield RemoteFile(path, url, int(size), f"git:{blob}")

    def _contents(self, folder: Path, blobs: list[str]) -> Iterator[bytes]:
        told = self._git(
            "-C", str(folder), "cat-file", "--batch", given="\n".join(blobs).encode() + b"\n" if blobs else b""
        )
        at = 0
        for _ in blobs:
            end = told.index(b"\n", at)
            size = int(told[at:end].split()[-1])
            yield told[end + 1 : end + 1 + size]
            at = end + size + 2

    def _git(self, *words: str, timeout_s: float = 60.0, given: bytes = b"") -> bytes:
        quiet = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
        try:
            return subprocess.run(
                ["git", *words], input=given, capture_output=True, check=True, timeout=timeout_s, env=quiet
            ).stdout
        except FileNotFoundError:
            raise ConfigError(f"git is needed to list {self.repository}. Install it, and run again.") from None
        except subprocess.TimeoutExpired:
            raise UnreachableError(f"{self.repository} did not answer within {timeout_s:g} s.") from None
        except subprocess.CalledProcessError as error:
            told = error.stderr.decode(errors="replace").strip().splitlines() or [str(error)]
            reason = next((line for line in told if line.startswith("fatal:")), told[-1])
            raise UnreachableError(f"{self.repository} cannot be read ({reason}).") from None


@dataclass(frozen=True)
class Osf:
    """The storage of a project of the Open Science Framework.

    Parameters
    ----------
    project : str
        Its five characters, such as "crwz7".
    api : str
        Address of the programming interface.
    """

    project: str
    api: str = "https://api.osf.io/v2"

    @property
    def address(self) -> str:
        """Where people find it."""
        return f"https://osf.io/{self.project}"

    def files(self, web: Web, prefix: str) -> Iterator[RemoteFile]:
        """Walk through folders, page by page."""
        session = web.session()
        pages = [f"{self.api}/nodes/{self.project}/files/osfstorage/"]
        while pages:
            try:
                page = web.get(session, pages.pop()).json()
                entries = [(one["attributes"], one) for one in page["data"]]
                following = page["links"].get("next")
            except (ValueError, KeyError, TypeError):
                raise DataError(f"{self.address} answers with no list of files.") from None
            pages += [following] if following else []
            for told, entry in entries:
                path = told["materialized_path"].lstrip("/")
                if told["kind"] == "folder":
                    pages.append(entry["relationships"]["files"]["links"]["related"]["href"])
                elif path.startswith(prefix):
                    hashes = told.get("extra", {}).get("hashes", {})
                    digest = next((f"{name}:{hashes[name]}" for name in ("sha256", "md5") if hashes.get(name)), None)
                    yield RemoteFile(path, entry["links"]["download"], told.get("size"), digest)


@dataclass(frozen=True)
class Files:
    """Files at addresses of their own.

    Parameters
    ----------
    address : str
        Where people find them.
    held : tuple of RemoteFile
        All of them.
    """

    address: str
    held: tuple[RemoteFile, ...]

    def files(self, web: Web, prefix: str) -> Iterator[RemoteFile]:
        """Return what is declared."""
        return (file for file in self.held if file.path.startswith(prefix))


def annex_key(pointer: bytes) -> tuple[int | None, str | None] | None:
    """Size and digest that a pointer of git-annex names; None if it is no pointer.

    >>> annex_key(b"../.git/annex/objects/Xx/9k/MD5E-s343139091--f3be3fad1b5a501cc1ceccf685d6939d.hdf")
    (343139091, 'md5:f3be3fad1b5a501cc1ceccf685d6939d')
    >>> annex_key(b"A text.")
    """
    if b"annex/objects/" not in pointer[:POINTER_BYTES]:
        return None
    found = re.search(
        rb"/(?P<kind>[A-Z0-9]+)(?:-s(?P<size>\d+))?[^/\s]*?--(?P<hash>[^/\s]+)\s*$", pointer[:POINTER_BYTES]
    )
    if found is None:
        return None, None
    size = None if found["size"] is None else int(found["size"])
    kind = found["kind"].decode().lower().removesuffix("e")
    value = found["hash"].decode().split(".")[0]
    return size, f"{kind}:{value}" if kind in ("md5", "sha1", "sha256", "sha512") else None


def _md5_of_etag(etag: str) -> str | None:
    """MD5 of a file that was uploaded in one part; of others the tag is no digest of the file."""
    value = etag.strip('"')
    return f"md5:{value}" if re.fullmatch(r"[0-9a-f]{32}", value) else None


def _is_small(size: str) -> bool:
    return size.isdigit() and int(size) <= POINTER_BYTES
