"""Fetching against a store on this machine that cuts connections, lies, is busy, forgets or has no room."""

import errno
import hashlib
import json
import subprocess
import threading
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from brainexp.errors import ConfigError, DataError
from brainexp.fetch import __main__ as command
from brainexp.fetch.ledger import LEDGER, Ledger
from brainexp.fetch.plan import carried_out, inside, planned
from brainexp.fetch.sources import SOURCES, Part, Source, chosen_subjects, listed, patterns
from brainexp.fetch.stores import S3, Files, GitAnnex, Osf, RemoteFile, annex_key
from brainexp.fetch.transfer import CHUNK_BYTES, PARTIAL, DiskFullError, fault, fetch_file, part_path
from brainexp.fetch.web import UnreachableError, Web

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

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


# One file


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


def test_a_login_page_is_no_data(store, tmp_path):
    file, _ = remote(store, data=b"<!DOCTYPE html><html>log in</html>", size=None, digest=None)

    with pytest.raises(DataError, match="it is a web page"):
        get(file, tmp_path)

    assert left(tmp_path) == []


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


# Lists


def test_a_list_goes_on_over_all_its_pages(store, bucket):
    store.page = 2

    found = list(bucket.files(WEB, "derivatives/"))

    assert [file.path for file in found] == [
        name.removeprefix("ds/") for name in sorted(store.files) if "deriv" in name
    ]
    assert len([path for path, _ in store.asked if path == "/bucket"]) == 3
    assert found[0].size == len(store.files["ds/" + found[0].path])
    assert all(file.digest == md5(store.files["ds/" + file.path]) for file in found)


def test_a_list_that_breaks_off_is_no_list(store, bucket):
    store.page, store.forget_token = 2, True

    with pytest.raises(DataError, match="breaks off: a page says that more follow, but not where"):
        list(bucket.files(WEB, "derivatives/"))


def test_the_tag_of_a_file_uploaded_in_parts_is_no_digest(store, bucket):
    store.tags["ds/raw/S01/scan.nii"] = "0123456789abcdef0123456789abcdef-2"

    (file,) = bucket.files(WEB, "raw/")

    assert file.digest is None
    assert file.size == 100


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"<html>log in", "answers with no list of files"),
        (b"<Error><Code>No</Code></Error>", "answers with 'Error', not with"),
    ],
)
def test_what_is_no_list_is_refused(store, bucket, answer, message):
    store.answers["/bucket"] = answer

    with pytest.raises(DataError, match=message):
        list(bucket.files(WEB, ""))


def test_names_with_spaces_and_signs_are_asked_for_as_they_are(store, bucket, tmp_path):
    store.files["ds/odd/a b+c#1.txt"] = b"odd"

    (file,) = bucket.files(WEB, "odd/")
    get(file, tmp_path)

    assert (tmp_path / "odd/a b+c#1.txt").read_bytes() == b"odd"


def test_osf_is_walked_through_folders_and_pages(store, tmp_path):
    def entry(path, kind="file", **more):
        return {"attributes": {"kind": kind, "materialized_path": path, "size": 3, **more}, "links": {"download": f"{store.address}/bucket/x"}}  # fmt: skip

    api = f"{store.address}/v2"
    top = "/v2/nodes/abcde/files/osfstorage/"
    folder = entry("/stimuli/", "folder") | {
        "relationships": {"files": {"links": {"related": {"href": f"{api}/inner"}}}}
    }
    hashes = {"extra": {"hashes": {"md5": "m" * 32, "sha256": "s" * 64}}}
    store.answers[top] = json.dumps(
        {"data": [folder, entry("/a.zip", **hashes)], "links": {"next": f"{api}/more"}}
    ).encode()
    store.answers["/v2/more"] = json.dumps({"data": [entry("/b.zip")], "links": {"next": None}}).encode()
    store.answers["/v2/inner"] = json.dumps({"data": [entry("/stimuli/c.txt")], "links": {}}).encode()

    found = {file.path: file for file in Osf("abcde", api).files(WEB, "")}

    assert found.keys() == {"a.zip", "b.zip", "stimuli/c.txt"}
    assert found["a.zip"].digest == "sha256:" + "s" * 64
    assert found["a.zip"].url == f"{store.address}/bucket/x"
    assert [file.path for file in Osf("abcde", api).files(WEB, "stimuli/")] == ["stimuli/c.txt"]
    store.answers[top] = b"{}"
    with pytest.raises(DataError, match="https://osf.io/abcde answers with no list of files"):
        list(Osf("abcde", api).files(WEB, ""))


