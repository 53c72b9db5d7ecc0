"""The command line: compose, run, show. The only module that prints."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import sys
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from brainexp.errors import BrainexpError, ConfigError

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from brainexp.result import Result
    from brainexp.sweeping.launch import Launched

log = logging.getLogger(__name__)

#: Columns of a log file, where no terminal says how wide it is.
LOG_WIDTH = 110
#: What a user can mend, told without a trace.
MISTAKES = (BrainexpError, HydraException, OmegaConfBaseException)
#: Packages that place jobs.
LAUNCHERS = ("joblib", "submitit")


def conf_dir() -> str:
    """Folder of the configs: inside the package when installed, beside it in a checkout."""
    here = Path(__file__).resolve().parent
    found = [folder for folder in (here / "conf", here.parent / "conf") if (folder / "config.yaml").is_file()]
    return str(found[0])


def main() -> None:
    """Run ``brainexp``; a user's mistake ends in one message and exit code 1, and so does a sweep of which a job failed."""
    from brainexp.sweeping import launch

    # On a machine with other work, threads that wait by spinning make runs ten times longer.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_DISABLE", "1")  # bars of libraries; ours look for themselves
    wants_trace = _wants_trace()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # else Hydra prints traces itself and exits
    for number in (
        signal.SIGINT,
        signal.SIGTERM,
    ):  # a KeyboardInterrupt as such may end the process without our exit code
        signal.signal(number, _stop)
    status: Literal["FINISHED", "FAILED", "KILLED"] = "FAILED"
    try:
        _composed()
        status = "FINISHED"
    except (*MISTAKES, launch.Refused) as error:
        mistake = isinstance(error.__cause__ if isinstance(error, launch.Refused) else error, MISTAKES)
        if wants_trace or not mistake:
            raise
        sys.exit(f"brainexp: {explained(error)}")
    except Exception as error:
        if wants_trace or type(error).__module__.split(".")[0] not in LAUNCHERS:
            raise
        sys.exit(
            f"brainexp: the launcher gave up ({type(error).__name__}): a job was killed, most often for lack of memory."
        )
    except KeyboardInterrupt as stopped:
        status = "KILLED"
        print("brainexp: interrupted; nothing half-written is left.", file=sys.stderr)
        sys.exit(stopped.exit_code if isinstance(stopped, Stopped) else 130)
    finally:
        if launch.under_way is not None:
            _end_sweep(launch.under_way, status)


class Stopped(KeyboardInterrupt):
    """A signal to stop: Ctrl-C, or a scheduler's."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number


def _stop(number: int, _frame: object) -> None:
    raise Stopped(number)


def _wants_trace() -> bool:
    return os.environ.get("HYDRA_FULL_ERROR") == "1" or any("hydra.verbose" in word for word in sys.argv)


@hydra.main(version_base="1.3", config_path=conf_dir(), config_name="config")
def _composed(config: DictConfig) -> None:
    folder = Path(HydraConfig.get().runtime.output_dir)
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        _run_job(config, folder)
    else:
        execute(plain_values(config), folder)


def _run_job(config: DictConfig, folder: Path) -> None:
    """Run one job of a sweep; say which it is and what became of it."""
    from brainexp.report.files import SWEEP
    from brainexp.sweeping.job import attempt

    number, launch = HydraConfig.get().job.num + 1, json.loads((folder.parent / SWEEP).read_text(encoding="utf-8"))
    of_how_many = f" of {launch['jobs']}" if launch["jobs"] else ""  # unknown where the sweeper decides as it goes
    given = [str(one) for one in HydraConfig.get().overrides.task]
    overrides = [one for one in given if one.partition("=")[0] in launch["swept"] or not launch["swept"]]
    _tell(f"\njob {number}{of_how_many}  {' '.join(overrides)}")
    outcome = attempt(lambda: plain_values(config), folder, run_name({}), overrides, execute)
    if outcome.kind == "same":
        _tell(f"finished before     {outcome.words}")
    elif outcome.kind == "failed":
        print(f"job {number} failed: {outcome.words}", file=sys.stderr)


def plain_values(config: DictConfig) -> dict[str, Any]:
    """Return a composed config as plain values; raise ConfigError if one is missing."""
    try:
        plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        raise ConfigError(f"{error.full_key} is missing. Give it: {error.full_key}=...") from None
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def execute(config: dict[str, Any], folder: Path) -> Result:
    """Run one experiment, write and record what it found, and print where it is.

    Parameters
    ----------
    config : dict
        The resolved config, plain values only.
    folder : Path
        Where the run's files go.
    """
    from brainexp.composition import Experiment
    from brainexp.environment import attachments, environment
    from brainexp.experiment import run
    from brainexp.labels import run_label
    from brainexp.objections import require_possible
    from brainexp.preflight import estimate_table, estimated, require_fits
    from brainexp.registry import validated
    from brainexp.report.files import require_unused, write
    from brainexp.settings import Resources, Sweep
    from brainexp.sweeping.gpus import one_gpu
    from brainexp.sweeping.ledger import Ledger
    from brainexp.tracking import Tracking, tracked

    require_unused(folder)
    experiment = Experiment.from_config(config)
    ledger = Ledger(Path(validated(Sweep, config["sweep"], "sweep").finished))
    tracking = validated(Tracking, config["tracking"], "tracking")
    resources = validated(Resources, config["resources"], "resources")
    name, label = run_name(config), run_label(config, _choices())
    launcher = HydraConfig.get().launcher["_target_"] if HydraConfig.initialized() else ""
    overrides = HydraConfig.get().overrides.task if HydraConfig.initialized() else ()
    with one_gpu(resources.gpus, launcher), tracked(tracking, config, environment(), label, overrides) as record:
        try:
            require_possible(experiment)
            estimate = estimated(experiment)
            _console().print(estimate_table(estimate, experiment.cache_dir))
            require_fits(estimate, resources, folder)
            result = run(experiment)
            write(result, folder, name, config, environment(), label, attachments())
            record(result, folder)
        except Exception:
            log.info("the run failed", exc_info=True)  # Hydra leaves no trace in the run's log
            raise
    ledger.enter(config, folder, record.run_id)
    show_result(result, name, folder, tracking.way_to(folder))
    return result


def run_name(config: Mapping[str, Any]) -> str:
    """Return model, compression and dataset of a run, as Hydra's groups call them or, without Hydra, the registries."""
    choices = _choices()
    return "-".join(str(choices.get(group) or config[group]["name"]) for group in ("model", "compression", "dataset"))


