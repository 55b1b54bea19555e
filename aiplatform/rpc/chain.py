"""Who stands before the gRPC protocols in this process, and when the server runs.

gateway and inference together: policy, then the engine, in one call.
gateway alone:                  policy, then over gRPC to INFERENCE_GRPC_URL.
inference alone:                signed calls only (they come from a gateway).
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from django.conf import settings

from aiplatform.errors import InvalidConfigurationError
from aiplatform.roles import GATEWAY, INFERENCE
from aiplatform.rpc.calls import CallApplication
from aiplatform.rpc.listening import held
from aiplatform.rpc.signature import RequireCallSignature
from aiplatform.rpc.tls import server_tls
from aiplatform.wiring import Lifespan, wiring

if TYPE_CHECKING:
    from aiplatform.rpc.server import CallServer

DRAIN_SHARE = 0.2  # of GRACEFUL_STOP_S, for the calls under way at the end


def grpc_lifespans() -> list[Lifespan]:
    """Return what serves gRPC here: nothing, unless GRPC_BIND is set and a role answers predictions."""
    if not settings.GRPC_BIND or not settings.ROLES & {GATEWAY, INFERENCE}:
        return []
    door = _GrpcDoor()
    return [Lifespan(name="grpc", start=door.start, stop=door.stop)]


def require_free_port() -> None:
    """Raise InvalidConfigurationError if another process listens on GRPC_BIND, or its TLS cannot be set up.

    The workers share the port among them, so they would share it with a stranger without a word.
    """
    if not grpc_lifespans():
        return
    host, _, port = settings.GRPC_BIND.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        server_tls(settings.GRPC_TLS_CERT, settings.GRPC_TLS_KEY)
        socket.create_server((host.strip("[]"), int(port)), family=family).close()
    except (OSError, ValueError) as error:
        raise InvalidConfigurationError(f"GRPC_BIND: {settings.GRPC_BIND} cannot be listened on: {error}") from error


def build_call_chain() -> CallApplication:
    """Return what answers gRPC calls here.

    Raises: InvalidConfigurationError if an app of this process announced nothing for it.
    """
    backend = _local_backend()
    if GATEWAY in settings.ROLES:
        if wiring.call_door is None:
            raise InvalidConfigurationError("the gateway app announced no gRPC door")
        return wiring.call_door(backend)
    if backend is None:
        raise InvalidConfigurationError("this process is neither a gateway nor does it hold inference")
    return RequireCallSignature(backend, secrets=settings.INTERNAL_SECRETS)


def _local_backend() -> CallApplication | None:
    if INFERENCE not in settings.ROLES:
        return None
    if wiring.call_application is None:
        raise InvalidConfigurationError("the inference app announced no gRPC application")
    return wiring.call_application()


class _GrpcDoor:
    """The server between the start and the end of the process."""

    _server: CallServer | None = None

    async def start(self) -> None:
        from aiplatform.rpc.server import CallServer

        self._server = CallServer(
            build_call_chain(),
            bind=settings.GRPC_BIND,
            max_message_bytes=settings.MAX_BODY_BYTES,
            listening=held.take_own(),
            tls=server_tls(settings.GRPC_TLS_CERT, settings.GRPC_TLS_KEY),
        )
        await self._server.start()

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(settings.GRACEFUL_STOP_S * DRAIN_SHARE)