@pytest.fixture
def repository(tmp_path):
    """A repository with a text, a link to an annexed file and an unlocked pointer."""
    folder = tmp_path / "repository"
    folder.mkdir()

    def git(*words):
        who = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "init.defaultBranch=master")
        return subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True, text=True).stdout

    git("init")
    (folder / "README.md").write_text("hello\n")
    (folder / "responses").mkdir()
    key = "MD5-s3145728--f3be3fad1b5a501cc1ceccf685d6939d"
    (folder / "responses" / "subject01_listening fmri.hdf").symlink_to(f"../.git/annex/objects/Xx/9k/{key}/{key}")
    (folder / "unlocked.npz").write_text(f"/annex/objects/SHA256E-s12--{'a' * 64}.npz\n")
    (folder / "large.txt").write_text("x" * 5000)
    git("add", ".")
    git("commit", "-m", "all")
    return GitAnnex(folder.as_uri(), "https://gin.example/raw/{commit}/{path}"), git("rev-parse", "HEAD").strip()


def test_pointers_of_git_annex_tell_size_and_digest(repository):
    annexed, commit = repository

    found = {file.path: file for file in annexed.files(WEB, "")}

    assert found["responses/subject01_listening fmri.hdf"] == RemoteFile(
        "responses/subject01_listening fmri.hdf",
        f"https://gin.example/raw/{commit}/responses/subject01_listening%20fmri.hdf",
        3145728,
        "md5:f3be3fad1b5a501cc1ceccf685d6939d",
    )
    assert (found["unlocked.npz"].size, found["unlocked.npz"].digest) == (12, f"sha256:{'a' * 64}")
    assert (found["README.md"].size, found["README.md"].digest) == (6, "git:ce013625030ba8dba906f756967f9e9ca394464a")
    assert found["large.txt"].size == 5000
    assert len(list(annexed.files(WEB, "responses/"))) == 1


def test_a_repository_that_is_not_there_and_a_missing_git_are_told(tmp_path, monkeypatch):
    gone = GitAnnex((tmp_path / "gone").as_uri(), "")

    with pytest.raises(UnreachableError, match="gone cannot be read .fatal: "):
        list(gone.files(WEB, ""))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="git is needed to list .*gone. Install it"):
        list(gone.files(WEB, ""))


@pytest.mark.parametrize(
    ("pointer", "told"),
    [
        (b"/annex/objects/SHA1-s3--abc\n", (3, "sha1:abc")),
        (b"/annex/objects/MD5E-s3-S1000-C1--abc.nii.gz", (3, "md5:abc")),
        (b"/annex/objects/URL-s5--http&c%%x", (5, None)),
        (b"/annex/objects/WORM--name", (None, None)),
        (b"annex is a word", None),
    ],
)
def test_keys_of_every_backend_are_read(pointer, told):
    assert annex_key(pointer) == told


# What is chosen


def paths(files):
    return [file.path for file in files]


def test_subjects_and_stories_are_chosen(toy):
    files, empty = listed(toy, ("responses", "transcripts"), ("S02",), ("fox",), WEB)

    assert paths(files) == ["derivatives/resp/S02/fox.hf5", "derivatives/grids/fox.TextGrid"]
    assert empty == ()


def test_only_what_is_needed_is_listed(store, toy):
    listed(toy, ("responses",), ("S01", "S02"), ("*",), WEB)

    assert len(store.asked) == 2  # a request per subject


def test_older_releases_with_another_folder_are_found(store, toy):
    store.files = {name.replace("derivatives", "derivative"): data for name, data in store.files.items()}

    files, _ = listed(toy, ("transcripts",), ("*",), ("*",), WEB)

    assert paths(files) == ["derivative/grids/crow.TextGrid", "derivative/grids/fox.TextGrid"]


