"""Responses sit in memory once, measured as the operating system sees it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

N_VOXELS = 12_000
STORIES = {"alternateithicatom": 420, "avatar": 420, "legacy": 420, "wheretheressmoke": 420}
#: Loads the replica and takes it over for the analysis, or makes the copies that concatenating and centring make.
PROGRAM = """
import sys
import numpy as np, psutil
from brainexp.containers import Fold
from brainexp.dataset import lebel2023
from brainexp.evaluation import moved_up, scorable_voxels
from brainexp.recordings import recorded
import h5py, textgrid, nibabel
root, way, n_voxels = sys.argv[1], sys.argv[2], int(sys.argv[3])
lebel2023.SCANNED_TRS = dict.fromkeys({stories!r}, 420)
lebel2023.N_VOXELS = dict(UTS03=n_voxels)
dataset = lebel2023.Lebel2023(root=root)
dataset.stimuli()
before = psutil.Process().memory_info().rss
if way == "once":
    recordings = recorded(dataset)
    n_rows = len(recordings.values)
    fold = Fold(np.arange(n_rows - 385), np.arange(n_rows - 385, n_rows), ())
    values = moved_up(recordings.values, scorable_voxels(recordings.values, [fold]))
else:
    values = np.concatenate([run.values[:] for run in dataset.responses("UTS03")])
    values = values - np.nanmean(values, axis=0)
# of this program alone: ru_maxrss of a child begins with the size of its parent
(line,) = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
peak = 1024 * int(line.split()[1])
print(peak - before, *values.shape)
"""


@pytest.fixture(scope="module")
def replica(tmp_path_factory):
    import h5py

    from tests.dataset.replicas import textgrid

    root = tmp_path_factory.mktemp("large")
    own = root / "derivatives" / "preprocessed_data" / "UTS03"
    own.mkdir(parents=True)
    (root / "derivatives" / "TextGrids").mkdir()
    (root / "derivatives" / "respdict.json").write_text(json.dumps(STORIES))
    rng = np.random.default_rng(0)
    for story, n_trs in STORIES.items():
        (root / "derivatives" / "TextGrids" / f"{story}.TextGrid").write_text(textgrid(story, 60.0))
        with h5py.File(own / f"{story}.hf5", "w") as file:
            values = rng.standard_normal((n_trs - 20, N_VOXELS), np.float32)
            values[5, ::100] = np.nan
            file["data"] = values
    yield root
    for path in own.iterdir():
        path.unlink()


pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system tells no peak of a process")


def peak_bytes(replica, way):
    program = PROGRAM.replace("{stories!r}", repr(tuple(STORIES)))
    words = [sys.executable, "-c", program, str(replica), way, str(N_VOXELS)]
    found = subprocess.run(words, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    return [int(number) for number in found.stdout.split()]


def test_responses_are_read_and_taken_over_in_their_own_memory(replica):
    peak, n_rows, n_voxels = peak_bytes(replica, "once")

    assert (n_rows, n_voxels) == (4 * 400, N_VOXELS - N_VOXELS // 100)
    assert peak < 1.3 * 4 * n_rows * N_VOXELS


def test_the_measure_sees_a_second_copy(replica):
    peak, n_rows, n_voxels = peak_bytes(replica, "twice")

    assert peak > 1.9 * 4 * n_rows * n_voxels