def _choices() -> Mapping[str, Any]:
    """What Hydra's groups were set to; nothing without Hydra."""
    return HydraConfig.get().runtime.choices if HydraConfig.initialized() else {}


def show_result(result: Result, name: str, folder: Path, way_to_runs: str | None) -> None:
    """Print what a run found, and where it all is."""
    from brainexp.report.table import clocks_table, comparison_table, partition_table, summary_table

    for remark in result.remarks:
        log.warning(remark)
    console = _console()
    n_subjects = len(result.voxels.subjects)
    console.print(clocks_table(result.tables["clocks"]))
    console.print(summary_table(result, name))
    chosen = f"layer {result.metrics['layer/chosen']:.0f} chosen on training rows; " if len(result.layers) > 1 else ""
    console.print(f"{chosen}r on held-out rows, mean over {n_subjects} subjects")
    if "partition" in result.tables:
        console.print(partition_table(result.tables["partition"]))
    tests = comparison_table(result.tables["comparisons"], f"model against baselines, {n_subjects} subjects")
    if tests is not None:
        console.print(tests)
    _tell(f"files and figures   {folder}")
    if way_to_runs is not None:
        _tell(f"compare runs        {way_to_runs}")


def _end_sweep(sweep: Launched, status: Literal["FINISHED", "FAILED", "KILLED"]) -> None:
    """Show what a sweep found and what failed, and close it; exit with 1 if a job failed."""
    from brainexp.report.sweep import failures, failures_table, records

    failed = failures(sweep.folder)
    n_left = (sweep.jobs or 0) - len(failed) - len(records(sweep.folder))
    try:
        show_sweep(sweep.folder)
        console = _console()
        if failed:
            console.print(failures_table(failed))
            _tell(f"traces              {sweep.folder}/*/failed.json")
        if n_left > 0:
            _tell(f"{n_left} of {sweep.jobs} jobs have not ended.")
        if failed or n_left > 0:
            _tell("Give the same command again: what has finished is not run again.")
    finally:
        sweep.close("FAILED" if failed and status == "FINISHED" else status)
    if failed and status == "FINISHED":
        sys.exit(1)


def show_sweep(folder: Path) -> None:
    """Print the finished runs of a sweep side by side, and draw them beside the jobs' folders."""
    from brainexp.report import pairing
    from brainexp.report.figures import DOTS_PER_INCH
    from brainexp.report.sweep import FIGURE, records, scale_curve, sweep_table

    runs = records(folder)
    if not runs:
        return
    console = _console()
    console.print(sweep_table(runs))
    figure = scale_curve(runs)
    if figure is not None:
        figure.savefig(folder / FIGURE, dpi=DOTS_PER_INCH)
        _tell(f"r over model size   {folder / FIGURE}")
    if len(runs) > 1:
        comparisons, remarks = pairing.job_comparisons(runs)
        _show_comparisons(comparisons, remarks, folder)
        _show_costs(runs, comparisons, folder)
        _show_probes(runs, folder)


