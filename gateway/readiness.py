"""What /health/ready says of the gateway: it goes on without a database, once it knows the tokens."""

from __future__ import annotations

from typing import Any

from gateway.process import this_gateway


def report_readiness() -> dict[str, Any]:
    """Return whether tokens can be checked, how old they are, and how the addresses are."""
    gateway = this_gateway()
    known = gateway.identities
    if not known.is_known:
        known.refresh()
    part: dict[str, Any] = {"is_ready": known.is_known, "limits_are_shared": gateway.limiter.is_shared}
    if known.is_known:
        part["identities_age_s"] = round(known.age_s, 1)
    if known.error:
        part["identities_error"] = known.error
    if gateway.pools:
        part["addresses"] = {
            service: {b.address: _state(b.is_healthy, b.breaker.state.value) for b in pool.backends}
            for service, pool in gateway.pools.items()
        }
    return part


def _state(is_healthy: bool, breaker: str) -> str:
    if breaker != "closed":
        return f"breaker {breaker}"
    return "healthy" if is_healthy else "not ready"
