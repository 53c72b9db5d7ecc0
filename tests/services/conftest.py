"""Services that live as long as the tests, whatever becomes of these."""

import pickle
import signal
import tempfile
from pathlib import Path

import pytest

from tests.services.running import Database, Server, postgresql


@pytest.fixture(scope="session", autouse=True)
def _ended_as_by_ctrl_c():
    """A signal to stop ends the services too."""
    before = signal.signal(signal.SIGTERM, lambda *_: pytest.exit("terminated", returncode=143))
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="session")
def database():
    """A running PostgreSQL."""
    assert postgresql() is not None, "PostgreSQL is not installed: apt-get install postgresql"
    # Not in pytest's own folder, which every start of pytest closes to other users.
    with tempfile.TemporaryDirectory(prefix="brainexp-services-") as folder:
        Path(folder).chmod(0o755)
        service = Database(Path(folder) / "postgresql")
        try:
            service.start()
            yield service
        finally:
            service.kill()


@pytest.fixture
def server(database, tmp_path_factory, request):
    """A running tracking server over a fresh database."""
    name = f"t{abs(hash(request.node.nodeid))}"
    service = Server(tmp_path_factory.mktemp("server") / "mlflow", database.create(name))
    try:
        service.start()
        yield service
    finally:
        service.kill()


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory):
    """What a real run found, for jobs that only record it: its config, and a file with its result."""
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from brainexp.experiment import Experiment, run
    from tests.conftest import CONF

    overrides = ["model=tiny_xs", "dataset.n_subjects=2", "scoring.permutations=50", "ceiling.bootstraps=20"]
    folder = tmp_path_factory.mktemp("run")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = OmegaConf.to_container(compose("config", [*overrides, f"cache.dir={folder}/cache"]), resolve=True)
    result = run(Experiment.from_config(config))
    (folder / "result.pickle").write_bytes(pickle.dumps((config, result)))
    return folder / "result.pickle"
