import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from brainexp.cache import ArrayCache, default_cache_dir, file_digest
from brainexp.errors import ConfigError

KEY = {"model": {"path": "x", "layers": [1, 2]}, "units": "fable"}
SHAPE = (3, 4, 2)
VALUES = np.arange(24, dtype=np.float32).reshape(SHAPE)
ABOUT = {"story": "fable", "model": {"name": "toy"}}
FACTS = {"words_per_s": 12.5, "n_tokens": 40.0}


def fill(write) -> dict[str, float]:
    """Write units in another order than theirs, as batches of like length come."""
    for at in ([3, 1], [0], [2]):
        write(np.array(at), VALUES[:, at])
    return FACTS


def put(cache, key=KEY, fill=fill, shape=SHAPE):
    return cache.get_or_put(key, shape, fill, ABOUT)


@pytest.fixture
def cache(tmp_path) -> ArrayCache:
    return ArrayCache(tmp_path / "cache")


def files_in(cache: ArrayCache) -> set[str]:
    return {path.name for path in cache.root.rglob("*") if path.is_file() and path.suffix != ".lock"}


def truncate_values(folder: Path) -> None:
    content = (folder / "layer_001.npy").read_bytes()
    (folder / "layer_001.npy").write_bytes(content[:-7])


def empty_values(folder: Path) -> None:
    (folder / "layer_002.npy").write_bytes(b"")


def corrupt_a_byte(folder: Path) -> None:
    content = bytearray((folder / "layer_000.npy").read_bytes())
    content[-3] ^= 0xFF
    (folder / "layer_000.npy").write_bytes(content)


def remove_values(folder: Path) -> None:
    (folder / "layer_001.npy").unlink()


def swap_layers(folder: Path) -> None:
    (folder / "layer_000.npy").rename(folder / "other")
    (folder / "layer_001.npy").rename(folder / "layer_000.npy")
    (folder / "other").rename(folder / "layer_001.npy")


def take_the_place_of_another(folder: Path) -> None:
    entry = json.loads((folder / "entry.json").read_text())
    entry["key"]["units"] = "another fable"
    (folder / "entry.json").write_text(json.dumps(entry))


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
    del entry["sha256"]["layer_002.npy"]
    (folder / "entry.json").write_text(json.dumps(entry))


DAMAGES = [
    truncate_values,
    empty_values,
    corrupt_a_byte,
    remove_values,
    swap_layers,
    take_the_place_of_another,
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
    put_layers, put_facts = put(cache)
    got_layers, got_facts = cache.get(KEY)

    np.testing.assert_array_equal(np.asarray(put_layers), VALUES)
    np.testing.assert_array_equal(np.asarray(got_layers), VALUES)
    assert got_facts == put_facts == FACTS
    assert got_layers.shape == put_layers.shape == SHAPE
    assert got_layers[0].dtype == np.float32


def test_what_is_there_is_not_computed_again_by_another_job_either(cache):
    put(cache)

    layers, _ = put(ArrayCache(cache.root), fill=lambda _: pytest.fail("computed again"))

    np.testing.assert_array_equal(np.asarray(layers), VALUES)


def test_there_is_a_file_per_layer_and_the_entry_says_what_made_it(cache):
    put(cache)
    folder = cache.folder(KEY)

    entry = json.loads((folder / "entry.json").read_text())

    assert files_in(cache) == {"layer_000.npy", "layer_001.npy", "layer_002.npy", "entry.json"}
    assert entry["key"] == KEY
    assert entry["about"] == ABOUT
    assert entry["shape"] == list(SHAPE)
    for layer in range(3):
        np.testing.assert_array_equal(np.load(folder / f"layer_{layer:03d}.npy"), VALUES[layer])
    told = subprocess.run(["sha256sum", *entry["sha256"]], cwd=folder, capture_output=True, text=True, check=True)
    assert dict(line.split()[::-1] for line in told.stdout.splitlines()) == entry["sha256"]


def test_a_file_is_read_once_for_its_digest_when_written_and_once_when_found(cache, monkeypatch):
    read = []

    def counted(path):
        read.append(path.name)
        return file_digest(path)

    monkeypatch.setattr("brainexp.cache.store.file_digest", counted)

    put(cache)
    assert read == ["layer_000.npy", "layer_001.npy", "layer_002.npy"]
    cache.get(KEY)
    assert len(read) == 6


def test_other_keys_find_other_entries(cache):
    put(cache)

    assert cache.get({**KEY, "units": "another"}) is None
    assert cache.get({**KEY, "model": {"path": "x", "layers": [2, 1]}}) is None


def test_half_precision_takes_half_the_room_and_is_near(cache, rng):
    half = ArrayCache(cache.root, "float16")
    values = (1e3 * rng.standard_normal((2, 50, 30))).astype(np.float32)

    def fill_all(write):
        write(np.arange(50), values)
        return {}

    layers, _ = half.get_or_put(KEY, values.shape, fill_all, ABOUT)

    assert np.load(layers.files[0]).dtype == np.float16
    assert layers.files[0].stat().st_size < 0.55 * values[0].nbytes
    assert layers[0].dtype == np.float32
    np.testing.assert_allclose(np.asarray(layers), values, rtol=2.0**-11)
    np.testing.assert_array_equal(np.asarray(half.get(KEY)[0]), values.astype(np.float16))


def test_one_precision_does_not_stand_for_the_other(cache):
    put(cache)

    assert ArrayCache(cache.root, "float16").get(KEY) is None


@pytest.mark.parametrize("value", [65_600.0, -1e9])
def test_what_half_precision_cannot_hold_is_refused_in_words(cache, value):
    def overflow(write):
        values = VALUES.copy()
        values[2, 1, 0] = value
        write(np.arange(4), values)
        return {}

    with pytest.raises(
        ConfigError,
        match=rf"float16 holds values up to 65,504, but features of layer 2 reach {abs(value):,.0f}. Give cache.dtype=float32",
    ):
        put(ArrayCache(cache.root, "float16"), fill=overflow)

    assert files_in(cache) == set()
    assert put(cache, fill=overflow)[0][2][1, 0] == np.float32(value)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_broken_entry_is_removed_with_a_warning_and_can_be_computed_again(cache, caplog, damage):
    put(cache)
    damage(cache.folder(KEY))

    with caplog.at_level(logging.WARNING):
        found = cache.get(KEY)

    assert found is None
    assert not cache.folder(KEY).exists()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert f"cache entry {cache.folder(KEY)} is broken" in caplog.text
    assert "it is computed again" in caplog.text
    layers, facts = put(cache)
    np.testing.assert_array_equal(np.asarray(layers), VALUES)
    assert facts == FACTS


def test_an_intact_entry_is_read_without_a_warning(cache, caplog):
    put(cache)

    with caplog.at_level(logging.WARNING):
        cache.get(KEY)

    assert not caplog.records


def test_a_broken_entry_leaves_the_others_alone(cache):
    other = {**KEY, "units": "another"}
    put(cache)
    put(cache, key=other)
    corrupt_a_byte(cache.folder(KEY))

    cache.get(KEY)

    assert cache.get(other) is not None


def test_reading_an_entry_marks_it_as_used(cache):
    put(cache)
    entry = cache.folder(KEY) / "entry.json"
    os.utime(entry, (1e9, 1e9))

    cache.get(KEY)

    assert entry.stat().st_mtime > 1e9


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), KeyboardInterrupt()])
def test_an_exception_inside_fill_leaves_nothing_behind(cache, error):
    def fail(write):
        write(np.arange(4), VALUES)
        raise error

    with pytest.raises(type(error)):
        put(cache, fill=fail)

    assert cache.get(KEY) is None
    assert not cache.folder(KEY).exists()
    assert files_in(cache) == set()
    np.testing.assert_array_equal(np.asarray(put(cache)[0]), VALUES)


