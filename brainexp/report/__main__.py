"""Write the report of a study: ``python -m brainexp.report study=NAME``."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from brainexp.errors import BrainexpError, ConfigError
from brainexp.report.files import SWEEP
from brainexp.report.study.launch import STUDIES, known_studies, newest_launch, read_study

if TYPE_CHECKING:
    from rich.console import Console

    from brainexp.report.study.write import Written
    from brainexp.tracking import Tracking

USAGE = """usage: python -m brainexp.report study=NAME [out=DIR] [tracking.uri=URI] [tracking.experiment=NAME]
       python -m brainexp.report folder=F [F2 ...] [out=DIR] [tracking.uri=URI] [tracking.experiment=NAME]

Write tables (CSV, Markdown, LaTeX), figures (PNG, SVG) with their data, and one HTML page that needs no network.

study=NAME    the newest launch under outputs/studies/NAME; where there is none, the newest one that the tracker knows
folder=F      the folder of a sweep or of a single run; several are reported together
out=DIR       for the report; default: F/report. A report that is there is replaced unless its files were changed
tracking.uri  of the tracker; default: that of the launch. The report is added to the sweep's run; null adds it nowhere
"""
OPTIONS = ("study", "folder", "out", "tracking.uri", "tracking.experiment")
#: Among the artifacts of a sweep's run.
ARTIFACT = "report"


@dataclass(frozen=True)
class Asked:
    """What the command line says."""

    study: str | None = None
    folders: tuple[Path, ...] = ()
    out: Path | None = None
    tracking: dict[str, str | None] = field(default_factory=dict)


def main(words: Sequence[str] | None = None) -> int:
    """Do what the command line says; return its exit code."""
    from rich.console import Console

    words = sys.argv[1:] if words is None else words
    if not words or {"-h", "--help"} & {*words}:
        print(USAGE, end="")
        return 0 if words else 2
    console = Console() if sys.stdout.isatty() else Console(width=110)
    try:
        return _reported(asked(words), console)
    except BrainexpError as error:
        print(f"brainexp.report: {error}", file=sys.stderr)
        return 1


def asked(words: Sequence[str]) -> Asked:
    """Read the command line; raise ConfigError for what it does not know."""
    given: dict[str, str] = {}
    folders: list[str] = []
    for word in words:
        key, equals, value = word.partition("=")
        if not equals and folders:
            folders.append(word)
        elif equals and key in OPTIONS and value:
            given[key] = value
            folders += [value] if key == "folder" else []
        else:
            near = get_close_matches(key, OPTIONS, n=1)
            guess = f" Did you mean {near[0]}=...?" if near else ""
            raise ConfigError(f"{word!r} is no option of the report.{guess} Known: {', '.join(OPTIONS)}.")
    if ("study" in given) == bool(folders):
        raise ConfigError("Give either study=NAME or folder=F [F2 ...]. See --help.")
    return Asked(
        study=given.get("study"),
        folders=tuple(Path(folder).expanduser() for folder in folders),
        out=Path(given["out"]).expanduser() if "out" in given else None,
        tracking={
            key.partition(".")[2]: None if value == "null" else value
            for key, value in given.items()
            if key.startswith("tracking.")
        },
    )


def _reported(what: Asked, console: Console) -> int:
    from brainexp.report.study.write import write_report

    study = read_study(_folders(what))
    made = write_report(study, what.out or study.folders[0] / "report")
    _show(made, console)
    for parent in study.parents:
        found = _of_launch(what, parent)
        if found.uri is not None:
            from brainexp.tracking import log_folder

            log_folder(found, parent["run_id"], made.folder, ARTIFACT)
            console.print(f"added to run        {parent['run_id']} in {found.uri}", soft_wrap=True, highlight=False)
    return 0


def _folders(what: Asked) -> tuple[Path, ...]:
    """Where the runs lie; those of a study that was launched elsewhere are brought here first."""
    if what.study is None:
        return what.folders
    newest = newest_launch(what.study)
    return (newest,) if newest is not None else (_from_tracker(what.study, _default_tracking(what)),)


def _from_tracker(name: str, tracking: Tracking) -> Path:
    """Download the runs of a study's newest sweep."""
    from brainexp.tracking import restore, study_runs, study_sweep

    runs = study_runs(tracking, name) if _exists(tracking) else []
    parent = study_sweep(tracking, name) if runs else None
    if parent is None:
        known = known_studies()
        near = get_close_matches(name, known, n=1)
        guess = f" Did you mean '{near[0]}'?" if near else ""
        raise ConfigError(
            f"study={name} was launched neither under {STUDIES} nor in the tracker {tracking.uri}.{guess} Studies here: "
            f"{', '.join(known) if known else 'none'}. Give folder=F for a sweep that is no study."
        )
    place = STUDIES / name / f"from-tracker-{parent[:8]}"
    if not (place / SWEEP).is_file():
        place.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".from-tracker-", dir=place.parent))
        try:
            for run_id in runs:
                restore(tracking, run_id, partial / run_id)
            told = {"study": name, "run_id": parent, "tracking_uri": tracking.uri, "experiment": tracking.experiment}
            (partial / SWEEP).write_text(json.dumps(told), encoding="utf-8")
            partial.rename(place)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return place


def _default_tracking(what: Asked) -> Tracking:
    """The tracker of the config, unless another one was given."""
    from hydra import compose, initialize_config_dir

    from brainexp.cli import conf_dir, plain_values
    from brainexp.registry import validated
    from brainexp.tracking import Tracking

    with initialize_config_dir(conf_dir(), version_base="1.3"):
        options = plain_values(compose("config"))["tracking"]
    return validated(Tracking, {**options, **what.tracking}, "tracking")


def _of_launch(what: Asked, parent: dict[str, str]) -> Tracking:
    """The tracker that has a launch's run."""
    from brainexp.tracking import Tracking

    known = {"uri": parent.get("tracking_uri"), "experiment": parent.get("experiment") or Tracking.experiment}
    return Tracking(**{**known, **what.tracking})  # type: ignore[arg-type]


def _exists(tracking: Tracking) -> bool:
    """Whether there is a tracker: to look for a study must not make a database."""
    if tracking.uri is None:
        return False
    sqlite = "sqlite:///"
    return not tracking.uri.startswith(sqlite) or Path(tracking.uri.removeprefix(sqlite)).is_file()


def _show(made: Written, console: Console) -> None:
    from brainexp.report.study.claims import MAX_SENTENCES

    for section in made.analysis.sections:
        for words in section.remarks:
            console.print(words, highlight=False)
        for claim in section.claims[:MAX_SENTENCES]:
            console.print(f"{claim.verdict}: {claim.text}", highlight=False, markup=False)
    lost = made.analysis.holes
    if lost:
        console.print(lost, highlight=False)
    console.print(f"report              {made.folder / 'report.html'}", soft_wrap=True, highlight=False)
    console.print(f"tables and figures  {made.folder}", soft_wrap=True, highlight=False)


if __name__ == "__main__":
    sys.exit(main())
