"""Orders of replays: rows in the database, so that any serving process may run them and a crash loses none."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec
from django.conf import settings
from django.db.models import F, Q
from django.utils import timezone

from aiplatform.contracts.inference import OrderReplay, ReplayedVersion, ReplayReport, ReplayRequest
from aiplatform.errors import InvalidInputError, NotFoundError, PayloadTooLargeError
from inference.models import Replay
from inference.selectors import get_endpoint

CLAIM_S = 60.0
MOST_ATTEMPTS = 3
KEPT_DAYS = 7.0


def order_replay(order: OrderReplay) -> ReplayReport:
    """Queue a replay; one that was ordered under this key before is reported.

    Raises: NotFoundError if there is no such endpoint; InvalidInputError without requests or versions;
    PayloadTooLargeError over REPLAY_MAX_BYTES.
    """
    get_endpoint(order.endpoint)
    if not order.requests or not order.versions or not order.key:
        raise InvalidInputError("a replay names a key, at least one version and one request")
    packed = msgspec.msgpack.encode(order.requests)
    if len(packed) > settings.REPLAY_MAX_BYTES:
        raise PayloadTooLargeError(
            f"{len(order.requests)} requests of {len(packed)} bytes; the limit is {settings.REPLAY_MAX_BYTES} "
            "(REPLAY_MAX_BYTES)", limit="replay bytes", value=settings.REPLAY_MAX_BYTES, setting="REPLAY_MAX_BYTES",
        )  # fmt: skip
    row, _ = Replay.objects.get_or_create(
        key=order.key,
        defaults={
            "endpoint": order.endpoint, "versions": list(order.versions), "requests": packed, "state": "queued",
        },
    )  # fmt: skip
    Replay.objects.filter(created_at__lt=timezone.now() - timedelta(days=KEPT_DAYS)).delete()
    return report_replay(row)


def get_replay(key: str) -> ReplayReport:
    """Return how far a replay is; NotFoundError if it was never ordered, or long ago."""
    row = Replay.objects.filter(key=key).first()
    if row is None:
        raise NotFoundError(f"there is no replay '{key}'")
    return report_replay(row)


def report_replay(row: Replay) -> ReplayReport:
    """Return a row as its message."""
    raw = bytes(row.results)
    results = msgspec.msgpack.decode(raw, type=tuple[ReplayedVersion, ...]) if raw else ()
    return ReplayReport(key=row.key, state=row.state, message=row.message, results=results)


def has_due_replays(now: datetime) -> bool:
    """Say whether there are any that nobody runs."""
    return Replay.objects.filter(_due(now)).exists()


def list_due_replays(now: datetime) -> list[Replay]:
    """Return those that nobody runs, oldest first; those that were tried too often become failed."""
    due = _due(now)
    Replay.objects.filter(due, attempts__gte=MOST_ATTEMPTS).update(
        state="failed", message=f"given up after {MOST_ATTEMPTS} attempts that did not end", requests=b""
    )
    return list(Replay.objects.filter(due).defer("requests", "results").order_by("created_at")[:8])


def claim_replay(row: Replay, replica: str, now: datetime) -> bool:
    """Become the one who runs it; False if another process was first."""
    mine = Replay.objects.filter(pk=row.pk, state=row.state, attempts=row.attempts).update(
        state="running", attempts=F("attempts") + 1, replica=replica, claimed_until=now + timedelta(seconds=CLAIM_S)
    )
    row.attempts += 1
    return bool(mine)


def renew_claim(row: Replay, replica: str, now: datetime) -> bool:
    """Keep the claim; False if it was lost."""
    mine = Replay.objects.filter(pk=row.pk, state="running", replica=replica, attempts=row.attempts)
    return bool(mine.update(claimed_until=now + timedelta(seconds=CLAIM_S)))


def read_requests(row: Replay) -> tuple[ReplayRequest, ...]:
    """Return the requests of a replay."""
    return msgspec.msgpack.decode(bytes(row.requests), type=tuple[ReplayRequest, ...])


def finish_replay(row: Replay, replica: str, results: tuple[ReplayedVersion, ...], *, problem: str = "") -> bool:
    """Keep what came of it, and let the requests go; False if the claim was lost."""
    mine = Replay.objects.filter(pk=row.pk, state="running", replica=replica, attempts=row.attempts)
    return bool(
        mine.update(
            state="failed" if problem else "done",
            message=problem,
            results=msgspec.msgpack.encode(results),
            requests=b"",
            claimed_until=None,
        )
    )


def _due(now: datetime) -> Q:
    return Q(state="queued") | Q(state="running", claimed_until__lte=now)
