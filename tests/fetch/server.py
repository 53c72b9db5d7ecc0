"""A store on this machine that cuts connections, lies, is busy, forgets or has no room."""

import errno
import hashlib
import threading
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from brainexp.fetch.stores import RemoteFile
from brainexp.fetch.transfer import PARTIAL, fetch_file
from brainexp.fetch.web import Web

WEB = Web(attempts=4, wait_s=0.01, timeout_s=5)
MB = 1 << 20


def content(n_bytes, seed=0):
    return hashlib.shake_128(str(seed).encode()).digest(n_bytes)


def md5(data):
    return f"md5:{hashlib.md5(data).hexdigest()}"


@dataclass
class Store:
    """What the server has, and how it misbehaves: one entry of ``faults`` per request, then none."""

    files: dict = field(default_factory=dict)
    faults: dict = field(default_factory=dict)
    ranges: bool = True
    page: int = 1000
    asked: list = field(default_factory=list)
    forget_token: bool = False
    tags: dict = field(default_factory=dict)
    answers: dict = field(default_factory=dict)
    address: str = ""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        store = self.server.store
        url = urlsplit(self.path)
        path = unquote(url.path)
        store.asked.append((path, self.headers.get("Range")))
        fault = store.faults.get(path, [])
        fault = fault.pop(0) if fault else None
        if isinstance(fault, int):
            return self.answer(fault, b"no", {"Retry-After": "0"})
        if path in store.answers:
            return self.answer(200, store.answers[path])
        if path == "/bucket":
            return self.answer(200, self.listing(parse_qs(url.query)))
        name = path.removeprefix("/bucket/")
        if name not in store.files:
            return self.answer(404, b"<Error>NoSuchKey</Error>")
        return self.file(store.files[name], fault)

    def file(self, data, fault):
        asked, start = self.headers.get("Range"), 0
        if asked and self.server.store.ranges:
            start = int(asked.removeprefix("bytes=").split("-")[0])
            if start >= len(data):
                return self.answer(416, b"")
        body = data[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if fault == "cut":
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            self.close_connection = True
            self.connection.close()
            return None
        self.wfile.write(body if fault is None else fault(body))
        return None

    def answer(self, status, body, headers=None):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)

    def listing(self, query):
        store = self.server.store
        names = sorted(name for name in store.files if name.startswith(query["prefix"][0]))
        start = int(query.get("continuation-token", ["0"])[0])
        page = names[start : start + store.page]
        more = start + store.page < len(names)
        entries = "".join(
            f"<Contents><Key>{name}</Key><Size>{len(store.files[name])}</Size>"
            f"<ETag>&quot;{store.tags.get(name, hashlib.md5(store.files[name]).hexdigest())}&quot;</ETag></Contents>"
            for name in page
        )
        token = f"<NextContinuationToken>{start + store.page}</NextContinuationToken>"
        return (
            '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{'' if store.forget_token or not more else token}{entries}"
            "</ListBucketResult>"
        ).encode()


def remote(store, name="a/big.bin", data=None, **changes):
    data = content(3 * MB + 11) if data is None else data
    store.files[name] = data
    file = RemoteFile(name, f"{store.address}/bucket/{name}", len(data), md5(data))
    return replace(file, **changes), data


def get(file, folder, web=WEB):
    moved = []
    fetch_file(file, folder / file.path, web, web.session(), threading.Event(), moved.append)
    return sum(moved)


def left(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def fill_disk(monkeypatch, after=1):
    """Let files take some chunks, and then no more."""
    real, written = Path.open, []

    def opened(path, mode="r", *args, **options):
        file = real(path, mode, *args, **options)
        if path.name.endswith(PARTIAL) and mode in ("ab", "wb"):
            write = file.write

            class Full:
                def __enter__(self):
                    return self

                def __exit__(self, *error):
                    file.close()

                def write(self, data):
                    if len(written) >= after:
                        raise OSError(errno.ENOSPC, "No space left on device")
                    written.append(len(data))
                    return write(data)

            return Full()
        return file

    monkeypatch.setattr(Path, "open", opened)