def test_what_the_store_does_not_have_is_told(toy):
    assert listed(toy, ("transcripts", "extra"), ("*",), ("*",), WEB)[1] == ("extra",)
    with pytest.raises(DataError, match="the store has no file of story hen. Leave it out"):
        listed(toy, ("responses",), ("S01",), ("crow", "hen"), WEB)
    with pytest.raises(DataError, match="the store has no file of subject S03"):
        listed(toy, ("responses",), ("S01", "S03"), ("*",), WEB)
    with pytest.raises(DataError, match=r"holds nothing of what was asked for, such as extra/\*. Check subjects"):
        listed(toy, ("extra",), ("*",), ("*",), WEB)


@pytest.mark.parametrize(
    ("asked", "name", "chosen"),
    [
        ([1, 2, 3], "lebel2023", ("UTS01", "UTS02", "UTS03")),
        ("UTS08", "lebel2023", ("UTS08",)),
        (7, "deniz2019", ("07",)),
        ("sub-254", "narratives", ("254",)),
        (["EN057", "sub-CN001"], "little_prince", ("EN057", "CN001")),
        ("all", "lebel2023", ("*",)),
        ("all", "tuckute2024", ("*",)),
    ],
)
def test_subjects_may_be_given_by_number_or_name(asked, name, chosen):
    assert chosen_subjects(asked, name, SOURCES[name]) == chosen


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["dataset=lebel"], "no source of dataset 'lebel' is known. Did you mean 'lebel2023'?"),
        (["dataset=lebel2023", "what=[response]"], "lebel2023 has no part 'response'. Did you mean 'responses'?"),
        (["dataset=lebel2023", "subjects=[9]"], "unknown subject '9' of lebel2023. Known: UTS01, UTS02"),
        (["dataset=lebel2023", "workers=100"], "workers must lie in 1..16: stores serve everyone; got 100"),
        (["dataset=tuckute2024", "subjects=[1]"], "tuckute2024 has no files by subject. Leave out subjects="),
        (["dataset=tuckute2024", "stories=[a]"], "tuckute2024 has no files by story. Leave out stories="),
        (["subjects=[1]"], "fetch: dataset is missing. Give it, such as dataset=..."),
        (["dataset=lebel2023", "subject=[1]"], "unknown option of fetch: 'subject'. Did you mean 'subjects'?"),
        (["lebel2023"], "'lebel2023' is no option. Give options as name=value, such as dataset=lebel2023"),
    ],
)
def test_requests_that_cannot_be_are_refused_in_words(words, message, capsys):
    assert command.main(words, WEB) == 1
    assert f"brainexp.fetch: {message}" in capsys.readouterr().out


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_declares_whose_it_is_and_what_it_takes(name):
    source = SOURCES[name]

    assert source.licence
    assert source.takes.startswith("about")
    assert set(source.usual) <= source.parts.keys()
    for part in source.parts.values():
        assert part.store.address.startswith("https://")
        for pattern in patterns(part, part.folders[0], ("S",), ("s",)):
            assert "{" not in pattern
            assert not isinstance(part.store, S3) or pattern.split("*")[0]  # no listing of a whole dataset


def test_declared_files_match_their_patterns():
    for name, source in SOURCES.items():
        for part_name, part in source.parts.items():
            if isinstance(part.store, Files):
                files, _ = listed(source, (part_name,), ("*",), ("*",), WEB)
                assert paths(files) == paths(part.store.held), (name, part_name)


# The command


def test_a_dataset_comes_with_subjects_of_ones_choice(run, tmp_path, store):
    code, told = run("subjects=[1]")

    assert code == 0
    assert left(tmp_path / "toy") == [
        LEDGER,
        ".brainexp-fetch.lock",
        "derivatives/grids/crow.TextGrid",
        "derivatives/grids/fox.TextGrid",
        "derivatives/resp/S01/crow.hf5",
        "derivatives/resp/S01/fox.hf5",
    ]
    for path in (tmp_path / "toy" / "derivatives").rglob("*.*"):
        name = f"ds/{path.relative_to(tmp_path / 'toy').as_posix()}"
        assert path.read_bytes() == store.files[name]
    assert "4 files, 6.3 MB" in told
    assert "free on the disk" in told
    assert "4 files came, 0 were there, 0 failed" in told
    assert "Have fun." in told


