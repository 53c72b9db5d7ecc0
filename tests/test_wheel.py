"""An installed wheel works from another folder, with its configs inside."""

import os
import subprocess
import sys
import zipfile

import pytest

from tests.conftest import CONF


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder into which the wheel, and nothing of the checkout, is installed."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(CONF.parent)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def start(installed, folder, *words):
    return subprocess.run(
        [sys.executable, "-m", "brainexp", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_configs_travel_in_the_wheel(installed):
    ours = {path.relative_to(CONF) for path in CONF.rglob("*.yaml")}

    assert {
        path.relative_to(installed / "brainexp" / "conf") for path in (installed / "brainexp" / "conf").rglob("*.yaml")
    } == ours
    assert (installed / "brainexp" / "py.typed").is_file()
    assert (installed / "brainexp" / "dataset" / "fables.txt").is_file()


def test_the_installed_program_runs_from_another_folder(installed, tmp_path, small_run):
    done = start(installed, tmp_path, *small_run)

    assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob("outputs/*/*/result.json"))


def test_the_installed_program_reads_its_own_configs(installed, tmp_path):
    told = start(installed, tmp_path, "--info", "searchpath").stdout

    assert str(installed / "brainexp" / "conf") in told
