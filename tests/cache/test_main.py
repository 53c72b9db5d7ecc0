"""python -m brainexp.cache, on a cache that a test fills."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest

from brainexp.cache import ArrayCache, FolderCache
from brainexp.cache.__main__ import main
from brainexp.cache.upkeep import abandoned, entries, to_go, unfinished

DAY_S = 86400


def add(root, story, model="gpt2", days=0.0, weights="pretrained", dtype="float32", context_words=20, identity="abc"):
    """An entry of 2 layers × 100 words × 8, last used so many days ago."""
    cache = ArrayCache(root / "features", dtype)
    options = {"context_words": context_words, "weights": weights, "identity": identity}
    key = {"model": {**options, "path": model}, "compression": {"name": "none"}, "units": story}
    about = {
        "model": {"name": "transformer", "path": model, "weights": weights, "seed": 4},
        "compression": {"name": "none"},
        "prompt": {"name": "plain"},
        "story": story,
    }

    def fill(write):
        write(np.arange(100), np.ones((2, 100, 8), np.float32))
        return {}

    cache.get_or_put(key, (2, 100, 8), fill, about)
    used = time.time() - days * DAY_S
    os.utime(cache.folder(key) / "entry.json", (used, used))
    return cache.folder(key)


def damage(folder):
    content = bytearray((folder / "layer_001.npy").read_bytes())
    content[-1] ^= 1
    (folder / "layer_001.npy").write_bytes(content)


def stories(root):
    return [entry.story for entry in entries(root / "features")]


def call(root, *words):
    return main([words[0], "--dir", str(root), *words[1:]])


@pytest.fixture
def root(tmp_path):
    """Four entries: two of gpt2, its twin, and one of another model; s1 was used last."""
    root = tmp_path / "cache"
    add(root, "s4", days=40)
    add(root, "s3", weights="random", days=20)
    add(root, "s2", model="lab/other", days=5, dtype="float16")
    add(root, "s1")
    return root


def cells(told):
    """Rows of a table without its rules."""
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in told.splitlines() if line.startswith("│")]


def test_the_list_puts_together_what_the_same_options_made(root, capsys):
    add(root, "s5", days=9)
    assert call(root, "ls") == 0

    told = capsys.readouterr().out
    gpt2, other, twin = cells(told)
    assert gpt2[:7] == ["gpt2", "none", "plain", "2 × 8", "float32", "3", "300"]
    assert gpt2[-1] == "0 min ago"
    assert other[:7] == ["lab/other", "none", "plain", "2 × 8", "float16", "1", "100"]
    assert twin[0] == "gpt2 (random, seed 4)"
    assert twin[-1] == "20 days ago"
    size = sum(file.stat().st_size for file in root.rglob("*") if file.suffix in (".npy", ".json"))
    assert f"5 entries, {size / 1000:.1f} kB in {root / 'features'}" in told


def test_sets_of_the_same_names_are_told_apart_by_their_options(root, capsys):
    add(root, "s5", context_words=5)
    add(root, "s6", context_words=5, identity="0123456789")

    call(root, "ls")

    options = [row[3] for row in cells(capsys.readouterr().out) if row[0] == "gpt2"]
    assert sorted(options) == ["context_words=20", "context_words=5, weights 01234567", "context_words=5, weights abc"]

    call(root, "prune", "--unused", "1h", "--dry-run")
    assert "options" not in capsys.readouterr().out


def test_sets_that_differ_in_weights_alone_say_so(tmp_path, capsys):
    add(tmp_path, "s1")
    add(tmp_path, "s1", identity="0123456789")

    call(tmp_path, "ls")

    assert sorted(row[3] for row in cells(capsys.readouterr().out)) == ["weights 01234567", "weights abc"]


def test_every_story_can_be_listed_the_one_used_last_first(root, capsys):
    assert call(root, "ls", "--entries") == 0

    rows = cells(capsys.readouterr().out)
    assert [row[4] for row in rows] == ["s1", "s2", "s3", "s4"]
    assert rows[1][1:4] == ["lab/other", "none", "plain"]
    assert rows[1][5:7] == ["100", "float16"]
    assert rows[3][-1] == "40 days ago"


def test_an_empty_or_missing_cache_is_no_error(tmp_path, capsys):
    assert call(tmp_path / "nothing", "ls") == 0
    assert call(tmp_path / "nothing", "verify") == 0
    assert call(tmp_path / "nothing", "prune", "--all", "--yes") == 0
    assert capsys.readouterr().out.count("0 entries, 0 B in") == 3


def test_the_cache_of_the_environment_is_taken_without_a_folder(root, capsys, monkeypatch):
    monkeypatch.setenv("BRAINEXP_CACHE", str(root))

    main(["ls"])

    assert "4 entries" in capsys.readouterr().out


def test_verify_finds_no_fault_in_what_is_whole(root, capsys):
    assert call(root, "verify") == 0
    assert ", 0 broken" in capsys.readouterr().out


def test_verify_names_what_is_broken_and_fails(root, capsys):
    folder = add(root, "s5")
    damage(folder)
    (add(root, "s6") / "entry.json").unlink()

    assert call(root, "verify") == 1

    told = capsys.readouterr().out
    assert f"broken  {folder}  the digest of layer_001.npy differs from the recorded one" in told
    assert "6 entries" in told
    assert ", 2 broken" in told
    assert len(stories(root)) == 6  # nothing was removed


def test_prune_takes_only_what_verify_finds_broken(root):
    damage(add(root, "s5"))

    assert call(root, "prune", "--broken", "--yes") == 0

    assert stories(root) == ["s1", "s2", "s3", "s4"]


@pytest.mark.parametrize(
    ("words", "left"),
    [
        (["--unused", "30d"], ["s1", "s2", "s3"]),
        (["--unused", "2w"], ["s1", "s2"]),
        (["--unused", "100h"], ["s1"]),
        (["--model", "gpt2"], ["s2", "s3"]),
        (["--model", "gpt2*"], ["s2"]),
        (["--model", "*other"], ["s1", "s3", "s4"]),
        (["--model", "gpt"], ["s1", "s2", "s3", "s4"]),
        (["--model", "gpt2", "--unused", "1d"], ["s1", "s2", "s3"]),
        (["--max-size", "1GB"], ["s1", "s2", "s3", "s4"]),
        (["--max-size", "15kB"], ["s1", "s2"]),
        (["--max-size", "15kB", "--model", "gpt2"], ["s2", "s3"]),
        (["--max-size", "0B"], []),
        (["--all"], []),
    ],
)
def test_prune_removes_what_was_asked_for_and_nothing_else(root, words, left):
    assert call(root, "prune", *words, "--yes") == 0

    assert stories(root) == left
    assert call(root, "verify") == 0


def test_the_least_recently_used_go_until_the_rest_fits(root):
    found = entries(root / "features")
    total = sum(entry.n_bytes for entry in found)

    going = to_go(found, max_bytes=total - 1)

    assert [entry.story for entry in going] == ["s4"]
    assert to_go(found, max_bytes=total) == []


def test_a_dry_run_shows_and_removes_nothing(root, capsys):
    assert call(root, "prune", "--all", "--dry-run") == 0

    assert "to prune: 4 of 4 entries" in capsys.readouterr().out
    assert len(stories(root)) == 4


def test_without_yes_prune_asks_and_takes_no_for_an_answer(root, capsys, monkeypatch):
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda *_: "")

    assert call(root, "prune", "--all") == 1
    assert "nothing was removed" in capsys.readouterr().out
    assert len(stories(root)) == 4

    monkeypatch.setattr("builtins.input", lambda *_: "y")
    assert call(root, "prune", "--all") == 0
    assert stories(root) == []


def test_without_anybody_to_ask_prune_removes_nothing(root, capsys, monkeypatch):
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)

    assert call(root, "prune", "--all") == 1

    assert "nobody is there to ask: give --yes" in capsys.readouterr().out
    assert len(stories(root)) == 4


@pytest.mark.parametrize("words", [[], ["--all", "--model", "gpt2"], ["--dry-run"]])
def test_prune_wants_to_know_what_may_go(root, capsys, words):
    with pytest.raises(SystemExit, match="2"):
        call(root, "prune", *words)

    assert "say what may go: --unused, --model, --max-size, --broken, or --all" in capsys.readouterr().err
    assert len(stories(root)) == 4


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--unused", "30"], "'30' is no age; give hours, days or weeks, such as 12h"),
        (["--max-size", "5 elephants"], "'5 elephants' is no size; give it such as 500MB"),
    ],
)
def test_ages_and_sizes_need_units(root, capsys, words, reason):
    with pytest.raises(SystemExit, match="2"):
        call(root, "prune", *words)

    assert reason in capsys.readouterr().err


def test_what_is_no_entry_is_never_touched(root, tmp_path):
    features = root / "features"
    ours = add(root, "s5")
    theirs = [
        features / "notes.txt",
        features / "ab" / "thesis.tex",
        features / "ab" / ("ab" + "0" * 62) / "thesis.tex",  # named like an entry, but it is none
        features / "cd" / ("ab" + "0" * 62) / "layer_000.npy",  # not in the folder of its first digits
        features / "ab" / ".unfinished-work" / "layer_000.npy",
        features / "checkpoints" / ("ab" + "0" * 62) / "entry.json",
        root / "results.csv",
        ours.parent / "beside.npy",
    ]
    for file in theirs:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("mine")
    elsewhere = tmp_path / ("ef" + "0" * 62)
    elsewhere.mkdir()
    (elsewhere / "entry.json").write_text("{}")
    (features / "ef").mkdir(exist_ok=True)
    (features / "ef" / elsewhere.name).symlink_to(elsewhere)

    assert call(root, "prune", "--all", "--yes") == 0

    assert stories(root) == []
    assert all(file.read_text() == "mine" for file in theirs)
    assert (elsewhere / "entry.json").is_file()


KILLED = """
import sys, time
import numpy as np
from pathlib import Path
from brainexp.cache import ArrayCache, FolderCache

