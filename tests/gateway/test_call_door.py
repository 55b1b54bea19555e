"""The gRPC door: policy before an application here, and before a server of its own elsewhere."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from aiplatform.errors import NotFoundError, QueueFullError
from aiplatform.identity import Identity, Scope
from aiplatform.rpc.calls import OPEN_METHODS, V2_SERVICE, Call, waiting_application
from aiplatform.rpc.fields import field
from aiplatform.rpc.server import CallServer
from aiplatform.rpc.signature import RequireCallSignature
from gateway.call_door import CallDoor
from gateway.discovery.pool import Pool
from gateway.forwarding.calls import CallForwarder
from gateway.identities import Identities
from gateway.limits.limiter import Limiter
from gateway.policy import PredictPolicy
from gateway.resilience.breaker import BreakerState, CircuitBreaker
from tests.gateway.support import INTERNAL_SECRET, SECRET, FakeClock, known_token
from tests.inference.calls.support import INFER, Caller, run, served

TOKEN = f"Bearer {SECRET}"
METADATA = f"{V2_SERVICE}ModelMetadata"


class Behind:
    """An inference application: remembers what reached it, and takes its time."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.raises: Exception | None = None
        self.delay_s = 0.0

    def __call__(self, call: Call) -> None:
        waiting_application(self._answer)(call)

    async def _answer(self, call: Call) -> bytes:
        self.calls.append(call)
        await asyncio.sleep(self.delay_s)
        if self.raises:
            raise self.raises
        call.trailers += [field("x-prediction-id", "p1"), field("x-model-version", "3")]
        return b"answer to " + call.body


def door(behind: Any, *tokens: Any, counted: list[Any] | None = None, is_remote: bool = False) -> CallDoor:
    return CallDoor(
        behind,
        PredictPolicy(
            identities=Identities(load=lambda: tokens or (known_token(),), clock=FakeClock()),
            limiter=Limiter(clock=FakeClock()),
            count=lambda *what: (counted if counted is not None else []).append(what),
        ),
        is_remote=is_remote,
    )


def forwarder(*addresses: str, longest_s: float = 5, failures: int = 3) -> tuple[CallForwarder, Pool]:
    pool = Pool(service="inference-grpc", new_breaker=lambda: CircuitBreaker(failures=failures, open_s=5))
    pool.set_addresses(addresses)
    return CallForwarder(pool=pool, secret=INTERNAL_SECRET, longest_s=longest_s), pool


def test_a_call_with_a_token_reaches_the_application_with_its_identity() -> None:
    behind, counted = Behind(), list[Any]()

    async def script(caller: Caller) -> None:
        assert await caller.ask(INFER, b"me", authorization=TOKEN, x_request_id="r-1") == b"answer to me"
        assert caller.trailers["x-request-id"] == "r-1"
        assert caller.trailers["x-prediction-id"] == "p1"
        assert caller.trailers["ratelimit-limit"] == "1000"

    run(script, door(behind, counted=counted))
    assert behind.calls[0].identity == Identity(username="ada", scopes=frozenset({Scope.PREDICT}), token_id="7")
    assert [(route, status) for route, status, _ in counted] == [("predict", 200)]


@pytest.mark.parametrize("metadata", [{}, {"authorization": "Bearer nonsense"}, {"authorization": "Basic x"}])
def test_without_a_known_token_the_call_is_unauthenticated(metadata: dict[str, str]) -> None:
    behind, counted = Behind(), list[Any]()

    async def script(caller: Caller) -> Any:
        return await caller.refused(INFER, b"", **metadata)

    assert run(script, door(behind, counted=counted))[0] == "UNAUTHENTICATED"
    assert behind.calls == []
    assert counted[0][:2] == ("predict", 401)


