"""Two runs are the same when what decides their numbers is: options, version, and the files that options name."""

import os
from importlib.metadata import EntryPoint
from types import SimpleNamespace

import numpy as np
import pytest

from brainexp import identity
from brainexp.cli import execute
from brainexp.identity import config_hash, inputs_hash


@pytest.fixture
def config(composed, small_run):
    return composed(*small_run)


def test_another_version_of_the_program_makes_another_run(config, monkeypatch):
    before = config_hash(config)

    monkeypatch.setattr(identity, "__version__", "99")

    assert config_hash(config) != before


def test_another_version_of_a_plugin_makes_another_run(config, monkeypatch):
    before = config_hash(config)
    plugin = SimpleNamespace(dist=SimpleNamespace(name="mine", version="1"))
    assert EntryPoint("a", "b", "c").dist is None  # as one without a package

    monkeypatch.setattr(identity, "entry_points", lambda **_: [plugin, EntryPoint("a", "b", "c")])

    assert config_hash(config) != before


@pytest.mark.parametrize(
    ("section", "option", "value"),
    [
        ("encoder", "alphas", [1.0]),
        ("dataset", "n_subjects", 3),
        ("damage", "words", 7),
        ("cache", "dtype", "float16"),
        ("compression", "name", "magnitude"),
    ],
)
def test_what_decides_numbers_decides_the_digest(config, section, option, value):
    before = config_hash(config)

    config[section][option] = value

    assert config_hash(config) != before


@pytest.mark.parametrize(
    ("section", "value"),
    [
        ("tracking", {"uri": None}),
        ("report", {"figures": True}),
        ("resources", {"gpus": None}),
        ("readout", "npz"),
        ("study", {"name": "scale", "group_size": 32}),
        ("sweep", {"resume": False}),
    ],
)
def test_what_decides_no_number_does_not(config, section, value):
    before = config_hash(config)

    config[section] = value

    assert config_hash(config) == before


def test_a_file_that_has_changed_since_is_seen(config, tmp_path):
    (tmp_path / "model" / "inner").mkdir(parents=True)
    file = tmp_path / "model" / "inner" / "weights"
    file.write_text("1")
    config["model"]["path"] = str(tmp_path / "model")
    before = inputs_hash(config)
    assert inputs_hash(config) == before

    file.write_text("2")
    os.utime(file, ns=(0, 10**18))

    assert inputs_hash(config) != before


def test_files_of_every_subject_are_seen_through_a_pattern(config, tmp_path):
    config["dataset"]["labels"] = [str(tmp_path / "{subject}.nii")]
    before = inputs_hash(config)

    (tmp_path / "s1.nii").write_text("")

    assert inputs_hash(config) != before


def test_a_link_to_nothing_does_not_stand_in_the_way(config, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "annexed").symlink_to("nowhere")
    config["model"]["path"] = str(tmp_path / "model")
    before = inputs_hash(config)

    (tmp_path / "model" / "annexed").unlink()

    assert inputs_hash(config) != before


def test_a_branch_of_the_hub_that_points_elsewhere_is_seen(config, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    config["model"] = {"name": "transformer", "path": "some/model", "revision": None}
    reference = tmp_path / "models--some--model" / "refs" / "main"
    reference.parent.mkdir(parents=True)
    reference.write_text("one")
    before = inputs_hash(config)

    reference.write_text("two")

    assert inputs_hash(config) != before


@pytest.mark.parametrize("text", ["", "x" * 5000, "a\0b", "{", "none"])
def test_texts_that_are_no_paths_are_left_alone(config, text):
    before = inputs_hash(config)

    config["prompt"]["text"] = text

    assert inputs_hash(config) == before


def test_what_is_left_out_of_the_digest_changes_no_number(composed, small_run, checkpoints, tmp_path):
    words = [word for word in small_run if "path=" not in word]
    words += [f"model.path={checkpoints['llama']}", "compression=rtn", "compression.group_size=32", "tracking.uri=null"]
    plain = composed(*words, f"cache.dir={tmp_path}/cache")
    # A hundredth of the memory that the model takes, so that it is compressed layer by layer.
    other = composed(
        *words, f"cache.dir={tmp_path}/other", "resources.memory_gb=0.0001", "resources.check=false", "readout=npz",
        "report.figures=true", "+study=pruning", "tracking.experiment=other", "sweep.resume=false",
    )  # fmt: skip
    assert config_hash(plain) == config_hash(other)

    first, second = execute(plain, tmp_path / "first"), execute(other, tmp_path / "second")

    costs = ("seconds", "per_second", "peak_memory_bytes", "_s", "peak_bytes")
    names = [name for name in first.metrics if not name.endswith(costs)]
    assert "alignment/r" in names
    assert "compression/bytes" in names
    np.testing.assert_equal([first.metrics[name] for name in names], [second.metrics[name] for name in names])
