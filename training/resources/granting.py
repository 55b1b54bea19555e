"""Gives a waiting run what it asks for, and claims it, in one transaction; and keeps the leases' books.

All claims of all machines go one after the other: they lock the rows of the places first (in SQLite the transaction
itself is that lock), look at the ledger, and write. So two supervisors in the same instant cannot give away the same
cores, whatever process, container or machine they are in.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from training.leases import Claim, claim_run
from training.models import ResourceHost, ResourceLease, Run, RunUsage, ServingHolding
from training.resources.amounts import Grant
from training.resources.hosts import SILENT_S, silent_hosts
from training.resources.ledger import Ledger, ask_of, estimate_of, read_ledger
from training.resources.queueing import Decision, Policy, Waiting, in_order, walk
from training.states import ACTIVE_STATES, RunState

log = structlog.get_logger(__name__)

KEPT_S = 90 * 24 * 3600.0  # leases that are over, for those who ask what a run took
_HALF_LIVES = 10  # what was used before counts for less than a thousandth
DONE = "claimed by another"
_OF_A_RUN = (
    "requested_by", "priority", "queued_at", "passed_at", "cores", "memory_bytes", "gpus", "gpu_memory_bytes",
    "memory_estimate_bytes", "gpu_memory_estimate_bytes",
)  # fmt: skip


def decide_queue(ledger: Ledger | None = None, *, here: str = "") -> list[Decision]:
    """Return what the queue says of each waiting run, in its order."""
    return list(_decisions(ledger or read_ledger(), here))


def _decisions(ledger: Ledger, here: str) -> Iterator[Decision]:
    queue = [_waiting(run) for run in Run.objects.filter(state=RunState.QUEUED).only(*_OF_A_RUN)]
    if not queue:
        return
    policy = Policy(aging_s=settings.TRAINING_AGING_S, backfill_s=settings.TRAINING_BACKFILL_S)
    ordered = in_order(queue, used_shares(ledger.now), ledger.now, aging_s=policy.aging_s)
    yield from walk(ordered, ledger.states(), ledger.now, policy, here=here)


def find_decision(run_id: UUID, *, here: str = "") -> Decision | None:
    """Return what the queue says of one run; None if it does not wait."""
    return next((one for one in _decisions(read_ledger(), here) if one.run_id == run_id), None)


def claim_with_grant(run_id: UUID, here: str) -> tuple[Claim, Grant] | str:
    """Claim a waiting run and write its lease, if it may start here now; else return why not."""
    if isinstance(looked := _look(run_id, here), str):  # without the lock: most who ask are told to wait
        return looked
    with transaction.atomic():
        list(ResourceHost.objects.select_for_update().order_by("name").values_list("pk"))
        decision = _look(run_id, here)
        if isinstance(decision, str):
            return decision
        claim = claim_run(run_id)
        if claim is None or decision.grant is None:
            return DONE
        _write_lease(claim, decision, decision.grant)
    log.info("resources_granted", run=str(run_id), host=here, cores=decision.grant.cores,
             memory_bytes=decision.grant.memory_bytes, gpus=decision.grant.gpu_uuids)  # fmt: skip
    return claim, decision.grant


def used_shares(now: datetime) -> dict[str, float]:
    """Return what each requester has used lately: shares of a machine times seconds, older ones counted for less.

    The weight halves every TRAINING_FAIR_SHARE_S, as of the end of a lease, or now while it goes on.
    """
    half_life_s = max(1.0, settings.TRAINING_FAIR_SHARE_S)
    since = now - timedelta(seconds=_HALF_LIVES * half_life_s)
    leases = ResourceLease.objects.filter(released_at=None) | ResourceLease.objects.filter(released_at__gt=since)
    used: dict[str, float] = {}
    for requester, share, granted_at, released_at in leases.values_list(
        "requester", "share", "granted_at", "released_at"
    ):
        end = released_at or now
        lasted_s = max(0.0, (end - granted_at).total_seconds())
        weight = 0.5 ** (max(0.0, (now - end).total_seconds()) / half_life_s)
        used[requester] = used.get(requester, 0.0) + share * lasted_s * weight
    return used


def settle_leases() -> int:
    """Close the leases that do not count any more, with what was measured; forget what is old. Return how many."""
    now = timezone.now()
    over = _settle(ResourceLease.objects.filter(released_at=None), now)
    _forget_old(now)
    return over


def _settle(leases: QuerySet[ResourceLease], now: datetime) -> int:
    over = 0
    for lease in leases.select_related("run__usage"):
        if lease.run.state in ACTIVE_STATES and lease.run.fence == lease.fence:
            continue
        over += ResourceLease.objects.filter(pk=lease.pk, released_at=None).update(
            released_at=min(now, lease.run.ended_at or now), **_measured(lease)
        )
    return over


def _forget_old(now: datetime) -> None:
    """Delete what nobody asks for any more; looks first, for a deletion locks the database even if it finds nothing."""
    kept_s = max(KEPT_S, _HALF_LIVES * settings.TRAINING_FAIR_SHARE_S)
    leases = ResourceLease.objects.filter(released_at__lte=now - timedelta(seconds=kept_s))
    holdings = ServingHolding.objects.filter(expires_at__lte=now - timedelta(seconds=SILENT_S))
    for old in (leases, holdings, silent_hosts(now)):
        if old.exists():
            old.delete()


def _look(run_id: UUID, here: str) -> Decision | str:
    decision = find_decision(run_id, here=here)
    if decision is None:
        return DONE
    return decision if decision.host == here else decision.reason


def _write_lease(claim: Claim, decision: Decision, grant: Grant) -> None:
    run = Run.objects.get(pk=claim.run_id)
    _settle(ResourceLease.objects.filter(run=run, released_at=None), timezone.now())
    ResourceLease.objects.create(
        run=run, fence=claim.fence, attempt=run.attempt, host=decision.host, requester=run.requested_by,
        machine=ResourceHost.objects.filter(name=decision.host).values_list("machine", flat=True).first() or "",
        cores=grant.cores, cpus=list(grant.cpus), memory_bytes=grant.memory_bytes,
        memory_limit_bytes=grant.memory_limit_bytes, gpus=list(grant.gpu_uuids or ()),
        gpu_memory_bytes=grant.gpu_memory_bytes, share=grant.share,
    )  # fmt: skip
    Run.objects.filter(pk=run.pk).update(passed_at=None)
    Run.objects.filter(pk__in=decision.passes, passed_at=None, state=RunState.QUEUED).update(passed_at=timezone.now())


def _waiting(run: Run) -> Waiting:
    return Waiting(
        run_id=run.pk, short_id=run.short_id, requester=run.requested_by, priority=run.priority,
        queued_at=run.queued_at, ask=ask_of(run), estimate=estimate_of(run), passed_at=run.passed_at,
    )  # fmt: skip


def _measured(lease: ResourceLease) -> dict[str, object]:
    usage: RunUsage | None = getattr(lease.run, "usage", None)
    if usage is None or usage.measured_at < lease.granted_at:
        return {}
    return {
        "cpu_seconds": usage.cpu_seconds,
        "memory_peak_bytes": usage.memory_peak_bytes,
        "gpu_peak_bytes": usage.gpu_peak_bytes,
    }
