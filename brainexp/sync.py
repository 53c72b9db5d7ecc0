"""Record what ran without a tracking store: ``python -m brainexp.sync FOLDER [FOLDER ...] tracking.uri=URI``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from brainexp.cli import conf_dir, explained, plain_values
from brainexp.errors import BrainexpError, ConfigError

USAGE = """usage: python -m brainexp.sync FOLDER [FOLDER ...] [tracking.uri=URI] [tracking.experiment=NAME]

Bring runs into an MLflow store that ran with tracking.offline=true, or while the store was away:

    python -m brainexp.sync outputs/studies/scale tracking.uri=http://tracker:5000

FOLDER is that of a run, of a sweep (its runs become children of one run), or one that holds such folders. What is in the
store already is not sent again, what is there half is completed; several may do it at once.
"""


def main(words: Sequence[str] | None = None) -> int:
    """Do what the command line says; return its exit code."""
    words = sys.argv[1:] if words is None else words
    if not words or {"-h", "--help"} & {*words}:
        print(USAGE, end="")
        return 0 if words else 2
    try:
        _sync(words)
    except (BrainexpError, HydraException, OmegaConfBaseException) as error:
        print(f"brainexp.sync: {explained(error)}", file=sys.stderr)
        return 1
    return 0


def _sync(words: Sequence[str]) -> None:
    from hydra import compose, initialize_config_dir

    from brainexp.registry import validated
    from brainexp.tracking import Tracking, sync

    overrides = [word for word in words if "=" in word]
    folders = [Path(word) for word in words if "=" not in word]
    others = [word for word in overrides if not word.startswith("tracking.")]
    if others or not folders:
        what = f"{others[0]} is neither a folder nor an option of tracking" if others else "no folder is given"
        raise ConfigError(f"{what}. Give FOLDER [FOLDER ...] tracking.uri=URI.")
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        config = plain_values(compose("config", overrides))
    tracking = validated(Tracking, config["tracking"], "tracking")
    if tracking.uri is None:
        raise ConfigError("tracking.uri=null records nothing. Give the address of a store.")
    counts: dict[str, int] = {}
    for folder in folders:
        for one in sync(tracking, folder):
            print(f"{one.what:<14} {one.run_id}  {one.folder}")
            counts[one.what] = counts.get(one.what, 0) + 1
    told = ", ".join(f"{n} {what}" for what, n in counts.items()) or "no runs"
    print(f"{told} in {tracking.uri}, experiment {tracking.experiment}")


if __name__ == "__main__":
    sys.exit(main())
