"""Lists of what stores hold."""

import json
import subprocess

import pytest

from brainexp.errors import ConfigError, DataError
from brainexp.fetch.stores import GitAnnex, Osf, RemoteFile, annex_key
from brainexp.fetch.web import UnreachableError
from tests.fetch.server import WEB, get, md5

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])


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
