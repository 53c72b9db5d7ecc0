import hashlib
import json
import logging
from pathlib import Path

import numpy as np
import pytest

from brainexp.cache import ArrayCache, default_cache_dir, digest, file_digest

KEY = {"model": {"path": "x", "layers": [1, 2]}, "story": "fable"}
SHAPE = (3, 4)


def fill(values: np.ndarray) -> dict[str, float]:
    values[:] = np.arange(values.size).reshape(values.shape)
    return {"words_per_s": 12.5, "n_tokens": 40.0}


@pytest.fixture
def cache(tmp_path) -> ArrayCache:
    return ArrayCache(tmp_path / "cache")


def files_in(cache: ArrayCache) -> set[str]:
    return {path.name for path in cache.root.rglob("*") if path.is_file()}


def truncate_values(folder: Path) -> None:
    content = (folder / "values.npy").read_bytes()
    (folder / "values.npy").write_bytes(content[:-7])


def empty_values(folder: Path) -> None:
    (folder / "values.npy").write_bytes(b"")


def corrupt_a_byte(folder: Path) -> None:
    content = bytearray((folder / "values.npy").read_bytes())
    content[-3] ^= 0xFF
    (folder / "values.npy").write_bytes(content)


def remove_values(folder: Path) -> None:
    (folder / "values.npy").unlink()


def remove_entry(folder: Path) -> None:
    (folder / "entry.json").unlink()


def write_invalid_json(folder: Path) -> None:
    text = (folder / "entry.json").read_text()
    (folder / "entry.json").write_text(text[: len(text) // 2])


def write_bytes_that_are_no_text(folder: Path) -> None:
    (folder / "entry.json").write_bytes(b"\xff\xfe\x00{")


def write_json_of_another_kind(folder: Path) -> None:
    (folder / "entry.json").write_text("[]")


def remove_facts(folder: Path) -> None:
    entry = json.loads((folder / "entry.json").read_text())
    del entry["facts"]
    (folder / "entry.json").write_text(json.dumps(entry))


def remove_digest(folder: Path) -> None:
    entry = json.loads((folder / "entry.json").read_text())
    del entry["sha256"]
    (folder / "entry.json").write_text(json.dumps(entry))


DAMAGES = [
    truncate_values,
    empty_values,
    corrupt_a_byte,
    remove_values,
    remove_entry,
    write_invalid_json,
    write_bytes_that_are_no_text,
    write_json_of_another_kind,
    remove_facts,
    remove_digest,
]


def test_nothing_is_found_before_something_was_put(cache):
    assert cache.get(KEY) is None
    assert not cache.root.exists()


def test_what_was_put_is_found_again_with_its_facts(cache):
    put_values, put_facts = cache.put(KEY, SHAPE, fill)
    got_values, got_facts = cache.get(KEY)

    np.testing.assert_array_equal(put_values, np.arange(12).reshape(SHAPE))
    np.testing.assert_array_equal(got_values, put_values)
    assert got_facts == put_facts == {"words_per_s": 12.5, "n_tokens": 40.0}
    assert got_values.dtype == np.float32


def test_another_job_finds_it_too(cache):
    cache.put(KEY, SHAPE, fill)

    values, _ = ArrayCache(cache.root).get(KEY)

    np.testing.assert_array_equal(values, np.arange(12).reshape(SHAPE))


def test_arrays_are_memory_maps_that_cannot_be_written(cache):
    put_values, _ = cache.put(KEY, SHAPE, fill)
    got_values, _ = cache.get(KEY)

    for values in (put_values, got_values):
        assert isinstance(values, np.memmap)
        with pytest.raises(ValueError, match="read-only"):
            values[0, 0] = 1.0


def test_an_entry_says_what_made_it(cache):
    cache.put(KEY, SHAPE, fill)

    entry = json.loads((cache.folder(KEY) / "entry.json").read_text())
    assert entry["key"] == KEY
    assert entry["sha256"] == hashlib.sha256((cache.folder(KEY) / "values.npy").read_bytes()).hexdigest()


def test_other_keys_find_other_entries(cache):
    cache.put(KEY, SHAPE, fill)

    assert cache.get({**KEY, "story": "another"}) is None
    assert cache.get({**KEY, "model": {"path": "x", "layers": [2, 1]}}) is None


def test_fill_is_handed_an_array_of_the_shape_asked_for(cache):
    seen = []

    def remember(values: np.ndarray) -> dict[str, float]:
        seen.append((values.shape, values.dtype, bool(values.any())))
        return {}

    values, facts = cache.put(KEY, (2, 3, 5), remember)

    assert seen == [((2, 3, 5), np.dtype(np.float32), False)]
    assert values.shape == (2, 3, 5)
    assert facts == {}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_broken_entry_is_removed_with_a_warning_and_can_be_computed_again(cache, caplog, damage):
    cache.put(KEY, SHAPE, fill)
    damage(cache.folder(KEY))

    with caplog.at_level(logging.WARNING):
        found = cache.get(KEY)

    assert found is None
    assert not cache.folder(KEY).exists()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert f"cache entry {cache.folder(KEY)} is broken" in caplog.text
    assert "it is computed again" in caplog.text
    values, facts = cache.put(KEY, SHAPE, fill)
    np.testing.assert_array_equal(values, np.arange(12).reshape(SHAPE))
    assert facts["n_tokens"] == 40.0


def test_an_intact_entry_is_read_without_a_warning(cache, caplog):
    cache.put(KEY, SHAPE, fill)

    with caplog.at_level(logging.WARNING):
        cache.get(KEY)

    assert not caplog.records


def test_a_broken_entry_leaves_the_others_alone(cache):
    other = {**KEY, "story": "another"}
    cache.put(KEY, SHAPE, fill)
    cache.put(other, SHAPE, fill)
    corrupt_a_byte(cache.folder(KEY))

    cache.get(KEY)

    assert cache.get(other) is not None


def test_a_broken_entry_is_replaced_by_a_put(cache):
    cache.put(KEY, SHAPE, fill)
    corrupt_a_byte(cache.folder(KEY))

    values, _ = cache.put(KEY, SHAPE, fill)

    np.testing.assert_array_equal(values, np.arange(12).reshape(SHAPE))


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), KeyboardInterrupt()])
def test_an_exception_inside_fill_leaves_nothing_behind(cache, error):
    def fail(values: np.ndarray) -> dict[str, float]:
        values[:] = 1
        raise error

    with pytest.raises(type(error)):
        cache.put(KEY, SHAPE, fail)

    assert cache.get(KEY) is None
    assert not cache.folder(KEY).exists()
    assert files_in(cache) == set()
    assert not list(cache.root.rglob(".partial-*"))