def fill(write):
    print("filling", flush=True)
    time.sleep(60)

ArrayCache(Path(sys.argv[1]) / "features").get_or_put({"killed": 1}, (2, 3, 4), fill, {"story": "s9"})
"""


def test_what_a_killed_job_left_goes_and_what_a_job_is_making_stays(root, capsys):
    job = subprocess.Popen([sys.executable, "-c", KILLED, str(root)], stdout=subprocess.PIPE, text=True)
    job.stdout.readline()

    at_work = unfinished(root / "features")
    assert [abandoned(one) for one in at_work] == [False]
    call(root, "prune", "--all", "--yes")
    assert len(unfinished(root / "features")) == 1
    job.kill()
    job.communicate()

    assert [abandoned(one) for one in at_work] == [True]
    call(root, "ls")
    assert "1 left half-made by killed jobs, 352 B; prune removes them" in capsys.readouterr().out
    call(root, "prune", "--all", "--yes")
    assert unfinished(root / "features") == []


def test_the_module_runs_and_gives_its_exit_code(root):
    damage(add(root, "s5"))

    told = subprocess.run(
        [sys.executable, "-m", "brainexp.cache", "verify", "--dir", str(root)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert told.returncode == 1
    assert "1 broken" in told.stdout
    assert told.stderr == ""


def add_checkpoint(root, sparsity, model="gpt2", days=0.0):
    """A compressed checkpoint of 1000 bytes of weights."""
    options = {"name": "wanda", "sparsity": sparsity, "calibration": {"name": "grammar", "samples": 4}}
    about = {"model": {"name": "transformer", "path": model}, "compression": options}
    store = FolderCache(root / "checkpoints")

    def fill(folder):
        (folder / "model.safetensors").write_bytes(bytes(1000))
        (folder / "config.json").write_text("{}")
        return {"seconds": 1.0}

    folder, _ = store.get_or_put({"model": model, **options}, fill, about, "a checkpoint")
    used = time.time() - days * DAY_S
    os.utime(folder / "entry.json", (used, used))
    return folder


def sparsities(root):
    return sorted(entry.told["key"]["sparsity"] for entry in entries(root / "checkpoints"))


def test_checkpoints_are_listed_with_their_options(root, capsys):
    folder = add_checkpoint(root, 0.5)
    size = sum(file.stat().st_size for file in folder.iterdir())

    assert call(root, "ls") == 0

    told = capsys.readouterr().out
    (row,) = [row for row in cells(told) if "wanda" in row]
    assert row[:2] == ["gpt2", "wanda"]
    assert "sparsity=0.5" in row[2]
    assert '"samples": 4' in row[2]
    assert f"; 1 checkpoints, {size / 1000:.1f} kB in {root / 'checkpoints'}" in told
    assert "4 entries" in told

    call(root, "ls", "--entries")
    assert folder.name[:10] in capsys.readouterr().out


def test_a_broken_checkpoint_is_named_and_pruned(root, capsys):
    folder, whole = add_checkpoint(root, 0.5), add_checkpoint(root, 0.25)
    (folder / "model.safetensors").write_bytes(bytes(1001))

    assert call(root, "verify") == 1
    assert f"broken  {folder}" in capsys.readouterr().out
    assert call(root, "prune", "--broken", "--yes") == 0
    assert not folder.exists()
    assert whole.is_dir()
    assert len(stories(root)) == 4


@pytest.mark.parametrize(
    ("words", "left", "n_stories"),
    [
        (["--unused", "10d"], [0.25], 2),
        (["--model", "lab/*"], [0.5], 3),
        (["--all"], [], 0),
    ],
)
def test_checkpoints_are_pruned_like_features(root, words, left, n_stories):
    add_checkpoint(root, 0.5, days=20)
    add_checkpoint(root, 0.25, model="lab/other")

    assert call(root, "prune", *words, "--yes") == 0

    assert sparsities(root) == left
    assert len(stories(root)) == n_stories


def test_the_least_recently_used_go_first_whatever_they_are(root):
    add_checkpoint(root, 0.5, days=60)
    newest = add_checkpoint(root, 0.25)

    call(root, "prune", "--max-size", "1MB", "--yes")
    assert sparsities(root) == [0.25, 0.5]
    call(root, "prune", "--max-size", "20kB", "--yes")

    assert sparsities(root) == [0.25]
    assert newest.is_dir()
    assert "s1" in stories(root)


def test_a_folder_among_checkpoints_that_is_none_is_never_touched(root):
    theirs = root / "checkpoints" / "ab" / ("ab" + "0" * 62) / "thesis.tex"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("mine")

    call(root, "prune", "--all", "--yes")

    assert theirs.read_text() == "mine"
