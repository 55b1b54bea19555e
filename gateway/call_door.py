"""The predict door for gRPC: the same policy as `door.py`, on calls instead of ASGI requests."""

from __future__ import annotations

import time

from aiplatform.context import begin_request, describe_request
from aiplatform.errors import PlatformError
from aiplatform.identity import service_identity
from aiplatform.rpc.calls import AUTHORIZATION_KEY, OPEN_METHODS, PREDICT_METHODS, SERVER_LIVE, Call, CallApplication
from gateway.door import CountRequest
from gateway.identities import Identities
from gateway.limits.answers import rate_headers
from gateway.limits.limiter import Limiter
from gateway.metrics import count_request
from gateway.policy import PREDICT, admit, check_predict_scope

LIVE = b"\x08\x01"  # a message whose field 1 is true
CANCELLED = 499  # the customary status for a client that left


class CallDoor:
    """Wraps what answers gRPC calls with the gateway's policy."""

    def __init__(
        self,
        application: CallApplication,
        *,
        identities: Identities,
        limiter: Limiter,
        is_remote: bool,
        count: CountRequest = count_request,
    ) -> None:
        self._application = application
        self._identities = identities
        self._limiter = limiter
        self._is_remote = is_remote
        self._count = count

    async def __call__(self, call: Call) -> bytes:
        started_s = time.perf_counter()
        begin_request(call.request_id)
        is_open = call.method in OPEN_METHODS
        status = CANCELLED
        try:
            answer = await (self._pass_open(call) if is_open else self._pass(call))
            status = 200
            return answer
        except PlatformError as error:
            status = error.http_status
            raise
        except Exception:
            status = 500
            raise
        finally:
            self._count("health" if is_open else PREDICT, status, time.perf_counter() - started_s)

    async def _pass(self, call: Call) -> bytes:
        token = await self._identities.authenticate_async(call.text(AUTHORIZATION_KEY))
        call.identity = token.identity
        describe_request(user=token.identity.username, token_id=token.identity.token_id)
        check_predict_scope(token.identity, "POST" if call.method in PREDICT_METHODS else "GET", call.method)
        verdict, error = admit(self._limiter, token, PREDICT)
        call.trailers += ((name.lower(), value) for name, value in rate_headers(verdict))
        if error is not None:
            raise error
        return await self._application(call)

    async def _pass_open(self, call: Call) -> bytes:
        if self._is_remote and call.method == SERVER_LIVE:
            return LIVE  # it is this process that is asked
        call.identity = service_identity("gateway")
        return await self._application(call)
