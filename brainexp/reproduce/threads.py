"""Compute in as many threads as a recorded run did."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

#: Words with which numbers of threads are set for libraries that are not loaded yet.
VARIABLES = {"openblas": "OPENBLAS_NUM_THREADS", "mkl": "MKL_NUM_THREADS", "openmp": "OMP_NUM_THREADS"}


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
        for kind in {one["user_api"], one["internal_api"]}:
            counts[kind] = max(counts.get(kind, 0), int(one["num_threads"]))
    shell = {variable: os.environ.get(variable) for variable in VARIABLES.values()}
    os.environ.update({VARIABLES[kind]: str(count) for kind, count in counts.items() if kind in VARIABLES})
    torch_threads = torch.get_num_threads()
    try:
        with threadpool_limits({kind: counts[kind] for kind in ("blas", "openmp") if kind in counts}):
            torch.set_num_threads(counts.get("torch", torch_threads))
            yield
    finally:
        torch.set_num_threads(torch_threads)
        for variable, value in shell.items():
            if value is None:
                os.environ.pop(variable, None)
            else:
                os.environ[variable] = value
