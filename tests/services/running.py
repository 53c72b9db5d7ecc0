"""A database and a tracking server on loopback, with folders and ports of their own, and how to end them."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

#: Where distributions keep the programs of a PostgreSQL server, by version.
POSTGRESQL = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
#: Who runs servers where the tests are run by root, whom PostgreSQL refuses.
UNPRIVILEGED = "nobody"
#: Longest that a service takes to start, in seconds; several programs may share the machine.
START_S = 180


def postgresql():
    """Folder of initdb and postgres, or None."""
    if POSTGRESQL:
        return POSTGRESQL[-1]
    found = shutil.which("initdb")
    return Path(found).parent if found else None


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def may_run_python(user):
    """Whether a user may run this interpreter, which may lie in another's home."""
    try:
        return subprocess.run([sys.executable, "-c", ""], user=user, capture_output=True, check=False).returncode == 0
    except PermissionError:
        return False


@dataclass
class Service:
    """A program in a process group of its own, which is killed as a whole."""

    words: list
    log: Path
    environment: dict = field(default_factory=dict)
    user: str | None = None
    process: subprocess.Popen | None = None

    def start(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.words,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.log.parent,
                env={**os.environ, "HOME": str(self.log.parent), **self.environment},
                start_new_session=True,
                user=self.user,
            )

    def kill(self, how=signal.SIGKILL):
        """End all its processes, those it has started too, and wait for the first."""
        if self.process is None:
            return
        with suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(self.process.pid, how)
            self.process.wait(30)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # what the first left behind
        self.process.wait(30)
        self.process = None

    def told(self):
        return self.log.read_text(errors="replace")[-4000:]

    def wait_until(self, ready):
        end = time.monotonic() + START_S
        while not ready():
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{self.words[0]} did not start:\n{self.told()}")
            time.sleep(0.2)


class Database(Service):
    """PostgreSQL with an empty database."""

    def __init__(self, folder):
        programs, user = postgresql(), UNPRIVILEGED if os.geteuid() == 0 else None
        self.port, self.programs, self.folder = free_port(), programs, folder
        folder.mkdir()
        if user:
            os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
        data = folder / "data"
        subprocess.run(
            [programs / "initdb", "-D", data, "-U", "brainexp", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"],
            check=True, capture_output=True, user=user, cwd=folder, env={**os.environ, "HOME": str(folder)},
        )  # fmt: skip
        options = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": folder,
            "port": self.port,
            "fsync": "off",
        }
        words = [str(programs / "postgres"), "-D", str(data)]
        super().__init__([*words, *(f"--{name}={value}" for name, value in options.items())], folder / "log", user=user)
        self.log.touch()

    def start(self):
        super().start()
        self.wait_until(lambda: self._asked("postgres", "SELECT 1").returncode == 0)

    def create(self, name):
        """Make an empty database; return its URI, as SQLAlchemy writes it for psycopg 3."""
        done = self._asked("postgres", f"CREATE DATABASE {name}")
        assert done.returncode == 0, done.stderr
        return f"postgresql+psycopg://brainexp@127.0.0.1:{self.port}/{name}"

    def _asked(self, database, sql):
        words = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "brainexp", "-d", database, "-c", sql]
        return subprocess.run([self.programs / "psql", *words], capture_output=True, text=True, check=False)


class Server(Service):
    """``mlflow server`` as docs/tracker.md starts it."""

    def __init__(self, folder, backend, port=None):
        user = UNPRIVILEGED if os.geteuid() == 0 and may_run_python(UNPRIVILEGED) else None
        port = port or free_port()
        self.uri = f"http://127.0.0.1:{port}"
        folder.mkdir()
        if user:
            os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
        words = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", backend]
        words += ["--artifacts-destination", str(folder / "artifacts"), "--host", "127.0.0.1", "--port", str(port)]
        told = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        super().__init__([*words, "--workers", "2"], folder / "log", told, user)

    def start(self):
        super().start()
        self.wait_until(self.healthy)

    def healthy(self):
        try:
            with urlopen(f"{self.uri}/health", timeout=5) as answer:
                return answer.status == 200
        except (URLError, OSError):
            return False
