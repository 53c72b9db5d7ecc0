"""What a person who compares runs sees in MLflow: columns, tags, metrics, a description."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from brainexp.cache import digest
from brainexp.composition import Experiment
from brainexp.containers import Facts
from brainexp.environment import public
from brainexp.labels import parts_of
from brainexp.result import ALL_VOXELS, Result
from brainexp.settings import VOLATILE, leaves
from brainexp.tracking.record import Point
from brainexp.tracking.store import shortened

#: Longer values are of no use in a column; the whole is in ``result.json``.
MAX_COLUMN = 250
#: Longest that a store takes of what is told of an input.
MAX_FACT = 500
#: More baselines make the description too wide; all are metrics.
MAX_BASELINES = 4
COMPONENTS = ("dataset", "model", "compression", "prompt", "encoder")
#: Columns of every run, and the options of the config that they show.
OPTIONS = {
    "path": "model.path",
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
        As `brainexp.labels.run_label` makes it.
    overrides : sequence of str
        Such as "encoder.alphas=[1,10]".
    """
    options = dict(leaves(config))
    shown = {name: str(config[name]["name"]) for name in COMPONENTS}
    shown |= parts_of(label)
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
    told = public(value)
    return ", ".join(map(str, told)) if isinstance(told, list) else str(told)


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


def tags_of_result(result: Result, experiment: Experiment, label: str) -> dict[str, str]:
    """Return the tags that are known when the result is, the description among them."""
    told = {
        "mlflow.note.content": shortened(note(result, label)),
        "brainexp.family": experiment.model.blueprint().family,
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


def note(result: Result, label: str) -> str:
    """Return a run's description in Markdown: what was found in each ROI, and what the user should know.

    Parameters
    ----------
    result : Result
    label : str
        What the run is called.
    """
    chosen = result.scores[result.scores.layer.isna()]
    baselines = [source for source in dict.fromkeys(chosen.source) if source != "model"][:MAX_BASELINES]
    n_subjects = len(result.voxels.subjects)
    heads = ("ROI", "r", "± se", "ceiling", "r / ceiling", *baselines)
    lines = [f"**{label}**", ""]
    lines += [f"r on held-out rows at the layer chosen on training rows, mean over {n_subjects} subjects:", ""]
    lines += [f"| {' | '.join(heads)} |", f"| --- |{' ---: |' * (len(heads) - 1)}"]
    for roi in sorted(dict.fromkeys(chosen.roi), key=lambda name: name != ALL_VOXELS):
        group = "" if roi == ALL_VOXELS else f"{roi}/"
        cells = [f"alignment/{group}{measure}" for measure in ("r", "r_se", "ceiling", "r_norm")]
        values = [result.metrics[cell] for cell in [*cells, *(f"baseline/{name}/{group}r" for name in baselines)]]
        name = "**all voxels**" if roi == ALL_VOXELS else str(roi).replace("|", "\\|")
        lines.append(f"| {' | '.join([name, *(f'{value:.3f}' for value in values)])} |")
    lines += ["", *(f"- {remark}" for remark in result.remarks)]
    return "\n".join(lines).strip()


def inputs(experiment: Experiment, label: str) -> tuple[Mapping[str, str], ...]:
    """Return what was read, for the column that MLflow calls Dataset: whose data, under which licence, and which model.

    Digests are of what is declared, not of files; those are in ``result.json``.
    """
    named = parts_of(label)
    facts = experiment.dataset.facts()
    data = {
        "name": named.get("dataset", type(experiment.dataset).__name__),
        "context": "dataset",
        "source": f"https://doi.org/{facts.doi.removeprefix('https://doi.org/')}" if facts.doi else "unpublished",
        "digest": digest(_declared(facts)),
        "doi": facts.doi,
        "licence": facts.licence,
        "citation": facts.citation,
        "language": facts.language,
    }
    path, revision = str(getattr(experiment.model, "path", "")), getattr(experiment.model, "revision", None)
    model = {
        "name": named.get("model", type(experiment.model).__name__),
        "context": "model",
        "source": f"https://huggingface.co/{path}" if _on_hub(path) else path,
        "digest": digest({"path": path, "revision": revision, "weights": experiment.model.weights}),
        "path": path,
        "revision": str(revision or ""),
        "weights": experiment.model.weights,
    }
    return tuple({key: shortened(value, MAX_FACT) for key, value in one.items() if value} for one in (data, model))


def _declared(facts: Facts) -> dict[str, Any]:
    return {name: value for name, value in asdict(facts).items() if name != "read_by_story"}


def _on_hub(path: str) -> bool:
    """Whether a model's path has the form of a Hugging Face id, and is no folder or package."""
    return path.count("/") == 1 and not path.startswith((".", "/", "~", "package:"))


def _count(value: float | None) -> str:
    return f"{value:.0f}" if value else ""


def _number(value: float | None) -> str:
    return f"{value:.4g}" if value else ""


def _allowed(name: str) -> str:
    """MLflow takes letters, digits and a few marks in a metric's name; an ROI's name may have others."""
    return "".join(mark if mark.isalnum() or mark in "_-. :/" else "_" for mark in name)
