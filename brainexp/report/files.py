"""The files that every run leaves; their keys and columns are a contract."""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from brainexp.environment import public
from brainexp.errors import ConfigError
from brainexp.identity import config_hash, inputs_hash
from brainexp.report.brain import write_maps
from brainexp.report.figures import write_figures
from brainexp.report.spaces import FILE as SPACES
from brainexp.report.spaces import save_spaces
from brainexp.result import Result

RESULT = "result.json"
SCORES = "scores.parquet"
VOXELS = "voxels.npz"
READOUTS = "readouts"
#: Of a sweep: what was launched. Of its jobs: where the result of a config is that had finished before, and what failed.
SWEEP, SAME, FAILED = "sweep.json", "same.json", "failed.json"


def require_unused(folder: Path) -> None:
    """Raise ConfigError if a run has already left its result in a folder."""
    if (folder / RESULT).exists():
        raise ConfigError(
            f"{folder} already holds a result, which would be overwritten. Give another hydra.run.dir, or move it away."
        )


def write(
    result: Result,
    folder: Path,
    name: str,
    config: Mapping[str, Any],
    environment: Mapping[str, Any],
    label: str | None = None,
    attachments: Mapping[str, str] | None = None,
) -> None:
    """Write everything under a temporary name, then move it into the folder, ``result.json`` last.

    Parameters
    ----------
    result : Result
        What was found.
    folder : Path
        The run's folder.
    name : str
        What the run is called, such as "qwen3b-awq-alice".
    config : mapping
        The resolved config; ``report.figures`` says whether to draw, ``readout`` in which format weights are saved.
    environment : mapping
        On what it was made.
    label : str, optional
        What people call it (see `brainexp.labels`); else the name.
    attachments : mapping of str to str, optional
        What else is to be told of it: files by name, and their text.
    """
    folder.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=folder))
    try:
        result.scores.to_parquet(partial / SCORES, index=False)
        np.savez_compressed(partial / VOXELS, **result.per_voxel)  # type: ignore[arg-type]
        save_spaces(result.voxels.spaces, partial / SPACES)
        for table_name, table in result.tables.items():
            table.to_parquet(partial / f"{table_name}.parquet", index=False)
        if result.readouts:
            (partial / READOUTS).mkdir()
            for subject, readout in result.readouts.items():
                readout.save(partial / READOUTS / f"{subject}.{config['readout']}")
        if config["report"]["figures"]:
            write_figures(result, partial / "figures")
            write_maps(result, partial / "maps", partial / "figures")
        for file_name, text in (attachments or {}).items():
            (partial / file_name).write_text(text, encoding="utf-8", errors="surrogateescape")
        record = {
            "name": name,
            "label": label or name,
            "compression": result.compression,
            "metrics": _json_numbers(result.metrics),
            "curves": {name: [_json_number(value) for value in curve] for name, curve in result.curves.items()},
            "layers": list(result.layers),
            "subjects": list(result.voxels.subjects),
            "remarks": list(result.remarks),
            "config": public(config),
            "config_hash": config_hash(config),
            "inputs_hash": inputs_hash(config),
            "environment": environment,
            "provenance": result.provenance,
        }
        (partial / RESULT).write_text(json.dumps(record, indent=1, allow_nan=False))
        for made in sorted(partial.iterdir(), key=lambda path: path.name == RESULT):
            made.rename(folder / made.name)
    finally:
        shutil.rmtree(partial)


def write_json(file: Path, told: Mapping[str, Any]) -> None:
    """Write a small JSON file whole or not at all, under a temporary name first."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}-{uuid4().hex}")
    try:
        partial.write_text(json.dumps(told, indent=1, ensure_ascii=False), encoding="utf-8")
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def _json_numbers(metrics: Mapping[str, float]) -> dict[str, float | None]:
    return {name: _json_number(value) for name, value in metrics.items()}


def _json_number(value: float) -> float | None:
    """JSON has no NaN: an undefined score is null."""
    return value if math.isfinite(value) else None
