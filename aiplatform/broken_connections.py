"""Database connections of a process that goes on for long outside of requests."""

from __future__ import annotations

from django.db import connections


def close_broken_connections() -> None:
    """Close this thread's connections on which an error occurred, so that the next query makes a new one.

    Django's `close_old_connections` closes sound ones too where CONN_MAX_AGE is 0; to open one again costs more than
    most queries, and a loop would pay for it every time. On those that stay, the next query first looks whether the
    server is still there (CONN_HEALTH_CHECKS), and if not makes a new one.
    """
    for connection in connections.all(initialized_only=True):
        if connection.in_atomic_block:
            continue
        if connection.errors_occurred:
            connection.close()
        else:
            connection.health_check_done = False  # type: ignore[attr-defined]  # Django's, not in the stubs


def rest_connections() -> None:
    """Close this thread's connections to files between two turns of a loop; those to a server are kept.

    To open a file again is quick, and it may have been put aside and another put in its place, which a connection that
    stays open never sees. To log in to a server anew costs both sides some milliseconds.
    """
    for connection in connections.all(initialized_only=True):
        if connection.vendor == "sqlite" and not connection.in_atomic_block:
            connection.close()
