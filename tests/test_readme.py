"""What README and the pages of docs show is what happens."""

import re
import shlex
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from brainexp.dataset.roi_sets import ROI_SETS
from tests.conftest import CONF

ROOT = Path(__file__).parent.parent
PAGES = {path: path.read_text(encoding="utf-8") for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))}
README = "\n".join(PAGES.values())
COMMANDS = re.findall(r"^ {0,4}python -m brainexp(?: (.*))?$", README, flags=re.MULTILINE)
DATASET, READING, PREDICTING = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
PLACEHOLDER = re.compile(r"FOLDER|\.\.\.")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_link_leads_somewhere(path):
    """To a file of the checkout and, after #, to a heading of that page."""
    for target in re.findall(r"\]\(([^)\s]+)\)", PAGES[path]):
        if target.startswith(("http:", "https:")):
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        assert there.exists(), f"{path.name}: {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", there.read_text(encoding="utf-8"), flags=re.MULTILINE)
            assert anchor in [re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings], target


def test_there_are_commands_and_examples_to_check():
    assert len(COMMANDS) >= 5
    assert "DATASETS.register" in DATASET
    assert "result.json" in READING


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_composes(command):
    words = [
        word for word in shlex.split(command, comments=True) if word not in ("--multirun", "--config-dir", "my_conf")
    ]
    if any(word in ("--help", "--cfg", "dataset=mine") for word in words):
        return
    sweeps = "--multirun" in command or "+study=" in command
    first_of_each = [word.split(",")[0] if sweeps and "[" not in word else word for word in words]

    with initialize_config_dir(str(CONF), version_base="1.3"):
        composed = compose("config", first_of_each)

    assert OmegaConf.to_container(composed, resolve=True)


@pytest.mark.parametrize(
    "command", re.findall(r"^(?: {4}|\$ )python -m brainexp\.cache (.*)$", README, flags=re.MULTILINE)
)
def test_every_command_for_the_cache_is_understood(command, tmp_path, capsys):
    from brainexp.cache.__main__ import main

    assert main([*shlex.split(command, comments=True), "--dir", str(tmp_path)]) == 0
    assert "0 entries" in capsys.readouterr().out


@pytest.mark.parametrize("command", re.findall(r"^ {4}python -m brainexp\.fetch (.*)$", README, flags=re.MULTILINE))
def test_every_command_that_fetches_is_understood(command):
    from brainexp.fetch.__main__ import request_of

    words = [word for word in shlex.split(command, comments=True) if word != "--dry-run"]

    assert not words or all(request_of(words).names)


def test_options_of_rois_and_cleaning_are_shown_with_their_defaults():
    from brainexp.dataset.cleaning import Cleaning
    from brainexp.dataset.rois import Rois
    from brainexp.registry import plain_fields

    (shown,) = re.findall(r"```yaml\n(rois:.*?)```", README, flags=re.DOTALL)
    shown = yaml.safe_load(shown)

    assert shown["cleaning"] == plain_fields(Cleaning())
    assert shown["rois"] | {"set": None, "labels": None} == plain_fields(Rois())
    for name in re.findall(r"`([a-z0-9_]+)`", re.search(r"\| `rois.set` .*?\n\n", README, flags=re.DOTALL)[0]):
        assert name in ROI_SETS or name in ("columns", "areas"), name


def test_the_example_of_a_dataset_runs(tmp_path, composed, small_run, monkeypatch):
    """The README's own lines, through the whole pipeline."""
    from brainexp.experiment import Experiment, run
    from brainexp.registry import DATASETS

    monkeypatch.setattr(DATASETS, "_members", dict(DATASETS._members))
    exec(compile(DATASET, "README.md", "exec"), {"__name__": "readme"})
    assert len(DATASET.splitlines()) <= 36

    config = composed(*[word for word in small_run if not word.startswith("dataset.")])
    config["dataset"] = {"name": "mine"}
    result = run(Experiment.from_config(config))

    assert result.voxels.subjects == ("anna", "ben")
    assert abs(result.metrics["alignment/r"]) < 0.5


def test_results_are_read_as_the_readme_reads_them(tmp_path, composed, small_run, monkeypatch):
    from brainexp.cli import execute

    execute(composed(*small_run, "readout=safetensors"), tmp_path / "outputs" / "my_run")
    monkeypatch.chdir(tmp_path)
    names = {}

    exec(compile(READING + PREDICTING, "README.md", "exec"), names)

    assert names["chosen"].shape == (2, 5)
    assert names["r"].shape == names["subject"].shape
    assert names["predicted"].shape == (100, len(names["readout"].columns))
