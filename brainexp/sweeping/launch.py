"""The launch of a sweep: what it is goes into its folder and the tracker before any job starts, and its end is told."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict

from brainexp.cache import digest
from brainexp.errors import ConfigError

if TYPE_CHECKING:
    from brainexp.tracking import Tracking

#: Groups and sections that say how and where a sweep runs, not what it is.
MEANS = ("hydra", "tracking", "sweep", "report", "resources", "cache.dir")
SQLITE = "sqlite:"


class Refused(BaseException):
    """A sweep that cannot start, because of the exception that caused this one.

    Hydra turns exceptions of a callback into warnings and goes on; this is none of the kind that it catches.
    """


@dataclass
class Launched:
    """A sweep under way.

    Parameters
    ----------
    folder : Path
        Of the sweep.
    tracking : Tracking
        Where it is recorded.
    run_id : str or None
        Its run in the tracker.
    jobs : int or None
        How many it has; None where the sweeper decides as it goes.
    held : ExitStack
        The lock of the folder.
    """

    folder: Path
    tracking: Tracking
    run_id: str | None
    jobs: int | None
    held: ExitStack

    def close(self, status: Literal["FINISHED", "FAILED", "KILLED"]) -> None:
        """Tell the tracker how the sweep ended, ``FINISHED``, ``FAILED`` or ``KILLED``, and let go of its folder."""
        from brainexp.tracking import PARENT, close_sweep

        os.environ.pop(PARENT, None)
        try:
            close_sweep(self.tracking, self.run_id, status, self.folder)
        finally:
            self.held.close()


#: The sweep of this process, between its start and its end.
under_way: Launched | None = None


class Launch(Callback):
    """Hydra calls it once, before any job of a sweep starts; workers get a copy that does nothing."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Open the sweep, or refuse it."""
        global under_way  # noqa: PLW0603  Hydra gives no other way back to its caller
        try:
            under_way = launched(config)
        except Exception as error:
            raise Refused(str(error)) from error


def launched(config: DictConfig) -> Launched:
    """Write ``sweep.json``, open the tracker's run, and let jobs know of it.

    Parameters
    ----------
    config : DictConfig
        Of the sweep as Hydra composes it before what is swept, Hydra's own section included.

    Raises
    ------
    ConfigError
        If an option that must be given is not, if the folder is another sweep's or another launch is using it, if the tracker
        cannot be reached, or if jobs on a cluster would write to one database file.
    """
    from brainexp.registry import validated
    from brainexp.report.files import SWEEP, write_json
    from brainexp.tracking import PARENT, Tracking, open_sweep

    told = OmegaConf.to_container(OmegaConf.masked_copy(config, ["study", "tracking"]), resolve=True)
    assert isinstance(told, dict)
    study = told.get("study") or {}
    tracking = validated(Tracking, told["tracking"], "tracking")
    require_shareable(tracking, str(config.hydra.launcher["_target_"]))
    overrides = [str(one) for one in config.hydra.overrides.task]
    folder = Path(config.hydra.sweep.dir).absolute()
    batch = job_overrides(config)
    jobs = None if batch is None else len(batch)
    if batch:
        require_complete(config, batch[0])
    with ExitStack() as stack:
        _hold(folder, stack)
        require_own(folder, overrides)
        name = study.get("name") or "sweep"
        run_id = open_sweep(tracking, name, _note(study, overrides), _tags(study, overrides))
        written = {
            "study": study.get("name"),
            "title": study.get("title"),
            "question": study.get("question"),
            "overrides": overrides,
            "run_id": run_id,
            "tracking_uri": tracking.uri,
            "experiment": tracking.experiment,
            "jobs": jobs,
            "swept": swept(batch or []),
        }
        write_json(folder / SWEEP, written)
        if run_id is not None:
            os.environ[PARENT] = run_id
        return Launched(folder, tracking, run_id, jobs, stack.pop_all())


