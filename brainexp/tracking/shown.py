"""What a person who compares runs sees in MLflow: columns, tags, metrics, a description."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from brainexp.result import Result
from brainexp.settings import VOLATILE, leaves
from brainexp.tracking.record import Point
from brainexp.tracking.store import shortened

#: Longer values are of no use in a column; the whole is in ``result.json``.
MAX_COLUMN = 250
COMPONENTS = ("dataset", "model", "compression", "prompt", "encoder")
#: Columns of every run, and the options of the config that they show.
OPTIONS = {
    "checkpoint": "model.path",
    "revision": "model.revision",
    "weights": "model.weights",
    "dtype": "model.dtype",
    "context": "model.context",
    "context_words": "model.context_words",
    "layers": "model.layers",
    "pooling": "model.pooling",
    "downsample": "align.downsample",
    "delays": "align.delays",
    "split": "split.by",
    "folds": "split.folds",
    "layer_choice": "split.layer_choice",
    "baselines": "baselines",
    "seed": "seed",
}


def columns(config: Mapping[str, Any], label: str, overrides: Sequence[str] = ()) -> dict[str, str]:
    """Return the parameters of a run by name: what was chosen, and every option that was asked for.

    Parameters
    ----------
    config : mapping
        The resolved config.
    label : str
        Model, compression, dataset and subjects, as `brainexp.labels.run_label` joins them.
    overrides : sequence of str
        Such as "encoder.alphas=[1,10]".
    """
    options = dict(leaves(config))
    shown = {name: str(config[name]["name"]) for name in COMPONENTS}
    shown |= dict(zip(("model", "compression", "dataset", "subjects"), label.split(" · "), strict=False))
    shown["probes"] = ", ".join(config.get("probe") or {}) or "none"
    shown |= {name: _written(options[key]) for name, key in OPTIONS.items() if options.get(key) is not None}
    asked = [one.lstrip("+~").partition("=")[0].partition("@")[0] for one in overrides]
    told = {*OPTIONS.values(), "dataset.subjects"}
    shown |= {
        key: _written(options[key])
        for key in asked
        if key in options and key not in told and not key.startswith(VOLATILE)
    }
    return {name: shortened(value, MAX_COLUMN) for name, value in shown.items()}


def _written(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def tags_of_config(config: Mapping[str, Any], environment: Mapping[str, Any]) -> dict[str, str]:
    """Return the tags of a run that are known before it starts."""
    study = (config.get("study") or {}).get("name")
    return {
        "brainexp.version": str(environment["brainexp"]),
        "brainexp.git_commit": str(environment["git_commit"]),
        **({"brainexp.study": str(study)} if study else {}),
        **{f"brainexp.{name}": str(config[name]["name"]) for name in COMPONENTS},
        **{f"version.{name}": str(number) for name, number in environment["packages"].items()},
    }


def tags_of_result(result: Result) -> dict[str, str]:
    """Return the tags that only the result knows."""
    told = {
        "brainexp.compression": result.compression,  # the checkpoint may be quantized already
        "brainexp.parameters": _count(result.metrics.get("compression/parameters")),
        "brainexp.bits": _number(result.metrics.get("compression/bits_per_weight")),
    }
    return {name: value for name, value in told.items() if value}


def points(result: Result) -> Iterator[Point]:
    """Yield metrics, and curves over layers with the layer as step."""
    for name, value in result.metrics.items():
        yield Point(_allowed(name), value)
    for name, curve in result.curves.items():
        steps = result.layers if len(result.layers) == len(curve) else range(len(curve))
        for layer, value in zip(steps, curve, strict=True):
            yield Point(_allowed(name), value, layer)


def _count(value: float | None) -> str:
    return f"{value:.0f}" if value else ""


def _number(value: float | None) -> str:
    return f"{value:.4g}" if value else ""


def _allowed(name: str) -> str:
    """MLflow takes letters, digits and a few marks in a metric's name; an ROI's name may have others."""
    return "".join(mark if mark.isalnum() or mark in "_-. :/" else "_" for mark in name)
