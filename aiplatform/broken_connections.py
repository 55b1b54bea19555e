"""Database connections of a process that goes on for long outside of requests."""

from __future__ import annotations

from django.db import connections


def close_broken_connections() -> None:
    """Close this thread's connections on which an error occurred, so that the next query makes a new one.

    Django's `close_old_connections` closes sound ones too where CONN_MAX_AGE is 0; to open one again costs more than
    most queries, and a loop would pay for it every time.
    """
    for connection in connections.all(initialized_only=True):
        if connection.errors_occurred and not connection.in_atomic_block:
            connection.close()
