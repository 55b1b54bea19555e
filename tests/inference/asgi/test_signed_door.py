"""The door of a process that serves inference alone: signed, bounded, and deaf to those who left."""

from __future__ import annotations

import asyncio
from typing import Any

from aiplatform.http.asgi_signature import RequireSignature
from aiplatform.http.codec import encode_message
from aiplatform.http.lane.head import MAY_VARY, split_head
from aiplatform.http.lane.signed import SignedLane
from aiplatform.http.signing import IDENTITY_HEADER, SIGNATURE_HEADER, sign_request
from aiplatform.identity import service_identity
from inference.asgi import PredictApplication
from inference.lane import PredictLane
from tests.inference.serving_fakes import AsgiClient, FakeEngine, LaneClient, make_loaded, make_runtime, route_of

SECRET = "a-secret-of-at-least-32-characters-for-this"
PATH = "/v1/models/double:predict"
BODY = b'{"instances": [[1, 2]]}'


def signed(body: bytes) -> dict[str, str]:
    identity = encode_message(service_identity("gateway")).decode()
    signature = sign_request(SECRET, method="POST", target=PATH, body=body, identity=identity)
    return {SIGNATURE_HEADER: signature, IDENTITY_HEADER: identity}


def test_only_signed_and_bounded_requests_come_in() -> None:
    serving = make_runtime(route_of(make_loaded(FakeEngine())))
    client = AsgiClient(RequireSignature(PredictApplication(serving), secrets=[SECRET], limit_bytes=100))
    assert client.request("POST", PATH, BODY, headers=signed(BODY)).json == {"predictions": [[2, 4]]}
    assert client.request("POST", PATH, BODY).status == 401
    assert client.request("POST", PATH, BODY + b" ", headers=signed(BODY)).status == 401
    assert client.request("POST", PATH, b" " * 101, headers=signed(b" " * 101)).status == 413
    serving.close()


def test_on_the_lane_only_what_is_signed_well_is_taken() -> None:
    serving = make_runtime(route_of(make_loaded(FakeEngine())))
    application = RequireSignature(PredictApplication(serving), secrets=[SECRET], limit_bytes=100)
    client = LaneClient(SignedLane(PredictLane(serving), secrets=["an-older-secret", SECRET]), application)
    reply = client.request("POST", PATH, BODY, headers={**signed(BODY), "X-Request-Id": "req-1"})
    assert (reply.json, reply.headers["x-request-id"], client.taken) == ({"predictions": [[2, 4]]}, "req-1", 1)
    others = {**signed(BODY), IDENTITY_HEADER: encode_message(service_identity("nobody")).decode()}
    assert client.request("POST", PATH, BODY).status == 401
    assert client.request("POST", PATH, BODY + b" ", headers=signed(BODY)).status == 401
    assert client.request("POST", PATH, BODY, headers=others).status == 401
    assert client.taken == 1
    serving.close()


def test_a_request_id_that_chooses_the_version_is_read_with_each_request() -> None:
    """A plan is made once for all heads that differ in `varying` only; it keeps the routing key."""

    def varying(routing_key_header: str) -> frozenset[bytes]:
        serving = make_runtime(route_of(make_loaded(FakeEngine())), routing_key_header=routing_key_header)
        lane = SignedLane(PredictLane(serving), secrets=[SECRET])
        raw = b"POST " + PATH.encode() + b" HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nx-request-id: r1"
        assert (split_head(raw, lane.varying) is None) == (routing_key_header == "X-Request-Id")
        serving.close()
        return lane.varying

    assert varying("X-Routing-Key") == MAY_VARY
    assert varying("X-Request-Id") == {b"x-platform-signature"}


def test_a_client_that_leaves_while_it_sends_is_forgotten() -> None:
    async def never(*_: Any) -> None:
        raise AssertionError("nothing may come through or be sent")

    async def gone() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    door = RequireSignature(never, secrets=[SECRET])
    asyncio.run(door({"type": "http", "method": "POST", "path": PATH, "headers": []}, gone, never))
