"""From what a run's numbers came, as digests by stage, so that a difference between two runs can be located."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from brainexp.cache import digest, stored_entry
from brainexp.compressed import CompressedModel
from brainexp.containers import FloatArray, Layers, Stimulus
from brainexp.interfaces import Model, Sourced
from brainexp.recordings import Recordings
from brainexp.settings import leaves

#: Stages that draw random numbers, each its own; so does every probe.
DRAWING = ("ceiling", "subjects", "significance", "comparisons")
#: Options that name a file or a folder; values of others may, if they have a slash.
PATH_OPTIONS = (
    *(
        "root",
        "path",
        "folder",
        "text",
        "train",
        "test",
        "textgrids",
        "trfiles",
        "ceilings",
        "labels",
        "mask",
        "dataset",
    ),
    "include_path",
)
#: Files of one option that are counted.
MAX_FILES = 100_000
#: Numbers that are brought together at a time.
NUMBERS_AT_ONCE = 2**22


def of_data(recordings: Recordings) -> dict[str, Any]:
    """Return digests of what was presented and recorded, as it enters the analysis.

    Parameters
    ----------
    recordings : Recordings
        Before its values are taken over.

    Returns
    -------
    dict
        ``stories``: words, times, annotations and clock, by story. ``responses``: trimmed and stacked responses, each
        voxel's mean taken out, and nuisance regressors, by subject.
    """
    stories = {
        one.story: digest([_of_stimulus(one), float(clock.start_s), float(clock.tr_s), int(clock.n_trs)])
        for one, clock in zip(recordings.stimuli, recordings.clocks, strict=True)
    }
    responses = {}
    for subject, values in recordings.responses.items():
        nuisance = {name: [array_digest(run) for run in runs] for name, runs in recordings.nuisance[subject].items()}
        responses[subject] = digest([array_digest(values), nuisance])
    return {"stories": stories, "responses": responses}


def of_files(components: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the files and folders hold that options name: names and sizes, not contents.

    Parameters
    ----------
    components : mapping
        Options by group, as in the config.

    Returns
    -------
    dict
        By dotted name of the option: absolute path, number of files, bytes, and a digest of names and sizes.
    """
    found = {}
    for name, values in paths(components).items():
        there = [place for value in values if (place := existing(value)) is not None]
        if there:
            found[name] = {"paths": [str(place.absolute()) for place in there], **_listed(there)}
    return found


def paths(config: Mapping[str, Any]) -> dict[str, list[str]]:
    """Values of the options that may name files or folders, by dotted name."""
    found = {}
    for name, value in leaves(config):
        values = [
            one for one in (value if isinstance(value, (list, tuple)) else [value]) if isinstance(one, str) and one
        ]
        if values and (name.rpartition(".")[2] in PATH_OPTIONS or any(os.sep in one for one in values)):
            found[name] = values
    return found


def existing(value: str) -> Path | None:
    """Return the file or folder of that name, or None where there is none."""
    try:
        place = Path(value).expanduser()
        return place if place.exists() else None
    except (OSError, RuntimeError, ValueError):  # no name of a file, or a home that nobody has
        return None


def of_model(model: Model) -> dict[str, Any]:
    """Return digests of the model before compression: of all that decides its features, and of the weights alone."""
    return {"identity": model.identity(), **({"source": digest(model.source())} if isinstance(model, Sourced) else {})}


def of_compression(made: CompressedModel) -> dict[str, Any]:
    """Return key and content of the compressed checkpoint; nothing where nothing is compressed."""
    key = made.key["compression"].get("artifact")
    return {} if key is None else {"key": key, **_told(made.kept())}


def of_features(features: Mapping[str, Layers]) -> dict[str, Any]:
    """Return what made the features, and digests of their values as they lie in the cache.

    Parameters
    ----------
    features : mapping of str to Layers
        By story.

    Returns
    -------
    dict
        ``stories``: key and content by story, when and with what it was computed. ``layers``: content of each layer, over
        all stories.
    """
    folders = {story: layers.files[0].parent for story, layers in features.items()}
    entries = {story: stored_entry(folder) for story, folder in folders.items()}
    known = [entry["sha256"] for entry in entries.values() if entry is not None]
    names = [file.name for file in next(iter(features.values())).files]
    return {
        "stories": {story: {"key": folder.name, **_told(entries[story])} for story, folder in folders.items()},
        "layers": [digest([one[name] for one in known]) for name in names],
    }


def array_digest(values: FloatArray) -> str:
    """SHA-256 of an array's type, shape and values in the order of rows, wherever they lie in memory."""
    sha256 = hashlib.sha256(json.dumps([values.dtype.str, values.shape]).encode())
    n_rows = max(1, NUMBERS_AT_ONCE // max(1, math.prod(values.shape[1:])))
    for first in range(0, len(values), n_rows):
        sha256.update(np.ascontiguousarray(values[first : first + n_rows]).data)
    return sha256.hexdigest()


def _of_stimulus(one: Stimulus) -> list[Any]:
    annotations = {name: array_digest(values) for name, values in one.annotations.items()}
    return [one.story, one.units, array_digest(one.onset_s), array_digest(one.offset_s), annotations, one.separate]


def _told(entry: Mapping[str, Any] | None) -> dict[str, Any]:
    """Content of an entry of the cache, when and with what it was made; nothing where it is gone."""
    if entry is None:
        return {}
    return {"content": digest(entry["sha256"]), "made": entry["made"], "made_with": entry.get("made_with")}


def _listed(places: list[Path]) -> dict[str, Any]:
    """Number of files, their bytes, and a digest of names and sizes; of very many, of those that come first."""
    sizes: dict[str, int] = {}
    for number, place in enumerate(places):
        for file in [place] if place.is_file() else _files(place):
            if len(sizes) == MAX_FILES:
                return _counted(sizes, whole=False)
            try:
                sizes[f"{number}/{file.relative_to(place).as_posix()}"] = file.stat().st_size
            except OSError:  # a link to nowhere, as git-annex leaves for what is not fetched
                continue
    return _counted(sizes, whole=True)


def _counted(sizes: dict[str, int], *, whole: bool) -> dict[str, Any]:
    return {"files": len(sizes), "bytes": sum(sizes.values()), "digest": digest(sizes), "whole": whole}


def _files(folder: Path) -> Iterator[Path]:
    """All files below a folder, in an order that does not depend on the file system; hidden ones are left out."""
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(parent, name) for name in sorted(names) if not name.startswith("."))
