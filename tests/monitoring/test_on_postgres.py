"""What counts on locks, upserts and transactions holds on PostgreSQL as on SQLite: the tests marked `postgres`, again.

`make test-postgres` runs all of monitoring's there; these few are part of every run.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.postgres import PostgresServer

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
ROOT = Path(__file__).resolve().parents[2]
MONITORING = Path(__file__).parent
LEAST = 30  # tests; were the marker lost, none would run, and that would look well


def test_the_marked_tests_pass_on_a_real_postgresql(postgres_server: PostgresServer) -> None:
    files = [path for path in MONITORING.rglob("test_*.py") if "@pytest.mark.postgres\n" in path.read_text()]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "0", "-m", "postgres",
               *map(str, sorted(files))]  # fmt: skip
    environment = {**os.environ, "DATABASE_URL": postgres_server.make_database("marked")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=880)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None and int(passed[1]) >= LEAST, done.stdout[-2000:]
    assert "skipped" not in done.stdout.splitlines()[-1]


@pytest.mark.postgres
def test_a_marked_test_runs_on_the_database_that_it_was_given() -> None:
    from django.db import connection

    wanted = "postgresql" if os.environ.get("DATABASE_URL", "").startswith("postgres") else "sqlite"
    assert connection.vendor == wanted
