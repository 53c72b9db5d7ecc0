"""Time each pair in one process, alternating, and print medians and their ratio; then ridge and its growth, reduced.

Full sizes: ``python -m tests.benchmarks.ridge --size full`` and ``python -m tests.benchmarks.growth --size full``.
"""

import statistics
import time

import numpy as np
from rich.console import Console
from rich.table import Table

from tests.benchmarks import features, growth, ridge, significance

ROUNDS = 5


def seconds(work):
    start = time.process_time()
    work()
    return time.process_time() - start


def main():
    table = Table(title="CPU seconds, median of alternating rounds")
    for column in ("case", "peer", "peer s", "ours s", "ratio", "largest difference"):
        table.add_column(column, justify="left" if column in ("case", "peer") else "right")
    for case in (*features.CASES, *significance.CASES):
        name, peer_name, peer, ours = case()
        difference = float(np.max(np.abs(np.asarray(peer()) - np.asarray(ours()))))
        pairs = [(seconds(peer), seconds(ours)) for _ in range(ROUNDS)]
        theirs, own = (statistics.median(column) for column in zip(*pairs, strict=True))
        table.add_row(name, peer_name, f"{theirs:.2f}", f"{own:.2f}", f"{theirs / own:.1f}", f"{difference:.1e}")
    Console(width=120).print(table)
    ridge.main(["--size", "small", "--repeats", "1"])
    growth.main(["--size", "small"])


if __name__ == "__main__":
    main()
