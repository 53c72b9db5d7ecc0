import hashlib

from brainexp.cache import digest, file_digest


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
