"""Write the gold probing sets: ``python -m brainexp.grammar FOLDER --seed 0 --samples 1000``."""

import argparse
from pathlib import Path

from brainexp.grammar import write_holmes


def main() -> None:
    """Read the command line and write."""
    parser = argparse.ArgumentParser(description="Write the gold probing sets of the grammar, in the layout of Holmes.")
    parser.add_argument("folder", type=Path, help="folder to make")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--samples", type=int, default=1000, help="per probe, over train, dev and test")
    chosen = parser.parse_args()
    try:
        write_holmes(chosen.folder, chosen.seed, chosen.samples)
    except (FileExistsError, ValueError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
