"""Look after the cache: ``python -m brainexp.cache ls|verify|prune``."""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from brainexp.cache.lock import remove
from brainexp.cache.room import UNITS, readable_bytes
from brainexp.cache.store import default_cache_dir
from brainexp.cache.upkeep import CHECKPOINTS, FEATURES, Entry, abandoned, entries, fault, sets, to_go, unfinished

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

SECONDS = {"h": 3600, "d": 86400, "w": 7 * 86400}
#: Columns where no terminal says how wide it is.
LOG_WIDTH = 160


def main(words: Sequence[str] | None = None) -> int:
    """Do what the command line says; return its exit code."""
    from rich.console import Console

    chosen = _parser().parse_args(words)
    console = Console() if sys.stdout.isatty() else Console(width=LOG_WIDTH)
    root = default_cache_dir() if chosen.dir is None else chosen.dir.expanduser()
    if chosen.act == "ls":
        return ls(root, chosen, console)
    return verify(root, console) if chosen.act == "verify" else prune(root, chosen, console)


def _parser() -> argparse.ArgumentParser:
    about = "Look after computed features and compressed checkpoints."
    parser = argparse.ArgumentParser(prog="python -m brainexp.cache", description=about)
    where = argparse.ArgumentParser(add_help=False)
    where.add_argument("--dir", type=Path, help="as cache.dir; default: $BRAINEXP_CACHE or ~/.cache/brainexp")
    acts = parser.add_subparsers(required=True, dest="act", metavar="ls|verify|prune")
    listing = acts.add_parser("ls", parents=[where], help="list what made the entries, what was used last first")
    listing.add_argument("--entries", action="store_true", help="a row per story and checkpoint")
    acts.add_parser(
        "verify", parents=[where], help="read every file and compare its digest; exit code 1 if one is broken"
    )
    going = acts.add_parser("prune", parents=[where], help="remove entries; several options narrow the choice")
    going.add_argument("--unused", type=_age_s, metavar="AGE", help="those not read for longer: 12h, 30d, 8w")
    going.add_argument("--model", metavar="PATTERN", help="those of a model as ls shows it; * stands for anything")
    going.add_argument(
        "--max-size", type=_n_bytes, metavar="SIZE", help="the least recently used, until all take no more: 500MB, 50GB"
    )
    going.add_argument("--broken", action="store_true", help="those that verify finds broken")
    going.add_argument("--all", action="store_true", help="everything")
    going.add_argument("--dry-run", action="store_true", help="only show what would go")
    going.add_argument("--yes", action="store_true", help="do not ask")
    going.set_defaults(refuse=going.error)
    return parser


def ls(root: Path, chosen: argparse.Namespace, console: Console) -> int:
    """List entries and what they take together."""
    found = _found(root)
    _show(found, console, each=chosen.entries)
    console.print(_total(root, found), soft_wrap=True, highlight=False)
    killed = _killed(root)
    if killed:
        console.print(f"{len(killed)} left half-made by killed jobs, {_together(killed)}; prune removes them")
    return 0


def verify(root: Path, console: Console) -> int:
    """Read everything; 1 if anything is broken."""
    from brainexp.progress import progress

    found = _found(root)
    broken = 0
    for entry in progress(found, len(found), "entries"):
        wrong = fault(entry)
        if wrong is not None:
            broken += 1
            console.print(f"broken  {entry.folder}  {wrong}", soft_wrap=True, highlight=False)
    console.print(f"{_total(root, found)}, {broken} broken", soft_wrap=True, highlight=False)
    if broken:
        console.print("Broken entries are made again when they are needed; python -m brainexp.cache prune --broken")
    return 1 if broken else 0


def prune(root: Path, chosen: argparse.Namespace, console: Console) -> int:
    """Remove the chosen entries after asking; 1 if the answer was no."""
    narrowed = chosen.model is not None or chosen.unused is not None or chosen.max_size is not None or chosen.broken
    if narrowed == chosen.all:
        chosen.refuse("say what may go: --unused, --model, --max-size, --broken, or --all without them")
    found = _found(root)
    going = to_go(found, model=chosen.model, unused_s=chosen.unused, max_bytes=chosen.max_size)
    if chosen.broken:
        going = [entry for entry in going if fault(entry) is not None]
    killed = _killed(root)
    if not going and not killed:
        console.print(f"nothing to prune. {_total(root, found)}", soft_wrap=True, highlight=False)
        return 0
    _show(going, console)
    rest = f" and {len(killed)} left by killed jobs" if killed else ""
    console.print(
        f"to prune: {len(going)} of {len(found)} entries{rest}, {_together([*going, *killed])}", highlight=False
    )
    if chosen.dry_run:
        return 0
    if not chosen.yes and not _agreed(console):
        console.print("nothing was removed.")
        return 1
    for entry in (*going, *killed):
        remove(entry.folder)
    console.print(f"removed. {_total(root, _found(root))}", soft_wrap=True, highlight=False)
    return 0


