"""Orders beside traffic: a shadow, a switch, a freeze. Each is a generation, and safe to repeat by its key."""

from __future__ import annotations

from collections.abc import Callable

from django.db import transaction

from aiplatform.contracts.inference import FreezeEndpoint, OrderReceipt, SetShadow, SwitchEndpoint
from aiplatform.errors import ConflictError
from inference import traffic as splits
from inference.models import Endpoint, EndpointRevision
from inference.revisions import (
    find_order,
    lock_endpoint,
    receipt,
    require_generation,
    require_unfrozen,
    require_versions,
    write_revision,
)
from inference.selectors import get_endpoint
from inference.versions import Registry

Kind = EndpointRevision.Kind
Order = SetShadow | SwitchEndpoint | FreezeEndpoint


def set_shadow(order: SetShadow, *, registry: Registry | None = None) -> OrderReceipt:
    """Begin or end the copying of live requests to a version.

    Raises: NotFoundError if endpoint or version is unknown; ConflictError if the version answers live
    requests already, the endpoint is frozen, or has moved on.
    """
    if order.version is not None:
        require_versions(get_endpoint(order.endpoint).model, [order.version], registry=registry)

    def change(row: Endpoint) -> None:
        require_generation(row, order.expected_generation)
        if order.version is not None:
            require_unfrozen(row)
            _require_idle(row, order.version)
        row.shadow = order.version

    return _carry_out(order, Kind.SHADOW, change)


def switch_endpoint(order: SwitchEndpoint) -> OrderReceipt:
    """Let an endpoint answer 503 with the reason, or serve again as before.

    Raises: NotFoundError if there is none of that name.
    """

    def change(row: Endpoint) -> None:
        row.is_off, row.off_reason = not order.is_on, "" if order.is_on else order.reason

    return _carry_out(order, Kind.SWITCH_ON if order.is_on else Kind.SWITCH_OFF, change)


def freeze_endpoint(order: FreezeEndpoint) -> OrderReceipt:
    """Refuse new deployments and splits of an endpoint, or lift that.

    Raises: NotFoundError if there is none of that name.
    """

    def change(row: Endpoint) -> None:
        row.is_frozen, row.frozen_reason = order.is_frozen, order.reason if order.is_frozen else ""

    return _carry_out(order, Kind.FREEZE if order.is_frozen else Kind.UNFREEZE, change)


def _carry_out(order: Order, kind: EndpointRevision.Kind, change: Callable[[Endpoint], None]) -> OrderReceipt:
    with transaction.atomic():
        row = lock_endpoint(order.endpoint)
        done = find_order(order.endpoint, order.idempotency_key)
        if done is not None:
            return done
        change(row)
        write_revision(
            row,
            kind=kind,
            model=row.model,
            wanted=splits.from_plain(row.traffic),
            actor=order.actor,
            reason=order.reason,
            idempotency_key=order.idempotency_key,
        )
    return receipt(row, kind)


def _require_idle(row: Endpoint, version: int) -> None:
    if any(share.version == version and share.weight > 0 for share in splits.from_plain(row.traffic)):
        raise ConflictError(f"version {version} of endpoint '{row.name}' answers live requests: it cannot be a shadow")
