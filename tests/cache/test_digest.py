import hashlib
import os
import sys

from brainexp.cache import digest, file_digest, source_digest


def test_digest_does_not_depend_on_the_order_of_keys_and_does_on_values():
    first = digest({"a": 1, "b": {"c": [1, 2], "d": None}})

    assert digest({"b": {"d": None, "c": [1, 2]}, "a": 1}) == first
    assert digest({"b": {"d": None, "c": [2, 1]}, "a": 1}) != first
    assert digest({"b": {"d": 0, "c": [1, 2]}, "a": 1}) != first


def test_digest_is_the_sha256_of_the_sorted_json():
    assert digest({"b": "ü", "a": 1}) == hashlib.sha256('{"a": 1, "b": "ü"}'.encode()).hexdigest()


def test_file_digest_is_the_sha256_of_the_content(tmp_path):
    file = tmp_path / "some.bin"
    file.write_bytes(b"abc" * 1000)

    assert file_digest(file) == hashlib.sha256(b"abc" * 1000).hexdigest()


def test_a_source_is_read_once_and_again_when_it_changed(tmp_path, monkeypatch):
    file = tmp_path / "weights.bin"
    file.write_bytes(b"abc")
    first = source_digest(file)
    read = []
    monkeypatch.setattr(
        sys.modules["brainexp.cache.digest"], "file_digest", lambda path: read.append(path) or file_digest(path)
    )

    assert source_digest(file) == first == file_digest(file)
    assert read == []
    file.write_bytes(b"abd")
    os.utime(file, ns=(0, 1))  # even where the clock of the disk is coarse
    assert source_digest(file) == file_digest(file) != first
    assert read == [file]