def _found(root: Path) -> list[Entry]:
    return [*entries(root / FEATURES), *entries(root / CHECKPOINTS)]


def _killed(root: Path) -> list[Entry]:
    """What killed jobs left."""
    return [one for kind in (FEATURES, CHECKPOINTS) for one in unfinished(root / kind) if abandoned(one)]


def _show(found: Sequence[Entry], console: Console, *, each: bool = False) -> None:
    features = [one for one in found if one.kind == FEATURES]
    if features:
        console.print(_each(features) if each else _table(features))
    if len(features) < len(found):
        console.print(_checkpoints([one for one in found if one.kind == CHECKPOINTS], each=each))


def _agreed(console: Console) -> bool:
    if not sys.stdin.isatty():
        console.print("nobody is there to ask: give --yes.")
        return False
    answer: str = console.input("Remove them? [y/N] ")
    return answer.strip().lower() in ("y", "yes")


def _table(found: Sequence[Entry]) -> Table:
    """Make a row of all stories that the same options made."""
    from rich.table import Table

    together = sets(found)
    named = any(differing for _, differing in together)
    table = Table()
    for column in ("model", "compression", "prompt", *(["options"] if named else [])):
        table.add_column(column, overflow="fold")
    for column in ("layers × dims", "stored as", "stories", "words", "size", "last used"):
        table.add_column(column, justify="right", no_wrap=True)
    for one, differing in together:
        n_layers, _, n_dims = one[0].told.get("shape", ("?", "?", "?"))
        table.add_row(
            *(one[0].model, one[0].compression, one[0].prompt),
            *([differing] if named else []),
            f"{n_layers} × {n_dims}",
            str(one[0].options["stored as"]),
            f"{len(one):,}",
            f"{sum(entry.n_words for entry in one):,}",
            _together(one),
            _ago(max(entry.used for entry in one)),
        )
    return table


def _each(found: Sequence[Entry]) -> Table:
    """Make a row of every entry."""
    from rich.table import Table

    table = Table()
    for column in ("entry", "model", "compression", "prompt", "story"):
        table.add_column(column, overflow="fold")
    for column in ("words", "stored as", "size", "last used"):
        table.add_column(column, justify="right", no_wrap=True)
    for entry in found:
        table.add_row(
            *(entry.folder.name[:10], entry.model, entry.compression, entry.prompt, entry.story),
            *(f"{entry.n_words:,}", str(entry.options["stored as"]), readable_bytes(entry.n_bytes), _ago(entry.used)),
        )
    return table


def _checkpoints(found: Sequence[Entry], *, each: bool) -> Table:
    """Make a row of every compressed checkpoint, with its options."""
    from rich.table import Table

    table = Table()
    for column in (*(["entry"] if each else []), "checkpoint of", "compression", "options"):
        table.add_column(column, overflow="fold")
    for column in ("size", "last used"):
        table.add_column(column, justify="right", no_wrap=True)
    for entry in found:
        table.add_row(
            *([entry.folder.name[:10]] if each else []),
            *(entry.model, entry.compression, entry.told_options),
            *(readable_bytes(entry.n_bytes), _ago(entry.used)),
        )
    return table


def _together(found: Sequence[Entry]) -> str:
    return readable_bytes(sum(entry.n_bytes for entry in found))


def _total(root: Path, found: Sequence[Entry]) -> str:
    features = [one for one in found if one.kind == FEATURES]
    rest = [one for one in found if one.kind == CHECKPOINTS]
    checkpoints = f"; {len(rest)} checkpoints, {_together(rest)} in {root / CHECKPOINTS}" if rest else ""
    return f"{len(features)} entries, {_together(features)} in {root / FEATURES}{checkpoints}"


def _ago(used: float) -> str:
    seconds = time.time() - used
    if seconds < SECONDS["h"]:
        return f"{max(seconds, 0) / 60:.0f} min ago"
    if seconds < 2 * SECONDS["d"]:
        return f"{seconds / SECONDS['h']:.0f} h ago"
    return f"{seconds / SECONDS['d']:.0f} days ago"


def _age_s(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([hdw])", text.strip())
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no age; give hours, days or weeks, such as 12h, 30d, 8w")
    return float(found[1]) * SECONDS[found[2]]


def _n_bytes(text: str) -> int:
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([kMGTP]?B)", text.strip())
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; give it such as 500MB, 50GB, 1.5TB")
    return int(float(found[1]) * 10.0 ** (3 * UNITS.index(found[2])))


if __name__ == "__main__":
    sys.exit(main())
