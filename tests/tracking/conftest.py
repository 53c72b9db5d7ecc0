"""A local store whose schema need not be made for every test."""

import shutil

import pytest

from brainexp.tracking import Tracking
from brainexp.tracking.store import opened


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory):
    """A database with MLflow's schema and nothing in it."""
    from mlflow import MlflowClient

    database = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{database}").search_experiments()
    return database


@pytest.fixture
def tracking(empty_store, tmp_path):
    """Of a new local store, asked once."""
    shutil.copyfile(empty_store, tmp_path / "mlflow.db")
    return Tracking(uri=f"sqlite:///{tmp_path}/mlflow.db", patience_s=0)


@pytest.fixture
def store(tracking):
    """It, reached."""
    return opened(tracking)


@pytest.fixture
def client(store):
    """MLflow's own way to it."""
    return store.client


@pytest.fixture(scope="module")
def module_run(tmp_path_factory):
    """Config of a run that takes seconds, for those who may share its result."""
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from tests.conftest import CONF

    overrides = [
        "dataset=passage",
        "model=tiny_xs",
        "dataset.n_subjects=2",
        "model.layers=[0,1,2]",
        "split.folds=3",
        "encoder.alphas=[100,10000]",
        "scoring.permutations=50",
        "baselines=[word_rate]",
        "damage.measure=false",
        "report.figures=false",
        f"cache.dir={tmp_path_factory.mktemp('cache')}",
    ]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return OmegaConf.to_container(compose("config", overrides), resolve=True, throw_on_missing=True)
