"""Run again what a record tells of: ``python -m brainexp.reproduce RUN``."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from brainexp.cli import LOG_WIDTH, conf_dir, explained, plain_values, show_result
from brainexp.compress import require_free
from brainexp.errors import BrainexpError, ConfigError, DataError, ModelError
from brainexp.reproduce.comparison import EXCLUDED, TOLERANCE, Comparison, compared
from brainexp.reproduce.differences import Difference, before
from brainexp.reproduce.options import Rebuilt, rebuilt
from brainexp.reproduce.recorded import Recorded, found
from brainexp.reproduce.tables import comparison_table, differences_table, verdict_line
from brainexp.reproduce.threads import threads_as_recorded

if TYPE_CHECKING:
    from rich.console import Console

    from brainexp.tracking import Tracking

USAGE = f"""usage: python -m brainexp.reproduce RUN [OPTION=VALUE ...] [out=DIR] [tolerance=X] [--fresh] [--dry-run]

Run again what a record tells of, and say what differs. RUN is a run's folder, its result.json, or the id of an MLflow run.

Before the run: which code, packages, machine, threads, files and options are not as they were. After it: which stages are
identical bit for bit, equal within the tolerance, or different, by how much and where. Threads are set as they were.

  tracking.uri=URI   where RUN is recorded, and its repetition will be; null records nothing
  out=DIR            new folder of the repetition; default: outputs/reproductions/NAME-TIME
  tolerance=X        differences that count as none, relative above one; default: {TOLERANCE:g}
  OPTION=VALUE       changes a recorded option, such as dataset.root=FOLDER for data that have moved
  ~OPTION            leaves out a recorded option that this version does not have
  --fresh            computes features and checkpoints anew, instead of taking them from the cache
  --dry-run          shows what differs, and runs nothing

Exit code 0: all numbers are equal within the tolerance; --dry-run: the run could start. 1: otherwise.
"""
REPRODUCTION = "reproduction.json"
#: Hidden, so that the tracker does not take it.
CACHE = ".cache"


@dataclass(frozen=True)
class Request:
    """What the command line asks for.

    Parameters
    ----------
    run : str
        A run's folder, a ``result.json``, or the id of an MLflow run.
    overrides : tuple of str
        Options to change or to leave out.
    out : Path or None
        Where the repetition goes.
    tolerance : float
        Differences that count as none.
    fresh, dry : bool
        Whether nothing is taken from the cache; whether nothing is run.
    """

    run: str
    overrides: tuple[str, ...] = ()
    out: Path | None = None
    tolerance: float = TOLERANCE
    fresh: bool = False
    dry: bool = False


def main(words: Sequence[str] | None = None) -> int:
    """Do what the command line says; return its exit code."""
    words = sys.argv[1:] if words is None else words
    if not words or {"-h", "--help"} & {*words}:
        print(USAGE, end="")
        return 0 if words else 2
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_DISABLE", "1")
    try:
        return 0 if reproduced(asked(words)) else 1
    except (BrainexpError, HydraException, OmegaConfBaseException) as error:
        print(f"brainexp.reproduce: {explained(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("brainexp.reproduce: interrupted; nothing half-written is left.", file=sys.stderr)
        return 130


def asked(words: Sequence[str]) -> Request:
    """Read the command line.

    Raises
    ------
    ConfigError
        If it is not understood.
    """
    run, *rest = words
    flags = {word for word in rest if word.startswith("--")}
    if run.startswith("-") or flags - {"--fresh", "--dry-run"}:
        unknown = run if run.startswith("-") else sorted(flags - {"--fresh", "--dry-run"})[0]
        raise ConfigError(f"{unknown} is not understood here. RUN comes first, then options, --fresh and --dry-run.")
    told = {name: value for name, _, value in (word.partition("=") for word in rest) if name in ("out", "tolerance")}
    overrides = tuple(word for word in rest if word not in flags and word.partition("=")[0] not in told)
    out = Path(told["out"]).expanduser() if told.get("out") else None
    return Request(run, overrides, out, _tolerance(told), "--fresh" in flags, "--dry-run" in flags)


def _tolerance(told: Mapping[str, str]) -> float:
    try:
        tolerance = float(told.get("tolerance", TOLERANCE))
    except ValueError:
        tolerance = -1.0
    if not 0 <= tolerance < 1:
        raise ConfigError(f"tolerance={told['tolerance']} must be a number from 0 to below 1, such as 1e-6.")
    return tolerance


def reproduced(request: Request) -> bool:
    """Show what differs, run again, and show how it compares; return whether all is well.

    Parameters
    ----------
    request : Request
        What the user wants.

    Raises
    ------
    ConfigError
        If there is no such run, its config cannot be built here, or something it needs is not there; before work starts.
    """
    from brainexp.registry import load_plugins

    load_plugins()
    defaults = _defaults()
    tracking = _tracking(request, defaults)
    with TemporaryDirectory(prefix="brainexp-") as scratch:
        recorded = found(request.run, tracking, Path(scratch))
        folder = request.out or _new_folder(recorded)
        made = _rebuilt(request, recorded, defaults, tracking, folder)
        with threads_as_recorded(recorded.environment.get("threads") or []):
            files, model = _sources(made)
            differences = before(recorded, made, files, model)
            print_differences(recorded, differences)
            if request.dry:
                return not made.unknown and not made.missing and model is not None
            _require_possible(recorded, made)
            require_free(folder)
            try:
                return _run_again(request, recorded, made, differences, tracking, folder).reproduced
            finally:
                if request.fresh:
                    shutil.rmtree(folder / CACHE, ignore_errors=True)


def _defaults() -> dict[str, Any]:
    from hydra import compose, initialize_config_dir

    with initialize_config_dir(conf_dir(), version_base="1.3"):
        return plain_values(compose("config"))


def _tracking(request: Request, defaults: Mapping[str, Any]) -> Tracking:
    """Where runs are recorded, as the command line or this version's config says."""
    import yaml

    from brainexp.registry import validated
    from brainexp.tracking import Tracking

    given = {
        name.removeprefix("tracking."): yaml.safe_load(value)
        for name, _, value in (word.partition("=") for word in request.overrides)
        if name.startswith("tracking.")
    }
    return validated(Tracking, {**defaults["tracking"], **given}, "tracking")


