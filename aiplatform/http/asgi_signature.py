"""The door of a serving process without a gateway: only signed requests come in."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from typing import Any

from aiplatform.contracts.predict import IDENTITY_STATE
from aiplatform.errors import PlatformError
from aiplatform.http.asgi_body import (
    CLOSE,
    BodyWatch,
    ClientDisconnectedError,
    header,
    read_body,
    replay_body,
    send_error,
)
from aiplatform.http.codec import decode_message
from aiplatform.http.signing import IDENTITY_HEADER, SIGNATURE_HEADER, canonical_target, verify_request
from aiplatform.identity import Identity
from aiplatform.wiring import AsgiApplication, Receive, Scope, Send


class RequireSignature:
    """Verify the signature, put the identity into the scope's state, and go on."""

    def __init__(self, application: AsgiApplication, *, secrets: Sequence[str], limit_bytes: int | None = None) -> None:
        self._application = application
        self._secrets = secrets
        self._limit_bytes = limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        watched = BodyWatch(receive)
        try:
            body = await read_body(watched, limit_bytes=self._limit_bytes)
            identity = self._verified_identity(scope, body)
        except ClientDisconnectedError:
            return
        except PlatformError as error:
            await send_error(send, error, headers=() if await watched.finish() else CLOSE)
            return
        state: MutableMapping[str, Any] = scope.setdefault("state", {})
        state[IDENTITY_STATE] = identity
        await self._application(scope, replay_body(body, receive), send)

    def _verified_identity(self, scope: Scope, body: bytes) -> Identity:
        raw_identity = header(scope, IDENTITY_HEADER)
        verify_request(
            self._secrets,
            header(scope, SIGNATURE_HEADER),
            method=scope["method"],
            target=canonical_target(scope["path"], scope["query_string"].decode("latin-1")),
            body=body,
            identity=raw_identity,
        )
        return decode_message(raw_identity.encode(), Identity)
