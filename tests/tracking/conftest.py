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
