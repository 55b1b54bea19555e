"""Looks at each address's /health/ready, so that requests go to those that are well."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import structlog

from gateway.discovery.pool import Backend, Pool
from gateway.forwarding.upstreams import Upstreams

log = structlog.get_logger(__name__)

READY_PATH = "/health/ready"


async def check_backends(upstreams: Upstreams, pools: Iterable[Pool], *, timeout_s: float) -> None:
    """Look at all addresses at once, and remember which are well."""
    pairs = [(pool, backend) for pool in pools for backend in pool.backends]
    results = await asyncio.gather(*(_is_ready(upstreams, backend, timeout_s) for _, backend in pairs))
    for (pool, backend), is_healthy in zip(pairs, results, strict=True):
        if backend.is_healthy != is_healthy:
            log.info("address_health_changed", service=pool.service, address=backend.address, is_healthy=is_healthy)
        backend.is_healthy = is_healthy


async def _is_ready(upstreams: Upstreams, backend: Backend, timeout_s: float) -> bool:
    try:
        response = await upstreams.request(backend.address, "GET", READY_PATH, headers=[], timeout_s=timeout_s)
    except OSError:  # a TimeoutError is one
        return False
    return response.status == 200
