"""Each job has a GPU of its own; which there are is told by the environment, so no GPU is needed here."""

import os
import subprocess
import sys
import tempfile

import pytest

from brainexp.errors import ConfigError
from brainexp.sweeping.gpus import VISIBLE, one_gpu, visible_gpus

JOBLIB, SLURM, BASIC = "hydra_plugins.x.JoblibLauncher", "hydra_plugins.x.SlurmLauncher", "hydra.x.BasicLauncher"

HOLDER = """
import sys, time
from brainexp.sweeping.gpus import one_gpu
with one_gpu("auto", "JoblibLauncher") as gpu:
    print(gpu, flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def _two_gpus(tmp_path, monkeypatch):
    monkeypatch.setenv(VISIBLE, "0,1")
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # of other processes; locks of this machine's GPUs are not touched
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_jobs_side_by_side_see_one_gpu_each():
    with one_gpu("auto", JOBLIB) as first:
        seen = os.environ[VISIBLE]
        os.environ[VISIBLE] = "0,1"  # as another process has it
        with one_gpu("auto", JOBLIB) as second:
            assert os.environ[VISIBLE] == second
        os.environ[VISIBLE] = seen

    assert {first, second} == {"0", "1"}
    assert seen == first
    assert os.environ[VISIBLE] == "0,1"


def test_a_gpu_is_free_again_after_a_job_whatever_became_of_it():
    with pytest.raises(ZeroDivisionError), one_gpu("auto", JOBLIB) as first:
        raise ZeroDivisionError

    with one_gpu("auto", JOBLIB) as second:
        assert first == second


@pytest.mark.parametrize("launcher", [BASIC, SLURM, ""])
def test_auto_leaves_it_to_those_that_assign_gpus_or_run_one_job_at_a_time(launcher):
    with one_gpu("auto", launcher) as gpu:
        assert gpu is None
        assert os.environ[VISIBLE] == "0,1"


@pytest.mark.parametrize("launcher", [BASIC, JOBLIB])
def test_null_assigns_none(launcher):
    with one_gpu(None, launcher) as gpu:
        assert gpu is None


@pytest.mark.parametrize("launcher", [BASIC, JOBLIB])
def test_a_list_is_chosen_from_whatever_the_launcher(launcher):
    with one_gpu((1,), launcher) as gpu:
        assert gpu == os.environ[VISIBLE] == "1"


def test_a_gpu_that_is_not_there_is_answered_in_words():
    words = r"resources.gpus=\[0, 7\], but there is no GPU 7 here. To be seen: 0, 1"

    with pytest.raises(ConfigError, match=words), one_gpu((0, 7), JOBLIB):
        pass


@pytest.mark.parametrize("value", ["", "-1"])
def test_where_no_gpu_may_be_seen_none_is_assigned(monkeypatch, value):
    monkeypatch.setenv(VISIBLE, value)

    with one_gpu("auto", JOBLIB) as gpu:
        assert gpu is None


def test_without_the_variable_the_driver_is_asked(tmp_path, monkeypatch):
    monkeypatch.delenv(VISIBLE)
    listing = tmp_path / "nvidia-smi"
    listing.write_text("#!/bin/sh\nprintf '0\\n1\\n2\\n'\n")
    listing.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert visible_gpus() == ["0", "1", "2"]


def test_without_a_driver_there_is_none(tmp_path, monkeypatch):
    monkeypatch.delenv(VISIBLE)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert visible_gpus() == []


def test_a_killed_job_frees_its_gpu_and_one_that_waits_gets_it(monkeypatch):
    monkeypatch.setenv(VISIBLE, "0")
    holder = subprocess.Popen([sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "0\n"
    waiting = subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert "all GPUs (0) are taken" in waiting.stderr.readline()

    holder.kill()
    holder.communicate()

    assert waiting.stdout.readline() == "0\n"
    waiting.kill()
    waiting.communicate()
