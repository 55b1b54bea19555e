"""A service with several addresses: each call goes to the next, and past one that is down."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

import httpx

REST_S = 5.0  # that an address which could not be reached comes last


def split_addresses(text: str) -> tuple[str, ...]:
    """Return the addresses in a setting: separated by commas, without a slash at the end."""
    return tuple(part.strip().rstrip("/") for part in text.split(",") if part.strip())


class BalancedTransport(httpx.BaseTransport):
    """Sends each request to one of several addresses in turn.

    Only a refused connection moves on to the next address: then nothing was sent, so that no
    request is made twice.
    """

    def __init__(
        self,
        addresses: tuple[str, ...],
        transport: httpx.BaseTransport,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._addresses = tuple(httpx.URL(address) for address in addresses)
        self._transport = transport
        self._clock = clock
        self._turn = itertools.count()
        self._rests_until_s = dict.fromkeys(self._addresses, 0.0)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send to the first address, in turn, that takes the connection."""
        order = self._order()
        for position, address in enumerate(order):
            request.url = request.url.copy_with(scheme=address.scheme, host=address.host, port=address.port)
            request.headers["Host"] = address.netloc.decode()
            try:
                return self._transport.handle_request(request)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                self._rests_until_s[address] = self._clock() + REST_S
                if position == len(order) - 1:
                    raise
        raise AssertionError("there is at least one address")

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def _order(self) -> tuple[httpx.URL, ...]:
        start = next(self._turn) % len(self._addresses)
        turned = self._addresses[start:] + self._addresses[:start]
        now_s = self._clock()
        return tuple(sorted(turned, key=lambda address: self._rests_until_s[address] > now_s))
