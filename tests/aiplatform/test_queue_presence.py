"""A queue is known by the lock that it holds, for as long as it lives."""

from __future__ import annotations

import fcntl
import threading
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from aiplatform import queue_presence
from aiplatform.queue_presence import announce_queue, may_queue_answer


@pytest.fixture
def folder(tmp_path: Path, settings: Any) -> Path:
    """Return a data folder in which nothing runs."""
    settings.DATA_DIR = tmp_path / "data"
    return tmp_path / "data"


@pytest.fixture
def on_sqlite(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the database be a file of this machine, whichever the tests have."""
    monkeypatch.setattr(connection, "vendor", "sqlite")


@pytest.mark.usefixtures("on_sqlite")
def test_where_no_queue_ever_ran_nobody_answers(folder: Path) -> None:
    assert not may_queue_answer()
    folder.mkdir()
    assert not may_queue_answer()


@pytest.mark.usefixtures("on_sqlite", "folder")
def test_a_queue_may_answer_until_it_has_ended() -> None:
    first, second = announce_queue(), announce_queue()
    assert first is not None
    assert second is not None
    assert may_queue_answer()
    first.close()
    assert may_queue_answer()
    second.close()
    assert not may_queue_answer()


@pytest.mark.usefixtures("folder")
def test_of_a_database_elsewhere_a_queue_may_run_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "vendor", "postgresql")
    assert may_queue_answer()


@pytest.mark.usefixtures("on_sqlite")
def test_a_queue_that_starts_while_somebody_looks_is_announced_all_the_same(folder: Path) -> None:
    folder.mkdir()
    with (folder / "queue.lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        looker = threading.Timer(0.1, fcntl.flock, args=(file, fcntl.LOCK_UN))
        looker.start()
        announced = announce_queue()
        looker.join()
    assert announced is not None
    assert may_queue_answer()
    announced.close()


def test_a_lock_that_nobody_lets_go_keeps_no_queue_from_running(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_presence, "PATIENCE_S", 0.05)
    folder.mkdir()
    with (folder / "queue.lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert announce_queue() is None


def test_a_folder_that_cannot_be_written_keeps_no_queue_from_running(folder: Path) -> None:
    folder.write_text("a file where a folder should be")
    assert announce_queue() is None
