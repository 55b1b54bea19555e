"""Orders to the endpoints: each one makes a new generation of the desired state, with who and why.

The registry and the store are asked before a transaction opens; replicas follow by themselves.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import structlog
from django.db import transaction

from aiplatform.contracts.inference import EndpointInfo, TrafficShare
from aiplatform.contracts.predict import RESERVED_NAMES
from aiplatform.errors import ConflictError, InvalidInputError, NotFoundError
from inference import traffic as splits
from inference.choice import AUTO
from inference.engine_reports import check_engine
from inference.models import NAME_PATTERN, Endpoint, EndpointRevision, ReplicaStatus
from inference.nudge import nudge_reconcilers
from inference.selectors import find_rollback_target, get_endpoint
from inference.versions import Registry, find_known_versions, resolve_version

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
    UnavailableError, ArtifactError as `resolve_version`.
    """
    check_endpoint_name(endpoint)
    found = resolve_version(model, reference, registry=registry)
    wanted = splits.check_traffic(traffic or [TrafficShare(version=found.info.version, weight=100)])
    others = [share.version for share in wanted if share.version != found.info.version]
    infos = [resolve_version(model, str(version), registry=registry).info for version in others]
    check_engine(engine or _pinned_engine(endpoint), [found.info, *infos])
    with transaction.atomic():
        Endpoint.objects.get_or_create(name=endpoint, defaults={"model": model})
        row = _lock(endpoint)
        if engine:
            row.engine = "" if engine == AUTO else engine
        _write_revision(row, kind=Kind.DEPLOY, model=model, wanted=wanted, actor=actor, reason=reason)
    return _announce(row, Kind.DEPLOY)


def set_traffic(
    *, endpoint: str, traffic: Sequence[TrafficShare], actor: str, reason: str = "", registry: Registry | None = None
) -> EndpointInfo:
    """Change the split of an endpoint over versions of its model.

    Raises: NotFoundError if there is no such endpoint or version; ConflictError if the endpoint
    got another model meanwhile; InvalidInputError for a bad split.
    """
    wanted = splits.check_traffic(traffic)
    model = get_endpoint(endpoint).model
    known = {v.info.version for v in find_known_versions(model, [share.version for share in wanted])}
    for share in wanted:
        if share.version not in known:
            resolve_version(model, str(share.version), registry=registry)
    with transaction.atomic():
        row = _lock(endpoint)
        if row.model != model:
            raise ConflictError(f"endpoint '{endpoint}' serves '{row.model}' now, no longer '{model}'")
        _write_revision(row, kind=Kind.TRAFFIC, model=model, wanted=wanted, actor=actor, reason=reason)
    return _announce(row, Kind.TRAFFIC)


def roll_back_endpoint(
    *, endpoint: str, actor: str, reason: str, idempotency_key: str = "", from_version: int | None = None
) -> EndpointInfo:
    """Return an endpoint to the traffic before the present one; needs neither registry nor store.

    A key that was used before changes nothing and returns the present state.
    Raises: NotFoundError if there is no such endpoint; ConflictError if there is nothing to return
    to, or `from_version` has no traffic any more.
    """
    with transaction.atomic():
        row = _lock(endpoint)
        if idempotency_key and _is_known_key(endpoint, idempotency_key):
            return get_endpoint(endpoint)
        _require_traffic(row, from_version)
        target = find_rollback_target(row)
        if target is None:
            raise ConflictError(f"endpoint '{endpoint}' has no earlier traffic to return to")
        row.engine = target.engine
        _write_revision(
            row,
            kind=Kind.ROLLBACK,
            model=target.model,
            wanted=splits.from_plain(target.traffic),
            actor=actor,
            reason=reason,
            idempotency_key=idempotency_key,
            restored_generation=target.restored_generation or target.generation,
        )
    return _announce(row, Kind.ROLLBACK)


def delete_endpoint(*, endpoint: str, actor: str, reason: str = "") -> None:
    """Stop serving an endpoint; its history stays.

    Raises: NotFoundError if there is no such endpoint.
    """
    with transaction.atomic():
        row = _lock(endpoint)
        _write_revision(row, kind=Kind.DELETE, model=row.model, wanted=(), actor=actor, reason=reason)
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


def _lock(name: str) -> Endpoint:
    row = Endpoint.objects.select_for_update().filter(name=name).first()
    if row is None:
        raise NotFoundError(f"there is no endpoint '{name}'")
    return row


def _write_revision(
    row: Endpoint,
    *,
    kind: EndpointRevision.Kind,
    model: str,
    wanted: Sequence[TrafficShare],
    actor: str,
    reason: str,
    idempotency_key: str = "",
    restored_generation: int | None = None,
) -> None:
    row.generation = _last_generation(row.name) + 1
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
        actor=actor,
        reason=reason,
        idempotency_key=idempotency_key,
    )


def _last_generation(endpoint: str) -> int:
    # Not the endpoint's own: a deleted endpoint's generations count on.
    last = EndpointRevision.objects.filter(endpoint=endpoint).order_by("-generation").first()
    return last.generation if last else 0


def _is_known_key(endpoint: str, key: str) -> bool:
    return EndpointRevision.objects.filter(endpoint=endpoint, idempotency_key=key).exists()


def _require_traffic(row: Endpoint, version: int | None) -> None:
    if version is None:
        return
    now = splits.from_plain(row.traffic)
    if not any(share.version == version and share.weight > 0 for share in now):
        raise ConflictError(
            f"version {version} of endpoint '{row.name}' has no traffic any more; it is {splits.describe_traffic(now)}"
        )


def _announce(row: Endpoint, kind: EndpointRevision.Kind) -> EndpointInfo:
    log.info("endpoint_changed", endpoint=row.name, kind=kind.value, generation=row.generation, traffic=row.traffic)
    nudge_reconcilers()
    return get_endpoint(row.name)
