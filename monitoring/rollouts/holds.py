"""The human hold: one order stops all automation, everywhere or for one endpoint, and everybody sees it."""

from __future__ import annotations

from datetime import datetime

import structlog
from django.db import IntegrityError, transaction
from django.utils import timezone

from aiplatform.audit import write_audit
from aiplatform.errors import ConflictError, InvalidInputError, NotFoundError
from monitoring.models.rollouts import AutomationHold

log = structlog.get_logger(__name__)


def place_hold(*, endpoint: str = "", reason: str, actor: str, now: datetime | None = None) -> AutomationHold:
    """Stop all automation, of one endpoint if it is named.

    Raises: InvalidInputError without a reason; ConflictError if it is held already.
    """
    if not reason.strip():
        raise InvalidInputError("a hold needs a reason: others will read it")
    try:
        with transaction.atomic():
            hold = AutomationHold.objects.create(
                endpoint=endpoint, reason=reason[:500], placed_by=actor, placed_at=now or timezone.now()
            )
    except IntegrityError as error:
        raise ConflictError(f"automation is held already {_where(endpoint)}") from error
    write_audit(actor=actor, action="hold.place", object=f"automation:{endpoint or '*'}", evidence={"reason": reason})
    log.warning("automation_held", endpoint=endpoint or "*", actor=actor, reason=reason)
    return hold


def lift_hold(*, endpoint: str = "", actor: str, now: datetime | None = None) -> None:
    """Let automation go on.

    Raises: NotFoundError if it is not held there.
    """
    lifted = AutomationHold.objects.filter(endpoint=endpoint, lifted_at=None).update(
        lifted_at=now or timezone.now(), lifted_by=actor
    )
    if not lifted:
        raise NotFoundError(f"automation is not held {_where(endpoint)}")
    write_audit(actor=actor, action="hold.lift", object=f"automation:{endpoint or '*'}", evidence={})
    log.warning("automation_released", endpoint=endpoint or "*", actor=actor)


def find_hold(endpoint: str) -> AutomationHold | None:
    """Return the hold that stops an endpoint's automation: the one for everything first; None if it is free."""
    return AutomationHold.objects.filter(endpoint__in=["", endpoint], lifted_at=None).order_by("endpoint").first()


def list_holds() -> list[AutomationHold]:
    """Return the holds that are in force."""
    return list(AutomationHold.objects.filter(lifted_at=None).order_by("endpoint"))


def describe_hold(hold: AutomationHold) -> str:
    """Return a hold as people say it."""
    return f"automation is held {_where(hold.endpoint)} by {hold.placed_by}: {hold.reason}"


def _where(endpoint: str) -> str:
    return f"for '{endpoint}'" if endpoint else "everywhere"
