"""Install what the tests of services need where it is absent, and run them: ``make test-services``."""

import os
import shutil
import subprocess
import sys

from tests.services.running import postgresql


def main():
    if postgresql() is None:
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            sys.exit("PostgreSQL is not installed. Install its server, such as: sudo apt-get install postgresql")
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update", "-q"], check=True, env=quiet)
        subprocess.run(
            ["apt-get", "install", "-q", "-y", "--no-install-recommends", "postgresql"], check=True, env=quiet
        )
    words = [sys.executable, "-m", "pytest", "tests/services", "-m", "services", *sys.argv[1:]]
    sys.exit(subprocess.run(words, env={**os.environ, "BRAINEXP_SERVICES": "1"}, check=False).returncode)


if __name__ == "__main__":
    main()
