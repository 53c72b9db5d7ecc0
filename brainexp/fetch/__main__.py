"""Fetch a dataset: ``python -m brainexp.fetch dataset=lebel2023 subjects=[1,2,3]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from brainexp.cache import disk_free, readable_bytes
from brainexp.errors import BrainexpError, ConfigError
from brainexp.fetch.plan import MANY, Plan, carried_out, planned
from brainexp.fetch.sources import BY_HAND, SOURCES, Source, chosen_subjects, listed, patterns
from brainexp.fetch.web import UnreachableError, Web
from brainexp.registry import did_you_mean, validated

if TYPE_CHECKING:
    from rich.console import Console

#: Columns where no terminal says how wide it is.
LOG_WIDTH = 160
MAX_WORKERS = 16


@dataclass(frozen=True)
class Request:
    """What shall be fetched.

    Parameters
    ----------
    dataset : str
        A name of `brainexp.fetch.sources.SOURCES`.
    subjects : "all", a name or number, or several
        Whose files.
    stories : "all", a name or names
        Which stimuli, where files are told apart by them.
    what : tuple of str
        Parts; empty for what an analysis needs.
    root : str or None
        Folder of the dataset; None for ``data/<dataset>`` here.
    workers : int
        Files at once.
    """

    dataset: str
    subjects: str | int | tuple[str | int, ...] = "all"
    stories: str | tuple[str, ...] = "all"
    what: str | tuple[str, ...] = ()
    root: str | None = None
    workers: int = 4

    def __post_init__(self) -> None:
        if self.dataset in BY_HAND:
            raise ConfigError(f"{self.dataset} is nothing to fetch. {BY_HAND[self.dataset]}")
        if self.dataset not in SOURCES:
            raise ConfigError(f"no source of dataset {self.dataset!r} is known.{did_you_mean(self.dataset, SOURCES)}")
        for part in self.parts:
            if part not in self.source.parts:
                raise ConfigError(f"{self.dataset} has no part {part!r}.{did_you_mean(part, self.source.parts)}")
        if not 1 <= self.workers <= MAX_WORKERS:
            raise ConfigError(f"workers must lie in 1..{MAX_WORKERS}: stores serve everyone; got {self.workers}")
        if self.stories != "all" and not self.source.has("story"):
            raise ConfigError(f"{self.dataset} has no files by story. Leave out stories=.")

    @property
    def source(self) -> Source:
        """Where it is."""
        return SOURCES[self.dataset]

    @property
    def parts(self) -> tuple[str, ...]:
        """Which parts."""
        given = (self.what,) if isinstance(self.what, str) else self.what
        return given or self.source.usual

    @property
    def names(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Subjects and stories as files have them, ``*`` for any."""
        stories = (self.stories,) if isinstance(self.stories, str) else self.stories
        return (
            chosen_subjects(self.subjects, self.dataset, self.source),
            ("*",) if self.stories == "all" else stories,
        )

    @property
    def folder(self) -> Path:
        """Where it shall lie."""
        return Path("data") / self.dataset if self.root is None else Path(self.root).expanduser()


def main(words: Sequence[str] | None = None, web: Web | None = None) -> int:
    """Do what the command line says; return its exit code."""
    from rich.console import Console

    console = Console() if sys.stdout.isatty() else Console(width=LOG_WIDTH)
    chosen = _parser().parse_intermixed_args(words)
    if not chosen.options:
        _known(console)
        return 0
    try:
        return fetched(request_of(chosen.options), web or Web(), console, dry_run=chosen.dry_run)
    except (BrainexpError, OSError) as error:  # a folder that cannot be written is the user's to mend
        console.print(f"brainexp.fetch: {error}", soft_wrap=True, highlight=False, markup=False)
        return 1
    except KeyboardInterrupt:
        console.print("interrupted. What came stays; run the same command again to go on.")
        return 130


def request_of(words: Sequence[str]) -> Request:
    """Read options such as ``subjects=[1,2]``; raises ConfigError if one is unknown or of the wrong kind."""
    from omegaconf import OmegaConf

    for word in words:
        if "=" not in word:
            raise ConfigError(f"{word!r} is no option. Give options as name=value, such as dataset=lebel2023.")
    given = OmegaConf.to_container(OmegaConf.from_dotlist(list(words)))
    assert isinstance(given, dict)
    return validated(Request, {str(key): value for key, value in given.items()}, "fetch")