def _rebuilt(
    request: Request, recorded: Recorded, defaults: Mapping[str, Any], tracking: Tracking, folder: Path
) -> Rebuilt:
    """Rebuild the config, with this machine's cache and tracker."""
    config = {**recorded.content["config"], "tracking": asdict(tracking)}
    cache = config.get("cache") or {}
    if cache.get("dir") is not None and not Path(cache["dir"]).expanduser().is_dir():
        config["cache"] = {**cache, "dir": None}
    changes = [word for word in request.overrides if not word.startswith("tracking.")]
    named = list(recorded.provenance.get("files") or {})
    made = rebuilt(config, defaults, changes, recorded.directory, named)
    name = tracking.run_name or f"{recorded.content.get('name', 'run')} again"
    sections = {"tracking": {**made.config["tracking"], "run_name": name}}
    if request.fresh:
        sections["cache"] = {**made.config["cache"], "dir": str(folder / CACHE)}
    return replace(made, config={**made.config, **sections})


def _new_folder(recorded: Recorded) -> Path:
    now = datetime.now().astimezone()
    return Path("outputs/reproductions") / f"{recorded.content.get('name', 'run')}-{now:%Y-%m-%d_%H-%M-%S}"


def _sources(made: Rebuilt) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Files that the config names, and digests of its model, as they are here; None where the model is not to be had."""
    from brainexp.provenance import of_files, of_model
    from brainexp.registry import MODELS

    groups = ("dataset", "model", "compression", "probe")
    files = of_files({group: made.config.get(group) or {} for group in groups})
    try:
        return files, of_model(MODELS.build(made.config["model"]))
    except (ModelError, DataError):
        return files, None


def _require_possible(recorded: Recorded, made: Rebuilt) -> None:
    if made.unknown:
        options = ", ".join(f"{name}={value}" for name, value in made.unknown.items())
        words = " ".join(f"~{name}" for name in made.unknown)
        told = recorded.environment
        raise ConfigError(
            f"this version has no {options}. Reproduce with the recorded one (brainexp {told.get('brainexp')}, commit "
            f"{told.get('git_commit')}), or leave them out: {words}"
        )
    if made.missing:
        missing = ", ".join(f"{name}={path}" for name, path in made.missing.items())
        others = " ".join(f"{name}=..." for name in made.missing)
        raise ConfigError(f"not there: {missing}. Say where it is now: {others}")


def print_differences(recorded: Recorded, differences: Sequence[Difference]) -> None:
    """Show what is not as it was."""
    told = recorded.environment
    console = _console()
    console.print(f"{recorded.content.get('name', 'run')}   {recorded.named}", soft_wrap=True, highlight=False)
    console.print(f"brainexp {told.get('brainexp')}, commit {told.get('git_commit')}", soft_wrap=True, highlight=False)
    if told.get("git_diff"):
        name = str(told["git_diff"]["file"])
        diff = recorded.folder / name if recorded.named == str(recorded.folder) else f"{name} (of the run's artifacts)"
        console.print(f"with changes that no commit holds: git apply {diff}", soft_wrap=True, highlight=False)
    if differences:
        console.print(differences_table(differences))
    else:
        console.print("code, packages, machine, options and files are as they were.")


def _run_again(
    request: Request,
    recorded: Recorded,
    made: Rebuilt,
    differences: Sequence[Difference],
    tracking: Tracking,
    folder: Path,
) -> Comparison:
    """Run, compare, write and record."""
    from brainexp.composition import Experiment
    from brainexp.environment import attachments, environment
    from brainexp.experiment import run
    from brainexp.objections import require_possible
    from brainexp.preflight import estimated, require_fits
    from brainexp.registry import validated
    from brainexp.report.files import write
    from brainexp.settings import Resources
    from brainexp.tracking import mark, tracked

    config, name = made.config, str(recorded.content.get("name", "run"))
    label, again = str(recorded.content.get("label", name)), replace(tracking, run_name=config["tracking"]["run_name"])
    experiment, started = Experiment.from_config(config), datetime.now(UTC)
    with tracked(again, config, environment(), label) as record:
        mark(tracking, record.run_id, {"brainexp.reproduces": recorded.named})
        require_possible(experiment)
        require_fits(estimated(experiment), validated(Resources, config["resources"], "resources"), folder)
        result = run(experiment)
        write(result, folder, name, config, environment(), label, attachments())
        comparison = compared(recorded.folder, folder, request.tolerance)
        _write(comparison, recorded, made, differences, folder)
        record(result, folder)
        mark(tracking, record.run_id, {"brainexp.reproduced": comparison.verdict})
    show_result(result, name, folder, tracking.uri)
    console = _console()
    console.print(comparison_table(comparison, result.provenance["features"], started))
    console.print(verdict_line(comparison), soft_wrap=True, highlight=False)
    console.print(f"all findings        {folder / REPRODUCTION}", soft_wrap=True, highlight=False)
    return comparison


def _write(
    comparison: Comparison, recorded: Recorded, made: Rebuilt, differences: Sequence[Difference], folder: Path
) -> None:
    first = comparison.first
    told = {
        "reproduces": recorded.named,
        "verdict": comparison.verdict,
        "tolerance": comparison.tolerance,
        "first_difference": None if first is None else first.stage,
        "findings": [asdict(one) for one in comparison.findings],
        "not_compared": list(EXCLUDED),
        "environment": [asdict(one) for one in differences],
        "options": {"given": made.given, "moved": made.moved, "new": made.new},
    }
    unfinished = folder / f".partial-{REPRODUCTION}"
    unfinished.write_text(json.dumps(told, indent=1, allow_nan=False, default=str), encoding="utf-8")
    unfinished.rename(folder / REPRODUCTION)


def _console() -> Console:
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=LOG_WIDTH)


if __name__ == "__main__":
    sys.exit(main())
