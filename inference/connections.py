"""Database connections of threads that answer no request, so that Django never tidies them up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connections


@contextmanager
def tidy_connections() -> Iterator[None]:
    """Do afterwards what Django does after a request: close connections that are old or have failed.

    Calls to a service of this process run in the caller's thread and use its connections. A
    surrounding transaction is left alone.
    """
    try:
        yield
    finally:
        for connection in connections.all(initialized_only=True):
            if not connection.in_atomic_block:
                connection.close_if_unusable_or_obsolete()