def require_shareable(tracking: Tracking, launcher: str) -> None:
    """Raise ConfigError if jobs on several machines would write to one SQLite file: network file systems lose its locks."""
    if launcher.endswith("SlurmLauncher") and str(tracking.uri).startswith(SQLITE) and tracking.live:
        raise ConfigError(
            f"tracking.uri={tracking.uri} is one file, to which jobs on several machines would write at once; on a network "
            "file system that breaks it. Give the address of a server, tracking.uri=http://HOST:5000 (docs/tracker.md), or "
            "tracking.offline=true to record in files and bring them into the tracker afterwards."
        )


def require_own(folder: Path, overrides: Sequence[str]) -> None:
    """Raise ConfigError if a folder holds another sweep: its jobs would be taken for jobs of this one."""
    from brainexp.report.files import SWEEP

    if not (folder / SWEEP).is_file():
        return
    before = json.loads((folder / SWEEP).read_text(encoding="utf-8"))["overrides"]
    if decisive_overrides(before) != decisive_overrides(overrides):
        raise ConfigError(
            f"{folder} holds another sweep: {' '.join(before)}. Give another hydra.sweep.dir, or move it away."
        )


def require_complete(config: DictConfig, overrides: Sequence[str]) -> None:
    """Raise ConfigError if the first job lacks an option that must be given: the others will lack it too."""
    from hydra.core.global_hydra import GlobalHydra

    first = GlobalHydra.instance().config_loader().load_sweep_config(config, list(overrides))
    with open_dict(first):
        del first["hydra"]  # it does not know the number of the job yet
    missing = sorted(OmegaConf.missing_keys(first))
    if missing:
        raise ConfigError(f"{missing[0]} is missing. Give it: {missing[0]}=...")


def decisive_overrides(overrides: Sequence[str]) -> list[str]:
    """Leave out the overrides that say how and where a sweep runs.

    >>> decisive_overrides(["+study=scale", "hydra/launcher=slurm", "tracking.uri=null", "model=tiny_xs,tiny_s"])
    ['+study=scale', 'model=tiny_xs,tiny_s']
    """
    return [one for one in overrides if not _named(one).startswith(tuple(f"{means}." for means in MEANS))]


def _named(override: str) -> str:
    """Dotted name of what an override changes, with a dot at its end."""
    return override.partition("=")[0].lstrip("+~").replace("/", ".") + "."


def job_overrides(config: DictConfig) -> list[list[str]] | None:
    """Overrides of each job, in order; None where a sweeper other than Hydra's own decides as it goes."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.override_parser.overrides_parser import OverridesParser

    sweeper = config.hydra.sweeper
    if not str(sweeper["_target_"]).endswith(BasicSweeper.__name__):
        return None
    given = [*(f"{key}={value}" for key, value in (sweeper.params or {}).items()), *config.hydra.overrides.task]
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    (batch,) = BasicSweeper.split_arguments(parser.parse_overrides(given), None)
    return batch


def swept(batch: Sequence[Sequence[str]]) -> list[str]:
    """Names of what is not the same in all jobs.

    >>> swept([["model=gpt2", "seed=1"], ["model=gpt2", "seed=2"]])
    ['seed']
    """
    return [given[0].partition("=")[0] for given in zip(*batch, strict=True) if len({*given}) > 1]


def _hold(folder: Path, stack: ExitStack) -> None:
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    try:
        stack.enter_context(FileLock(folder / ".launch.lock", timeout=0, mode=0o666))
    except Timeout:
        raise ConfigError(
            f"another launch is filling {folder}. Wait for it, or give another hydra.sweep.dir; what both run is run once."
        ) from None
    except OSError:  # a file system without locks
        return


def _note(study: Mapping[str, Any], overrides: Sequence[str]) -> str:
    told = (study.get("title"), study.get("question"), " ".join(overrides))
    return "\n\n".join(str(one) for one in told if one)


def _tags(study: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, str]:
    named = {"brainexp.study": str(study["name"])} if study.get("name") else {}
    return {"brainexp.sweep": digest(decisive_overrides(overrides)), **named}
