"""What a gateway repeats while it serves: tokens, counts, last uses, addresses and their health.

Two threads' worth of blocking work (database, Redis) and one of the event loop's own (health checks);
all start and stop with the serving process.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import structlog
from django.conf import settings
from django.db import DatabaseError, connections

from aiplatform.kept_connections import close_broken_connections, rest_connections
from gateway import metrics
from gateway.discovery.health import check_backends
from gateway.forwarding.upstreams import Upstreams
from gateway.process import Gateway
from gateway.resilience.breaker import BreakerState
from gateway.usage import write_last_used

log = structlog.get_logger(__name__)

SHARE_INTERVAL_S = 0.1
LAST_USED_INTERVAL_S = 30.0
_BREAKER_VALUES = {BreakerState.CLOSED: 0.0, BreakerState.HALF_OPEN: 0.5, BreakerState.OPEN: 1.0}


@dataclass
class GatewayLoop:
    """The background work of one gateway process."""

    gateway: Gateway
    upstreams: Upstreams
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _database: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))  # its connection is kept

    async def start(self) -> None:
        """Load the tokens, then go on in the background; a database that is down does not stop it."""
        await self._ask(self.gateway.identities.refresh)
        self._repeat(settings.IDENTITY_REFRESH_S, self._refresh)
        self._repeat(LAST_USED_INTERVAL_S, self._write_last_used)
        if settings.REDIS_URL:
            self._repeat(SHARE_INTERVAL_S, self._share_counts)
        if self.gateway.pools:
            self._repeat(settings.IDENTITY_REFRESH_S, self._look_at_addresses)

    async def stop(self) -> None:
        """End the background work; write what is still to be written."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        await self._write_last_used()
        await self._ask(connections.close_all)
        self._database.shutdown(wait=False)
        await self.upstreams.close()

    async def _ask(self, work: Callable[[], object]) -> None:
        def do() -> None:
            close_broken_connections()
            try:
                work()
            finally:
                rest_connections()

        await asyncio.get_running_loop().run_in_executor(self._database, do)

    def _repeat(self, interval_s: float, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._tasks.append(asyncio.create_task(_repeat(interval_s, work)))

    async def _refresh(self) -> None:
        await self._ask(self.gateway.identities.refresh)
        metrics.identities_age.set(self.gateway.identities.age_s)
        self.gateway.limiter.forget_idle()

    async def _share_counts(self) -> None:
        await asyncio.to_thread(self.gateway.limiter.share_counts)

    async def _write_last_used(self) -> None:
        used = self.gateway.identities.take_used()
        if used:
            with contextlib.suppress(DatabaseError):  # the next use will be written
                await self._ask(lambda: write_last_used(used))

    async def _look_at_addresses(self) -> None:
        await asyncio.to_thread(self.gateway.find_addresses)
        pools = list(self.gateway.pools.values())
        await check_backends(self.upstreams, pools, timeout_s=settings.HEALTH_CHECK_TIMEOUT_S)
        for pool in pools:
            for backend in pool.backends:
                metrics.backend_healthy.labels(pool.service, backend.address).set(backend.is_healthy)
                metrics.breaker_open.labels(pool.service, backend.address).set(_BREAKER_VALUES[backend.breaker.state])


async def _repeat(interval_s: float, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    while True:
        try:
            await work()
        except Exception:  # one bad round must not end all later ones
            log.exception("gateway_loop_failed")
        await asyncio.sleep(interval_s)