def test_facts_that_json_cannot_hold_leave_nothing_behind(cache):
    with pytest.raises(TypeError, match="not JSON serializable"):
        put(cache, fill=lambda _: {"speed": object()})

    assert files_in(cache) == set()


def test_a_full_disk_is_an_error_in_words_before_work_starts(cache, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)

    with pytest.raises(ConfigError, match="is full: no room for 160 bytes of a layer. Give cache.dir="):
        put(cache, fill=lambda _: pytest.fail("work had started"))

    assert files_in(cache) == set()


JOB = """
import sys, time
import numpy as np
from pathlib import Path
from brainexp.cache import ArrayCache

root, log, seconds = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])

def fill(write):
    with log.open("a") as file:
        file.write("computed\\n")
    write(np.array([0, 1]), np.zeros((3, 2, 2), np.float32))
    time.sleep(seconds)
    write(np.array([2, 3]), np.ones((3, 2, 2), np.float32))
    return {}

layers, _ = ArrayCache(root).get_or_put({"one": 1}, (3, 4, 2), fill, {"story": "fable"})
print(np.asarray(layers).sum())
"""


def job(root, log, seconds):
    return subprocess.Popen(
        [sys.executable, "-c", JOB, str(root), str(log), str(seconds)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(file: Path) -> None:
    while not file.is_file() or not file.read_text():
        time.sleep(0.01)


def test_jobs_that_start_together_compute_an_entry_once_and_the_others_wait(tmp_path):
    log = tmp_path / "log"

    jobs = [job(tmp_path / "cache", log, 1.0) for _ in range(3)]
    told = [one.communicate() for one in jobs]

    assert [one.returncode for one in jobs] == [0, 0, 0]
    assert log.read_text() == "computed\n"
    assert [out for out, _ in told] == ["12.0\n"] * 3
    waited = [err for _, err in told if "another job computes features of story 'fable'; waiting for it." in err]
    assert len(waited) == 2


def test_a_killed_job_frees_its_entry_and_what_it_left_is_cleared_away(tmp_path):
    log = tmp_path / "log"
    killed = job(tmp_path / "cache", log, 60.0)
    wait_for(log)
    waiting = job(tmp_path / "cache", log, 0.0)

    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    left = list((tmp_path / "cache").rglob(".unfinished-*"))
    out, err = waiting.communicate()

    assert waiting.returncode == 0, err
    assert out == "12.0\n"
    assert log.read_text() == "computed\ncomputed\n"
    assert len(left) <= 1  # none if the waiting job was faster than this test
    assert not list((tmp_path / "cache").rglob(".unfinished-*"))


def test_where_the_file_system_knows_no_locks_two_jobs_do_not_disturb_each_other(cache, monkeypatch, caplog):
    def refuse(self, **_):
        raise OSError(37, "No locks available")

    def slow(write):
        put(ArrayCache(cache.root))
        return fill(write)

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    layers, facts = put(cache, fill=slow)

    np.testing.assert_array_equal(np.asarray(layers), VALUES)
    assert facts == FACTS
    assert "knows no locks ([Errno 37] No locks available)" in caplog.text
    assert not list(cache.root.rglob(".unfinished-*"))


def test_the_environment_names_the_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("BRAINEXP_CACHE", str(tmp_path))

    assert default_cache_dir() == tmp_path


def test_without_the_environment_the_folder_lies_at_home(monkeypatch):
    monkeypatch.delenv("BRAINEXP_CACHE", raising=False)

    assert default_cache_dir() == Path.home() / ".cache" / "brainexp"
