"""What a person sees in MLflow, looked at in a real browser."""

import os
import subprocess
import sys

import pytest
from mlflow import MlflowClient

from brainexp.tracking.view import COLUMNS
from tests.browser.pages import browser_page, open_artifact, open_comparison, open_runs, ours
from tests.services.running import Server

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.allow_hosts(["127.0.0.1"])]

SWEEP = [
    "--multirun",
    "model=tiny_xs",
    "compression=none,magnitude",
    "dataset.n_subjects=2",
    "dataset.n_stories=4",
    "dataset.words_per_story=200",
    "split.folds=3",
    "encoder.alphas=[100,10000]",
    "scoring.permutations=20",
    "ceiling.bootstraps=0",
    "baselines=[word_rate]",
    "partition.spaces=[]",
    "damage.measure=false",
]


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    """Address of a server over a store with a small sweep on the synthetic world."""
    folder = tmp_path_factory.mktemp("pages")
    store = f"sqlite:///{folder}/mlflow.db"
    words = [*SWEEP, "hydra.sweep.dir=sweep", f"tracking.uri={store}"]
    done = subprocess.run(
        [sys.executable, "-m", "brainexp", *words],
        cwd=folder,
        env={**os.environ, "BRAINEXP_CACHE": str(folder / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    server = Server(folder / "server", store)
    try:
        server.start()
        yield server.uri
    finally:
        server.kill()


@pytest.fixture(scope="module")
def runs(uri):
    """Runs of the sweep's jobs by compression, and the experiment's id."""
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("brainexp")
    found = client.search_runs([experiment.experiment_id], "tags.`brainexp.kind` = 'run'")
    return experiment.experiment_id, {run.data.params["compression"]: run.info.run_id for run in found}


def test_the_table_of_runs_shows_names_that_tell_and_our_columns(uri, runs):
    with browser_page(2400, 900) as (page, complaints):
        open_runs(page, uri, runs[0])
        page.wait_for_selector("text=tiny_xs · none · synthetic · all")
        told = page.inner_text("body")

    assert "tiny_xs · magnitude 50 % · synthetic · all" in told
    assert {name.split("`")[1] for name in COLUMNS} <= {*told.split("\n")}
    assert "59552" in told  # parameters
    assert ours(complaints) == []


def test_the_page_that_compares_shows_what_differs(uri, runs):
    with browser_page() as (page, complaints):
        open_comparison(page, uri, runs[0], list(runs[1].values()))
        told = page.inner_text("body")

    assert "Comparing 2 Runs" in told
    for words in ("tiny_xs · none · synthetic · all", "alignment/r", "magnitude 50 %", "compression"):
        assert words in told
    assert ours(complaints) == []


def test_maps_turn_and_figures_show_in_the_artifact_pane(uri, runs):
    with browser_page() as (page, complaints):
        open_artifact(page, uri, runs[0], runs[1]["none"], "figures/brain.html")
        frame = page.frame_locator("iframe").first
        frame.locator("canvas").first.wait_for()
        drawn = frame.locator("canvas").first.evaluate("one => [one.width, one.height]")
        open_artifact(page, uri, runs[0], runs[1]["none"], "figures/layer_curve.png")
        page.wait_for_function(
            "[...document.images].some(one => one.src.startsWith('blob:') && one.naturalWidth > 300)"
        )
        told = page.inner_text("body")

    assert min(drawn) > 100
    for name in ("brain.png", "roi_bars.png", "config.yaml", "scores.csv"):
        assert name in told
    assert ours(complaints) == []


def test_a_run_tells_what_was_found_and_what_was_read(uri, runs):
    with browser_page(1600, 1800) as (page, complaints):
        page.goto(f"{uri}/#/experiments/{runs[0]}/runs/{runs[1]['none']}?workflowType=machine_learning")
        page.wait_for_selector("text=r on held-out rows at the layer chosen on training rows")
        told = page.inner_text("body")

    assert "word_rate" in told
    assert "synthetic" in told
    assert ours(complaints) == []
