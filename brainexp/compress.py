"""Export a compressed model: ``python -m brainexp.compress model=… compression=… out=DIR``."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from brainexp.cli import conf_dir, explained, plain_values
from brainexp.errors import BrainexpError, ConfigError

USAGE = """usage: python -m brainexp.compress model=MODEL compression=METHOD out=DIR [OPTION=VALUE ...]

Compress a model and put it into a folder from which transformers reads it:

    from transformers import AutoModelForCausalLM
    AutoModelForCausalLM.from_pretrained("DIR")

MODEL and METHOD are those of python -m brainexp, with the same options (compression.bits=3, model.dtype=bfloat16). The
checkpoint is made, and proves that it is what was asked for, in the cache (cache.dir=), where runs with the same options
find it; DIR gets a copy, with a README.md that says how it was made. DIR must be new or empty.
"""


def main(words: Sequence[str] | None = None) -> int:
    """Do what the command line says; return its exit code."""
    words = sys.argv[1:] if words is None else words
    if not words or {"-h", "--help"} & {*words}:
        print(USAGE, end="")
        return 0 if words else 2
    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_DISABLE", "1")
    try:
        print(exported(words))
    except (BrainexpError, HydraException, OmegaConfBaseException) as error:
        print(f"brainexp.compress: {explained(error)}", file=sys.stderr)
        return 1
    return 0


def exported(words: Sequence[str]) -> str:
    """Make a compressed checkpoint and copy it; return what to tell of it.

    Parameters
    ----------
    words : sequence of str
        Overrides of the config, and ``out=DIR``.

    Raises
    ------
    ConfigError
        If there is nothing to do, or DIR is not free; before anything is loaded.
    ModelError
        If the compressed checkpoint is not what was asked for.
    """
    from hydra import compose, initialize_config_dir

    from brainexp.composition import Experiment
    from brainexp.experiment import exportable

    out = next((word.removeprefix("out=") for word in words if word.startswith("out=")), None)
    if not out:
        raise ConfigError("out is missing. Give the folder for the compressed model: out=DIR")
    folder = Path(out).expanduser()
    require_free(folder)
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        config = compose("config", [word for word in words if not word.startswith("out=")])
    experiment = Experiment.from_config(plain_values(config))
    source = exportable(experiment)
    made, facts = source.artifact
    unfinished = folder.parent / f"{folder.name}.unfinished-{uuid4().hex}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copytree(made, unfinished, ignore=shutil.ignore_patterns("entry.json"))
        (unfinished / "README.md").write_text(model_card(json.loads((made / "entry.json").read_text())))
        require_free(folder)
        unfinished.replace(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return f"{folder}: {facts['disk_bytes'] / 1e6:,.1f} MB, proved; README.md says how it was made"


def require_free(folder: Path) -> None:
    """Raise ConfigError if a folder holds anything."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"out={folder} is not empty. Give a new folder, or empty it.")


def model_card(entry: Mapping[str, Any]) -> str:
    """Write what a checkpoint is and how it was made, from its entry in the cache.

    Parameters
    ----------
    entry : mapping
        Content of ``entry.json``.
    """
    key, about, facts = entry["key"], entry["about"], entry["facts"]
    path, method = about["model"]["path"], about["compression"]["name"]
    calibration = f"`{key['calibration']}` (SHA-256 of its tokens)" if key["calibration"] else "none"
    versions = ", ".join(f"{name} {number}" for name, number in key["libraries"].items() if number)
    change = (
        f", {100 * facts['weight_change']:.2g} % relative change of the weights" if "weight_change" in facts else ""
    )
    return f"""---
base_model: {json.dumps(path)}
tags: [compressed, brainexp]
---

# {path}, compressed: {method}

Made by `python -m brainexp.compress` on {entry["made"]}.

| | |
|---|---|
| base model | `{path}`, revision `{about["model"].get("revision") or "main"}`, read in {key["model"]["dtype"]} |
| digest of the base | `{key["model"]["identity"]}` |
| method | `{method}` |
| calibration | {calibration} |
| versions | {versions} |
| proof | read again, features differ by {100 * facts["reload_error"]:.2g} % of their norm{change} |
| made in | {facts["seconds"]:.0f} s |

Options:

```json
{json.dumps(about["compression"], indent=2, ensure_ascii=False)}
```

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("DIR", dtype="{key["model"]["dtype"]}")
tokenizer = AutoTokenizer.from_pretrained("DIR")
```

The licence is that of the base model.
"""


if __name__ == "__main__":
    sys.exit(main())
