"""Reads of the desired and the real state, each in a fixed number of queries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db.models import Q, QuerySet
from django.utils import timezone

from aiplatform.contracts.inference import (
    EndpointChange,
    EndpointHistory,
    EndpointInfo,
    ReplicaInfo,
    ReplicaState,
    TrafficShare,
)
from aiplatform.errors import NotFoundError
from inference.desired import DesiredEndpoint
from inference.models import Endpoint, EndpointRevision, ReplicaStatus, VersionFacts
from inference.traffic import from_plain
from inference.versions import ServableVersion, decode_facts

HEARTBEAT_INTERVAL_S = 5.0
REPLICA_TIMEOUT_S = 20.0  # a replica that said nothing for so long does not count as live

Facts = dict[tuple[str, int], ServableVersion]


def get_endpoint(name: str) -> EndpointInfo:
    """Return one endpoint; NotFoundError if there is none of that name."""
    row = Endpoint.objects.filter(name=name).first()
    if row is None:
        raise NotFoundError(f"there is no endpoint '{name}'")
    return describe_endpoints([row])[0]


def list_endpoints() -> list[EndpointInfo]:
    """Return all endpoints by name."""
    return describe_endpoints(Endpoint.objects.order_by("name"))


def list_endpoint_rows() -> QuerySet[Endpoint]:
    """Return the rows of all endpoints, for paging; see `describe_endpoints`."""
    return Endpoint.objects.order_by("name")


def describe_endpoints(rows: Iterable[Endpoint]) -> list[EndpointInfo]:
    """Return endpoints with their live replicas, labels and image input (two queries for all)."""
    found = list(rows)
    replicas: dict[str, list[ReplicaStatus]] = defaultdict(list)
    for status in list_live_statuses().filter(endpoint__in=[row.name for row in found]):
        replicas[status.endpoint].append(status)
    facts = _facts_of(found)
    return [_describe(row, replicas[row.name], facts) for row in found]


def list_live_statuses(now: datetime | None = None) -> QuerySet[ReplicaStatus]:
    """Return what the replicas say that were heard lately."""
    since = (now or timezone.now()) - timedelta(seconds=REPLICA_TIMEOUT_S)
    return ReplicaStatus.objects.filter(heartbeat_at__gte=since)


def list_revisions(endpoint: str) -> QuerySet[EndpointRevision]:
    """Return an endpoint's history, newest first.

    Raises: NotFoundError if there never was an endpoint of that name.
    """
    revisions = EndpointRevision.objects.filter(endpoint=endpoint).order_by("-generation")
    if not revisions.exists():
        raise NotFoundError(f"there is no endpoint '{endpoint}'")
    return revisions


def get_history(endpoint: str, *, limit: int = 200) -> EndpointHistory:
    """Return an endpoint's latest changes as the contract tells them; raises as `list_revisions`."""
    return EndpointHistory(
        changes=tuple(
            EndpointChange(
                generation=row.generation, kind=row.kind, traffic=from_plain(row.traffic), actor=row.actor,
                reason=row.reason, at=row.created_at.isoformat(),
            )
            for row in list_revisions(endpoint)[:limit]
        )
    )  # fmt: skip


def find_rollback_target(row: Endpoint) -> EndpointRevision | None:
    """Return the revision whose traffic preceded the present one; None if there is none.

    A rollback stands for the revision that it restored, so a second rollback goes further back
    instead of returning to what was rolled away. Steps of a rollout are passed over. What was
    before a deletion is not returned to.
    """
    revisions = {r.generation: r for r in EndpointRevision.objects.filter(endpoint=row.name)}
    present = revisions.get(row.generation)
    if present is None:
        return None
    place = present.restored_generation or present.generation
    while (earlier := _last_before(revisions, place)) is not None and earlier.kind != EndpointRevision.Kind.DELETE:
        is_other = (earlier.model, earlier.traffic, earlier.engine) != (row.model, row.traffic, row.engine)
        if is_other and earlier.is_target:
            return earlier
        place = earlier.restored_generation or earlier.generation
    return None


def find_revision_of_key(endpoint: str, key: str) -> EndpointRevision | None:
    """Return the revision that an order with this idempotency key made; None if there is none."""
    return EndpointRevision.objects.filter(endpoint=endpoint, idempotency_key=key).first()


