"""What a loop keeps of its database connections from one turn to the next: these tests open a file of their own."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from aiplatform.kept_connections import close_broken_connections, rest_connections

ALIAS = "a-file"


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "one.sqlite3"
    make(path, 1)
    connections.databases[ALIAS] = {
        **connections.databases["default"], "ENGINE": "django.db.backends.sqlite3", "NAME": str(path), "OPTIONS": {},
    }  # fmt: skip
    try:
        yield path
    finally:
        connections[ALIAS].close()
        del connections[ALIAS]
        del connections.databases[ALIAS]


def make(path: Path, value: int) -> None:
    made = sqlite3.connect(path)
    made.execute("CREATE TABLE said (value INTEGER)")
    made.execute("INSERT INTO said VALUES (?)", (value,))
    made.commit()
    made.close()


@contextmanager
def turn() -> Iterator[None]:
    close_broken_connections()
    try:
        yield
    finally:
        rest_connections()


def read() -> Any:
    with connections[ALIAS].cursor() as cursor:
        return cursor.execute("SELECT value FROM said").fetchone()[0]


@pytest.fixture(autouse=True)
def _unblocked(django_db_blocker: Any) -> Iterator[None]:
    with django_db_blocker.unblock():
        yield


def test_a_file_that_stays_in_its_place_is_opened_once(file: Path) -> None:
    with turn():
        assert read() == 1
    with turn():
        assert read() == 1
        opened = connections[ALIAS].connection
    for _ in range(3):
        with turn():
            assert read() == 1
            assert connections[ALIAS].connection is opened


def test_a_file_that_was_put_in_anothers_place_between_two_turns_is_read(file: Path, tmp_path: Path) -> None:
    for _ in range(2):
        with turn():
            assert read() == 1
    replace(file, tmp_path, 2)
    with turn():
        assert read() == 2


def test_a_file_that_was_replaced_during_a_turn_is_read_at_the_next(file: Path, tmp_path: Path) -> None:
    for _ in range(2):
        with turn():
            assert read() == 1
    with turn():
        assert read() == 1
        replace(file, tmp_path, 2)
    with turn():
        assert read() == 2


def test_a_file_that_was_replaced_before_it_is_opened_within_a_turn_is_not_taken_for_the_old_one(
    file: Path, tmp_path: Path
) -> None:
    with turn():
        assert read() == 1
    with turn():
        replace(file, tmp_path, 2)
        assert read() == 2
    replace(file, tmp_path, 3)
    with turn():
        assert read() == 3


def test_a_connection_that_was_opened_before_the_first_turn_is_not_kept(file: Path) -> None:
    threads: list[Any] = []

    def look() -> None:
        assert read() == 1
        with turn():
            assert read() == 1
        threads.append(connections[ALIAS].connection)

    run_in_thread(look)
    assert threads == [None]


def test_each_thread_keeps_its_own(file: Path) -> None:
    for _ in range(2):
        with turn():
            read()
    mine = connections[ALIAS].connection
    seen: list[Any] = []

    def look() -> None:
        with turn():
            read()
        with turn():
            seen.append((read(), connections[ALIAS].connection))
        seen.append(connections[ALIAS].connection)
        connections[ALIAS].close()

    run_in_thread(look)
    assert seen[0][0] == 1
    assert seen[0][1] is seen[1] is not mine
    assert connections[ALIAS].connection is mine


def run_in_thread(work: Callable[[], None]) -> None:
    """Run in a thread that has kept nothing yet."""
    thread = threading.Thread(target=work)
    thread.start()
    thread.join(10)


def replace(file: Path, folder: Path, value: int) -> None:
    other = folder / f"other-{value}.sqlite3"
    make(other, value)
    other.replace(file)
