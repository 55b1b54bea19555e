"""gRPC calls to an inference service elsewhere; messages stay bytes on their way."""

from __future__ import annotations

import itertools
import time
from typing import Any

import grpc
import grpc.aio
import structlog

from aiplatform.errors import DeadlineExceededError, PlatformError, UnavailableError
from aiplatform.rpc.calls import ERROR_CODE_KEY, REQUEST_ID_KEY, Call
from aiplatform.rpc.fields import field
from aiplatform.rpc.signature import sign_call
from aiplatform.rpc.statuses import Status, error_from_status
from gateway.discovery.pool import Backend, Pool

log = structlog.get_logger(__name__)

ATTEMPTS = 3
# Each worker process at an address has connections of its own, so that one channel would reach one worker.
CHANNELS = 8
CALLERS_SETTING = "the call's deadline"
_SENT_BACK = ("x-prediction-id", "x-model-version")


class CallForwarder:
    """Answers gRPC calls by asking the inference service; raises the errors that it answers."""

    def __init__(self, *, pool: Pool, secret: str, longest_s: float) -> None:
        self._pool = pool
        self._secret = secret
        self._longest_s = longest_s
        self._channels: dict[str, itertools.cycle[grpc.aio.Channel]] = {}

    async def __call__(self, call: Call) -> bytes:
        wait_s = self._longest_s if call.deadline_s is None else min(call.deadline_s, self._longest_s)
        ends_at_s = time.monotonic() + wait_s
        metadata = ((REQUEST_ID_KEY, call.request_id), *sign_call(self._secret, call), *call.passed_on())
        tried: list[Backend] = []
        while True:
            left_s = ends_at_s - time.monotonic()
            if left_s <= 0:
                raise self._too_late(wait_s)
            backend = self._pool.pick(avoid=tried)
            try:
                return await self._ask(backend, call, metadata, left_s)
            except _UnreachableError as error:
                tried.append(backend)
                log.warning("address_failed", service=self._pool.service, address=backend.address, error=str(error))
                if len(tried) == min(ATTEMPTS, len(self._pool.backends)):
                    raise UnavailableError(f"'inference' cannot be reached over gRPC: {error}") from error
            except TimeoutError as error:
                raise self._too_late(wait_s) from error

    async def close(self) -> None:
        """Close the connections."""
        channels = {id(c): c for cycle in self._channels.values() for c in itertools.islice(cycle, CHANNELS)}
        self._channels.clear()
        for channel in channels.values():
            await channel.close()

    async def _ask(self, backend: Backend, call: Call, metadata: Any, left_s: float) -> bytes:
        backend.in_flight += 1
        try:
            asked: Any = self._method(backend.address, call.method)(call.body, timeout=left_s, metadata=metadata)
            answer: bytes = await asked
            trailers = dict(await asked.trailing_metadata())
        except grpc.aio.AioRpcError as error:
            raise self._read_error(backend, error, left_s) from error
        finally:
            backend.in_flight -= 1
        backend.breaker.record_success()
        call.trailers += (field(key, str(trailers[key])) for key in _SENT_BACK if key in trailers)
        return answer

    def _read_error(self, backend: Backend, error: grpc.aio.AioRpcError, left_s: float) -> Exception:
        trailers = {str(key): str(value) for key, value in (error.trailing_metadata() or ())}
        status, details = error.code(), error.details() or ""
        if ERROR_CODE_KEY not in trailers:
            if status is grpc.StatusCode.UNAVAILABLE:
                backend.breaker.record_failure()
                return _UnreachableError(details)
            if status is grpc.StatusCode.DEADLINE_EXCEEDED:
                if left_s >= self._longest_s / 2:  # an impatient caller says nothing about the address
                    backend.breaker.record_failure()
                return TimeoutError(details)
        backend.breaker.record_success()
        return error_from_status(Status[status.name], details, trailers)

    def _method(self, address: str, method: str) -> Any:
        return self._channel(address).unary_unary(method)  # no serializer: bytes in, bytes out

    def _channel(self, address: str) -> grpc.aio.Channel:
        channels = self._channels.get(address)
        if channels is None:
            made = [grpc.aio.insecure_channel(address, options=_OPTIONS) for _ in range(CHANNELS)]
            channels = self._channels[address] = itertools.cycle(made)
        return next(channels)

    def _too_late(self, wait_s: float) -> PlatformError:
        source = CALLERS_SETTING if wait_s < self._longest_s else "GATEWAY_PREDICT_TIMEOUT_S"
        return DeadlineExceededError(
            f"'inference' did not answer within {wait_s * 1000:.0f} ms, the limit set by {source}",
            limit="forwarding deadline",
            value=round(wait_s, 3),
            setting=source,
        )


class _UnreachableError(Exception):
    """An address could not be reached; another may be tried, since a prediction changes only statistics."""


_OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),  # else all channels to an address share one connection
    ("grpc.lb_policy_name", "round_robin"),  # over all that the name stands for
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.keepalive_time_ms", 30_000),
)
