"""A launch tells what it is before any job starts, and refuses what would go wrong."""

import json
import os
import subprocess
import sys

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from mlflow import MlflowClient

from brainexp.errors import ConfigError
from brainexp.sweeping import launch
from brainexp.sweeping.launch import Launch, Refused, job_overrides, launched, require_shareable
from brainexp.tracking import PARENT, Tracking
from tests.conftest import CONF


@pytest.fixture
def config(tmp_path):
    """Config of a sweep, Hydra's own section included."""

    def composed(*overrides, folder="sweep"):
        given = [f"hydra.sweep.dir={tmp_path / folder}", f"tracking.uri=sqlite:///{tmp_path}/mlflow.db", *overrides]
        hydra = GlobalHydra.instance().hydra
        return hydra.compose_config("config", given, run_mode=RunMode.MULTIRUN, with_log_configuration=False)

    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield composed


@pytest.fixture
def opened():
    """Sweeps that are closed when the test ends, so that their folders are let go."""
    sweeps = []
    yield sweeps
    for one in sweeps:
        one.close("KILLED")


def parent(tmp_path, run_id):
    return MlflowClient(f"sqlite:///{tmp_path}/mlflow.db").get_run(run_id)


def test_a_study_is_told_to_its_folder_the_tracker_and_its_jobs(config, tmp_path):
    sweep = launched(config("+study=scale"))

    told = json.loads((tmp_path / "sweep" / "sweep.json").read_text())
    assert told == {
        "study": "scale", "title": "Scale",
        "question": "Does a larger language model predict the brain better, and where does more stop to help?",
        "overrides": [f"tracking.uri=sqlite:///{tmp_path}/mlflow.db", "+study=scale"], "run_id": sweep.run_id, "tracking_uri": f"sqlite:///{tmp_path}/mlflow.db",
        "experiment": "brainexp", "jobs": 4, "swept": ["model"],
    }  # fmt: skip
    assert os.environ[PARENT] == sweep.run_id
    run = parent(tmp_path, sweep.run_id)
    assert run.info.status == "RUNNING"
    assert run.data.tags["brainexp.study"] == "scale"
    assert "Does a larger" in run.data.tags["mlflow.note.content"]
    sweep.close("FINISHED")
    assert PARENT not in os.environ
    assert parent(tmp_path, sweep.run_id).info.status == "FINISHED"


def test_the_same_command_goes_on_in_the_same_run_of_the_tracker(config, opened):
    first = launched(config("+study=scale", folder="one"))
    first.close("KILLED")

    opened.append(launched(config("+study=scale", "hydra.verbose=true", folder="two")))
    opened.append(launched(config("+study=pruning", folder="three")))

    assert opened[0].run_id == first.run_id
    assert opened[1].run_id != first.run_id


def test_without_a_tracker_only_the_folder_is_told(config, tmp_path, opened):
    opened.append(launched(config("tracking.uri=null")))

    assert json.loads((tmp_path / "sweep" / "sweep.json").read_text())["run_id"] is None
    assert PARENT not in os.environ


def test_a_folder_that_another_launch_is_filling_is_left_alone(config, opened):
    opened.append(launched(config("tracking.uri=null")))

    with pytest.raises(
        ConfigError, match="another launch is filling .*sweep. Wait for it, or give another hydra.sweep.dir"
    ):
        launched(config("tracking.uri=null"))


def test_a_folder_that_holds_another_sweep_is_left_alone(config):
    launched(config("tracking.uri=null", "seed=1")).close("FINISHED")

    with pytest.raises(ConfigError, match="holds another sweep: .*seed=1. Give another hydra.sweep.dir"):
        launched(config("tracking.uri=null", "seed=2"))
    launched(config("tracking.uri=null", "seed=1", "sweep.resume=true")).close("FINISHED")


def test_what_must_be_given_is_asked_for_before_any_job_starts(config, tmp_path):
    with pytest.raises(ConfigError, match=r"model.path is missing. Give it: model.path=..."):
        launched(config("model=local"))
    assert not (tmp_path / "sweep").exists()


def test_jobs_are_counted_as_the_sweeper_will(config):
    jobs = job_overrides(config("+study=compression", "compression=none,rtn4", "seed=1,2", "model=glob(tiny_*)"))

    assert len(jobs) == 2 * 2 * 4
    assert jobs[0][0] == "compression=none"
    assert jobs[0][-3:] == ["+study=compression", "seed=1", "model=tiny_l"]


def test_another_sweeper_decides_as_it_goes(config):
    found = config("seed=1,2")
    found.hydra.sweeper._target_ = "hydra_plugins.hydra_optuna_sweeper.optuna_sweeper.OptunaSweeper"

    assert job_overrides(found) is None


SLURM = "hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher"


@pytest.mark.parametrize(
    ("launcher", "tracking"),
    [
        (SLURM, Tracking("http://tracker:5000")),
        (SLURM, Tracking("sqlite:///mlflow.db", offline=True)),
        (SLURM, Tracking(None)),
        ("hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher", Tracking("sqlite:///mlflow.db")),
    ],
)
def test_trackers_that_bear_the_jobs_are_taken(launcher, tracking):
    require_shareable(tracking, launcher)


def test_one_file_for_many_machines_is_refused_with_advice():
    with pytest.raises(
        ConfigError, match="is one file, to which jobs on several machines would write.*tracking.offline=true"
    ):
        require_shareable(Tracking("sqlite:///mlflow.db"), SLURM)


def test_every_error_stops_the_launch(config, monkeypatch):
    monkeypatch.setattr(launch, "launched", lambda _: 1 / 0)

    with pytest.raises(Refused) as refused:  # Hydra would turn any other into a warning
        Launch().on_multirun_start(config("seed=1"))

    assert isinstance(refused.value.__cause__, ZeroDivisionError)
    assert not isinstance(refused.value, Exception)


WITHOUT = "import sys; sys.modules['hydra_plugins.{}'] = None; from brainexp.cli import main; main()"


@pytest.mark.parametrize(
    ("launcher", "plugin", "extra"),
    [("local", "hydra_joblib_launcher", "joblib"), ("slurm", "hydra_submitit_launcher", "slurm")],
)
def test_a_launcher_that_is_not_installed_is_named_with_its_extra(tmp_path, launcher, plugin, extra):
    words = ["--multirun", f"hydra/launcher={launcher}", "seed=0,1"]

    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", WITHOUT.format(plugin), *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )  # fmt: skip

    assert done.returncode == 1
    assert f"is a plugin of Hydra, which is not installed. Install it: pip install brainexp[{extra}]" in done.stderr
    assert not (tmp_path / "outputs").exists()


def test_a_cluster_is_refused_one_database_file_at_the_command_line(tmp_path):
    words = ["-m", "brainexp", "--multirun", "hydra/launcher=slurm", "seed=0,1"]

    done = subprocess.run([sys.executable, *words], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "brainexp: tracking.uri=sqlite:///outputs/mlflow.db is one file" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "outputs").exists()
