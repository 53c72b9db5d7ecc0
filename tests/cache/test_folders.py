"""Folders that are filled once, by one job at a time, whole or not at all."""

import os
import subprocess
import sys
import time

import pytest

from brainexp.cache import FolderCache

KEY = {"method": "pruning", "sparsity": 0.5}


@pytest.fixture
def store(tmp_path):
    return FolderCache(tmp_path / "checkpoints")


def fill(folder):
    (folder / "model.safetensors").write_text("weights")
    (folder / "templates").mkdir()
    (folder / "templates" / "chat.jinja").write_text("chat")
    return {"seconds": 1.5}


def put(store, key=KEY, fill=fill):
    return store.get_or_put(key, fill, {"model": {"path": "gpt2"}}, "the checkpoint")


def test_what_was_put_is_found_again_and_not_made_again(store):
    assert store.get(KEY) is None
    folder, facts = put(store)

    assert put(store, fill=None) == store.get(KEY) == (folder, facts)
    assert facts == {"seconds": 1.5}
    assert (folder / "templates" / "chat.jinja").read_text() == "chat"
    assert folder.parent.name == folder.name[:2]
    assert store.get({**KEY, "sparsity": 0.25}) is None


def test_finding_it_marks_it_as_used(store):
    folder, _ = put(store)
    os.utime(folder / "entry.json", (0, 0))

    store.get(KEY)

    assert (folder / "entry.json").stat().st_mtime > time.time() - 60


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_fails_leaves_nothing(store, error):
    def half(folder):
        fill(folder)
        raise error("stop")

    with pytest.raises(error):
        put(store, fill=half)

    assert [one.name for one in store.root.rglob("*") if one.is_file() and not one.name.endswith(".lock")] == []
    assert put(store)[1] == {"seconds": 1.5}


def change(folder):
    (folder / "model.safetensors").write_text("others")


def lose(folder):
    (folder / "templates" / "chat.jinja").unlink()


def add(folder):
    (folder / "more.json").write_text("{}")


def spoil(folder):
    (folder / "entry.json").write_text("{}")


def rename(folder):
    told = (folder / "entry.json").read_text().replace("0.5", "0.6")
    (folder / "entry.json").write_text(told)


@pytest.mark.parametrize("damage", [change, lose, add, spoil, rename])
def test_a_broken_one_is_removed_with_a_warning_and_made_again(store, caplog, damage):
    folder, _ = put(store)
    damage(folder)

    assert store.get(KEY) is None
    assert "is broken" in caplog.text
    assert not folder.exists()
    assert put(store)[0] == folder


MAKING = """
import sys, time
from pathlib import Path
from brainexp.cache import FolderCache

def fill(folder):
    (folder / "model.safetensors").write_text("weights")
    with open(sys.argv[2], "a") as log:
        log.write("made ")
    time.sleep(float(sys.argv[3]))
    return {}

FolderCache(Path(sys.argv[1])).get_or_put({"key": 1}, fill, {}, "the checkpoint of 'gpt2'")
"""


def making(store, log, seconds):
    words = [sys.executable, "-c", MAKING, str(store.root), str(log), str(seconds)]
    return subprocess.Popen(words, stderr=subprocess.PIPE, text=True)


def test_jobs_wait_for_each_other_and_take_over_from_one_that_is_killed(store, tmp_path):
    log = tmp_path / "log"
    killed = making(store, log, 60)
    while not log.is_file():
        time.sleep(0.01)
    waiting = [making(store, log, 0.5) for _ in range(2)]
    told = [one.stderr.readline() for one in waiting]
    killed.kill()
    killed.communicate()
    rest = [one.communicate()[1] for one in waiting]

    assert [one.returncode for one in waiting] == [0, 0], rest
    assert told == ["another job computes the checkpoint of 'gpt2'; waiting for it.\n"] * 2
    assert log.read_text() == "made made "
    assert not list(store.root.rglob(".unfinished-*"))
    assert store.get({"key": 1}) is not None
