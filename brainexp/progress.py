"""Progress bars and stage times."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

Item = TypeVar("Item")


def progress(items: Iterable[Item], total: int, what: str) -> Iterable[Item]:
    """Show a bar on stderr while items are gone through; nothing where stderr is no terminal."""
    from tqdm import tqdm

    bar: Iterable[Item] = tqdm(items, total=total, desc=what, disable=None, leave=False)
    return bar


def counter(total: int, what: str, unit: str = "it") -> Any:
    """Return a bar to be moved by hand with ``update``; use it in a with statement. Units of "B" are shown as kB, MB, GB."""
    from tqdm import tqdm

    return tqdm(total=total, desc=what, disable=None, leave=False, unit=unit, unit_scale=unit == "B")


@contextmanager
def bars_on_terminals_only() -> Iterator[None]:
    """Let libraries that show bars whatever stderr is say nothing inside the block where it is no terminal."""
    with nullcontext() if sys.stderr.isatty() else redirect_stderr(io.StringIO()):
        yield


def pace(done: int, total: int, seconds: float, what: str) -> str:
    """Return how far work is, for a log that shows no bar.

    >>> pace(500, 2000, 10.0, "words")
    '500 of 2,000 words, 50.0 per second, about 0:00:30 left'
    """
    left = timedelta(seconds=round(seconds / done * (total - done)))
    return f"{done:,} of {total:,} {what}, {done / seconds:,.1f} per second, about {left} left"


@dataclass
class Stopwatch:
    """Seconds that each stage took."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the block that follows."""
        start = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - start
