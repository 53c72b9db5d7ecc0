"""Draw the README's pictures anew from real data: ``make docs-images``."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

IMAGES = Path(__file__).parent / "images"
ALICE = [
    "dataset=alice",
    "dataset.root={data}/alice_brennan2016",
    "model=minilm",
    "dataset.subjects=all",
    "baselines=[untrained,word_rate,sound_power,motion]",
]
LADDER = ["--multirun", "model=tiny_xs,tiny_s,tiny_m,tiny_l"]


def main(data: str) -> None:
    """Run the README's experiments and keep their figures."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        alice, sweep = Path(folder) / "alice", Path(folder) / "sweep"
        brainexp(*[word.format(data=Path(data).absolute()) for word in ALICE], f"hydra.run.dir={alice}")
        brainexp(*LADDER, f"hydra.sweep.dir={sweep}")
        for figure in (alice / "figures").glob("*.png"):
            shutil.copyfile(figure, IMAGES / f"alice_{figure.name}")
        shutil.copyfile(sweep / "sweep.png", IMAGES / "ladder.png")
        shutil.copyfile(sweep / "2" / "figures" / "brain.png", IMAGES / "default_brain.png")


def brainexp(*words: str) -> None:
    """Run the program as a user does."""
    subprocess.run([sys.executable, "-m", "brainexp", *words, "tracking.uri=null"], check=True)


if __name__ == "__main__":
    main(sys.argv[1])
