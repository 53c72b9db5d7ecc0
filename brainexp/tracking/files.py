"""Files of runs, to the store and back; and which runs have finished."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from brainexp.environment import without_credentials
from brainexp.errors import ConfigError
from brainexp.tracking.store import SQLITE, Store, Tracking, opened, shortened

#: What a run writes last.
RESULT = "result.json"


def log_folder(tracking: Tracking, run_id: str | None, folder: Path, artifact_path: str | None = None) -> None:
    """Add the files of a folder to a run, all but hidden ones; nothing where nothing is recorded.

    Parameters
    ----------
    tracking : Tracking
        Where the run is.
    run_id : str or None
    folder : Path
        Its files and folders go to ``artifact_path``, or to the top.
    artifact_path : str, optional
        Folder among the run's artifacts.
    """
    if tracking.live and run_id is not None:
        send(opened(tracking), run_id, sorted(folder.iterdir()), artifact_path)


def send(store: Store, run_id: str, paths: list[Path], artifact_path: str | None = None) -> None:
    """Add files and whole folders to a run; hidden ones are left out."""
    for path in paths:
        if path.name.startswith("."):
            continue
        if path.is_dir():
            inside = path.name if artifact_path is None else f"{artifact_path}/{path.name}"
            store.ask(store.client.log_artifacts, run_id, str(path), inside)
        else:
            store.ask(store.client.log_artifact, run_id, str(path), artifact_path)


def mark(tracking: Tracking, run_id: str | None, tags: Mapping[str, str]) -> None:
    """Put tags on a run; nothing where nothing is recorded."""
    if tracking.live and run_id is not None:
        store = opened(tracking)
        for name, value in tags.items():
            store.ask(store.client.set_tag, run_id, name, shortened(value))


def finished_run(tracking: Tracking, config_hash: str) -> str | None:
    """Return the id of the newest finished run with a config's digest; None if there is none, or no store."""
    if not tracking.live:
        return None
    found = opened(tracking).with_tags({"brainexp.config_hash": config_hash}, finished=True)
    return next((str(one.info.run_id) for one in found), None)


def restore(tracking: Tracking, run_id: str, folder: Path) -> None:
    """Download all files of a run into a folder, ``result.json`` last, so that it is there only where all is.

    What is in the folder already stays, unless the run has a file of that name.

    Raises
    ------
    ConfigError
        If the store holds no such run.
    """
    from mlflow.exceptions import MlflowException

    assert tracking.uri is not None
    if tracking.uri.startswith(SQLITE) and not Path(tracking.uri.removeprefix(SQLITE)).is_file():
        raise ConfigError(
            f"there is no run {run_id}: tracking.uri={tracking.uri} names no database that is there. Give the one "
            "in which the run was recorded: tracking.uri=..."
        )
    store = opened(tracking)
    try:
        store.ask(store.client.get_run, run_id)
    except MlflowException as error:
        uri, reason = without_credentials(tracking.uri), str(error).split("\n")[0]
        raise ConfigError(
            f"run {run_id} cannot be read from tracking.uri={uri}: {reason} Give the tracker in which it was recorded: "
            "tracking.uri=..."
        ) from error
    folder.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=folder))
    try:
        store.ask(store.client.download_artifacts, run_id, "", str(partial))
        for made in sorted(partial.iterdir(), key=lambda path: path.name == RESULT):
            there = folder / made.name
            if there.is_dir():
                shutil.rmtree(there)
            made.replace(there)
    finally:
        shutil.rmtree(partial)
