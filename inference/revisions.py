"""What every order to an endpoint does: lock the row, check, write one revision, tell the replicas."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import structlog

from aiplatform.contracts.inference import EndpointInfo, OrderReceipt, TrafficShare
from aiplatform.errors import ConflictError, NotFoundError
from inference import traffic as splits
from inference.models import Endpoint, EndpointRevision
from inference.nudge import nudge_reconcilers
from inference.selectors import find_revision_of_key, get_endpoint
from inference.versions import Registry, find_known_versions, resolve_version

log = structlog.get_logger(__name__)
Kind = EndpointRevision.Kind
TRAFFIC_KINDS = (Kind.DEPLOY, Kind.TRAFFIC, Kind.ROLLBACK, Kind.DELETE)


def lock_endpoint(name: str) -> Endpoint:
    """Return an endpoint's row, locked until the transaction ends.

    Raises: NotFoundError if there is none.
    """
    row = Endpoint.objects.select_for_update().filter(name=name).first()
    if row is None:
        raise NotFoundError(f"there is no endpoint '{name}'")
    return row


def write_revision(
    row: Endpoint,
    *,
    kind: EndpointRevision.Kind,
    model: str,
    wanted: Sequence[TrafficShare],
    actor: str,
    reason: str,
    idempotency_key: str = "",
    restored_generation: int | None = None,
    is_step: bool = False,
) -> None:
    """Save the row as its next generation, with who and why; inside the transaction of `lock_endpoint`."""
    row.generation = _last_generation(row.name) + 1
    if kind in TRAFFIC_KINDS:
        row.traffic_generation, row.traffic_key = row.generation, idempotency_key
    row.model = model
    row.traffic = splits.to_plain(wanted)
    row.save()
    EndpointRevision.objects.create(
        endpoint=row.name,
        generation=row.generation,
        kind=kind,
        model=model,
        traffic=row.traffic,
        engine=row.engine,
        restored_generation=restored_generation,
        is_step=is_step,
        actor=actor,
        reason=reason,
        idempotency_key=idempotency_key,
    )


def find_order(endpoint: str, idempotency_key: str) -> OrderReceipt | None:
    """Return the receipt of an order that was given before under this key; None if there is none."""
    done = find_revision_of_key(endpoint, idempotency_key) if idempotency_key else None
    if done is None:
        return None
    return OrderReceipt(generation=done.generation, is_repeat=True, endpoint=get_endpoint(endpoint))


def receipt(row: Endpoint, kind: EndpointRevision.Kind) -> OrderReceipt:
    """Tell the replicas of a new generation, and return its receipt."""
    return OrderReceipt(generation=row.generation, is_repeat=False, endpoint=announce(row, kind))


def announce(row: Endpoint, kind: EndpointRevision.Kind) -> EndpointInfo:
    """Tell the replicas of a new generation, and return the endpoint."""
    log.info("endpoint_changed", endpoint=row.name, kind=kind.value, generation=row.generation, traffic=row.traffic)
    nudge_reconcilers()
    return get_endpoint(row.name)


def require_versions(model: str, versions: Iterable[int], *, registry: Registry | None = None) -> None:
    """Raise as `resolve_version` unless all versions are known; outside a transaction."""
    wanted = list(versions)
    known = {found.info.version for found in find_known_versions(model, wanted)}
    for version in wanted:
        if version not in known:
            resolve_version(model, str(version), registry=registry)


def require_traffic(row: Endpoint, version: int | None) -> None:
    """Raise ConflictError if a version is named that has no traffic any more."""
    if version is None:
        return
    now = splits.from_plain(row.traffic)
    if not any(share.version == version and share.weight > 0 for share in now):
        raise ConflictError(
            f"version {version} of endpoint '{row.name}' has no traffic any more; it is {splits.describe_traffic(now)}"
        )


def require_generation(row: Endpoint, expected: int | None) -> None:
    """Raise ConflictError if a newer order has concerned traffic."""
    if expected is not None and row.traffic_generation != expected:
        raise ConflictError(
            f"endpoint '{row.name}' has moved on: its traffic is of generation {row.traffic_generation}, "
            f"the order counts on {expected}",
            traffic_generation=row.traffic_generation,
        )


def require_unfrozen(row: Endpoint) -> None:
    """Raise ConflictError if the endpoint is frozen."""
    if row.is_frozen:
        raise ConflictError(
            f"endpoint '{row.name}' is frozen ({row.frozen_reason or 'no reason was given'}); lift that first",
            is_frozen=True,
        )


def _last_generation(endpoint: str) -> int:
    # Not the endpoint's own: a deleted endpoint's generations count on.
    last = EndpointRevision.objects.filter(endpoint=endpoint).order_by("-generation").first()
    return last.generation if last else 0
