"""A service call inside an open transaction holds locks while it waits; so it raises instead."""

from __future__ import annotations

from django.db import connections

from aiplatform.errors import OpenTransactionError


def forbid_open_transaction() -> None:
    """Raise OpenTransactionError if this thread has a transaction open on any database.

    The transaction that a test case wraps around a test does not count.
    """
    for connection in connections.all(initialized_only=True):
        blocks = getattr(connection, "atomic_blocks", [])
        if any(not getattr(block, "_from_testcase", False) for block in blocks):
            raise OpenTransactionError(
                f"a service was called inside a transaction on database '{connection.alias}'; call it after the commit"
            )
