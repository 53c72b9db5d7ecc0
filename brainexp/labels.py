"""What a run is called by people: model, compression, dataset and subjects, such as "qwen3b · awq w4 g128 · alice · all"."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from brainexp.registry import COMPRESSIONS
from brainexp.settings import leaves

#: Between the parts of a label.
BETWEEN = " · "
#: Choices that say nothing of the model, which is named by its path.
ANY_MODEL = ("transformer", "local", "static_vectors")
#: More subjects are counted.
MAX_NAMED = 3


def run_label(config: Mapping[str, Any], choices: Mapping[str, str] | None = None) -> str:
    """Return a name that tells runs of a study apart.

    Parameters
    ----------
    config : mapping
        The resolved config.
    choices : mapping of str to str, optional
        What Hydra chose in each group, such as ``{"model": "qwen3b"}``; else members' names stand for it.

    Returns
    -------
    str
        Model, compression, dataset and subjects; prompt and encoder follow where they are not the usual ones.
    """
    choices = choices or {}
    chosen = {
        group: str(choices.get(group) or config[group]["name"]) for group in ("model", "dataset", "prompt", "encoder")
    }
    parts = [
        _model(chosen["model"], config["model"]),
        COMPRESSIONS.build(config["compression"]).label,
        chosen["dataset"],
        subjects_label(config["dataset"]),
        *(chosen[group] for group, usual in (("prompt", "plain"), ("encoder", "ridge")) if chosen[group] != usual),
    ]
    return BETWEEN.join(parts)


def parts_of(label: str) -> dict[str, str]:
    """Return model, compression, dataset and subjects from a label.

    >>> parts_of("gpt2 · none · alice · all · task")
    {'model': 'gpt2', 'compression': 'none', 'dataset': 'alice', 'subjects': 'all'}
    """
    return dict(zip(("model", "compression", "dataset", "subjects"), label.split(BETWEEN), strict=False))


def subjects_label(dataset: Mapping[str, Any]) -> str:
    """Return whose responses are predicted: all, up to three names, or how many.

    >>> subjects_label({"subjects": ["UTS01", "UTS02"]}), subjects_label({"subjects": [1, 2, 3, 5]}), subjects_label({})
    ('UTS01+UTS02', '4 subjects', 'all')
    """
    asked = next((value for key, value in leaves(dataset) if key.rpartition(".")[2] == "subjects"), "all")
    names = list(asked) if isinstance(asked, (list, tuple)) else [asked]
    return "+".join(map(str, names)) if len(names) <= MAX_NAMED else f"{len(names)} subjects"


def _model(choice: str, options: Mapping[str, Any]) -> str:
    name = choice
    if choice in ANY_MODEL and options.get("path"):
        name = PurePath(str(options["path"])).name
    return f"{name} untrained" if options.get("weights") == "random" else name
