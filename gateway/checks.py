"""System checks of the gateway's settings; ids gateway.E0xx and gateway.W0xx."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from aiplatform.checks import SETTINGS
from aiplatform.errors import InvalidConfigurationError
from aiplatform.http.addresses import split_addresses
from aiplatform.roles import GATEWAY, INFERENCE
from gateway.limits.rates import parse_rate

_ABOVE_ZERO = (
    "IDENTITY_REFRESH_S", "GATEWAY_PREDICT_TIMEOUT_S", "GATEWAY_API_TIMEOUT_S", "BREAKER_FAILURES",
    "BREAKER_OPEN_S", "HEALTH_CHECK_TIMEOUT_S",
)  # fmt: skip
REVOCATION_S = 5.0  # within which a revoked token must be refused everywhere


@register(SETTINGS)
def check_rates(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """The rate limits can be read."""
    problems: list[CheckMessage] = []
    for name in ("RATE_LIMIT_PREDICT", "RATE_LIMIT_API"):
        try:
            parse_rate(getattr(settings, name))
        except InvalidConfigurationError as error:
            problems.append(Error(f"{name}: {error}", hint=f"For example {name}=600/min", id="gateway.E001"))
    return problems


@register(SETTINGS)
def check_times(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Times and counts are above zero, and revocation is as fast as promised."""
    problems: list[CheckMessage] = [
        Error(f"{name} must be above 0, not {getattr(settings, name)}", hint="Leave it unset for the default.",
              id="gateway.E002")
        for name in _ABOVE_ZERO
        if getattr(settings, name) <= 0
    ]  # fmt: skip
    if settings.IDENTITY_REFRESH_S > REVOCATION_S - 1:
        problems.append(
            Warning(
                f"IDENTITY_REFRESH_S is {settings.IDENTITY_REFRESH_S}: a revoked token may work for longer than 5 s",
                hint="Set it to 4 or less.",
                id="gateway.W001",
            )
        )
    return problems


@register(SETTINGS)
def check_addresses(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Every address of a service is http://host:port or https://host:port, without a path."""
    problems: list[CheckMessage] = []
    for service, text in settings.SERVICE_URLS.items():
        for address in split_addresses(text):
            scheme, _, rest = address.partition("://")
            if scheme not in ("http", "https") or not rest or "/" in rest:
                problems.append(
                    Error(
                        f"{service.upper()}_URL: '{address}' is not an address",
                        hint="Write http://host:port, several separated by commas.",
                        id="gateway.E003",
                    )
                )
    return problems


@register(SETTINGS)
def check_grpc(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """A gateway that serves gRPC without the inference app knows where to pass it on, as host:port."""
    if not settings.GRPC_BIND or settings.ROLES & {INFERENCE} or GATEWAY not in settings.ROLES:
        return []
    addresses = split_addresses(settings.INFERENCE_GRPC_URL)
    wrong = [address for address in addresses if "/" in address or not address.rpartition(":")[2].isdigit()]
    if addresses and not wrong:
        return []
    said = f"'{wrong[0]}' is not an address" if wrong else "it is not set, and GRPC_BIND is"
    return [
        Error(f"INFERENCE_GRPC_URL: {said}", hint="Write host:port, several separated by commas.", id="gateway.E004")
    ]
