"""The lane of a serving process without a gateway: signed requests only."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from aiplatform.context import REQUEST_ID_HEADER, choose_request_id
from aiplatform.errors import PlatformError
from aiplatform.http.codec import decode_message
from aiplatform.http.lane.exchange import Exchange
from aiplatform.http.lane.handler import LaneHandler, Plan
from aiplatform.http.lane.head import Head
from aiplatform.http.signing import IDENTITY_HEADER, SIGNATURE_HEADER, verify_request
from aiplatform.identity import Identity

_SIGNATURE = SIGNATURE_HEADER.lower().encode()
_IDENTITY = IDENTITY_HEADER.lower().encode()
_REQUEST_ID = REQUEST_ID_HEADER.lower().encode()


@dataclass(frozen=True, slots=True, eq=False)
class _SignedPlan:
    behind: Plan
    head: Head


class SignedLane:
    """Verifies the signature, then lets through; what is not signed well is refused the ordinary way."""

    def __init__(self, handler: LaneHandler, *, secrets: Sequence[str]) -> None:
        self._handler = handler
        self.varying = handler.varying
        self._secrets = secrets

    def plan(self, head: Head) -> Plan | None:
        """Return a plan if there is something to verify."""
        if _SIGNATURE not in head.headers:
            return None
        behind = self._handler.plan(head)
        return None if behind is None else _SignedPlan(behind, head)

    def start(self, plan: Plan, body: bytes, exchange: Exchange) -> bool:
        """Verify, and pass on."""
        head: Head = plan.head
        varying = head.headers if exchange.varying is None else exchange.varying
        raw_identity = head.text(_IDENTITY)
        try:
            verify_request(
                self._secrets,
                varying.get(_SIGNATURE, b"").decode("latin-1"),
                method="POST",
                target=head.path,
                body=body,
                identity=raw_identity,
            )
            identity = _decode_identity(raw_identity)
        except PlatformError:
            return False
        exchange.request_id = choose_request_id(varying.get(_REQUEST_ID, b"").decode("latin-1"))
        exchange.identity = identity
        exchange.fields = b"x-request-id: %s\r\n" % exchange.request_id.encode()
        return self._handler.start(plan.behind, body, exchange)


@functools.lru_cache(maxsize=1024)
def _decode_identity(raw: str) -> Identity:
    return decode_message(raw.encode(), Identity)
