"""The clock's work on the store: carry out deletions, forget what is old, join what is small."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import structlog

from aiplatform.errors import PlatformError
from aiplatform.predictions import files
from monitoring import metrics
from monitoring.store.compaction import compact_day, list_days_to_compact
from monitoring.store.deletion import carry_out_deletions
from monitoring.store.lease import Lease, store_lease
from monitoring.store.locations import root
from monitoring.store.policies import get_policies

LONGEST_RUN_S = 60.0  # the clock comes again
log = structlog.get_logger(__name__)


def tidy_store(*, now: datetime | None = None) -> dict[str, int]:
    """Do what is due, if nobody else does; return how many orders, files past retention and small files."""
    now = now or datetime.now(UTC)
    with store_lease() as lease:
        if lease is None:
            return {}
        try:
            done = {
                "deletions": carry_out_deletions(lease, now=now),
                "expired_files": remove_expired(now=now),
                "joined_files": compact_store(lease, now=now),
            }
        except PlatformError as error:
            log.warning("store_not_tidied", error=error.message)
            return {}
    if any(done.values()):
        log.info("store_tidied", **done)
    return done


def remove_expired(*, now: datetime) -> int:
    """Remove the days that are older than their endpoint's retention; return how many files."""
    policies = get_policies()
    removed = 0
    for endpoint in files.list_endpoints(root()):
        kept_from = now - timedelta(days=policies.of(endpoint).retention_days)
        for day in files.list_days(root(), endpoint):
            if datetime.combine(day, datetime.min.time(), UTC) + timedelta(days=1) <= kept_from:
                removed += files.remove_day(root(), endpoint, day)
    metrics.STORE_EXPIRED_FILES.inc(removed)
    return removed


def compact_store(lease: Lease, *, now: datetime, longest_s: float = LONGEST_RUN_S) -> int:
    """Join small files of days that are over, for a while; return how many were joined."""
    joined, ends_at = 0, time.monotonic() + longest_s
    for endpoint in files.list_endpoints(root()):
        for day in list_days_to_compact(endpoint, now=now):
            if time.monotonic() > ends_at or not lease.renew():
                return joined
            joined += compact_day(endpoint, day, now=now)
    return joined
