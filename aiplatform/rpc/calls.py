"""One gRPC call as plain values, so that policy, engine and forwarder know nothing of the wire.

A `CallApplication` answers a call through it, now or later, or raises a PlatformError at once. The caller
of an inference application has checked the identity that stands in the call. There is no task a call: what must
wait for something else than the engine goes on in one with `answer_later`.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

import structlog

from aiplatform.contracts.predict import SUBJECT_HEADER, TRACE_HEADER
from aiplatform.errors import PlatformError
from aiplatform.identity import Identity

V2_SERVICE = "/inference.GRPCInferenceService/"
PREDICTION_SERVICE = "/tensorflow.serving.PredictionService/"
MODEL_SERVICE = "/tensorflow.serving.ModelService/"
HEALTH_METHOD = "/grpc.health.v1.Health/Check"
SERVICES = (V2_SERVICE, PREDICTION_SERVICE, MODEL_SERVICE, HEALTH_METHOD)
STREAMING = f"{V2_SERVICE}ModelStreamInfer"

SERVER_LIVE = f"{V2_SERVICE}ServerLive"
# They tell nothing of any model, so they need no token.
OPEN_METHODS = frozenset({SERVER_LIVE, f"{V2_SERVICE}ServerReady", f"{V2_SERVICE}ServerMetadata", HEALTH_METHOD})
PREDICT_METHODS = frozenset(
    {f"{V2_SERVICE}ModelInfer", *(f"{PREDICTION_SERVICE}{name}" for name in ("Predict", "Classify", "Regress"))}
)

AUTHORIZATION_KEY = "authorization"
REQUEST_ID_KEY = "x-request-id"
SIGNATURE_KEY = "x-platform-signature"
IDENTITY_KEY = "x-platform-identity-bin"  # a user's name need not be ASCII
ERROR_CODE_KEY = "x-error-code"  # of errors.py; tells an answer of ours from a failure of the transport
RETRY_AFTER_KEY = "retry-after"

CANCELLED = 499  # the customary HTTP status for a client that left
PASSED_ON = (TRACE_HEADER, SUBJECT_HEADER.lower())  # of a caller's metadata, by the gateway

Pairs = tuple[tuple[str, str], ...]

log = structlog.get_logger(__name__)


class Call:
    """A unary call, until it is answered, failed or cancelled; only the first of these counts.

    `deadline_s` is what is left of the caller's patience; None: it set none. `trailers` (each from `fields.field`) go
    with the answer, be it good or bad. `on_cancel` is called if the client leaves; `on_end` in any case, with the
    HTTP status.
    """

    __slots__ = (
        "body",
        "deadline_s",
        "identity",
        "is_over",
        "metadata",
        "method",
        "on_cancel",
        "on_end",
        "request_id",
        "started_s",
        "trailers",
    )

    def __init__(
        self,
        *,
        method: str,
        metadata: Mapping[str, str | bytes],
        request_id: str,
        body: bytes = b"",
        deadline_s: float | None = None,
    ) -> None:
        self.method = method
        self.metadata = metadata
        self.request_id = request_id
        self.body = body
        self.deadline_s = deadline_s
        self.started_s = time.perf_counter()
        self.identity: Identity | None = None
        self.trailers: list[bytes] = []
        self.on_cancel: Callable[[], object] | None = None
        self.on_end: Callable[[Call, int], None] | None = None
        self.is_over = False

    def text(self, key: str) -> str:
        """Return a metadata value, or '' if it is not there."""
        value = self.metadata.get(key, "")
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else value

    def passed_on(self) -> Pairs:
        """Return what the gateway forwards as the caller sent it."""
        return tuple((key, self.text(key)) for key in PASSED_ON if self.metadata.get(key))

    def answer(self, body: bytes) -> None:
        """Send the answer."""
        if not self.is_over:
            self._end(200)
            self.send_answer(body)

    def fail(self, error: PlatformError) -> None:
        """Send an error."""
        if not self.is_over:
            self._end(error.http_status)
            self.send_error(error)

    def crash(self, error: Exception) -> None:
        """Send that the server failed: the last line of defence, so that a client always gets an answer."""
        if not self.is_over:
            log.error("grpc_call_crashed", method=self.method, request_id=self.request_id, exc_info=error)
            self.fail(PlatformError(f"the server failed: {type(error).__name__}"))

    def cancel(self) -> None:
        """Give the call up: nobody waits for an answer."""
        if self.is_over:
            return
        give_up = self.on_cancel
        self._end(CANCELLED)
        if give_up is not None:
            give_up()

    def send_answer(self, body: bytes) -> None:
        """Put the answer on the wire; the server's calls know how."""
        raise NotImplementedError

    def send_error(self, error: PlatformError) -> None:
        """Put an error on the wire; the server's calls know how."""
        raise NotImplementedError

    def _end(self, http_status: int) -> None:
        self.is_over = True
        on_end, self.on_cancel, self.on_end = self.on_end, None, None
        if on_end is not None:
            on_end(self, http_status)


CallApplication = Callable[[Call], None]

_running: set[asyncio.Task[bytes | None]] = set()  # else only the loop's weak references would keep them


def answer_later(call: Call, answering: Coroutine[Any, Any, bytes | None]) -> None:
    """Answer a call with what a coroutine returns or raises; cancelling the call cancels the coroutine.

    One that returns None has seen to the answer by itself.
    """
    task = asyncio.get_running_loop().create_task(answering)
    _running.add(task)
    call.on_cancel = task.cancel
    task.add_done_callback(functools.partial(_take_result, call))


def waiting_application(application: Callable[[Call], Awaitable[bytes]]) -> CallApplication:
    """Return an application whose calls each run in a task, for what waits for others than the engine."""

    async def answering(call: Call) -> bytes:
        return await application(call)

    return lambda call: answer_later(call, answering(call))


def _take_result(call: Call, task: asyncio.Task[bytes | None]) -> None:
    _running.discard(task)
    if task.cancelled():
        call.cancel()
        return
    error = task.exception()
    if error is None:
        answer = task.result()
        if answer is not None:
            call.answer(answer)
    elif isinstance(error, PlatformError):
        call.fail(error)
    elif isinstance(error, Exception):
        call.crash(error)
