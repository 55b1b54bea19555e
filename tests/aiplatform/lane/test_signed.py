"""A serving process without a gateway: a plan that is known again lets nobody in without a signature of his own."""

from __future__ import annotations

import asyncio

from aiplatform.http.codec import encode_message
from aiplatform.http.lane.signed import SignedLane
from aiplatform.http.signing import sign_request
from aiplatform.identity import Identity, Scope
from tests.aiplatform.lane.line import lane_server, post, read_answer

SECRET = "a-secret-of-at-least-32-characters-for-this"
ADA, EVE = (
    encode_message(Identity(username=name, scopes=frozenset({Scope.PREDICT}))).decode() for name in ("ada", "eve")
)


def signed(body: bytes, *, signs: bytes | None = None, identity: str = ADA, signer: str = ADA) -> bytes:
    signature = sign_request(
        SECRET, method="POST", target="/v1/lane", body=body if signs is None else signs, identity=signer
    )
    return post(
        body,
        b"x-platform-identity: " + identity.encode(),
        b"x-request-id: r-%d" % len(body),
        b"x-platform-signature: " + signature.encode(),
    )


def test_each_request_needs_a_signature_of_its_own() -> None:
    async def ask(*requests: bytes) -> list[bytes]:
        async with lane_server(before=lambda handler: SignedLane(handler, secrets=[SECRET])) as served:
            reader, writer = await served.connect()
            answers = []
            for request in requests:
                writer.write(request)
                answers.append((await read_answer(reader))[1])
            return answers

    async def main() -> None:
        unsigned = post(b"bb", b"x-platform-identity: " + ADA.encode(), b"x-request-id: r-2")
        answers = await ask(
            signed(b"aa"),
            signed(b"bb"),
            unsigned,
            signed(b"cc", signs=b"aa"),
            signed(b"dd", identity=EVE),
            signed(b"ee", identity=EVE, signer=EVE),
            signed(b"ff"),
        )
        assert answers == [b"lane:aa", b"lane:bb", b"app:bb", b"app:cc", b"app:dd", b"lane:ee", b"lane:ff"]

    asyncio.run(asyncio.wait_for(main(), 30))
