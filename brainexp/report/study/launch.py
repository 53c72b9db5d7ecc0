"""What was launched: finished runs, failed ones, and jobs of which there is nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brainexp.errors import ConfigError
from brainexp.report.files import FAILED, RESULT, SAME, SWEEP
from brainexp.report.sweep import failures, records
from brainexp.settings import decisive

if TYPE_CHECKING:
    import pandas as pd

STUDIES = Path("outputs/studies")
#: Hydra's own record of a sweep.
HYDRA = "multirun.yaml"
#: What became of a job.
FINISHED, REUSED, BROKEN, UNFINISHED, NEVER = "finished", "finished before", "failed", "unfinished", "never started"
GONE = "finished before, and gone"
ELSEWHERE = "finished in another folder"


@dataclass(frozen=True)
class Study:
    """All that the report is made of.

    Parameters
    ----------
    name : str
        Of the study, or of the folder where it has none.
    title, question : str
        What the study file says; may be empty.
    folders : tuple of Path
        Where it was launched.
    runs : tuple of dict
        Finished runs, as `brainexp.report.sweep.records` returns them, each experiment once.
    jobs : DataFrame
        A row per job: ``folder``, ``job``, ``overrides``, ``status``, ``error``.
    parents : tuple of dict
        ``run_id``, ``tracking_uri`` and ``experiment`` of each launch that was tracked.
    remarks : tuple of str
        What the reader should know.
    """

    name: str
    title: str
    question: str
    folders: tuple[Path, ...]
    runs: tuple[dict[str, Any], ...]
    jobs: pd.DataFrame
    parents: tuple[dict[str, Any], ...]
    remarks: tuple[str, ...]


def newest_launch(name: str, root: Path = STUDIES) -> Path | None:
    """Folder of the newest launch of a study; None where there is none on this machine."""
    folders = [path for path in (root / name).glob("*") if path.is_dir() and _is_launch(path)]
    return max(folders, key=lambda path: path.name, default=None)


def known_studies(root: Path = STUDIES) -> list[str]:
    """Names of the studies that were launched on this machine."""
    return sorted(path.name for path in root.glob("*") if newest_launch(path.name, root) is not None)


def read_study(folders: Sequence[Path]) -> Study:
    """Read what lies in folders of launches, or of single runs.

    Parameters
    ----------
    folders : sequence of Path
        Each a sweep's, or that of one run.

    Raises
    ------
    ConfigError
        If a folder is not there or holds no run, or no run has finished.
    """
    import pandas as pd

    told = [_launch(folder) for folder in folders]
    found: list[dict[str, Any]] = []
    jobs: list[dict[str, Any]] = []
    for folder in folders:
        runs = _runs(folder)
        broken = failures(folder)
        if not runs and not broken and not _is_launch(folder):
            raise ConfigError(f"folder={folder} holds no runs. {_near(folder)}")
        found += runs
        jobs += _jobs(folder, runs)
    if not found:
        errors = "; ".join(dict.fromkeys(job["error"] for job in jobs if job["error"]))
        raise ConfigError(
            f"no run has finished in {', '.join(map(str, folders))}, so there is nothing to report."
            + (f" What failed: {errors}" if errors else "")
        )
    runs, remarks = _once(found)
    table = _filled(pd.DataFrame(jobs, columns=["folder", "job", "overrides", "status", "error"]))
    first: Mapping[str, Any] = next((one for one in told if one), {})
    known = ("run_id", "tracking_uri", "experiment")
    return Study(
        name=str(first.get("study") or folders[0].absolute().name),
        title=str(first.get("title") or ""),
        question=str(first.get("question") or ""),
        folders=tuple(folders),
        runs=tuple(runs),
        jobs=table,
        parents=tuple({key: one[key] for key in known} for one in told if one.get("run_id")),
        remarks=tuple(remarks),
    )


def expected_jobs(folder: Path) -> list[list[str]]:
    """Overrides of every job of a sweep, in the order of the jobs, from Hydra's own record.

    Empty where there is no record, where a sweeper other than Hydra's own decides as it goes, and where what is swept was
    found by a pattern (``model=glob(tiny_*)``), which cannot be looked up again.
    """
    import yaml
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    record = folder / HYDRA
    if not record.is_file():
        return []
    hydra = yaml.safe_load(record.read_text(encoding="utf-8"))["hydra"]
    if not str(hydra["sweeper"]["_target_"]).endswith(BasicSweeper.__name__):
        return []
    swept = [f"{key}={value}" for key, value in (hydra["sweeper"].get("params") or {}).items()]
    parsed = OverridesParser.create().parse_overrides([*swept, *hydra["overrides"]["task"]])
    try:
        (jobs,) = BasicSweeper.split_arguments(parsed, None)
    except HydraException:
        return []
    return [list(job) for job in jobs]


def _is_launch(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (SWEEP, HYDRA, RESULT))


def _launch(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise ConfigError(f"folder={folder} is not there. {_near(folder)}")
    file = folder / SWEEP
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else {}


def _runs(folder: Path) -> list[dict[str, Any]]:
    single = folder / RESULT
    if single.is_file():
        return [{**json.loads(single.read_text(encoding="utf-8")), "folder": str(folder)}]
    return records(folder)


def _jobs(folder: Path, runs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    if (folder / RESULT).is_file():
        return [{"folder": str(folder), "job": 0, "overrides": "", "status": FINISHED, "error": ""}]
    expected = expected_jobs(folder)
    seen = {int(path.name) for path in folder.glob("[0-9]*") if path.name.isdigit()}
    found = []
    for number in sorted({*range(len(expected)), *seen}):
        status, error = _status(folder / str(number))
        words = expected[number] if number < len(expected) else _overrides(folder / str(number))
        told = {"overrides": " ".join(words), "status": status, "error": error}
        found.append({"folder": str(folder), "job": number, **told})
    if not found:  # restored from a tracker: folders are named by run
        found = [
            {"folder": str(folder), "job": at, "overrides": run["name"], "status": FINISHED, "error": ""}
            for at, run in enumerate(runs)
        ]
    return found


def _status(job: Path) -> tuple[str, str]:
    if (job / FAILED).is_file():
        return BROKEN, str(json.loads((job / FAILED).read_text(encoding="utf-8"))["error"])
    if (job / RESULT).is_file():
        return FINISHED, ""
    if (job / SAME).is_file():
        there = Path(json.loads((job / SAME).read_text(encoding="utf-8"))["folder"])
        return (REUSED, "") if (there / RESULT).is_file() else (GONE, f"{there} is gone")
    return (UNFINISHED if job.is_dir() else NEVER), ""


def _overrides(job: Path) -> list[str]:
    import yaml

    file = job / ".hydra" / "overrides.yaml"
    return [str(one) for one in yaml.safe_load(file.read_text(encoding="utf-8"))] if file.is_file() else []


def _filled(jobs: pd.DataFrame) -> pd.DataFrame:
    """Mark as done what another folder has done by the same overrides."""
    done = set(jobs.overrides[jobs.status.isin([FINISHED, REUSED]) & (jobs.overrides != "")])
    again = ~jobs.status.isin([FINISHED, REUSED]) & jobs.overrides.isin(done)
    jobs.loc[again, "status"] = ELSEWHERE
    return jobs


def _once(runs: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[str]]:
    """Leave out runs whose options are those of an earlier one."""
    kept: list[dict[str, Any]] = []
    options: list[dict[str, Any]] = []
    again = []
    for run in runs:
        own = decisive(run["config"])
        if own in options:
            again.append(run["folder"])
        else:
            kept.append(run)
            options.append(own)
    return kept, [f"{folder} repeats a run that is there already, and is left out." for folder in again]


def _near(folder: Path) -> str:
    """What could have been meant."""
    parent = next((one for one in folder.absolute().parents if one.is_dir()), Path.cwd())
    there = [folder] if folder.is_dir() else []
    sweeps = sorted(
        str(path) for one in (*there, parent) for path in one.glob("*") if path.is_dir() and _is_launch(path)
    )
    listed = (
        f"Sweeps and runs nearby: {', '.join(sweeps[-8:])}." if sweeps else f"There is no sweep in {parent} either."
    )
    studies = known_studies()
    return f"{listed} Studies here: {', '.join(studies) if studies else 'none'}."
