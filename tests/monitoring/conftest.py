"""What all tests of monitoring share."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.postgres import MISSING, PostgresServer, find_binaries, postgres_on_a_socket


@pytest.fixture(autouse=True)
def early_retention(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the windows of the tests' fixed days still be there, whatever day it is: retention looks at the clock."""
    monkeypatch.setattr("monitoring.cover.this_moment", lambda: datetime(2026, 11, 24, tzinfo=UTC))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Give a real PostgreSQL, started for the first test that asks for it."""
    if find_binaries() is None:
        pytest.skip(MISSING)
    with postgres_on_a_socket() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give the URL of an empty database that processes can share, of each kind that the platform runs on."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/db.sqlite3"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.make_database(f"of_{tmp_path.name}"[:60].lower())
