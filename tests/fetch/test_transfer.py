"""One file: whole and verified, or not there."""

from dataclasses import replace

import pytest

from brainexp.errors import DataError
from brainexp.fetch.stores import RemoteFile
from brainexp.fetch.transfer import CHUNK_BYTES, PARTIAL, DiskFullError, fault, part_path
from brainexp.fetch.web import UnreachableError
from tests.fetch.server import MB, content, fill_disk, get, left, md5, remote

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])


def test_a_file_comes_whole(store, tmp_path):
    file, data = remote(store)

    assert get(file, tmp_path) == len(data)

    assert (tmp_path / "a/big.bin").read_bytes() == data
    assert left(tmp_path) == ["a/big.bin"]


def test_a_cut_connection_is_gone_on_with_where_it_was_cut(store, tmp_path):
    file, data = remote(store)
    store.faults["/bucket/a/big.bin"] = ["cut", "cut"]

    assert get(file, tmp_path) == len(data)

    assert (tmp_path / "a/big.bin").read_bytes() == data
    starts = [int(asked.removeprefix("bytes=").rstrip("-")) for _, asked in store.asked if asked]
    assert len(store.asked) == 3
    first = len(data) // 2 // CHUNK_BYTES * CHUNK_BYTES
    assert starts == [first, first + (len(data) - first) // 2 // CHUNK_BYTES * CHUNK_BYTES]


def test_a_connection_that_always_breaks_leaves_a_part_that_the_next_call_goes_on_with(store, tmp_path):
    file, data = remote(store, data=content(2))
    store.faults["/bucket/a/big.bin"] = ["cut"] * 20

    with pytest.raises(
        UnreachableError,
        match=r"a/big.bin broke off 4 times in a row \(1 of 2 bytes|broke off 4 times in a row \(ChunkedEncodingError",
    ):
        get(file, tmp_path)
    assert not (tmp_path / "a/big.bin").exists()
    (part,) = (tmp_path / "a").iterdir()
    assert part.name.endswith(PARTIAL)
    store.faults.clear()
    get(file, tmp_path)

    assert (tmp_path / "a/big.bin").read_bytes() == data
    assert left(tmp_path) == ["a/big.bin"]


def test_a_server_that_ignores_ranges_sends_all_of_it_anew(store, tmp_path):
    file, data = remote(store)
    store.ranges = False
    store.faults["/bucket/a/big.bin"] = ["cut"]

    assert get(file, tmp_path) == len(data)

    assert (tmp_path / "a/big.bin").read_bytes() == data


@pytest.mark.parametrize("status", [500, 502, 503, 429])
def test_a_busy_server_is_asked_again(store, tmp_path, status):
    file, data = remote(store)
    store.faults["/bucket/a/big.bin"] = [status, status]

    get(file, tmp_path)

    assert (tmp_path / "a/big.bin").read_bytes() == data
    assert len(store.asked) == 3


@pytest.mark.parametrize(
    ("status", "message", "times"),
    [(404, "answers 404: it is not there", 1), (403, "answers 403: it does not let strangers in", 1), (503, "answers 503: the server is in trouble", 4)],
)  # fmt: skip
def test_a_server_that_says_no_is_told_of(store, tmp_path, status, message, times):
    file, _ = remote(store)
    store.faults["/bucket/a/big.bin"] = [status] * 10

    with pytest.raises(DataError, match=message):
        get(file, tmp_path)

    assert len(store.asked) == times
    assert left(tmp_path) == []


def test_a_wrong_digest_is_tried_once_more_and_then_refused(store, tmp_path):
    file, data = remote(store, digest="md5:" + "0" * 32)

    with pytest.raises(DataError, match=f"is not what its store lists: its md5 is {md5(data)[4:]} instead of 000"):
        get(file, tmp_path)

    assert left(tmp_path) == []
    assert len(store.asked) == 2


def test_damage_on_the_way_is_mended_by_coming_again(store, tmp_path):
    file, data = remote(store)
    store.faults["/bucket/a/big.bin"] = [lambda body: b"x" * len(body)]

    assert get(file, tmp_path) == len(data)

    assert (tmp_path / "a/big.bin").read_bytes() == data


def test_a_file_of_another_size_than_listed_is_refused(store, tmp_path):
    file, data = remote(store, digest=None)

    with pytest.raises(DataError, match=f"it has {len(data):,} bytes instead of {len(data) - 1:,}"):
        get(replace(file, size=len(data) - 1), tmp_path)

    assert left(tmp_path) == []


def test_a_damaged_part_is_found_out_and_fetched_anew(store, tmp_path):
    file, data = remote(store)
    part = part_path(file, tmp_path / file.path)
    part.parent.mkdir()
    part.write_bytes(b"?" * 1000)

    get(file, tmp_path)

    assert (tmp_path / "a/big.bin").read_bytes() == data


def test_a_part_of_another_version_is_not_gone_on_with(store, tmp_path):
    file, _ = remote(store)
    newer, data = remote(store, data=content(3 * MB, "newer"))
    part = part_path(file, tmp_path / file.path)
    part.parent.mkdir()
    part.write_bytes(b"?" * 1000)

    get(newer, tmp_path)

    assert (tmp_path / "a/big.bin").read_bytes() == data
    assert [asked for _, asked in store.asked] == [None]


@pytest.mark.parametrize("have", [0, 1000, None])
def test_a_file_whose_size_nobody_tells_comes_whole_too(store, tmp_path, have):
    file, data = remote(store, size=None, digest=None)
    part = part_path(file, tmp_path / file.path)
    part.parent.mkdir()
    part.write_bytes(data[:have])  # all of it when None: a server has nothing beyond its end

    get(file, tmp_path)

    assert (tmp_path / "a/big.bin").read_bytes() == data


def test_an_empty_file_comes_too(store, tmp_path):
    file, _ = remote(store, data=b"")

    get(file, tmp_path)

    assert (tmp_path / "a/big.bin").read_bytes() == b""


def test_a_web_page_may_be_what_was_asked_for(store, tmp_path):
    file, data = remote(store, "index.html", b"<html>hello</html>", size=None, digest=None)

    get(file, tmp_path)

    assert (tmp_path / "index.html").read_bytes() == data


def test_a_login_page_is_no_data(store, tmp_path):
    file, _ = remote(store, data=b"<!DOCTYPE html><html>log in</html>", size=None, digest=None)

    with pytest.raises(DataError, match="it is a web page"):
        get(file, tmp_path)

    assert left(tmp_path) == []


def test_a_full_disk_stops_and_keeps_what_came(store, tmp_path, monkeypatch):
    file, data = remote(store)
    with monkeypatch.context() as patched:
        fill_disk(patched)
        with pytest.raises(DiskFullError, match="no room is left for .*make room and run the same command again"):
            get(file, tmp_path)
    assert part_path(file, tmp_path / file.path).stat().st_size == CHUNK_BYTES

    assert get(file, tmp_path) == len(data) - CHUNK_BYTES

    assert (tmp_path / "a/big.bin").read_bytes() == data
    assert store.asked[-1][1] == f"bytes={CHUNK_BYTES}-"


def test_a_file_that_comes_into_being_meanwhile_is_not_overwritten(store, tmp_path):
    file, _ = remote(store)
    (tmp_path / "a").mkdir()
    (tmp_path / "a/big.bin").write_text("mine")

    with pytest.raises(DataError, match="came into being while it was fetched, and stays as it is"):
        get(file, tmp_path)

    assert (tmp_path / "a/big.bin").read_text() == "mine"


def test_nobody_there_is_told_at_once(tmp_path):
    file = RemoteFile("a", "http://127.0.0.1:9/a", 3)

    with pytest.raises(UnreachableError, match=r"127.0.0.1 cannot be reached \(.*efused"):
        get(file, tmp_path)


@pytest.mark.parametrize("kind", ["md5", "sha1", "sha256", "git"])
def test_digests_of_every_kind_are_verified(tmp_path, kind):
    (tmp_path / "a").write_bytes(b"hello\n")
    known = {
        "md5": "b1946ac92492d2347c6235b4d2611184",
        "sha1": "f572d396fae9206628714fb2ce00f72e94f2258f",
        "sha256": "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03",
        "git": "ce013625030ba8dba906f756967f9e9ca394464a",
    }

    assert fault(tmp_path / "a", RemoteFile("a", "", 6, f"{kind}:{known[kind]}")) is None
    assert fault(tmp_path / "a", RemoteFile("a", "", 6, f"{kind}:{known[kind][::-1]}")).startswith(f"its {kind} is")
