"""Write the report of a study into a folder, all or nothing."""

from __future__ import annotations

import base64
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from brainexp import __version__
from brainexp.cache import file_digest
from brainexp.errors import ConfigError
from brainexp.report.figures import DOTS_PER_INCH
from brainexp.report.study import captions, claims
from brainexp.report.study.analysis import Analysis, Section, analysed
from brainexp.report.study.figures import FIGURES
from brainexp.report.study.formats import write_table
from brainexp.report.study.interactive import PLOTS
from brainexp.report.study.launch import Study
from brainexp.report.study.maps import HEADINGS, BrainMaps, brain_maps, write_brain_maps
from brainexp.report.study.page import MAX_BYTES, Picture, plain_plots, rendered, shown_table
from brainexp.report.study.tables import Table
from brainexp.report.study.viewer import viewer

PAGE, RECORD = "report.html", "report.json"
#: Pictures of maps on the page; the folder has all.
MAX_PICTURES = 24


@dataclass(frozen=True)
class Written:
    """What was written.

    Parameters
    ----------
    folder : Path
        Where the report lies.
    analysis : Analysis
    """

    folder: Path
    analysis: Analysis


def write_report(study: Study, folder: Path) -> Written:
    """Make the report of a study.

    Everything is made under a temporary name beside the folder and then takes its place. A report that is there is replaced
    only if all that lies in it is what its own record lists, unchanged.

    Parameters
    ----------
    study : Study
    folder : Path
        Of the report.

    Raises
    ------
    ConfigError
        If the folder holds something else.
    """
    require_ours(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        made = partial / "report"
        for name in ("tables", "figures", "data"):
            (made / name).mkdir(parents=True)
        (partial / "pooled").mkdir()
        analysis = analysed(study, partial / "pooled")
        _write_parts(analysis, made)
        _write_record(analysis, made)
        made.chmod(0o755)
        require_ours(folder)
        if folder.exists():
            folder.rename(partial / "before")
        made.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Written(folder, analysis)


def require_ours(folder: Path) -> None:
    """Raise ConfigError if a folder holds anything but a report as it was written."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ConfigError(f"out={folder} is a file. Give a folder: out=DIR")
    held = {str(path.relative_to(folder)): path for path in folder.rglob("*") if not path.is_dir()}
    if not held:
        return
    record = held.pop(RECORD, None)
    way_out = "Give another folder with out=DIR, or move it away."
    if record is None:
        raise ConfigError(f"{folder} holds files that no report has written, and is left as it is. {way_out}")
    digests = json.loads(record.read_text(encoding="utf-8"))["files"]
    changed = [name for name, path in held.items() if digests.get(name) != file_digest(path)]
    if changed:
        listed = ", ".join(sorted(changed)[:3]) + (f" and {len(changed) - 3} more" if len(changed) > 3 else "")
        raise ConfigError(f"{folder} has been changed since it was written ({listed}), and is left as it is. {way_out}")


def _write_parts(analysis: Analysis, made: Path) -> None:
    tables = [table for section in analysis.sections for table in section.tables]
    for table in [*tables, run_table(analysis)]:
        write_table(table, made / "tables")
    plots = {}
    for section in analysis.sections:
        for name, frames in section.figures.items():
            for file, frame in frames.items():
                frame.to_csv(made / "data" / f"{file}.csv", index=False)
            figure = FIGURES[name](frames)
            for suffix in ("png", "svg"):
                figure.savefig(made / "figures" / f"{name}.{suffix}", dpi=DOTS_PER_INCH)
            plots[name] = PLOTS[name](frames)
    maps, reason = brain_maps(analysis.runs, analysis.scoring)
    drawn = write_brain_maps(maps, made / "data", made / "figures") if maps is not None else {}
    page = _page(analysis, plots, maps, reason, drawn, made)
    (made / PAGE).write_text(page, encoding="utf-8")


def _page(
    analysis: Analysis,
    plots: Mapping[str, Any],
    maps: BrainMaps | None,
    reason: str,
    drawn: Mapping[str, list[str]],
    made: Path,
) -> str:
    study = analysis.study
    content = {
        "title": study.title or study.name,
        "question": study.question,
        "facts": _facts(analysis),
        "holes": analysis.holes,
        "sections": [_shown_section(section) for section in analysis.sections],
        "said": any(section.claims or section.remarks for section in analysis.sections),
        "brain_note": f"Maps are {maps.note}; grey places have no value. {maps.space.note}" if maps else "",
        "no_brain": reason,
        "methods": captions.methods(analysis.scoring, analysis.runs[0]["config"]),
        "remarks": analysis.remarks,
        "run_table": shown_table(run_table(analysis)),
        "footer": f"Written by brainexp {__version__}. Tables, figures for print and their data lie beside this page.",
    }
    plain = plain_plots(plots)
    told = viewer(maps) if maps is not None else None
    for most in (MAX_PICTURES, 0):  # a page that is too large for the viewer goes without pictures
        page = rendered({**content, "pictures": _pictures(maps, drawn, made, most)}, plain, told)
        if len(page.encode()) < MAX_BYTES:
            break
    return page


def _shown_section(section: Section) -> dict[str, Any]:
    figures = [
        Picture(
            name, captions.TITLES[name], captions.CAPTIONS[name], captions.alt_text(name, frames),
            f"figures/{name}.png, .svg; data/{'.csv, data/'.join(frames)}.csv",
        )
        for name, frames in section.figures.items()
    ]  # fmt: skip
    return {
        "name": section.name,
        "title": section.title,
        "summary": bool(section.claims or section.remarks),
        "claims": section.claims[: claims.MAX_SENTENCES],
        "more": max(0, len(section.claims) - claims.MAX_SENTENCES),
        "remarks": section.remarks,
        "figures": figures,
        "tables": [shown_table(table) for table in section.tables],
        "left_out": section.left_out,
    }


def _pictures(maps: BrainMaps | None, drawn: Mapping[str, list[str]], made: Path, most: int) -> list[Picture]:
    found = []
    for one in maps.maps[:most] if maps is not None else ():
        picture = base64.b64encode((made / "figures" / drawn[one.name][0]).read_bytes()).decode("ascii")
        title = f"{HEADINGS[one.group]}: {one.title}"
        files = f"{', '.join(f'figures/{name}' for name in drawn[one.name])}; data/{one.name}.npz"
        found.append(Picture(one.name, title, "", f"Brain map, {title}.", files, f"data:image/png;base64,{picture}"))
    return found


def _facts(analysis: Analysis) -> list[tuple[str, str]]:
    runs = analysis.runs
    subjects = list(dict.fromkeys(who for run in runs for who in run["subjects"]))
    datasets = list(dict.fromkeys(str(run["config"]["dataset"]["name"]) for run in runs))
    commits = list(dict.fromkeys(str(run["environment"].get("git_commit") or "not known")[:10] for run in runs))
    return [
        ("study", analysis.study.name),
        ("data", ", ".join(datasets)),
        ("subjects", f"{len(subjects)}"),
        ("runs", f"{len(analysis.study.runs)} of {len(analysis.study.jobs)} jobs"),
        ("margin of equivalence", f"±{analysis.scoring.equivalence_margin:g} in r"),
        ("code", ", ".join(commits)),
        ("written", datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")),
    ]


def run_table(analysis: Analysis) -> Table:
    """Where each run's files lie, and by what it can be made again."""
    import pandas as pd

    rows = [
        {
            "name": name,
            "run": run["name"],
            "n_subjects": len(run["subjects"]),
            "config_hash": run.get("config_hash"),
            "version": run["environment"].get("brainexp"),
            "git_commit": run["environment"].get("git_commit"),
            "folder": run["folder"] if Path(run["folder"]).is_dir() else "",
        }
        for name, run in zip(analysis.names.values(), analysis.runs, strict=True)
    ]
    shown = {
        "name": ("run", "text"),
        "n_subjects": ("subjects", "count"),
        "config_hash": ("digest of the config", "text"),
        "version": ("version", "text"),
        "folder": ("folder", "text"),
    }
    return Table(
        "runs", "Runs", "What was used, in the order of the jobs.", pd.DataFrame(rows), shown, long=len(rows) > 24
    )


def _write_record(analysis: Analysis, made: Path) -> None:
    """List every file with its digest: by that the report knows its own."""
    paths = sorted(path for path in made.rglob("*") if path.is_file())
    record = {
        "study": analysis.study.name,
        "brainexp": __version__,
        "folders": [str(folder.absolute()) for folder in analysis.study.folders],
        "files": {str(path.relative_to(made)): file_digest(path) for path in paths},
    }
    (made / RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")
