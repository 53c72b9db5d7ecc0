"""A job as a launcher starts it: ``python -m tests.services.job RESULT FOLDER URI FIRST STOP [PATIENCE_S]``.

It records what a run had found, in files and in the store, as run FIRST to STOP - 1.
"""

import dataclasses
import pickle
import sys
from pathlib import Path

from brainexp.environment import environment
from brainexp.labels import run_label
from brainexp.report.files import write
from brainexp.tracking import Tracking, tracked


def main(result_file, folder, uri, first, stop, patience_s="180"):
    config, result = pickle.loads(Path(result_file).read_bytes())
    for number in range(int(first), int(stop)):
        own = {**config, "seed": number, "report": {"figures": False}}
        found = dataclasses.replace(result, metrics={**result.metrics, "alignment/r": number / 1000})
        tracking = Tracking(uri=uri, patience_s=float(patience_s))
        label = run_label(own)
        with tracked(tracking, own, environment(), label, [f"seed={number}", "encoder.choose_by=r"]) as record:
            place = Path(folder) / str(number)
            write(found, place, str(number), own, environment(), label)
            record(found, place)


if __name__ == "__main__":
    main(*sys.argv[1:])
