"""What is recorded in MLflow, live or later. The only part of the package that imports it.

Tags of a run (of a sweep's parent: those marked *)::

    brainexp.kind *          run, or sweep
    brainexp.record *        names the record; what is synced twice is there once
    brainexp.config_hash     digest of what decides the numbers
    brainexp.study *         name of the study that it belongs to
    brainexp.sweep *         digest of what a sweep was asked for
    brainexp.label           name for people, such as "qwen3b · awq w4 g128 · deniz2019 · all"
    brainexp.dataset, .model, .compression, .prompt, .encoder    what was chosen
    brainexp.family, .parameters, .bits    architecture, number of weights, bits per weight
    brainexp.version, .git_commit, version.PACKAGE    on what it was made
    brainexp.error           why it failed
    mlflow.parentRunId       the sweep
    mlflow.note.content *    the description, in Markdown
"""

from brainexp.identity import config_hash
from brainexp.tracking.files import finished_run, log_folder, mark, restore
from brainexp.tracking.run import Recorder, tracked
from brainexp.tracking.store import PARENT, Tracking
from brainexp.tracking.sweep import close_sweep, open_sweep, study_runs, study_sweep
from brainexp.tracking.sync import Synced, sync

__all__ = [
    "PARENT",
    "Recorder",
    "Synced",
    "Tracking",
    "close_sweep",
    "config_hash",
    "finished_run",
    "log_folder",
    "mark",
    "open_sweep",
    "restore",
    "study_runs",
    "study_sweep",
    "sync",
    "tracked",
]
