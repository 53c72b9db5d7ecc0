"""Which models are sizes of one recipe."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

#: Of a checkpoint's path: what tells sizes of a family apart.
SIZE = re.compile(
    r"[-_/]?(\d+([._]\d+)?x)?\d+([._]\d+)?[bm](?![a-z])|[-_/](xs|xl|xxl|s|m|l|small|medium|base|large)(?![a-z])", re.I
)


def family_of(run: Mapping[str, Any]) -> str:
    """Name of a run's family of models: its checkpoint's path without what tells sizes.

    >>> family_of({"config": {"model": {"path": "Qwen/Qwen2.5-3B"}}})
    'Qwen2.5'
    >>> family_of({"config": {"model": {"path": "deepseek-ai/DeepSeek-R1-Distill-Qwen-14B"}}})
    'DeepSeek-R1-Distill-Qwen'
    >>> family_of({"config": {"model": {"path": "package:brainexp/model/tiny/xs"}}})
    'tiny'
    """
    path = str(run["config"].get("model", {}).get("path") or run["name"].split("-")[0])
    last = SIZE.sub("", path).rstrip("/").rpartition("/")[2]
    return last.strip("-_") or path