def test_the_scope_decides_and_a_monitor_token_may_read_metadata() -> None:
    async def trainer(caller: Caller) -> None:
        assert (await caller.refused(INFER, authorization=TOKEN))[0] == "PERMISSION_DENIED"
        assert (await caller.refused(METADATA, authorization=TOKEN))[0] == "PERMISSION_DENIED"

    async def monitor(caller: Caller) -> None:
        assert (await caller.refused(INFER, authorization=TOKEN))[0] == "PERMISSION_DENIED"
        assert await caller.ask(METADATA, authorization=TOKEN)

    run(trainer, door(Behind(), known_token(scopes=frozenset({Scope.TRAIN}))))
    run(monitor, door(Behind(), known_token(scopes=frozenset({Scope.MONITOR}))))


def test_past_the_limit_a_call_is_resource_exhausted_and_told_when_to_come_again() -> None:
    behind, counted = Behind(), list[Any]()

    async def script(caller: Caller) -> Any:
        for _ in range(2):
            await caller.ask(INFER, authorization=TOKEN)
        return await caller.refused(INFER, authorization=TOKEN)

    status, message, trailers = run(script, door(behind, known_token(predict="2/min"), counted=counted))
    assert (status, trailers["x-error-code"], trailers["ratelimit-remaining"]) == (
        "RESOURCE_EXHAUSTED", "rate_limited", "0",
    )  # fmt: skip
    assert "RATE_LIMIT_PREDICT" in message
    assert int(trailers["retry-after"]) > 0
    assert len(behind.calls) == 2
    assert counted[-1][:2] == ("predict", 429)


def test_health_needs_no_token_and_everything_of_a_model_does() -> None:
    counted: list[Any] = []

    async def script(caller: Caller) -> None:
        for method in OPEN_METHODS:
            await caller.ask(method)
        for name in ("ModelReady", "ModelMetadata"):
            assert (await caller.refused(f"{V2_SERVICE}{name}"))[0] == "UNAUTHENTICATED"

    run(script, door(Behind(), counted=counted))
    assert [what[0] for what in counted] == ["health"] * len(OPEN_METHODS) + ["predict"] * 2


def split(script: Any, behind: Behind, *, secret: str = INTERNAL_SECRET, longest_s: float = 5) -> Any:
    """Run a script against a gateway before an inference server of its own."""

    async def go() -> Any:
        async with served(RequireCallSignature(behind, secrets=[secret])) as inference:
            ahead, pool = forwarder(inference.address, longest_s=longest_s)
            async with served(door(waiting_application(ahead), is_remote=True)) as caller:
                result = await script(caller, pool)
            await ahead.close()
            return result

    return asyncio.run(go())


def test_a_gateway_alone_passes_calls_on_with_identity_request_id_and_deadline() -> None:
    behind = Behind()

    async def script(caller: Caller, pool: Pool) -> None:
        answer = await caller.ask(INFER, b"me", timeout_s=3, authorization=TOKEN, x_request_id="r-1")
        assert answer == b"answer to me"
        assert (caller.trailers["x-prediction-id"], caller.trailers["x-model-version"]) == ("p1", "3")
        assert caller.trailers["x-request-id"] == "r-1"

    split(script, behind)
    call = behind.calls[0]
    assert call.identity == Identity(username="ada", scopes=frozenset({Scope.PREDICT}), token_id="7")
    assert call.request_id == "r-1"
    assert call.deadline_s is not None
    assert 0 < call.deadline_s < 3.5  # gRPC rounds it up on the wire
    assert "authorization" not in call.metadata


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotFoundError("no model is served under the name 'x'"), "NOT_FOUND"),
        (QueueFullError("full", limit="rows", value=1, setting="S", retry_after_s=3), "RESOURCE_EXHAUSTED"),
    ],
)
def test_an_error_from_behind_keeps_its_status_message_and_hint(error: Any, status: str) -> None:
    behind = Behind()
    behind.raises = error
    error.model_version = 3

    async def script(caller: Caller, pool: Pool) -> Any:
        refused = await caller.refused(INFER, authorization=TOKEN)
        assert pool.backends[0].breaker.state is BreakerState.CLOSED
        return refused

    found, message, trailers = split(script, behind)
    assert (found, message, trailers["x-error-code"]) == (status, error.message, error.code)
    assert trailers["x-model-version"] == "3", "the one that failed"
    assert trailers.get("retry-after") == ("3" if status == "RESOURCE_EXHAUSTED" else None)
    assert len(behind.calls) == 1


