"""What a person who compares runs sees."""

import json

import pytest
from mlflow import MlflowClient

from brainexp.cli import execute
from brainexp.labels import run_label
from brainexp.tracking.shown import MAX_COLUMN, columns
from brainexp.tracking.store import opened
from brainexp.tracking.view import COLUMNS, TAG
from tests.conftest import DATA
from tests.tracking.examples import CONFIG

#: In every run, whatever its components are.
ALWAYS = {
    "model", "compression", "dataset", "subjects", "prompt", "encoder", "probes", "path", "weights", "dtype", "context",
    "context_words", "layers", "pooling", "downsample", "delays", "split", "folds", "layer_choice", "baselines", "seed",
}  # fmt: skip


def test_columns_are_few_short_and_flat(composed):
    config = composed("compression=awq", "probe=[word_length]", "baselines=[word_rate,static]")

    shown = columns(config, run_label(config, {"model": "qwen3b"}))

    assert shown.keys() == ALWAYS
    assert shown["model"] == "qwen3b"
    assert shown["compression"] == "awq w4 g128"
    assert shown["dataset"] == "synthetic"
    assert shown["subjects"] == "all"
    assert shown["probes"] == "word_length"
    assert shown["delays"] == "1, 2, 3, 4"
    assert shown["baselines"] == "word_rate, static"


def test_what_was_asked_for_is_a_column_and_where_things_lie_is_none(composed):
    asked = [
        "model=tiny_s",
        "+study=scale",
        "encoder.alphas=[1,10]",
        "compression.bits=3",
        "+model.extra=1",
        "tracking.uri=null",
        "cache.dir=/x",
        "split.folds=4",
    ]
    config = composed("compression=rtn", "encoder.alphas=[1,10]", "compression.bits=3", "split.folds=4")

    shown = columns(config, run_label(config), asked)

    assert shown.keys() == ALWAYS | {"encoder.alphas", "compression.bits"}
    assert shown["encoder.alphas"] == "1, 10"
    assert shown["compression.bits"] == "3"
    assert shown["folds"] == "4"


def test_a_long_value_says_that_it_is_not_all():
    config = CONFIG | {"baselines": [f"baseline_{number}" for number in range(100)]}

    shown = columns(config, "x")["baselines"]

    assert len(shown) == MAX_COLUMN
    assert shown.startswith("baseline_0, baseline_1, ")
    assert shown.endswith("characters)")


@pytest.fixture
def found(composed, small_run, tmp_path):
    config = composed(*small_run, "model.context_words=5")
    execute(config, tmp_path / "run")
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("brainexp").experiment_id])
    return run


def test_a_run_can_be_filtered_read_and_traced(found, tmp_path):
    run = found
    tags = run.data.tags

    assert tags["brainexp.kind"] == "run"
    assert tags["brainexp.label"] == "gpt2 · none · passage · all"
    assert tags["brainexp.family"] == "gpt2"
    assert tags["brainexp.bits"] == "32"
    assert int(tags["brainexp.parameters"]) == run.data.metrics["compression/parameters"] > 1000
    note = tags["mlflow.note.content"].splitlines()
    assert note[0] == "**gpt2 · none · passage · all**"
    assert "| ROI | r | ± se | ceiling | r / ceiling | word_rate |" in note
    row = next(line for line in note if line.startswith("| **all voxels** |"))
    assert row.split(" | ")[1] == f"{run.data.metrics['alignment/r']:.3f}"
    data, model = sorted(run.inputs.dataset_inputs, key=lambda one: one.dataset.name != "passage")
    assert {tag.key: tag.value for tag in data.tags}["mlflow.data.context"] == "dataset"
    assert {tag.key for tag in data.tags} >= {"licence", "citation", "language"}
    assert {tag.key: tag.value for tag in model.tags}["weights"] == "pretrained"
    assert json.loads((tmp_path / "run" / "result.json").read_text())["label"] == "gpt2 · none · passage · all"


@pytest.mark.data
def test_the_licence_and_doi_of_published_data_are_inputs(composed):
    from brainexp.composition import Experiment
    from brainexp.tracking.shown import inputs

    config = composed("dataset=alice", f"dataset.root={DATA}/alice_brennan2016")

    (data, _) = inputs(Experiment.from_config(config), "tiny_m · none · alice · all")

    assert data["source"] == "https://doi.org/10.1016/j.bandl.2016.04.008"
    assert data["licence"]


def test_an_experiment_has_a_view_and_keeps_the_one_that_a_user_changed(tracking, store):
    view = json.loads(store.client.get_experiment(store.experiment_id).tags[TAG])
    assert json.loads(view["state"])["selectedColumns"] == list(COLUMNS)

    store.client.set_experiment_tag(store.experiment_id, TAG, "mine")
    opened(tracking)

    assert store.client.get_experiment(store.experiment_id).tags[TAG] == "mine"
