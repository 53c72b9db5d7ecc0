"""Take the README's pictures of MLflow anew, of a sweep of tiny models: ``python -m docs.mlflow_images``."""

import subprocess
import sys
import tempfile
from pathlib import Path

from mlflow import MlflowClient

from tests.browser.pages import browser_page, open_artifact, open_comparison, open_runs
from tests.services.running import Server

IMAGES = Path(__file__).parent / "images"
SWEEP = [
    "--multirun",
    "model=tiny_xs,tiny_s,tiny_m",
    "compression=none,magnitude,low_rank",
    "dataset.n_stories=6",
    "scoring.permutations=200",
    "ceiling.bootstraps=20",
    "baselines=[word_rate,static]",
    "partition.spaces=[]",
]
#: For plots to be drawn, in milliseconds.
DRAWN_MS = 4000


def main(store: str | None = None) -> None:
    """Run a sweep, unless a store with one is given, and take its pictures."""
    with tempfile.TemporaryDirectory() as folder:
        if store is None:
            store = f"sqlite:///{folder}/mlflow.db"
            words = [*SWEEP, f"hydra.sweep.dir={folder}/sweep", f"tracking.uri={store}", "sweep.resume=false"]
            subprocess.run([sys.executable, "-m", "brainexp", *words], check=True)
        server = Server(Path(folder) / "server", store)
        try:
            server.start()
            take(server.uri)
        finally:
            server.kill()


def take(uri: str) -> None:
    """Keep pictures of the table of runs, of a comparison and of an artifact."""
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("brainexp")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], "tags.`brainexp.kind` = 'run'")
    ids = [run.info.run_id for run in runs]
    with browser_page(1900, 620) as (page, _):
        open_runs(page, uri, experiment.experiment_id)
        page.wait_for_selector("text=tiny_xs · none")
        page.wait_for_timeout(DRAWN_MS)
        page.screenshot(path=IMAGES / "mlflow_runs.png")
        page.set_viewport_size({"width": 1400, "height": 900})
        open_comparison(page, uri, experiment.experiment_id, ids)
        page.wait_for_timeout(DRAWN_MS)
        page.screenshot(path=IMAGES / "mlflow_compare.png")
        page.set_viewport_size({"width": 1200, "height": 560})
        open_artifact(page, uri, experiment.experiment_id, ids[0], "figures/brain.html")
        page.wait_for_timeout(DRAWN_MS)
        page.screenshot(path=IMAGES / "mlflow_artifacts.png")


if __name__ == "__main__":
    main(*sys.argv[1:])
