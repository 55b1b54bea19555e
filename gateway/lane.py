"""The predict door on the lane: the same policy as `door.py`, for requests that need not wait for it.

Who cannot be let through at once (an unknown token, a scope that is missing) goes the ordinary way, where the
door looks again and refuses. What the limit refuses is refused here: it has been counted.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

from aiplatform.context import REQUEST_ID_HEADER, choose_request_id
from aiplatform.errors import PermissionDeniedError, PlatformError
from aiplatform.http.lane import Exchange, Head, LaneHandler, Plan
from gateway.limits.window import Verdict
from gateway.policy import PredictPolicy

_AUTHORIZATION = b"authorization"
_REQUEST_ID = REQUEST_ID_HEADER.lower().encode()


@dataclass(frozen=True, slots=True, eq=False)
class _DoorPlan:
    behind: Plan
    path: str
    digest: str
    request_id: str


class LaneDoor:
    """Authenticates, checks the scope, counts against the limit, then lets through."""

    def __init__(self, handler: LaneHandler, policy: PredictPolicy) -> None:
        self._handler = handler
        self.varying = handler.varying & {_REQUEST_ID}
        self._policy = policy
        self._note = policy.note

    def plan(self, head: Head) -> Plan | None:
        """Return a plan for whoever shows a token."""
        try:
            digest = self._policy.identities.digest(head.text(_AUTHORIZATION))
        except PlatformError:
            return None
        behind = self._handler.plan(head)
        return None if behind is None else _DoorPlan(behind, head.path, digest, head.text(_REQUEST_ID))

    def start(self, plan: Plan, body: bytes, exchange: Exchange) -> bool:
        """Decide, and pass on."""
        token = self._policy.identities.find(plan.digest)
        if token is None:
            return False
        try:
            verdict, error = self._policy.admit(token, "POST", plan.path)
        except PermissionDeniedError:
            return False
        varying = exchange.varying
        exchange.request_id = choose_request_id(
            plan.request_id if varying is None else varying[_REQUEST_ID].decode("latin-1")
        )
        exchange.identity = token.identity
        exchange.fields = _answer_fields(verdict, exchange.request_id)
        exchange.note = self._note
        if error is not None:
            exchange.refuse(error)
            return True
        return self._handler.start(plan.behind, body, exchange)


def _answer_fields(verdict: Verdict, request_id: str) -> bytes:
    return b"%sratelimit-remaining: %d\r\nratelimit-reset: %d\r\nx-request-id: %s\r\n" % (
        _fixed_fields(verdict.limit, verdict.rate.window_s),
        verdict.remaining,
        math.ceil(verdict.reset_s),
        request_id.encode(),
    )


@functools.lru_cache(maxsize=256)
def _fixed_fields(limit: int, window_s: int) -> bytes:
    return b"ratelimit-limit: %d\r\nratelimit-policy: %d;w=%d\r\n" % (limit, limit, window_s)