def fetched(request: Request, web: Web, console: Console, dry_run: bool) -> int:
    """Say what it will take, fetch it and say what came of it; the exit code is 1 if a file is missing."""
    from brainexp.progress import counter

    subjects, stories = request.names
    try:
        files, empty = listed(request.source, request.parts, subjects, stories, web)
    except UnreachableError as error:
        for line in _without_network(request, error):
            console.print(line, soft_wrap=True, highlight=False, markup=False)
        return 0 if dry_run else 1
    if empty:
        console.print(f"The store holds nothing of: {', '.join(empty)}.")
    plan = planned(files, request.folder)
    if dry_run:
        _list(plan, console)
    _announce(request, plan, console)
    if dry_run:
        return 0
    plan.require_possible()
    try:
        with counter(plan.n_bytes, request.dataset, unit="B") as bar:
            failed = carried_out(plan, web, request.workers, bar.update)
    except UnreachableError as error:
        told = f"brainexp.fetch: {error} What came stays; run the same command again to go on."
        console.print(told, soft_wrap=True, highlight=False, markup=False)
        return 1
    for path, why in list(failed.items())[:MANY]:
        console.print(f"failed  {path}: {why}", soft_wrap=True, highlight=False, markup=False)
    came = len(plan.missing) - len(failed)
    console.print(
        f"{came} files came, {len(plan.there)} were there, {len(failed)} failed: {request.folder}", soft_wrap=True
    )
    if failed:
        console.print("Run the same command again for the rest.")
    elif request.source.note:
        console.print(request.source.note, soft_wrap=True, highlight=False, markup=False)
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m brainexp.fetch",
        description="Fetch a dataset from its public store. Without options: which datasets there are.",
        epilog="Options: dataset=NAME subjects=[1,2]|all stories=[…]|all what=[responses,…] root=FOLDER workers=4",
    )
    parser.add_argument("options", nargs="*", metavar="name=value")
    parser.add_argument("--dry-run", action="store_true", help="list the files and what they take, fetch nothing")
    return parser


def _known(console: Console) -> None:
    from rich.table import Table

    table = Table()
    for column in ("dataset", "parts (usual ones first)", "from", "takes", "licence"):
        table.add_column(column, overflow="fold")
    for name, source in SOURCES.items():
        further = [part for part in source.parts if part not in source.usual]
        where = dict.fromkeys(part.store.address for part in source.parts.values())
        table.add_row(name, ", ".join([*source.usual, *further]), "\n".join(where), source.takes, source.licence)
    console.print(table)
    for name, where_it_is in BY_HAND.items():
        console.print(f"{name}: {where_it_is}", soft_wrap=True, highlight=False, markup=False)


def _list(plan: Plan, console: Console) -> None:
    """Name every file, what is to come first."""
    for word, files in (("get", plan.missing), ("there", plan.there)):
        for file in files:
            size = "?" if file.size is None else readable_bytes(file.size)
            console.print(f"{word:6}{size:>10}  {file.path}", soft_wrap=True, highlight=False, markup=False)
    for conflict in plan.conflicts:
        console.print(f"in the way  {conflict}", soft_wrap=True, highlight=False, markup=False)


def _announce(request: Request, plan: Plan, console: Console) -> None:
    """Say what it will take before anything starts."""
    from rich.table import Table

    unverified = sum(file.digest is None for file in plan.missing)
    unknown = f" and {plan.n_unknown} files of unknown size" if plan.n_unknown else ""
    doi = f", doi:{request.source.doi}" if request.source.doi else ""
    table = Table(title=f"{request.dataset} (licence: {request.source.licence}){doi}", show_header=False)
    for row in (
        ("from", "\n".join(dict.fromkeys(request.source.parts[part].store.address for part in request.parts))),
        ("into", str(request.folder.absolute())),
        ("to come", f"{len(plan.missing):,} files, {readable_bytes(plan.n_bytes)}{unknown}"),
        ("verified by", "size and digest" + (f", {unverified} of them by size alone" if unverified else "")),
        ("there already", f"{len(plan.there):,} files"),
        ("free on the disk", readable_bytes(disk_free(request.folder))),
    ):
        table.add_row(*row)
    console.print(table)


def _without_network(request: Request, error: UnreachableError) -> list[str]:
    """What it would do, in words."""
    subjects, stories = request.names
    asked = [
        f"  {part}: {pattern}  at {request.source.parts[part].store.address}"
        for part in request.parts
        for pattern in patterns(request.source.parts[part], request.source.parts[part].folders[0], subjects, stories)
    ]
    more = [f"  and {len(asked) - 4 * MANY} more"] if len(asked) > 4 * MANY else []
    return [
        f"brainexp.fetch: {error}",
        f"With a network it would list and fetch into {request.folder.absolute()}:",
        *asked[: 4 * MANY],
        *more,
        f"That takes {request.source.takes}. Each file is verified by size and, where the store tells it, digest.",
    ]


if __name__ == "__main__":
    sys.exit(main())
