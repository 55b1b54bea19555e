"""The predict door for gRPC: the same policy as `door.py`, on calls instead of ASGI requests."""

from __future__ import annotations

import math
import time

from aiplatform.context import begin_request
from aiplatform.identity import service_identity
from aiplatform.rpc.calls import (
    AUTHORIZATION_KEY,
    OPEN_METHODS,
    PREDICT_METHODS,
    SERVER_LIVE,
    Call,
    CallApplication,
    answer_later,
)
from aiplatform.rpc.fields import field, repeated_field
from gateway.identities import KnownToken
from gateway.limits.window import Verdict
from gateway.policy import PredictPolicy

KNOWN_DIGESTS = 1024
LIVE = b"\x08\x01"  # a message whose field 1 is true


class CallDoor:
    """Wraps what answers gRPC calls with the gateway's policy."""

    def __init__(self, application: CallApplication, policy: PredictPolicy, *, is_remote: bool) -> None:
        self._application = application
        self._policy = policy
        self._is_remote = is_remote
        self._digests: dict[str, str] = {}  # by Authorization, which clients repeat

    def __call__(self, call: Call) -> None:
        if call.method in OPEN_METHODS:
            call.on_end = self._count_health
            self._pass_open(call)
            return
        call.on_end = self._count_predict
        authorization = call.text(AUTHORIZATION_KEY)
        token = self._policy.identities.find(self._digest(authorization))
        if token is None:
            answer_later(call, self._look_up(call, authorization))
        else:
            self._pass(call, token)

    def _digest(self, authorization: str) -> str:
        digest = self._digests.get(authorization)
        if digest is None:
            digest = self._policy.identities.digest(authorization)
            if len(self._digests) >= KNOWN_DIGESTS:
                self._digests.clear()
            self._digests[authorization] = digest
        return digest

    async def _look_up(self, call: Call, authorization: str) -> None:
        begin_request(call.request_id)
        self._pass(call, await self._policy.identities.authenticate_async(authorization))

    def _pass(self, call: Call, token: KnownToken) -> None:
        identity = call.identity = token.identity
        begin_request(call.request_id, user=identity.username, token_id=identity.token_id)
        verdict, error = self._policy.admit(token, "POST" if call.method in PREDICT_METHODS else "GET", call.method)
        call.trailers += _rate_fields(verdict)
        if error is not None:
            raise error
        self._application(call)

    def _pass_open(self, call: Call) -> None:
        begin_request(call.request_id)
        if self._is_remote and call.method == SERVER_LIVE:
            call.answer(LIVE)  # it is this process that is asked
            return
        call.identity = service_identity("gateway")
        self._application(call)

    def _count_predict(self, call: Call, http_status: int) -> None:
        self._policy.note(http_status, time.perf_counter() - call.started_s)

    def _count_health(self, call: Call, http_status: int) -> None:
        self._policy.note_health(http_status, time.perf_counter() - call.started_s)


def _rate_fields(verdict: Verdict) -> tuple[bytes, ...]:
    """Return what REST's headers say of the limit, as metadata."""
    limit = verdict.limit
    return (
        repeated_field("ratelimit-limit", str(limit)),
        field("ratelimit-remaining", str(verdict.remaining)),
        field("ratelimit-reset", str(math.ceil(verdict.reset_s))),
        repeated_field("ratelimit-policy", f"{limit};w={verdict.rate.window_s}"),
    )