def test_what_is_there_does_not_come_again(run, store):
    run("subjects=[1]")
    store.asked.clear()

    code, told = run("subjects=all")

    assert code == 0
    assert "2 files came, 4 were there, 0 failed" in told
    assert [path for path, _ in store.asked if path != "/bucket"] and all("S01" not in path for path, _ in store.asked)  # noqa: PT018


def test_a_dry_run_lists_and_writes_nothing(run, tmp_path, store):
    code, told = run("--dry-run", "subjects=[2]", "stories=[crow]")

    assert code == 0
    assert "get       3.1 MB  derivatives/resp/S02/crow.hf5" in told
    assert "2 files, 3.1 MB" in told
    assert not (tmp_path / "toy").exists()
    assert {path for path, _ in store.asked} == {"/bucket"}


def test_without_a_network_it_says_what_it_would_do(run, toy, monkeypatch, tmp_path):
    nowhere = S3("http://127.0.0.1:9/bucket", "ds")
    parts = {name: replace(part, store=nowhere) for name, part in toy.parts.items()}
    monkeypatch.setitem(SOURCES, "toy", replace(toy, parts=parts))

    code, told = run("subjects=[1]")
    dry_code, dry = run("subjects=[1]", "--dry-run")

    assert (code, dry_code) == (1, 0)
    for words in (told, dry):
        assert "127.0.0.1 cannot be reached" in words
        assert f"With a network it would list and fetch into {tmp_path / 'toy'}" in words
        assert "responses: derivatives/resp/S01/*.hf5  at http://127.0.0.1:9/bucket/ds" in words
        assert "That takes 12 MB" in words


def test_files_of_others_are_never_touched(run, tmp_path, store):
    """One is what the store has, and is taken as it is; the other is not, and stands in the way of all."""
    folder = tmp_path / "toy" / "derivatives" / "grids"
    folder.mkdir(parents=True)
    (folder / "crow.TextGrid").write_bytes(b"crow")
    (folder / "fox.TextGrid").write_bytes(b"my own notes")

    code, told = run("what=[transcripts]")

    assert code == 1
    assert "1 files in" in told
    assert "fox.TextGrid (not written by brainexp.fetch: it has 12 bytes instead of 3)" in told
    assert (folder / "fox.TextGrid").read_bytes() == b"my own notes"
    (folder / "fox.TextGrid").unlink()
    assert "1 files came, 1 were there" in run("what=[transcripts]")[1]
    assert list(Ledger(tmp_path / "toy").entries()) == ["derivatives/grids/fox.TextGrid"]


def test_a_fetched_file_that_was_changed_since_is_left_alone(run, tmp_path):
    run("what=[transcripts]")
    path = tmp_path / "toy" / "derivatives" / "grids" / "fox.TextGrid"
    path.write_bytes(b"corrected")

    code, told = run("what=[transcripts]")

    assert code == 1
    assert "not written by brainexp.fetch: it has 9 bytes instead of 3" in told
    assert path.read_bytes() == b"corrected"


def test_another_version_in_the_store_is_told_and_not_mixed_in(run, tmp_path, store):
    run("what=[transcripts]")
    store.files["ds/derivatives/grids/fox.TextGrid"] = b"Fox"

    code, told = run("what=[transcripts]")

    assert code == 1
    assert "fetched before, but the store has another version: its md5 is" in told
    assert (tmp_path / "toy" / "derivatives" / "grids" / "fox.TextGrid").read_bytes() == b"fox"


