"""The command, on a store that behaves and one that does not."""

from dataclasses import replace

import pytest

from brainexp.fetch import __main__ as command
from brainexp.fetch.ledger import LEDGER, Ledger
from brainexp.fetch.sources import SOURCES
from brainexp.fetch.stores import S3
from brainexp.fetch.transfer import PARTIAL
from tests.fetch.server import fill_disk, left

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])


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


def test_a_ledger_whose_last_line_was_cut_off_is_read_as_far_as_it_goes(run, tmp_path):
    run("what=[transcripts]")
    ledger = tmp_path / "toy" / LEDGER
    ledger.write_text(ledger.read_text() + '{"path": "derivatives/x", "si')

    assert len(Ledger(tmp_path / "toy").entries()) == 2
    assert "0 files came, 2 were there" in run("what=[transcripts]")[1]


def test_without_options_all_datasets_are_shown(capsys):
    assert command.main([]) == 0

    told = capsys.readouterr().out
    assert all(name in told for name in SOURCES)


def test_a_folder_that_cannot_be_written_is_told(run, tmp_path):
    (tmp_path / "toy").write_text("a file")

    code, told = run("what=[transcripts]")

    assert code == 1
    assert "brainexp.fetch: " in told
    assert "toy" in told
