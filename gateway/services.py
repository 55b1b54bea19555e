"""Changes: tokens are made and revoked, the audit log is written and aged out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import transaction
from django.utils import timezone

from aiplatform.errors import InvalidInputError, NotFoundError
from aiplatform.identity import Identity, Scope
from gateway.identities import identities
from gateway.limits.rates import parse_rate
from gateway.models import AuditRecord, Token
from gateway.selectors import get_token


def create_token(
    *,
    username: str,
    name: str,
    scopes: Sequence[str],
    expires_in: timedelta | None = None,
    predict_rate: str = "",
    api_rate: str = "",
    actor: str = "",
    request_id: str = "",
) -> tuple[Token, str]:
    """Make a token; return it with its secret, which nobody can show again.

    Raises: NotFoundError if there is no such user; InvalidInputError if a value is not usable.
    """
    user = get_user_model().objects.filter(username=username, is_active=True).first()
    if user is None:
        raise NotFoundError(f"there is no active user '{username}'")
    _check_token(name=name, scopes=scopes, rates=(predict_rate, api_rate), expires_in=expires_in)
    with transaction.atomic():
        token, secret = Token.objects.create(
            user=user,
            expiry=expires_in,
            name=name.strip(),
            scopes=sorted(set(scopes)),
            predict_rate=predict_rate,
            api_rate=api_rate,
        )
        record_audit(
            actor=actor or username,
            action="token.create",
            object=f"token:{token.pk}",
            after=describe_token(token),
            request_id=request_id,
        )
    _tokens_changed()
    return token, secret


def revoke_token(*, token_id: int, actor: str, request_id: str = "") -> Token:
    """Revoke a token: at once in this process, within the refresh interval in all others.

    Raises: NotFoundError. Revoking twice changes nothing.
    """
    token = get_token(token_id)
    if token.revoked_at is not None:
        return token
    before = describe_token(token)
    token.revoked_at = timezone.now()
    with transaction.atomic():
        token.save(update_fields=["revoked_at"])
        record_audit(
            actor=actor,
            action="token.revoke",
            object=f"token:{token.pk}",
            before=before,
            after=describe_token(token),
            request_id=request_id,
        )
    _tokens_changed()
    return token


def record_audit(
    *,
    actor: str,
    action: str,
    object: str,
    before: Any = None,
    after: Any = None,
    request_id: str = "",
    http_status: int | None = None,
    identity: Identity | None = None,
) -> AuditRecord:
    """Write down who did what. `identity` adds the token's id, never its secret."""
    return AuditRecord.objects.create(
        actor=actor[:200],
        token_id=identity.token_id if identity else "",
        action=action[:64],
        object=object[:500],
        before=before,
        after=after,
        http_status=http_status,
        request_id=request_id[:128],
    )


def delete_old_audit_records(*, now: datetime | None = None) -> int:
    """Delete what is older than AUDIT_RETENTION_DAYS; return how many. Safe to run twice."""
    if settings.AUDIT_RETENTION_DAYS <= 0:
        return 0
    limit = (now or timezone.now()) - timedelta(days=settings.AUDIT_RETENTION_DAYS)
    return int(AuditRecord.objects.filter(time__lt=limit).delete()[0])


def describe_token(token: Token) -> dict[str, Any]:
    """Return what the audit log says of a token: all but its digest."""
    return {
        "user": token.user.get_username(),
        "name": token.name,
        "scopes": list(token.scopes),
        "expiry": token.expiry.isoformat() if token.expiry else None,
        "predict_rate": token.predict_rate,
        "api_rate": token.api_rate,
        "is_revoked": token.revoked_at is not None,
    }


def _check_token(*, name: str, scopes: Sequence[str], rates: Sequence[str], expires_in: timedelta | None) -> None:
    known = [scope.value for scope in Scope]
    unknown = sorted(set(scopes) - set(known))
    if unknown or not scopes:
        raise InvalidInputError(f"scopes must be one or more of {', '.join(known)}, not {', '.join(unknown) or 'none'}")
    if not name.strip() or len(name) > 100:
        raise InvalidInputError(f"a token's name has 1 to 100 characters, not {len(name.strip())}")
    if expires_in is not None and expires_in <= timedelta(0):
        raise InvalidInputError("a token must expire in the future")
    for rate in rates:
        if rate:
            parse_rate(rate)


def _tokens_changed() -> None:
    identities.mark_changed()
    transaction.on_commit(identities.mark_changed)  # what was read before the commit is out of date