def test_a_wrong_secret_is_refused_by_the_inference_server() -> None:
    behind = Behind()

    async def script(caller: Caller, pool: Pool) -> Any:
        return await caller.refused(INFER, authorization=TOKEN)

    assert split(script, behind, secret="another-secret-of-at-least-32-characters")[0] == "UNAUTHENTICATED"
    assert behind.calls == []


def test_an_unsigned_call_does_not_reach_inference_and_health_does() -> None:
    behind = Behind()

    async def script(caller: Caller) -> None:
        assert (await caller.refused(INFER, authorization=TOKEN))[0] == "UNAUTHENTICATED"
        assert await caller.ask(f"{V2_SERVICE}ServerReady")

    run(script, RequireCallSignature(behind, secrets=[INTERNAL_SECRET]))
    assert [call.method for call in behind.calls] == [f"{V2_SERVICE}ServerReady"]


def test_what_takes_longer_than_the_gateway_waits_is_past_its_deadline() -> None:
    behind = Behind()
    behind.delay_s = 60

    async def script(caller: Caller, pool: Pool) -> Any:
        started_s = time.monotonic()
        refused = await caller.refused(INFER, authorization=TOKEN)
        return (*refused, time.monotonic() - started_s)

    status, message, _, took_s = split(script, behind, longest_s=0.3)
    assert (status, "GATEWAY_PREDICT_TIMEOUT_S" in message) == ("DEADLINE_EXCEEDED", True)
    assert took_s < 30


def test_an_address_that_is_down_is_passed_over_then_left_alone() -> None:
    async def go() -> None:
        async with served(RequireCallSignature(Behind(), secrets=[INTERNAL_SECRET])) as inference:
            gone = CallServer(Behind(), bind="127.0.0.1:0", max_message_bytes=1000)
            await gone.start()
            await gone.stop(0)
            ahead, pool = forwarder(f"127.0.0.1:{gone.port}", inference.address, failures=2)
            async with served(door(waiting_application(ahead), is_remote=True)) as caller:
                for _ in range(6):
                    assert await caller.ask(INFER, b"x", authorization=TOKEN) == b"answer to x"
            assert [b.breaker.state for b in pool.backends] == [BreakerState.OPEN, BreakerState.CLOSED]
            await ahead.close()

    asyncio.run(go())


def test_with_no_address_up_a_call_is_unavailable_and_the_gateway_is_still_live() -> None:
    async def go() -> None:
        gone = CallServer(Behind(), bind="127.0.0.1:0", max_message_bytes=1000)
        await gone.start()
        await gone.stop(0)
        ahead, _ = forwarder(f"127.0.0.1:{gone.port}")
        async with served(door(waiting_application(ahead), is_remote=True)) as caller:
            status, _, trailers = await caller.refused(INFER, authorization=TOKEN)
            assert (status, trailers["retry-after"]) == ("UNAVAILABLE", "1")
            assert await caller.ask(f"{V2_SERVICE}ServerLive") == b"\x08\x01"
        await ahead.close()

    asyncio.run(go())


def test_a_gateway_alone_passes_trace_and_subject_on_and_no_other_metadata() -> None:
    behind = Behind()

    async def script(caller: Caller, pool: Pool) -> None:
        await caller.ask(INFER, b"x", authorization=TOKEN, traceparent="00-1-2-3", x_subject_id="ada", x_other="no")

    split(script, behind)
    metadata = behind.calls[0].metadata
    assert (metadata["traceparent"], metadata["x-subject-id"]) == ("00-1-2-3", "ada") and "x-other" not in metadata
