"""Orders to the endpoints: each one makes a new generation of the desired state, with who and why.

The registry and the store are asked before a transaction opens; replicas follow by themselves.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import structlog
from django.db import transaction

from aiplatform.contracts.inference import EndpointInfo, OrderReceipt, SetTraffic, TrafficPurpose, TrafficShare
from aiplatform.contracts.predict import RESERVED_NAMES
from aiplatform.errors import ConflictError, InvalidInputError
from inference import traffic as splits
from inference.choice import AUTO
from inference.engine_reports import check_engine
from inference.models import NAME_PATTERN, Endpoint, EndpointRevision, ReplicaStatus
from inference.nudge import nudge_reconcilers
from inference.revisions import (
    announce,
    find_order,
    lock_endpoint,
    receipt,
    require_generation,
    require_traffic,
    require_unfrozen,
    require_versions,
    write_revision,
)
from inference.selectors import find_revision_of_traffic, find_rollback_target, get_endpoint
from inference.versions import Registry, resolve_version

log = structlog.get_logger(__name__)
Kind = EndpointRevision.Kind


def deploy_version(
    *,
    endpoint: str,
    model: str,
    reference: str,
    traffic: Sequence[TrafficShare] = (),
    engine: str = "",
    actor: str,
    reason: str = "",
    registry: Registry | None = None,
) -> EndpointInfo:
    """Give a version all traffic of an endpoint, or the given split; make the endpoint if it is new.

    `engine` pins one for the endpoint, 'auto' takes the pin away, empty leaves it as it is.
    Raises: InvalidInputError for a bad name, split or engine; NotFoundError if a version is not registered;
    ConflictError if the endpoint is frozen; UnavailableError, ArtifactError as `resolve_version`.
    """
    check_endpoint_name(endpoint)
    found = resolve_version(model, reference, registry=registry)
    wanted = splits.check_traffic(traffic or [TrafficShare(version=found.info.version, weight=100)])
    others = [share.version for share in wanted if share.version != found.info.version]
    infos = [resolve_version(model, str(version), registry=registry).info for version in others]
    check_engine(engine or _pinned_engine(endpoint), [found.info, *infos])
    with transaction.atomic():
        Endpoint.objects.get_or_create(name=endpoint, defaults={"model": model})
        row = lock_endpoint(endpoint)
        require_unfrozen(row)
        row.shadow = None  # what was compared with the version before
        if engine:
            row.engine = "" if engine == AUTO else engine
        write_revision(row, kind=Kind.DEPLOY, model=model, wanted=wanted, actor=actor, reason=reason)
    return announce(row, Kind.DEPLOY)


def set_traffic(
    *, endpoint: str, traffic: Sequence[TrafficShare], actor: str, reason: str = "", registry: Registry | None = None
) -> EndpointInfo:
    """Change the split of an endpoint over versions of its model.

    Raises: NotFoundError if there is no such endpoint or version; ConflictError if the endpoint
    got another model meanwhile, or is frozen; InvalidInputError for a bad split.
    """
    order = SetTraffic(endpoint=endpoint, traffic=tuple(traffic), actor=actor, reason=reason)
    return order_traffic(order, registry=registry).endpoint


def order_traffic(order: SetTraffic, *, registry: Registry | None = None) -> OrderReceipt:
    """Do the same as the contract says it, for people and for rollouts; raises as `set_traffic`."""
    wanted = splits.check_traffic(order.traffic)
    model = get_endpoint(order.endpoint).model
    require_versions(model, [share.version for share in wanted], registry=registry)
    with transaction.atomic():
        row = lock_endpoint(order.endpoint)
        done = find_order(order.endpoint, order.idempotency_key)
        if done is not None:
            return done
        if row.model != model:
            raise ConflictError(f"endpoint '{row.name}' serves '{row.model}' now, no longer '{model}'")
        require_generation(row, order.expected_generation)
        if order.purpose is not TrafficPurpose.RESTORE:
            require_unfrozen(row)
        if any(share.version == row.shadow and share.weight > 0 for share in wanted):
            row.shadow = None  # a version that answers is no shadow
        write_revision(
            row,
            kind=Kind.ROLLBACK if order.purpose is TrafficPurpose.RESTORE else Kind.TRAFFIC,
            model=model,
            wanted=wanted,
            actor=order.actor,
            reason=order.reason,
            idempotency_key=order.idempotency_key,
            is_step=order.purpose is TrafficPurpose.STEP,
            restored_generation=_restored(row, wanted) if order.purpose is TrafficPurpose.RESTORE else None,
        )
    return receipt(row, Kind.TRAFFIC)


def roll_back_endpoint(
    *, endpoint: str, actor: str, reason: str, idempotency_key: str = "", from_version: int | None = None
) -> EndpointInfo:
    """Return an endpoint to the traffic before the present one; needs neither registry nor store.

    A key that was used before changes nothing and returns the present state.
    Raises: NotFoundError if there is no such endpoint; ConflictError if there is nothing to return
    to, or `from_version` has no traffic any more.
    """
    with transaction.atomic():
        row = lock_endpoint(endpoint)
        if find_order(endpoint, idempotency_key) is not None:
            return get_endpoint(endpoint)
        require_traffic(row, from_version)
        target = find_rollback_target(row)
        if target is None:
            raise ConflictError(f"endpoint '{endpoint}' has no earlier traffic to return to")
        row.engine, row.shadow = target.engine, None
        write_revision(
            row,
            kind=Kind.ROLLBACK,
            model=target.model,
            wanted=splits.from_plain(target.traffic),
            actor=actor,
            reason=reason,
            idempotency_key=idempotency_key,
            restored_generation=target.restored_generation or target.generation,
        )
    return announce(row, Kind.ROLLBACK)


def delete_endpoint(*, endpoint: str, actor: str, reason: str = "") -> None:
    """Stop serving an endpoint; its history stays.

    Raises: NotFoundError if there is no such endpoint.
    """
    with transaction.atomic():
        row = lock_endpoint(endpoint)
        write_revision(row, kind=Kind.DELETE, model=row.model, wanted=(), actor=actor, reason=reason)
        row.delete()
        ReplicaStatus.objects.filter(endpoint=endpoint).delete()
    log.info("endpoint_deleted", endpoint=endpoint, actor=actor)
    nudge_reconcilers()


def check_endpoint_name(name: str) -> None:
    """Raise InvalidInputError unless a name can be an endpoint's."""
    if not re.fullmatch(NAME_PATTERN, name):
        raise InvalidInputError(f"an endpoint's name must match {NAME_PATTERN}, not '{name}'")
    if name in RESERVED_NAMES:
        raise InvalidInputError(f"an endpoint may not be named '{name}': it is a word of the predict protocols")


def _pinned_engine(endpoint: str) -> str:
    row = Endpoint.objects.filter(name=endpoint).first()
    return row.engine if row else ""


def _restored(row: Endpoint, wanted: Sequence[TrafficShare]) -> int | None:
    found = find_revision_of_traffic(row, splits.to_plain(wanted))
    return (found.restored_generation or found.generation) if found else None
