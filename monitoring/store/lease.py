"""One at a time rewrites files of the store: a row says who, and until when."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from django.db.models import Q

from monitoring.models import StoreLease

TTL = timedelta(minutes=10)
NAME = "store"


class Lease:
    """A held lease; `renew` between two files."""

    def __init__(self, holder: str) -> None:
        self._holder = holder

    def renew(self) -> bool:
        """Hold it for longer; False if another has taken it over."""
        mine = StoreLease.objects.filter(pk=NAME, holder=self._holder)
        return mine.update(until=datetime.now(UTC) + TTL) == 1

    def release(self) -> None:
        """Give it to whoever wants it."""
        StoreLease.objects.filter(pk=NAME, holder=self._holder).update(holder="", until=datetime.now(UTC))


@contextmanager
def store_lease() -> Iterator[Lease | None]:
    """Give the lease, or None if another holds it."""
    now = datetime.now(UTC)
    holder = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    StoreLease.objects.get_or_create(pk=NAME, defaults={"until": now})
    free = StoreLease.objects.filter(Q(holder="") | Q(until__lt=now), pk=NAME)
    if not free.update(holder=holder, until=now + TTL):
        yield None
        return
    lease = Lease(holder)
    try:
        yield lease
    finally:
        lease.release()
