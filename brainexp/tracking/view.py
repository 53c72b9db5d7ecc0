"""The columns that MLflow shows of an experiment, as a saved view: by itself it shows neither parameters nor metrics."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow import MlflowClient

#: End of the tag's name, and of the address that opens the view.
VIEW = "brainexp"
#: Tag of an experiment in which MLflow 3 keeps a view; older versions, which keep it otherwise, do not list it.
TAG = f"mlflow.sharedViewState.{VIEW}"
#: In the order in which MLflow shows them within each of its groups.
COLUMNS = (
    "metrics.`alignment/r`",
    "metrics.`alignment/r_se`",
    "metrics.`alignment/r_norm`",
    "metrics.`compression/bits_per_weight`",
    "metrics.`compression/parameters`",
    "metrics.`compression/perplexity`",
    "params.`model`",
    "params.`compression`",
    "params.`dataset`",
    "params.`subjects`",
    "tags.`brainexp.family`",
)


def saved_view() -> str:
    """Return the view as MLflow's pages keep it."""
    now_ms = int(time.time() * 1000)
    state = json.dumps({"selectedColumns": COLUMNS})
    return json.dumps({"name": VIEW, "createdAt": now_ms, "updatedAt": now_ms, "state": state})


def add_view(client: MlflowClient, experiment_id: str, known_tags: dict[str, str]) -> None:
    """Give an experiment the view, unless it has it: a user may have changed it."""
    if TAG not in known_tags:
        client.set_experiment_tag(experiment_id, TAG, saved_view())


def address(experiment_id: str) -> str:
    """Return what stands behind a server's address to open an experiment with these columns."""
    return f"/#/experiments/{experiment_id}/runs?workflowType=machine_learning&viewStateShareKey={VIEW}"
