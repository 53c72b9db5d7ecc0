"""Time each pair in one process, alternating, print medians and their ratio, and keep them in outputs/benchmarks.json.

Then ridge and its growth at small size. Full sizes: ``python -m tests.benchmarks.ridge --size full`` and
``python -m tests.benchmarks.growth --size full``.
"""

import json
import platform
import statistics
import sys
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from tests.benchmarks import features, gpu, growth, probes, ridge, significance

ROUNDS = 3
RESULTS = Path("outputs/benchmarks.json")


def seconds(work):
    start = time.process_time()
    work()
    return time.process_time() - start


def compared(case):
    """A row; a case that asks less of the peer than of ours says how many times the peer's work would be done."""
    name, peer_name, peer, ours, *repeats = case()
    theirs, own = (np.asarray(work()) for work in (peer, ours))
    difference = float(np.max(np.abs(theirs - own)) / np.max(np.abs(theirs)))
    pairs = [(seconds(peer), seconds(ours)) for _ in range(ROUNDS)]
    theirs, own = (statistics.median(column) for column in zip(*pairs, strict=True))
    theirs *= repeats[0] if repeats else 1
    return {
        "case": name,
        "peer": peer_name,
        "peer_s": theirs,
        "ours_s": own,
        "ratio": theirs / own,
        "relative_difference": difference,
    }


def device():
    import torch

    cpu = Path("/proc/cpuinfo")
    names = (
        [line.partition(":")[2].strip() for line in cpu.read_text().splitlines() if line.startswith("model name")]
        if cpu.exists()
        else []
    )
    gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return {"cpu": (names or [platform.processor()])[0], "torch_threads": torch.get_num_threads(), "gpus": gpus}


def main(wanted=""):
    """Measure the cases whose name holds a text."""
    where = device()
    table = Table(
        title=f"CPU seconds, median of {ROUNDS} alternating rounds\n{where['cpu']}, {where['torch_threads']} thread(s)"
    )
    for column in ("case", "peer", "peer s", "ours s", "ratio", "relative difference"):
        table.add_column(column, justify="left" if column in ("case", "peer") else "right")
    rows = []
    for case in (*features.CASES, *significance.CASES, *probes.CASES):
        if wanted not in str(case):
            continue
        row = compared(case)
        rows.append(row)
        table.add_row(
            row["case"], row["peer"], *(f"{row[key]:.2f}" for key in ("peer_s", "ours_s")),
            f"{row['ratio']:.1f}", f"{row['relative_difference']:.0e}",
        )  # fmt: skip
    console = Console(width=140)
    console.print(table)
    on_gpu = gpu.measured()
    if on_gpu is not None:
        console.print(f"[bold]Word features on {where['gpus'][0]}[/]")
        for name, value in on_gpu.items():
            console.print(f"  {name}: {value:,.2f}")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"device": where, "cases": rows, "gpu": on_gpu}, indent=2) + "\n")
    if not wanted:
        ridge.main(["--size", "small", "--repeats", "1"])
        growth.main(["--size", "small"])


if __name__ == "__main__":
    main(*sys.argv[1:2])
