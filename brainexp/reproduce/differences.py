"""What is not as it was when a run was recorded: software, machine, options, files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from brainexp.environment import PACKAGES, environment, installed
from brainexp.reproduce.options import Rebuilt
from brainexp.reproduce.recorded import Recorded

#: How much of a digest is shown.
SHOWN = 12
#: Stands for what is not there.
NONE = "–"


@dataclass(frozen=True)
class Difference:
    """One thing that is not as it was.

    Parameters
    ----------
    about : str
        "code", "packages", "machine", "threads", "shell", "options", "files" or "model".
    what : str
        What differs.
    recorded, here : str
        As it was, and as it is.
    """

    about: str
    what: str
    recorded: str
    here: str


def before(
    recorded: Recorded, made: Rebuilt, files: Mapping[str, Any], model: Mapping[str, Any] | None
) -> list[Difference]:
    """Compare a record with what a run would meet here and now.

    Parameters
    ----------
    recorded : Recorded
        The run.
    made : Rebuilt
        Its config, as this version and machine have it.
    files, model
        As `brainexp.provenance.of_files` and `brainexp.provenance.of_model` find them here; None where the model is not to be
        had.
    """
    import torch  # noqa: F401  environment() tells of threads and GPUs only where it is loaded

    here = environment()
    return [
        *_of_code(recorded.environment, here),
        *_of_packages(recorded.packages(), installed()),
        *_of_machine(recorded.environment, here),
        *_of_threads(recorded.environment.get("threads") or [], here["threads"]),
        *_of_variables(recorded.environment.get("variables"), here["variables"]),
        *_of_options(made),
        *_of_files(recorded.provenance.get("files") or {}, files, made),
        *_of_model(recorded.provenance.get("model") or {}, model),
    ]


def _of_code(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Difference]:
    for name, key in (("brainexp", "brainexp"), ("commit", "git_commit"), ("Python", "python")):
        yield from _unlike("code", name, then.get(key), now[key])
    changes = [(told.get("git_diff") or {}).get("sha256") for told in (then, now)]
    yield from _unlike("code", "uncommitted changes", *changes)


def _of_packages(then: Mapping[str, str], now: Mapping[str, str]) -> Iterator[Difference]:
    names = sorted(then.keys() | now.keys() if len(then) > len(PACKAGES) else then.keys())
    for name in sorted(names, key=lambda one: one not in PACKAGES):
        yield from _unlike("packages", name, then.get(name), now.get(name))


def _of_machine(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Difference]:
    for name, key in (("platform", "platform"), ("system", "os"), ("cores", "cpu_count")):
        if key in then:
            yield from _unlike("machine", name, then[key], now[key])
    for name, key in (("processor", "model"), ("arithmetic of torch", "torch")):
        if key in (then.get("cpu") or {}):
            yield from _unlike("machine", name, then["cpu"][key], now["cpu"].get(key))
    if "cpu" in then:
        had, has = ({*told["cpu"]["instructions"]} for told in (then, now))
        yield from _unlike("machine", "instruction sets", " ".join(sorted(had - has)), " ".join(sorted(has - had)))
    yield from _unlike("machine", "GPUs", ", ".join(then.get("gpus") or []), ", ".join(now["gpus"]))
    for key, value in (then.get("cuda") or {}).items():
        yield from _unlike("machine", f"GPU: {key}", value, (now["cuda"] or {}).get(key))


def _of_threads(then: list[dict[str, Any]], now: list[dict[str, Any]]) -> Iterator[Difference]:
    """Compare libraries that are loaded in both; others are loaded when they are needed."""
    had, has = (
        {f"{one['internal_api']} {one.get('version', '')}".strip(): one for one in told} for told in (then, now)
    )
    for name in sorted(had.keys() & has.keys()):
        for key, what in (
            ("num_threads", "threads"),
            ("architecture", "written for"),
            ("threading_layer", "threading"),
        ):
            yield from _unlike("threads", f"{name}: {what}", had[name].get(key), has[name].get(key))


def _of_variables(then: Mapping[str, str] | None, now: Mapping[str, str]) -> Iterator[Difference]:
    for name in sorted((then or {}).keys() | now.keys()) if then is not None else ():
        yield from _unlike("shell", name, (then or {}).get(name), now.get(name))


def _of_options(made: Rebuilt) -> Iterator[Difference]:
    for name, (was, given) in made.given.items():
        yield Difference("options", f"{name} (given)", _shown(was), _shown(given))
    for name, (was, there) in made.moved.items():
        yield Difference("options", f"{name} (path)", _shown(was), _shown(there))
    for name, was in made.unknown.items():
        yield Difference("options", f"{name} (not in this version)", _shown(was), NONE)
    for name, value in made.new.items():
        yield Difference("options", f"{name} (new in this version)", NONE, _shown(value))


def _of_files(then: Mapping[str, Any], now: Mapping[str, Any], made: Rebuilt) -> Iterator[Difference]:
    for name, path in made.missing.items():
        yield Difference("files", name, _counted(then.get(name)), f"{path} is not there")
    for name in sorted(then.keys() - made.missing.keys()):
        there = now.get(name)
        if there is None or then[name]["digest"] != there["digest"]:
            yield Difference("files", name, _counted(then[name]), _counted(there))


def _of_model(then: Mapping[str, Any], now: Mapping[str, Any] | None) -> Iterator[Difference]:
    if now is None:
        yield Difference("model", "weights", _shown(then.get("source")), "not to be had")
    elif then and "source" in then:
        yield from _unlike("model", "weights", then["source"], now.get("source"))
        if then["source"] == now.get("source"):
            yield from _unlike("model", "what reads the weights", then["identity"], now["identity"])
    elif then:
        yield from _unlike("model", "weights and what reads them", then["identity"], now["identity"])


def _unlike(about: str, what: str, then: Any, now: Any) -> Iterator[Difference]:
    if (then or None) != (now or None):
        yield Difference(about, what, _shown(then), _shown(now))


def _counted(told: Mapping[str, Any] | None) -> str:
    if told is None:
        return NONE
    return f"{told['files']:,} files, {told['bytes']:,} bytes, {told['digest'][:SHOWN]}"


def _shown(value: Any) -> str:
    if value is None or value == "":
        return NONE
    text = str(value)
    is_digest = len(text) == 64 and {*text} <= {*"0123456789abcdef"}
    return text[:SHOWN] if is_digest else text