def test_a_file_that_fails_does_not_keep_the_others(run, tmp_path, store):
    store.faults["/bucket/ds/derivatives/grids/crow.TextGrid"] = [404]

    code, told = run("what=[transcripts]")

    assert code == 1
    assert "failed  derivatives/grids/crow.TextGrid: http" in told
    assert "answers 404" in told
    assert "1 files came, 0 were there, 1 failed" in told
    assert run("what=[transcripts]")[0] == 0


def test_a_store_that_falls_silent_leaves_what_came(run, tmp_path, store):
    for path in store.files:
        if "S02" in path:
            store.faults[f"/bucket/{path}"] = ["cut"] * 50
    store.files = {path: data[:10] if "S02" in path else data for path, data in store.files.items()}

    code, told = run("what=[responses]", "workers=1")

    assert code == 1
    assert "broke off 4 times in a row" in told
    assert "What came stays; run the same command again to go on" in told
    assert "derivatives/resp/S01/fox.hf5" in left(tmp_path / "toy")
    store.faults.clear()
    assert "2 files came, 2 were there" in run("what=[responses]")[1]


def test_a_full_disk_stops_everything_and_the_next_call_goes_on(run, tmp_path, store):
    with pytest.MonkeyPatch.context() as patched:
        fill_disk(patched, after=40)
        code, told = run("workers=2")
    assert code == 1
    assert "no room is left" in told
    whole = [path for path in left(tmp_path / "toy") if path.endswith(("hf5", "TextGrid"))]
    assert len(whole) < 6
    for path in whole:
        assert (tmp_path / "toy" / path).read_bytes() == store.files[f"ds/{path}"]

    code, _ = run()

    assert code == 0
    assert not [path for path in left(tmp_path / "toy") if path.endswith(PARTIAL)]
    assert len([path for path in left(tmp_path / "toy") if path.endswith(("hf5", "TextGrid"))]) == 6


def test_too_small_a_disk_is_known_before(run, tmp_path, monkeypatch):
    monkeypatch.setattr("brainexp.fetch.plan.disk_free", lambda _: 10_000)

    code, told = run()

    assert code == 1
    assert "12.6 MB have to come, but 10.0 kB are free" in told
    assert not (tmp_path / "toy").exists()


def test_a_second_fetch_into_the_same_folder_waits_for_nobody(bucket, tmp_path):
    from filelock import FileLock

    plan = planned(list(bucket.files(WEB, "raw/")), tmp_path)

    with FileLock(tmp_path / ".brainexp-fetch.lock"), pytest.raises(ConfigError, match="another fetch is at work in"):
        carried_out(plan, WEB, 2, lambda _: None)


def test_an_interrupt_keeps_what_came(bucket, tmp_path, store):
    plan = planned(list(bucket.files(WEB, "derivatives/resp/")), tmp_path)
    all_bytes = plan.n_bytes
    came = []

    def interrupt(n_bytes):
        came.append(n_bytes)
        if len(came) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        carried_out(plan, WEB, 1, interrupt)

    assert [path for path in left(tmp_path) if path.endswith(PARTIAL)]
    assert planned(list(bucket.files(WEB, "derivatives/resp/")), tmp_path).n_bytes < all_bytes


def test_a_ledger_whose_last_line_was_cut_off_is_read_as_far_as_it_goes(run, tmp_path):
    run("what=[transcripts]")
    ledger = tmp_path / "toy" / LEDGER
    ledger.write_text(ledger.read_text() + '{"path": "derivatives/x", "si')

    assert len(Ledger(tmp_path / "toy").entries()) == 2
    assert "0 files came, 2 were there" in run("what=[transcripts]")[1]


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "a/../../b", "", "a\\..\\b", "C:/b"])
def test_a_store_cannot_write_outside_of_the_folder(tmp_path, path):
    with pytest.raises(DataError, match="would lie outside of"):
        inside(tmp_path, path)


def test_a_link_that_leads_outside_is_not_followed(tmp_path):
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "link").symlink_to(tmp_path)

    with pytest.raises(DataError, match="would lie outside of"):
        inside(tmp_path / "toy", "link/a")


def test_without_options_all_datasets_are_shown(capsys):
    assert command.main([]) == 0

    told = capsys.readouterr().out
    assert all(name in told for name in SOURCES)