def test_after_an_exception_the_entry_can_be_computed(cache):
    def fail(values: np.ndarray) -> dict[str, float]:
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        cache.put(KEY, SHAPE, fail)
    values, _ = cache.put(KEY, SHAPE, fill)

    np.testing.assert_array_equal(values, np.arange(12).reshape(SHAPE))


def test_facts_that_json_cannot_hold_leave_nothing_behind(cache):
    def fill_badly(values: np.ndarray) -> dict:
        return {"speed": object()}

    with pytest.raises(TypeError, match="not JSON serializable"):
        cache.put(KEY, SHAPE, fill_badly)

    assert files_in(cache) == set()


def test_no_unfinished_folder_stays_after_a_put(cache):
    cache.put(KEY, SHAPE, fill)

    assert files_in(cache) == {"values.npy", "entry.json"}
    assert not list(cache.root.rglob(".partial-*"))


def test_two_puts_of_the_same_key_are_fine_and_the_first_stays(cache):
    def other_fill(values: np.ndarray) -> dict[str, float]:
        values[:] = -1
        return {}

    cache.put(KEY, SHAPE, fill)
    values, facts = cache.put(KEY, SHAPE, other_fill)

    np.testing.assert_array_equal(values, np.arange(12).reshape(SHAPE))
    assert facts["n_tokens"] == 40.0
    assert not list(cache.root.rglob(".partial-*"))


def test_a_job_that_finishes_while_another_computes_does_not_disturb_it(cache):
    def slow_fill(values: np.ndarray) -> dict[str, float]:
        ArrayCache(cache.root).put(KEY, SHAPE, fill)
        return fill(values)

    values, _ = cache.put(KEY, SHAPE, slow_fill)

    np.testing.assert_array_equal(values, np.arange(12).reshape(SHAPE))
    assert not list(cache.root.rglob(".partial-*"))


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


def test_the_environment_names_the_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("BRAINEXP_CACHE", str(tmp_path))

    assert default_cache_dir() == tmp_path


def test_without_the_environment_the_folder_lies_at_home(monkeypatch):
    monkeypatch.delenv("BRAINEXP_CACHE", raising=False)

    assert default_cache_dir() == Path.home() / ".cache" / "brainexp"
