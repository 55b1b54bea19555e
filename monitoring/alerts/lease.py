"""One owner at a time, by a row in the database, with fencing.

The row's time is the database's own, so that the clocks of several machines need not agree. A holder
that lost the lease (it slept, its clock stood still) has an old token; what it still wants to write
is refused in the same transaction.
"""

from __future__ import annotations

import os
import socket
import uuid
from dataclasses import dataclass, field
from datetime import timedelta

from django.db.models import DateTimeField, ExpressionWrapper, F, Q, Value
from django.db.models.expressions import Combinable
from django.db.models.functions import Now

from aiplatform.errors import ConflictError
from monitoring.models.alerts import Lease


class LeaseLostError(ConflictError):
    """Another process owns the duty now; nothing of the step was written."""


@dataclass
class LeaseHolder:
    """One process that wants a duty. `token` is 0 while it has it not."""

    name: str
    duration_s: float
    holder: str = field(default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}")
    token: int = 0

    def acquire(self) -> bool:
        """Take the lease, or prolong it; say whether it is ours now."""
        ends: Combinable = ExpressionWrapper(
            Now() + Value(timedelta(seconds=self.duration_s)), output_field=DateTimeField()
        )
        mine = Lease.objects.filter(name=self.name, holder=self.holder, token=self.token)
        if self.token and mine.update(expires_at=ends):
            return True
        Lease.objects.get_or_create(
            name=self.name, defaults={"holder": "", "token": 0, "expires_at": Now() - timedelta(seconds=1)}
        )
        free: Q = Q(expires_at__lte=Now()) | Q(holder="")
        taken = Lease.objects.filter(free, name=self.name).update(
            holder=self.holder, token=F("token") + 1, expires_at=ends
        )
        found = Lease.objects.get(name=self.name)
        self.token = found.token if taken and found.holder == self.holder else 0
        return bool(self.token)

    def release(self) -> None:
        """Give the lease back, so that another need not wait for its end."""
        if self.token:
            Lease.objects.filter(name=self.name, holder=self.holder, token=self.token).update(
                holder="", expires_at=Now() - timedelta(seconds=1)
            )
        self.token = 0

    def check(self) -> None:
        """Hold the row for the rest of the transaction.

        Raises: LeaseLostError if the lease is another's.
        """
        held = Lease.objects.filter(name=self.name, holder=self.holder, token=self.token)
        if not self.token or not held.update(token=F("token")):
            raise LeaseLostError(f"the lease '{self.name}' is no longer held by {self.holder}")
