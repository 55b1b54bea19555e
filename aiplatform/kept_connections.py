"""Database connections of threads that go on for long outside of requests: kept from one turn to the next.

Django closes connections after each request where CONN_MAX_AGE is 0. To open one again costs more than most queries:
at a server one logs in, and for a SQLite file Django makes some seventy functions known. A loop would pay for it each
time.
"""

from __future__ import annotations

import threading
from pathlib import Path

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

File = tuple[int, int]  # device and inode


class _Files(threading.local):
    """The file behind each of this thread's SQLite connections, as it was before the connection was opened."""

    def __init__(self) -> None:
        self.by_alias: dict[str, File | None] = {}


_files = _Files()


def close_broken_connections() -> None:
    """Close this thread's connections on which an error occurred, so that the next query makes a new one.

    So are those to a file that is no longer the one in its place. On those to a server that stay, the next query first
    looks whether it is still there (CONN_HEALTH_CHECKS), and if not makes a new one.
    """
    for connection in connections.all(initialized_only=True):
        if connection.in_atomic_block:
            continue
        if connection.errors_occurred:
            connection.close()
        else:
            connection.health_check_done = False  # type: ignore[attr-defined]  # Django's, not in the stubs
        if connection.vendor == "sqlite":
            _look_at_file(connection)


def rest_connections() -> None:
    """Close this thread's connections to files that were not there all the time since `close_broken_connections`.

    A file may have been put aside and another put in its place, which a connection that stays open would never see.
    One that is kept lets go of the pages it has read: a process has dozens, of some megabytes each.
    """
    for connection in connections.all(initialized_only=True):
        if connection.vendor == "sqlite" and not connection.in_atomic_block:
            file = _file_of(connection)
            if file is None or file != _files.by_alias.get(connection.alias):
                connection.close()
            elif connection.connection is not None:
                connection.connection.execute("PRAGMA shrink_memory")


def _look_at_file(connection: BaseDatabaseWrapper) -> None:
    """Close the connection if its file was replaced; of a closed one, remember the file that the next query opens."""
    file = _file_of(connection)
    if connection.connection is not None and file != _files.by_alias.get(connection.alias, file):
        connection.close()
    if connection.connection is None:
        _files.by_alias[connection.alias] = file


def _file_of(connection: BaseDatabaseWrapper) -> File | None:
    try:
        found = Path(connection.settings_dict["NAME"]).stat()
    except OSError:  # it is in memory, or gone
        return None
    return found.st_dev, found.st_ino
