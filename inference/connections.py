"""Database connections of threads that answer no request, so that Django never tidies them up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connections

from aiplatform.kept_connections import close_broken_connections, rest_connections


@contextmanager
def tidy_connections() -> Iterator[None]:
    """Leave nothing open afterwards but what costs nothing: a connection to a file that is still in its place.

    Those to a server are closed, for each of a process's threads would hold one. Calls to a service of this process run
    in the caller's thread and use its connections. A surrounding transaction is left alone.
    """
    close_broken_connections()
    try:
        yield
    finally:
        for connection in connections.all(initialized_only=True):
            if connection.vendor != "sqlite" and not connection.in_atomic_block:
                connection.close_if_unusable_or_obsolete()
        rest_connections()
