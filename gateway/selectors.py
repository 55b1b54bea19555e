"""Questions about tokens and the audit log."""

from __future__ import annotations

from django.db.models import Q, QuerySet
from django.utils import timezone

from aiplatform.errors import NotFoundError
from gateway.models import AuditRecord, Token


def list_tokens() -> QuerySet[Token]:
    """Return all tokens, newest first, with their users."""
    tokens: QuerySet[Token] = Token.objects.select_related("user").order_by("-created", "-id")
    return tokens


def list_usable_tokens() -> QuerySet[Token]:
    """Return the tokens that open something now."""
    is_fresh = Q(expiry__isnull=True) | Q(expiry__gt=timezone.now())
    return list_tokens().filter(is_fresh, revoked_at__isnull=True, user__is_active=True)


def get_token(token_id: int) -> Token:
    """Return a token by its public id.

    Raises: NotFoundError.
    """
    token = list_tokens().filter(pk=token_id).first()
    if token is None:
        raise NotFoundError(f"there is no token {token_id}")
    return token


def list_audit_records() -> QuerySet[AuditRecord]:
    """Return the audit log, newest first."""
    return AuditRecord.objects.all()
