"""A prediction that is asked without a task; where something fails, one takes over."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from aiplatform.errors import PlatformError, UnavailableError
from gateway.discovery.pool import Backend, Pool
from gateway.forwarding.asking import Asking
from gateway.forwarding.connection import Response, UpstreamConnection
from gateway.forwarding.failures import ConnectionBrokenError
from gateway.forwarding.upstreams import Upstreams


class Forwarder(Protocol):
    """What else can be done for a request, and what is made of its failures."""

    async def go_on(self, asking: Asking, backend: Backend, error: OSError | None) -> Response:
        """Ask an address that was picked, or if it failed with an error, another one."""
        ...

    def note_timeout(self, backend: Backend, error: TimeoutError, left_s: float) -> None:
        """Note what a time-out says of an address."""
        ...

    def too_late(self, asking: Asking) -> Exception:
        """Return the error for an answer that did not come in time."""
        ...


class StartedRequest:
    """A request that is asked without a task, as long as nothing goes wrong."""

    __slots__ = (
        "_asking",
        "_backend",
        "_connection",
        "_forwarder",
        "_is_over",
        "_take",
        "_task",
        "_timer",
        "_upstreams",
    )

    def __init__(
        self,
        forwarder: Forwarder,
        upstreams: Upstreams,
        asking: Asking,
        take: Callable[[Response | Exception], None],
    ) -> None:
        self._forwarder = forwarder
        self._upstreams = upstreams
        self._asking = asking
        self._take = take
        self._is_over = False
        self._backend: Backend | None = None
        self._connection: UpstreamConnection | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[Response] | None = None

    def begin(self, pool: Pool) -> None:
        """Send the request, or have a task do it."""
        asking = self._asking
        left_s = asking.ends_at_s - time.monotonic()
        try:
            backend = pool.pick()
        except UnavailableError as error:
            self._end(error)
            return
        request = asking.request
        connection = self._upstreams.start(
            backend.address,
            request.method,
            request.target,
            headers=asking.headers(left_s),
            body=asking.body,
            varying=asking.varying,
            take=self._answered,
        )
        if connection is None:
            self._go_on(backend, None)
            return
        backend.in_flight += 1
        self._backend = backend
        self._connection = connection
        self._timer = asyncio.get_running_loop().call_later(left_s, self._expire)

    def give_up(self) -> None:
        """Forget the request: nobody waits for its answer."""
        if self._is_over:
            return
        self._is_over = True
        self._leave()
        if self._task is not None:
            self._task.cancel()

    def _answered(self, result: Response | OSError) -> None:
        if self._is_over:
            return
        backend, connection = self._backend, self._connection
        self._connection = None  # it is another's now, or closed
        self._leave()
        if backend is None or connection is None:
            return
        if isinstance(result, Response):
            backend.breaker.record_success()
            self._end(result)
        elif connection.has_answered and not (isinstance(result, ConnectionBrokenError) and result.has_begun):
            self._go_on(backend, None)  # it had been closed before it was used: that says nothing of the address
        else:
            backend.breaker.record_failure()
            self._go_on(backend, result)

    def _expire(self) -> None:
        if self._is_over or self._backend is None:
            return
        self._is_over = True
        self._forwarder.note_timeout(self._backend, TimeoutError(), self._asking.request.wait_s)
        self._leave()
        self._take(self._forwarder.too_late(self._asking))

    def _leave(self) -> None:
        """Let the address and the connection go; one that still owes an answer is closed."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        backend, self._backend = self._backend, None
        if backend is not None:
            backend.in_flight -= 1
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _go_on(self, backend: Backend, error: OSError | None) -> None:
        asking = self._forwarder.go_on(self._asking, backend, error)
        self._task = asyncio.get_running_loop().create_task(asking)
        self._task.add_done_callback(self._task_ended)

    def _task_ended(self, task: asyncio.Task[Response]) -> None:
        if self._is_over:
            return
        if task.cancelled():  # the process ends
            self._end(PlatformError("the request was given up"))
            return
        error = task.exception()
        self._end(task.result() if error is None else error)

    def _end(self, result: Response | BaseException) -> None:
        self._is_over = True
        self._take(result if isinstance(result, (Response, Exception)) else PlatformError(str(result)))
