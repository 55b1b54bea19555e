"""The gRPC server of one serving process: grpcio's asyncio server in the process's own event loop.

Measured against grpcio's thread pool in docs/decisions/grpc-server.md. Every worker process binds the
same port (SO_REUSEPORT), and the system shares new connections between them.
"""

from __future__ import annotations

from typing import Any

import grpc
import grpc.aio
import structlog

from aiplatform.context import choose_request_id
from aiplatform.errors import MethodNotAllowedError, PlatformError
from aiplatform.rpc.calls import REQUEST_ID_KEY, SERVICES, Call, CallApplication
from aiplatform.rpc.statuses import details_of, status_of, trailers_of

log = structlog.get_logger(__name__)

STREAMING = "/inference.GRPCInferenceService/ModelStreamInfer"
_PING_INTERVAL_MS = 10_000
_CONNECTION_AGE_MS = 600_000  # then a client connects anew, and so finds replicas that came later
_CONNECTION_GRACE_MS = 120_000


class CallServer:
    """Listens on one address, and gives every unary call to an application."""

    def __init__(self, application: CallApplication, *, bind: str, max_message_bytes: int) -> None:
        self._bind = bind
        options = [
            ("grpc.so_reuseport", 1),
            ("grpc.max_receive_message_length", max_message_bytes),  # of what is left after decompression, too
            ("grpc.max_send_message_length", -1),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_ping_interval_without_data_ms", _PING_INTERVAL_MS),
            ("grpc.max_connection_age_ms", _CONNECTION_AGE_MS),
            ("grpc.max_connection_age_grace_ms", _CONNECTION_GRACE_MS),
        ]
        self._server = grpc.aio.server(options=options, handlers=(_Handlers(application),))
        self.port = 0

    async def start(self) -> None:
        """Begin to listen; `port` says where, should the address leave it open.

        Raises: RuntimeError if the address cannot be bound.
        """
        self.port = self._server.add_insecure_port(self._bind)
        await self._server.start()
        log.info("grpc_started", bind=self._bind, port=self.port)

    async def stop(self, grace_s: float) -> None:
        """Take no new calls, and wait for those there are, at most `grace_s` seconds."""
        await self._server.stop(grace_s)


class _Handlers(grpc.GenericRpcHandler):
    """Finds the handler of a method by its name alone: messages stay bytes here."""

    def __init__(self, application: CallApplication) -> None:
        self._application = application
        self._known: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            STREAMING: grpc.stream_stream_rpc_method_handler(_refuse_stream)
        }

    def service(self, details: Any) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Return the handler; None, which grpc answers with UNIMPLEMENTED, for services that are not ours."""
        method = details.method
        known = self._known.get(method)
        if known is not None or not method.startswith(SERVICES) or len(method) > 200:
            return known
        handler: grpc.RpcMethodHandler[Any, Any] = grpc.unary_unary_rpc_method_handler(
            _unary(self._application, method)
        )
        if len(self._known) < 100:  # callers may invent names without end
            self._known[method] = handler
        return handler


def _unary(application: CallApplication, method: str) -> Any:
    async def answer(body: bytes, context: Any) -> bytes:
        metadata = dict(context.invocation_metadata() or ())
        call = Call(
            method=method,
            body=body,
            metadata=metadata,
            request_id=choose_request_id(str(metadata.get(REQUEST_ID_KEY, ""))),
            deadline_s=context.time_remaining(),
        )
        call.trailers.append((REQUEST_ID_KEY, call.request_id))
        try:
            result = await application(call)
        except PlatformError as error:
            await _abort(context, call, error)
            raise
        except Exception as error:  # the last line of defence: a client always gets an answer
            log.exception("grpc_call_crashed", method=call.method, request_id=call.request_id)
            await _abort(context, call, PlatformError(f"the server failed: {type(error).__name__}"))
            raise
        context.set_trailing_metadata(tuple(call.trailers))
        return result

    return answer


async def _abort(context: Any, call: Call, error: PlatformError) -> None:
    log.info(
        "grpc_call_failed",
        method=call.method,
        code=error.code,
        error=details_of(error),
        request_id=call.request_id,
        username=call.identity.username if call.identity else "",
    )
    await context.abort(status_of(error), details_of(error), (*call.trailers, *trailers_of(error)))


async def _refuse_stream(requests: Any, context: Any) -> None:
    error = MethodNotAllowedError("ModelStreamInfer is not served: ask with ModelInfer, one answer a request")
    await context.abort(status_of(error), details_of(error), trailers_of(error))