def _show_probes(runs: list[dict[str, Any]], folder: Path) -> None:
    from brainexp.report.dissociation import FIGURE, TABLE, dissociation_figure, dissociations
    from brainexp.report.figures import DOTS_PER_INCH
    from brainexp.report.sweep import RATES_TABLE, TASKS_TABLE, leaderboard
    from brainexp.report.table import dissociation_table

    console = _console()
    rates, tasks = leaderboard(runs)
    if not rates.empty:
        rates.to_csv(folder / RATES_TABLE, index=False)
        tasks.to_csv(folder / TASKS_TABLE, index=False)
        _tell(f"who wins at probes  {folder / RATES_TABLE}")
    table, remarks = dissociations(runs)
    for remark in remarks:
        _tell(remark)
    if table.empty:
        return
    table.to_csv(folder / TABLE, index=False)
    console.print(dissociation_table(table))
    for row in table[table.verdict == "dissociated"].itertuples():
        log.info("%s: %s dissociated from alignment (adjusted p %.3g)", row.run, row.competence, row.p_larger_adjusted)
    if table.difference.notna().any():
        dissociation_figure(table).savefig(folder / FIGURE, dpi=DOTS_PER_INCH)
        _tell(f"what is lost        {folder / FIGURE}")
    _tell(f"its tests           {folder / TABLE}")


def _show_costs(runs: list[dict[str, Any]], comparisons: pd.DataFrame, folder: Path) -> None:
    from brainexp.report.figures import DOTS_PER_INCH
    from brainexp.report.sweep import COST_FIGURE, COST_TABLE, cost_curve, cost_rows

    rows = cost_rows(runs, comparisons)
    margin = runs[0]["config"].get("scoring", {}).get("equivalence_margin")
    figure = cost_curve(rows) if margin is None else cost_curve(rows, margin)
    if figure is None:
        return
    rows.to_csv(folder / COST_TABLE, index=False)
    figure.savefig(folder / COST_FIGURE, dpi=DOTS_PER_INCH)
    _tell(f"r over bits         {folder / COST_FIGURE}")
    _tell(f"its numbers         {folder / COST_TABLE}")


def _show_comparisons(comparisons: pd.DataFrame, remarks: list[str], folder: Path) -> None:
    from brainexp.report.figures import DOTS_PER_INCH
    from brainexp.report.pairing import FIGURE, TABLE, forest
    from brainexp.report.table import comparison_table

    console = _console()
    for remark in remarks:
        _tell(remark)
    if comparisons.empty:
        return
    comparisons.to_csv(folder / TABLE, index=False)
    tests = comparison_table(comparisons, "jobs against their reference")
    if tests is not None:
        console.print(tests)
        forest(comparisons).savefig(folder / FIGURE, dpi=DOTS_PER_INCH)
        _tell(f"differences of r    {folder / FIGURE}")
    _tell(f"all tests           {folder / TABLE}")


def _tell(line: str) -> None:
    """Print a line as it is, however long."""
    _console().print(line, soft_wrap=True, highlight=False, markup=False)


def _console() -> Console:
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=LOG_WIDTH)


def explained(error: BaseException) -> str:
    """Return an error's words, with the nearest known name where Hydra gives none."""
    words = str(error).strip()
    plugin = re.search(r"'hydra/launcher/(joblib|submitit)", words)
    if plugin is not None:
        extra = {"joblib": "joblib", "submitit": "slurm"}[plugin[1]]
        return f"this launcher is a plugin of Hydra, which is not installed. Install it: pip install brainexp[{extra}]"
    unknown = re.match(r"Could not override '([\w.@/]+)'", words)
    if unknown is None:
        return words
    return f"there is no option {unknown[1]!r}.{_nearest(unknown[1])}"


def _nearest(key: str) -> str:
    """What was probably meant by an option that Hydra does not know."""
    import dataclasses

    from brainexp import composition, settings  # noqa: F401  the composition registers the members
    from brainexp.registry import REGISTRIES

    parents, _, leaf = key.rpartition(".")
    if not parents:
        known = list(OmegaConf.load(Path(conf_dir()) / "config.yaml")) + list(REGISTRIES)
        known.remove("defaults")
    elif parents in REGISTRIES:
        registry = REGISTRIES[parents]
        known = sorted({one.name for name in registry.names() for one in dataclasses.fields(registry.member(name))})
    else:
        section = getattr(settings, parents.capitalize(), None)
        known = [one.name for one in dataclasses.fields(section)] if section is not None else []
    if leaf in known:
        # Hydra composes a sweep first without what is swept, so a plain value meets the default member.
        return (
            f" The chosen {parents} does not have it; another may. In a sweep over {parents} write {key}=choice(VALUE); "
            "where some members lack it, take presets that have it (docs/studies.md). See all options with --cfg job."
        )
    near = get_close_matches(leaf, known, n=1)
    prefix = f"{parents}." if parents else ""
    guess = f" Did you mean '{prefix}{near[0]}'?" if near else ""
    listed = f" Known: {', '.join(known)}." if known else ""
    return f"{guess}{listed} See all options of a run with --cfg job."
