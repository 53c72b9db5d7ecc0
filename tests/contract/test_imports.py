"""Heavy libraries are imported where they are used, so that help and errors come at once."""

import subprocess
import sys

HEAVY = ("torch", "transformers", "mlflow", "nilearn", "matplotlib", "sklearn", "himalaya", "pandas", "pydantic")


def imported_by(statement):
    asked = f"import sys; {statement}; print(*[name for name in {HEAVY} if name in sys.modules])"
    return subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout.split()


def test_import_brainexp_brings_nothing_heavy():
    assert imported_by("import brainexp") == []


def test_the_command_line_brings_nothing_heavy():
    assert imported_by("import brainexp.cli") == []


def test_the_experiment_and_all_rooms_bring_nothing_heavy():
    assert imported_by("import brainexp.experiment") == []
