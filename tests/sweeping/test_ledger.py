"""What has finished is found again, and only what is still what was asked for."""

import json
import os
import shutil

import pytest

from brainexp.cli import execute
from brainexp.identity import config_hash, inputs_hash
from brainexp.sweeping.ledger import Ledger
from brainexp.tracking import Tracking

CONFIG = {"seed": 0, "readout": None, "report": {"figures": False}, "tracking": {"uri": None}, "model": {"path": "x"}}


def put(folder, config, **changes):
    folder.mkdir(parents=True)
    result = {
        "name": "a-b-c", "config": config, "config_hash": config_hash(config), "inputs_hash": inputs_hash(config),
        "environment": {"brainexp": "1", "git_commit": "abc"},
    }  # fmt: skip
    (folder / "result.json").write_text(json.dumps(result | changes))


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "finished")


@pytest.fixture
def run(tmp_path, ledger):
    put(tmp_path / "run", CONFIG)
    ledger.enter(CONFIG, tmp_path / "run", "r1")
    return tmp_path / "run"


def test_what_was_entered_is_found(ledger, run):
    found = ledger.find(CONFIG)

    assert (found.folder, found.run_id, found.git_commit) == (run, "r1", "abc")
    told = json.loads((ledger.root / f"{config_hash(CONFIG)}.json").read_text())
    assert told.keys() == {"folder", "run_id", "name", "version", "git_commit", "finished"}
    assert told["name"] == "a-b-c"


def test_another_config_is_not(ledger, run):
    assert ledger.find(CONFIG | {"seed": 1}) is None


def test_a_result_that_is_gone_does_not_count(ledger, run):
    (run / "result.json").unlink()

    assert ledger.find(CONFIG) is None


def test_a_folder_that_now_holds_another_run_does_not_count(ledger, run):
    told = json.loads((run / "result.json").read_text())
    (run / "result.json").write_text(json.dumps(told | {"config_hash": "another"}))

    assert ledger.find(CONFIG) is None


def test_changed_files_make_it_run_again_with_a_remark(tmp_path, ledger, caplog):
    (tmp_path / "data").mkdir()
    config = CONFIG | {"model": {"path": str(tmp_path / "data")}}
    put(tmp_path / "run", config)
    ledger.enter(config, tmp_path / "run", None)
    assert ledger.find(config) is not None

    (tmp_path / "data" / "new").write_text("")

    assert ledger.find(config) is None
    assert "files that the config names have changed" in caplog.text


@pytest.mark.parametrize(
    ("had", "asked", "is_found"),
    [
        ({}, {"readout": "npz"}, False),
        ({"readout": "npz"}, {"readout": "npz"}, True),
        ({"readout": "safetensors"}, {"readout": "npz"}, False),
        ({"readout": "npz"}, {}, True),
        ({}, {"report": {"figures": True}}, False),
        ({"report": {"figures": True}}, {}, True),
    ],
)
def test_a_run_counts_if_it_left_all_files_that_are_asked_for(tmp_path, ledger, had, asked, is_found):
    put(tmp_path / "run", CONFIG | had)
    ledger.enter(CONFIG | had, tmp_path / "run", None)

    assert (ledger.find(CONFIG | asked) is not None) == is_found


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"folder": 1}'])
def test_a_broken_entry_is_told_of_and_does_not_count(ledger, run, caplog, content):
    (ledger.root / f"{config_hash(CONFIG)}.json").write_text(content)

    assert ledger.find(CONFIG) is None
    assert "cannot be read" in caplog.text


def test_a_result_that_was_left_before_its_entry_is_taken_over(tmp_path, ledger, caplog):
    put(tmp_path / "run", CONFIG)

    found = ledger.adopted(CONFIG, tmp_path / "run")

    assert found.folder == tmp_path / "run"
    assert ledger.find(CONFIG) == found
    assert "killed before its end" in caplog.text
    assert ledger.adopted(CONFIG | {"seed": 1}, tmp_path / "run") is None


def test_what_is_gone_from_the_disk_comes_back_from_the_tracker(composed, small_run, checkpoints, tmp_path, ledger):
    shutil.copytree(checkpoints["gpt2"], tmp_path / "model")
    config = composed(*(f"model.path={tmp_path}/model" if "model.path" in word else word for word in small_run))
    tracking = Tracking(config["tracking"]["uri"])
    assert ledger.restored(config, tracking) is None
    execute(config, tmp_path / "run")
    written = (tmp_path / "run" / "result.json").read_bytes()
    shutil.rmtree(tmp_path / "run")
    shutil.rmtree(ledger.root)

    found = ledger.restored(config, tracking)

    assert (found.folder / "result.json").read_bytes() == written
    assert {"scores.parquet", "voxels.npz"} <= {file.name for file in found.folder.iterdir()}
    assert ledger.find(config) == found
    os.utime(tmp_path / "model" / "config.json", ns=(0, 0))
    assert ledger.restored(config, tracking) is None  # a run on other files
