import subprocess
import sys


def write(folder, *words):
    asked = [sys.executable, "-m", "brainexp.grammar", str(folder), *words]
    return subprocess.run(asked, capture_output=True, text=True, check=False)


def test_the_gold_sets_are_written_and_not_written_over(tmp_path):
    first = write(tmp_path / "gold", "--samples", "20")
    second = write(tmp_path / "gold", "--samples", "20")

    assert first.returncode == 0, first.stderr
    assert len(list((tmp_path / "gold").glob("*/samples.csv"))) >= 15
    assert second.returncode == 2
    assert "exists already. Remove it, or name another folder." in second.stderr
