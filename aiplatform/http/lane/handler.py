"""What stands behind the lane: the predict protocols, with or without the gateway's policy before them."""

from __future__ import annotations

from typing import Any, Protocol

from aiplatform.http.lane.exchange import Exchange
from aiplatform.http.lane.head import Head

Plan = Any  # what a handler makes of a head, once, and is given again with each request that has the same


class LaneHandler(Protocol):
    """Answers requests that need not wait for anything but the engine.

    `varying` are those headers of `MAY_VARY` of which `plan` says nothing, so that requests of one plan may differ in
    them. Where they stand last in a head, the first of them being the request's id, the exchange has them.
    """

    varying: frozenset[bytes]

    def plan(self, head: Head) -> Plan | None:
        """Return what a head means, or None if its requests go the ordinary way. May be kept for long."""
        ...

    def start(self, plan: Plan, body: bytes, exchange: Exchange) -> bool:
        """Take a whole request and answer it through the exchange, now or later; never raises.

        False: nothing was done, and the request goes the ordinary way.
        """
        ...
