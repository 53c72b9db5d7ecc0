"""Which code it is: the commit of the checkout that the package lies in, and what has been changed since."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

#: Of a diff, at most so much is kept, in bytes.
MAX_DIFF_BYTES = 1_000_000
#: New files that are looked at.
MAX_NEW_FILES = 200
#: Other processes' locks are left alone, and no program is run that the user's settings name.
GIT = ("git", "--no-optional-locks", "-c", "core.fsmonitor=false", "-c", "core.quotepath=false")
DIFF = ("diff", "--no-ext-diff", "--no-textconv", "--no-color", "--binary")
#: Configs that lie beside the package in a checkout.
BESIDE = "conf"


@dataclass(frozen=True)
class Checkout:
    """State of a folder under git.

    Parameters
    ----------
    commit : str or None
        Its commit, with ``-dirty`` for uncommitted changes; None outside of a checkout.
    diff : str
        What is changed in the folder and in the configs beside it, new files included, as ``git apply`` reads it; empty
        where nothing is.
    """

    commit: str | None = None
    diff: str = ""


@lru_cache(maxsize=8)
def checkout(folder: Path) -> Checkout:
    """Describe the checkout that tracks a folder, as it is at the first call: code that runs does not change any more.

    Parameters
    ----------
    folder : Path
        Such as that of the package.
    """
    if not _told(folder, "ls-files", "--", "."):  # no git, no repository, or one that only happens to lie around
        return Checkout()
    commit = _told(folder, "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*").strip()
    if not commit:
        return Checkout()
    changed = _changes(folder)
    return Checkout(commit if commit.endswith("-dirty") or not changed else f"{commit}-dirty", changed)


def shortened(diff: str) -> str:
    """Return a diff that is not too long, with a remark at its top where it was cut."""
    held = diff.encode("utf-8", "surrogateescape")
    if len(held) <= MAX_DIFF_BYTES:
        return diff
    kept = held[:MAX_DIFF_BYTES]
    kept = kept[: kept.rfind(b"\n") + 1]
    remark = f"CUT: the first {len(kept):,} of {len(held):,} bytes. The changes are not whole, and cannot be applied.\n"
    return remark + kept.decode("utf-8", "surrogateescape")


def _changes(folder: Path) -> str:
    beside = folder.parent / BESIDE
    places = [str(folder), *([str(beside)] if beside.is_dir() else [])]
    diff = _told(folder, *DIFF, "HEAD", "--", *places)
    listed = _told(folder, "ls-files", "--others", "--exclude-standard", "--full-name", "-z", "--", *places)
    new_files = sorted(name for name in listed.split("\0") if name)
    if not new_files:
        return diff
    top = Path(_told(folder, "rev-parse", "--show-toplevel").removesuffix("\n"))
    new = [_told(top, *DIFF, "--no-index", "--", os.devnull, name) for name in new_files[:MAX_NEW_FILES]]
    left_out = "".join(f"new file, not shown: {name}\n" for name in new_files[MAX_NEW_FILES:])
    return left_out + diff + "".join(new)


def _told(folder: Path, *words: str) -> str:
    """What git says; empty where there is no git, or it objects."""
    try:
        told = subprocess.run([*GIT, "-C", str(folder), *words], capture_output=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    # 1 is what diff returns where two files differ.
    fine = told.returncode == 0 or (words[0] == "diff" and told.returncode == 1)
    return told.stdout.decode("utf-8", "surrogateescape") if fine else ""
