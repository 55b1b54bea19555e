"""From rows to what the doors know: digests, identities, rates."""

from __future__ import annotations

import math

import structlog
from django.conf import settings

from aiplatform.errors import InvalidConfigurationError
from gateway.identities import KnownToken
from gateway.limits.rates import Allowance, parse_rate
from gateway.models import Token
from gateway.selectors import list_usable_tokens

log = structlog.get_logger(__name__)


def read_known_tokens() -> list[KnownToken]:
    """Return all usable tokens."""
    return [_known(token) for token in list_usable_tokens()]


def _known(token: Token) -> KnownToken:
    return KnownToken(
        digest=token.digest,
        identity=token.identity,
        expires_at_s=token.expiry.timestamp() if token.expiry else math.inf,
        predict=_allowance(token, "predict_rate", "RATE_LIMIT_PREDICT"),
        api=_allowance(token, "api_rate", "RATE_LIMIT_API"),
    )


def _allowance(token: Token, field: str, setting: str) -> Allowance:
    own = getattr(token, field)
    default = Allowance(rate=parse_rate(getattr(settings, setting)), setting=setting)
    try:
        return Allowance(rate=parse_rate(own), setting=f"{field} of token {token.pk}") if own else default
    except InvalidConfigurationError as error:  # one bad row must not shut everyone out
        log.warning("token_rate_unreadable", token_id=token.pk, error=str(error))
        return default
