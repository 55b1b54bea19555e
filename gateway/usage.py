"""When tokens were last used, written in batches so that no request waits for it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from django.db.models import Q

from gateway.models import Token


def write_last_used(used: Mapping[str, float]) -> None:
    """Write last uses (token id to seconds since the epoch); an older one never wins."""
    for token_id, moment_s in used.items():
        moment = datetime.fromtimestamp(moment_s, UTC)
        is_older = Q(last_used_at__isnull=True) | Q(last_used_at__lt=moment)
        Token.objects.filter(is_older, pk=token_id).update(last_used_at=moment)
