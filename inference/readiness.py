"""Waits, for commands and scripts, until replicas serve what was ordered."""

from __future__ import annotations

import time
from dataclasses import dataclass

from aiplatform.contracts.inference import EndpointInfo, ReplicaState
from inference.models import ReplicaStatus
from inference.selectors import get_endpoint, list_live_statuses

POLL_INTERVAL_S = 0.2


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far the replicas have come; `detail` says what is missing."""

    endpoint: EndpointInfo
    is_current: bool
    detail: str = ""


def read_progress(name: str, *, generation: int) -> Progress:
    """Return whether every live replica serves an endpoint's desired versions.

    Raises: NotFoundError if there is no such endpoint.
    """
    endpoint = get_endpoint(name)
    statuses = list(list_live_statuses().filter(endpoint=name))
    if endpoint.generation > generation:
        return Progress(endpoint=endpoint, is_current=endpoint.is_ready, detail="a newer order has replaced this one")
    missing = _missing(endpoint, statuses)
    return Progress(endpoint=endpoint, is_current=not missing, detail=missing)


def wait_until_ready(name: str, *, generation: int, timeout_s: float) -> Progress:
    """Return as soon as an endpoint is served as ordered, a version failed, or the time is over."""
    deadline = time.monotonic() + timeout_s
    while True:
        progress = read_progress(name, generation=generation)
        wanted = {share.version for share in progress.endpoint.traffic}
        has_failed = any(r.state is ReplicaState.FAILED and r.version in wanted for r in progress.endpoint.replicas)
        if progress.is_current or has_failed or time.monotonic() >= deadline:
            return progress
        time.sleep(POLL_INTERVAL_S)


def _missing(endpoint: EndpointInfo, statuses: list[ReplicaStatus]) -> str:
    needed = {share.version for share in endpoint.traffic if share.weight > 0}
    failed = [status for status in statuses if status.version in needed and status.state == ReplicaState.FAILED]
    if failed:
        return "; ".join(f"version {status.version} on {status.replica}: {status.message}" for status in failed)
    current = [status for status in statuses if status.generation_seen >= endpoint.generation]
    ready: dict[str, set[int]] = {}
    for status in current:
        ready.setdefault(status.replica, set())
        if status.state == ReplicaState.READY:
            ready[status.replica].add(status.version)
    late = sorted({status.replica for status in statuses} - {name for name, found in ready.items() if needed <= found})
    if not statuses:
        return "no serving process has taken it up; is `manage.py serve` running?"
    return f"still loading on: {', '.join(late)}" if late else ""
