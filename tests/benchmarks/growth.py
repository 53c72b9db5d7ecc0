"""How time and memory of ridge grow with rows, features, voxels, layers and subjects: a table and a figure.

``python -m tests.benchmarks.growth --figure outputs/growth.png``. Every point is a process of its own. The fixed part is what is
done once for a stimulus and a layer, whoever listens: kernels and decompositions. The rest is work for every voxel.
"""

import argparse
import ctypes
import json
import subprocess
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from brainexp.encoder.ridge import Ridge
from brainexp.solve.bands import Bands
from brainexp.solve.solver import chosen
from tests.benchmarks.ridge import ALPHAS, Case, Problem, cpu_s, memory_mib


@dataclass(frozen=True)
class Point:
    """One size; voxels are those of each subject."""

    rows: int = 1000
    features: int = 1024
    voxels: int = 1000
    layers: int = 1
    subjects: int = 1


#: What grows, doubling, while the rest stays.
STEPS = {
    "small": {"rows": (250, 500, 1000), "voxels": (500, 1000, 2000), "subjects": (1, 2, 4)},
    "full": {
        "rows": (250, 500, 1000, 2000),
        "features": (256, 512, 1024, 2048, 4096),
        "voxels": (1000, 2000, 4000, 8000, 16000),
        "layers": (1, 2, 4, 8),
        "subjects": (1, 2, 4, 8, 16),
    },
}


def measured(point):
    """CPU seconds of the fixed part and of the whole, and peak memory over what the arrays take."""
    problem = Problem.made(Case(point.rows, point.features, point.voxels, 5, {}, point.subjects))
    responses = problem.responses[problem.fold.train]
    encoder = Ridge(alphas=ALPHAS, device="cpu")
    encoder.fit([problem.design], responses[:, :5], np.zeros(5, int), problem.fold)  # imports and threads
    ctypes.CDLL("libc.so.6").malloc_trim(0)  # what making the problem has left would be taken again unseen
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here on (Linux)
    resident, start, fixed = memory_mib("VmRSS"), cpu_s(), 0.0
    for _ in range(point.layers):
        before = cpu_s()
        given = Bands([problem.design], problem.fold, ALPHAS, responses.shape[1], encoder.work())
        solver = given.solver([1.0])
        fixed += cpu_s() - before
        _, penalty = chosen(solver.search(responses), ALPHAS)
        solver.predict(responses, penalty)
    return {
        "fixed_s": fixed,
        "total_s": cpu_s() - start,
        "peak_mib": memory_mib("VmHWM") - resident,
        "form": given.form,
    }


def apart(point):
    """As `measured`, in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.growth", "--one", json.dumps(asdict(point))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def drawn(found, path):
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, len(found), figsize=(2.5 * len(found), 4.4), sharey="row", layout="constrained")
    for (what, points), (time, memory) in zip(found.items(), axes.T, strict=True):
        size = [value for value, _ in points]
        time.loglog(size, [one["total_s"] for _, one in points], "o-", label="all")
        time.loglog(size, [one["fixed_s"] for _, one in points], "s--", label="decompositions")
        time.loglog(size, [points[0][1]["total_s"] * at / size[0] for at in size], ":", color="grey", label="linear")
        memory.semilogx(size, [one["peak_mib"] for _, one in points], "o-")
        for axis in (time, memory):
            axis.set_xticks(size, [f"{at:,}" for at in size], rotation=40)
            axis.minorticks_off()
        memory.set_xlabel(what)
    axes[1, 0].set_ylim(bottom=0)
    axes[0, 0].set_ylabel("CPU s")
    axes[1, 0].set_ylabel("peak MiB over inputs")
    axes[0, 0].legend(fontsize="small", frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=STEPS, default="small")
    parser.add_argument("--figure", type=Path, default=Path("outputs/growth.png"))
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.one:
        print(json.dumps(measured(Point(**json.loads(given.one)))))
        return
    usual = Point() if given.size == "full" else Point(rows=500, features=512, voxels=500)
    table = Table(title=f"Growth from {usual}")
    for column in ("what grows", "to", "form", "CPU s", "decompositions s", "peak MiB"):
        table.add_column(column, justify="left" if column in ("what grows", "form") else "right")
    found = {}
    for what, values in STEPS[given.size].items():
        found[what] = [(value, apart(replace(usual, **{what: value}))) for value in values]
        for value, one in found[what]:
            figures = (f"{one['total_s']:.2f}", f"{one['fixed_s']:.2f}", f"{one['peak_mib']:,.0f}")
            table.add_row(what, f"{value:,}", one["form"], *figures)
    console = Console(width=120)
    console.print(table)
    drawn(found, given.figure)
    console.print(f"Figure: {given.figure}")


if __name__ == "__main__":
    main()
