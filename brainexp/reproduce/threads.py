"""Compute in as many threads as a recorded run did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any


@contextmanager
def threads_as_recorded(recorded: Sequence[Mapping[str, Any]]) -> Iterator[None]:
    """Let libraries compute in as many threads as when the run was recorded: sums are split by thread, and rounded so.

    Parameters
    ----------
    recorded : sequence of mapping
        As `brainexp.environment.environment` tells of them; none where an earlier version did not.
    """
    # Loaded first, for only libraries that are there can be told.
    import scipy.linalg  # noqa: F401
    import sklearn.utils  # noqa: F401
    import torch
    from threadpoolctl import threadpool_limits

    counts: dict[str, int] = {}
    for one in recorded:
        counts[one["user_api"]] = max(counts.get(one["user_api"], 0), int(one["num_threads"]))
    torch_threads = torch.get_num_threads()
    try:
        with threadpool_limits({kind: counts[kind] for kind in ("blas", "openmp") if kind in counts}):
            torch.set_num_threads(counts.get("torch", torch_threads))
            yield
    finally:
        torch.set_num_threads(torch_threads)
