"""Draw the README's pictures anew from real data: ``make docs-images``."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

IMAGES = Path(__file__).parent / "images"
RUNS = {
    "alice": [
        "dataset=alice",
        "dataset.root={data}/alice_brennan2016",
        "model=minilm",
        "dataset.subjects=all",
        "baselines=[word_rate,sound_power,motion,untrained]",
    ],
    "default": [],
}


def main(data: str) -> None:
    """Run each experiment and keep its figures under its name."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for name, overrides in RUNS.items():
            words = [word.format(data=Path(data).absolute()) for word in overrides]
            run = Path(folder) / name
            subprocess.run(
                [sys.executable, "-m", "brainexp", *words, f"hydra.run.dir={run}", "tracking.uri=null"], check=True
            )
            for figure in (run / "figures").glob("*.png"):
                shutil.copyfile(figure, IMAGES / f"{name}_{figure.name}")


if __name__ == "__main__":
    main(sys.argv[1])
