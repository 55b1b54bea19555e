"""The addresses of one service: which are well, and which is the least busy."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from aiplatform.errors import UnavailableError
from gateway.resilience.breaker import CircuitBreaker


@dataclass(eq=False, slots=True)
class Backend:
    """One address: its breaker, its last health check, and how many requests it holds now."""

    address: str
    breaker: CircuitBreaker
    is_healthy: bool = True
    in_flight: int = 0


class NoBackendError(UnavailableError):
    """No address of a service can be tried now; `retry_after_s` says when one can."""

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message, retry_after_s=round(retry_after_s, 3))
        self.retry_after_s = retry_after_s


class Pool:
    """Picks an address: healthy before unhealthy, then the least in flight, then in turn.

    When every health check fails, all are tried: the check may be what is wrong.
    """

    def __init__(self, *, service: str, new_breaker: Callable[[], CircuitBreaker]) -> None:
        self.service = service
        self._new_breaker = new_breaker
        self._backends: tuple[Backend, ...] = ()
        self._turn = itertools.count()

    @property
    def backends(self) -> tuple[Backend, ...]:
        """Return the addresses as known now."""
        return self._backends

    def set_addresses(self, addresses: Iterable[str]) -> None:
        """Take a new list; addresses that stay keep their state."""
        known = {backend.address: backend for backend in self._backends}
        self._backends = tuple(
            known.get(address) or Backend(address=address, breaker=self._new_breaker())
            for address in dict.fromkeys(addresses)
        )

    def pick(self, *, avoid: Collection[Backend] = ()) -> Backend:
        """Return the address for the next request; `avoid` are those that just failed it.

        Raises: NoBackendError if there is none, or every breaker is open.
        """
        backends = self._backends
        start = 0 if avoid else next(self._turn) % max(1, len(backends))  # a second try is no new turn
        turned = backends[start:] + backends[:start]
        for backend in sorted(turned, key=lambda b: (not b.is_healthy, b.in_flight)):
            if backend not in avoid and backend.breaker.acquire():
                return backend
        raise self._nothing(avoid)

    def _nothing(self, avoid: Collection[Backend]) -> NoBackendError:
        if not self._backends:
            return NoBackendError(f"no address of '{self.service}' is known", retry_after_s=1)
        wait_s = min((b.breaker.retry_after_s for b in self._backends), default=1.0)
        tried = f", {len(avoid)} just tried" if avoid else ""
        return NoBackendError(
            f"none of the {len(self._backends)} addresses of '{self.service}' can be reached now{tried}",
            retry_after_s=max(wait_s, 1),
        )
