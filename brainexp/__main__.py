"""``python -m brainexp``."""

from brainexp.cli import main

if __name__ == "__main__":
    main()
