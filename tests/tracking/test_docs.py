"""docs/tracker.md and docs/compose.yaml say what is."""

import re
import subprocess
import sys
from pathlib import Path

import yaml

import brainexp.tracking
from brainexp.tracking import Tracking
from tests.services.running import Server

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "tracker.md").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load((DOCS / "compose.yaml").read_text(encoding="utf-8"))


def options(words):
    return set(re.findall(r"--[a-z-]+", words))


def test_the_compose_file_has_a_database_and_a_server_that_waits_for_it():
    services = COMPOSE["services"]

    assert services.keys() == {"postgres", "mlflow"}
    assert services["mlflow"]["depends_on"]["postgres"]["condition"] == "service_healthy"
    assert "pg_isready" in " ".join(services["postgres"]["healthcheck"]["test"])
    volumes = [mount.split(":")[0] for one in services.values() for mount in one["volumes"]]
    assert sorted(volumes) == sorted(COMPOSE["volumes"])
    assert services["mlflow"]["environment"]["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    for one in services.values():  # no password of ours
        assert one["environment"]["POSTGRES_PASSWORD"].startswith("${POSTGRES_PASSWORD:?")
    (port,) = services["mlflow"]["ports"]
    assert port == "${TRACKER_ADDRESS:-127.0.0.1}:5000:5000"


def test_the_server_is_started_alike_in_page_compose_file_and_tests(tmp_path):
    command = COMPOSE["services"]["mlflow"]["command"][-1]
    (page,) = re.findall(r"    mlflow server \\\n(?:        .*\n)+", PAGE)
    tested = " ".join(Server(tmp_path / "server", "sqlite:///x", 5000).words)
    known = subprocess.run(
        [sys.executable, "-m", "mlflow", "server", "--help"], capture_output=True, text=True, check=True
    )

    assert options(page) == options(command.split("mlflow server")[1])
    assert options(tested) <= options(page)
    assert options(page) <= options(known.stdout)
    assert "postgresql+psycopg://" in page
    assert "postgresql+psycopg://" in command


def test_the_page_names_what_is():
    assert f"{Tracking().patience_s:.0f} seconds by default" in PAGE
    told = brainexp.tracking.__doc__
    for name in re.findall(r"`brainexp\.([a-z_]+)`", PAGE):
        if name not in ("tracking", "sync"):
            assert re.search(rf"\.{name}\b", told), name
