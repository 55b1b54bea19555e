"""What one gateway process holds: the tokens, the limits, the addresses. Made when first asked for."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from django.conf import settings

from gateway.discovery.discovery import Discovery, StaticDiscovery
from gateway.discovery.pool import Pool
from gateway.identities import Identities, identities
from gateway.limits.limiter import CountStore, Limiter
from gateway.resilience.breaker import CircuitBreaker


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """The state behind both doors. `pools` has only the services that are elsewhere."""

    identities: Identities
    limiter: Limiter
    discovery: Discovery
    pools: dict[str, Pool]

    def find_addresses(self) -> None:
        """Ask discovery again; a service that cannot be found out keeps its last addresses."""
        for service, pool in self.pools.items():
            try:
                pool.set_addresses(self.discovery.find_addresses(service))
            except OSError:
                continue


@functools.cache
def this_gateway() -> Gateway:
    """Return this process's gateway, built from settings."""
    gateway = Gateway(
        identities=identities,
        limiter=Limiter(processes=settings.WEB_WORKERS, store=_count_store()),
        discovery=StaticDiscovery(settings.SERVICE_URLS),
        pools={
            service: Pool(service=service, new_breaker=new_breaker)
            for service, address in settings.SERVICE_URLS.items()
            if address
        },
    )
    gateway.find_addresses()
    return gateway


def new_breaker() -> CircuitBreaker:
    """Return a breaker as the settings want it."""
    return CircuitBreaker(failures=settings.BREAKER_FAILURES, open_s=settings.BREAKER_OPEN_S)


def _count_store() -> CountStore | None:
    if not settings.REDIS_URL:
        return None
    from gateway.limits.redis_counts import RedisCounts

    return RedisCounts(settings.REDIS_URL)