def find_revision_of_traffic(row: Endpoint, traffic: list[dict[str, int]]) -> EndpointRevision | None:
    """Return the last revision, no step of a rollout, that gave an endpoint this traffic."""
    kept = EndpointRevision.objects.filter(endpoint=row.name, model=row.model).order_by("-generation")
    return next((found for found in kept if found.is_target and found.traffic == traffic), None)


def find_rollback_revision(name: str) -> EndpointRevision | None:
    """Return what a rollback of an endpoint would restore now; None if nothing."""
    row = Endpoint.objects.filter(name=name).first()
    return find_rollback_target(row) if row else None


def find_endpoint_name(pk: str) -> str | None:
    """Return the name behind a primary key, as the admin's own links carry it."""
    found = Endpoint.objects.filter(pk=int(pk)).first() if pk.isdecimal() else None
    return found.name if found else None


def read_generations() -> dict[str, int]:
    """Return the generation of every endpoint: one small query that says whether to read more."""
    return dict(Endpoint.objects.values_list("name", "generation"))


def read_desired_state() -> dict[str, DesiredEndpoint]:
    """Return the desired state of every endpoint (two queries)."""
    rows = list(Endpoint.objects.order_by("name"))
    facts = _facts_of(rows)
    return {row.name: _desired(row, facts) for row in rows}


def _last_before(revisions: dict[int, EndpointRevision], generation: int) -> EndpointRevision | None:
    return revisions[max(earlier)] if (earlier := [g for g in revisions if g < generation]) else None


def _desired(row: Endpoint, facts: Facts) -> DesiredEndpoint:
    traffic = from_plain(row.traffic)
    versions = tuple(facts[row.model, v].info for v in _versions_of(row) if (row.model, v) in facts)
    return DesiredEndpoint(
        name=row.name,
        model=row.model,
        generation=row.generation,
        traffic=traffic,
        versions=versions,
        engine=row.engine,
        shadow=row.shadow,
        off_reason=(row.off_reason or "no reason was given") if row.is_off else "",
    )


def _versions_of(row: Endpoint) -> list[int]:
    """Return the versions that are to be loaded."""
    numbers = [int(share["version"]) for share in row.traffic]
    return numbers if row.shadow is None or row.shadow in numbers else [*numbers, row.shadow]


def _facts_of(rows: Iterable[Endpoint]) -> Facts:
    wanted = Q(pk__in=[])
    for row in rows:
        wanted |= Q(model=row.model, version__in=_versions_of(row))
    return {(facts.model, facts.version): decode_facts(facts) for facts in VersionFacts.objects.filter(wanted)}


def _describe(row: Endpoint, statuses: list[ReplicaStatus], facts: Facts) -> EndpointInfo:
    traffic = from_plain(row.traffic)
    main = max(traffic, key=lambda share: share.weight, default=None)
    known = facts.get((row.model, main.version)) if main else None
    return EndpointInfo(
        name=row.name,
        model=row.model,
        generation=row.generation,
        traffic=traffic,
        replicas=tuple(_replica_info(status) for status in statuses),
        is_ready=_is_ready(traffic, statuses),
        labels=known.info.labels if known else (),
        image=known.image if known else None,
        engine=row.engine,
        traffic_generation=row.traffic_generation,
        traffic_key=row.traffic_key,
        shadow=row.shadow,
        is_off=row.is_off,
        off_reason=row.off_reason,
        is_frozen=row.is_frozen,
        frozen_reason=row.frozen_reason,
    )


def _replica_info(status: ReplicaStatus) -> ReplicaInfo:
    return ReplicaInfo(
        replica=status.replica,
        version=status.version,
        state=ReplicaState(status.state),
        message=status.message,
        engine=status.engine,
        generation=status.generation_seen,
    )


def _is_ready(traffic: Iterable[TrafficShare], statuses: Iterable[ReplicaStatus]) -> bool:
    ready = {status.version for status in statuses if status.state == ReplicaState.READY}
    needed = {share.version for share in traffic if share.weight > 0}
    return bool(needed) and needed <= ready
