"""The faulty store, what it holds, and the command on it."""

import threading
from http.server import ThreadingHTTPServer

import pytest

from brainexp.fetch import __main__ as command
from brainexp.fetch.sources import SOURCES, Part, Source
from brainexp.fetch.stores import S3
from tests.fetch.server import MB, WEB, Handler, Store, content


@pytest.fixture
def store():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # clients hang up, as they shall
    server.store = Store(address=f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server.store
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def bucket(store):
    """Two subjects with two stories each, and what goes with them."""
    for subject in ("S01", "S02"):
        for story in ("crow", "fox"):
            store.files[f"ds/derivatives/resp/{subject}/{story}.hf5"] = content(3 * MB + 7, f"{subject}{story}")
    store.files["ds/derivatives/grids/crow.TextGrid"] = b"crow"
    store.files["ds/derivatives/grids/fox.TextGrid"] = b"fox"
    store.files["ds/raw/S01/scan.nii"] = content(100)
    return S3(f"{store.address}/bucket", "ds")


@pytest.fixture
def toy(bucket, monkeypatch):
    source = Source(
        parts={
            "responses": Part(bucket, ("resp/{subject}/{story}.hf5",), ("derivatives/", "derivative/")),
            "transcripts": Part(bucket, ("grids/{story}.TextGrid",), ("derivatives/", "derivative/")),
            "raw": Part(bucket, ("raw/{subject}/*",)),
            "extra": Part(bucket, ("extra/*",)),
        },
        usual=("responses", "transcripts"),
        subjects=("S01", "S02"),
        licence="CC0",
        doi="10.0/toy",
        takes="12 MB",
        note="Have fun.",
    )
    monkeypatch.setitem(SOURCES, "toy", source)
    return source


@pytest.fixture
def run(toy, tmp_path, capsys):
    """Call the command on the toy dataset; returns exit code and what it said."""

    def call(*words, web=WEB):
        code = command.main(["dataset=toy", f"root={tmp_path / 'toy'}", *words], web)
        return code, capsys.readouterr().out

    return call
