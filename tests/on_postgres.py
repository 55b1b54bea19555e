"""Run tests on a PostgreSQL of their own instead of SQLite: `python -m tests.on_postgres [pytest's arguments]`.

The server is Debian's, on a random port, in a temporary folder, and ends with the tests. What a test finds on one
kind of database says little of the other: rows are locked differently, and what aborts a transaction differs too.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.e2e.topology import running_postgres

MONITORING = "tests/monitoring"  # without arguments: the app that counts on transactions the most


def has_postgres() -> bool:
    """Return whether Debian's PostgreSQL server is installed."""
    return any(Path("/usr/lib/postgresql").glob("*/bin"))


def run_on_postgres(arguments: list[str]) -> int:
    """Run pytest with these arguments in a process whose `DATABASE_URL` is a new server's; return its exit status."""
    with tempfile.TemporaryDirectory(prefix="tests-on-postgres-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # the server runs as a user of its own and must reach its folder
        with running_postgres(folder / "server") as url:
            command = [sys.executable, "-m", "pytest", *(arguments or [MONITORING])]
            return subprocess.run(command, env={**os.environ, "DATABASE_URL": url}, check=False).returncode


if __name__ == "__main__":
    if not has_postgres():
        sys.exit("tests.on_postgres needs Debian's package postgresql (there is no /usr/lib/postgresql/*/bin)")
    sys.exit(run_on_postgres(sys.argv[1:]))
