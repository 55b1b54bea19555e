"""A label that comes while its minute is rolled up into the hour is counted once, whoever is first."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.topology import running_postgres
from tests.monitoring.statistics.test_concurrent_writers import run_script

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]
SCRIPT = str(Path(__file__).with_name("late_labels.py"))


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the URL of an empty database, of each kind that the platform runs on."""
    folder = tmp_path_factory.mktemp("late-labels")
    if request.param == "sqlite":
        yield f"sqlite:///{folder}/db.sqlite3"
        return
    if not list(Path("/usr/lib/postgresql").glob("*/bin")):
        pytest.skip("Debian's postgresql is not installed")
    for parent in (folder, *folder.parents[:2]):
        parent.chmod(0o755)  # PostgreSQL runs as its own user and must reach its folder
    with running_postgres(folder / "postgres") as url:
        yield url


def test_late_labels_are_counted_once_while_their_minutes_are_rolled_up(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "TEST_WRITERS_DATABASE_URL", database)
    assert run_script(SCRIPT, tmp_path) == {
        "raced": [240, 0],
        "held": 320,
        "held_then_rolled_up": [320, 0],
    }
