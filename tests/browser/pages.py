"""MLflow's pages in a headless Chromium: which, and what the browser complains of."""

import json
import re
import shutil
import tempfile
from contextlib import contextmanager

from brainexp.tracking.view import address

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-dev-shm-usage",
)
#: Longest that a page takes, in milliseconds; several programs may share the machine.
PAGE_MS = 60_000
#: By how much the column of names is widened.
NAME_PIXELS = 140
#: The half of MLflow's pages that is about experiments, not about chat.
TRAINING = "workflowType=machine_learning"
#: What MLflow's own pages complain of, whatever they show.
OF_MLFLOW = {
    # A server without accounts has no current user; the page asks for one nevertheless.
    r"error: Failed to load resource: the server responded with a status of 404 .*/mlflow/users/current",
    # Its table sets options that its version of AG Grid calls old.
    r"warning: \[\.WebGL-\w+\]GL Driver Message .*GPU stall due to ReadPixels",  # its plots, where a CPU draws for the GPU
    r"warning: AG Grid: since v[\d.]+, `(getRowNodeId|immutableData)` is deprecated",
}


def chromium():
    """Path of a Chromium or Chrome that is installed, or None."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((found for found in map(shutil.which, names) if found), None)


@contextmanager
def browser_page(width=1600, height=900):
    """Give a page of a browser with a profile of its own, and the list to which its complaints go."""
    from playwright.sync_api import sync_playwright

    complaints = []
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as profile:
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path=chromium(), args=list(FLAGS), viewport={"width": width, "height": height}
        )
        try:
            page = context.pages[0]
            page.set_default_timeout(PAGE_MS)
            page.on("console", lambda one: complaints.append(f"{one.type}: {one.text} {one.location.get('url', '')}"))
            page.on("pageerror", lambda error: complaints.append(f"pageerror: {error}"))
            page.on("requestfailed", lambda one: complaints.append(f"requestfailed: {one.url} {one.failure}"))
            yield page, complaints
        finally:
            context.close()


def ours(complaints):
    """Errors and warnings that MLflow does not always have."""
    serious = [one for one in complaints if not one.startswith(("log:", "info:", "debug:"))]
    return [one for one in serious if not any(re.match(known, one) for known in OF_MLFLOW)]


def open_runs(page, uri, experiment_id):
    """The table of runs, with the columns of the saved view and the jobs of sweeps unfolded."""
    page.goto(uri + address(experiment_id))
    page.wait_for_selector(".ag-row")
    _close(page, "Hide banner")
    edge = page.locator(".ag-header-cell[col-id='attributes.`Run Name`'] .ag-header-cell-resize").bounding_box()
    page.mouse.move(edge["x"] + 2, edge["y"] + 5)
    page.mouse.down()
    page.mouse.move(edge["x"] + NAME_PIXELS, edge["y"] + 5, steps=5)
    page.mouse.up()
    folded = page.locator(".ag-row [col-id='attributes.`Run Name`'] button")
    for number in reversed(range(folded.count())):
        folded.nth(number).click()


def _close(page, *names):
    """Close what MLflow opens beside or above its pages, so that there is room."""
    for name in ("Close", *names):
        if page.get_by_label(name, exact=True).count():
            page.get_by_label(name, exact=True).first.click()


def open_comparison(page, uri, experiment_id, run_ids):
    """The page that compares runs."""
    page.goto(f"{uri}/#/compare-runs?runs={json.dumps(run_ids)}&experiments={json.dumps([experiment_id])}&{TRAINING}")
    page.wait_for_selector("text=Show diff only >> nth=0")
    _close(page)


def open_artifact(page, uri, experiment_id, run_id, path):
    """The artifacts of a run, one of them shown."""
    page.goto(f"{uri}/#/experiments/{experiment_id}/runs/{run_id}/artifacts/{path}?{TRAINING}")
    page.wait_for_selector(f"text={path}")
    _close(page)
