"""Run tests on a PostgreSQL of their own instead of SQLite: `python -m tests.on_postgres [pytest's arguments]`.

The server is Debian's, in a temporary folder, and ends with the tests. What a test finds on one kind of database says
little of the other: rows are locked differently, and what aborts a transaction differs too.
"""

from __future__ import annotations

import os
import subprocess
import sys

from tests.postgres import MISSING, find_binaries, postgres_on_a_socket

MONITORING = "tests/monitoring"  # without arguments: the app that counts on transactions the most


def run_on_postgres(arguments: list[str]) -> int:
    """Run pytest with these arguments in a process whose `DATABASE_URL` is a new server's; return its exit status."""
    with postgres_on_a_socket() as server:
        command = [sys.executable, "-m", "pytest", *(arguments or [MONITORING])]
        return subprocess.run(command, env={**os.environ, "DATABASE_URL": server.url()}, check=False).returncode


if __name__ == "__main__":
    if find_binaries() is None:
        sys.exit(f"tests.on_postgres {MISSING}")
    sys.exit(run_on_postgres(sys.argv[1:]))
