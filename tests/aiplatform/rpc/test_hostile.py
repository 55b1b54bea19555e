"""Clients that break the rules, or keep to them and do harm: each ends its own connection, with the standard's code."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import weakref
from pathlib import Path

import pytest
from hpack import Encoder
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aiplatform.rpc import control, frames
from aiplatform.rpc.connection import Connection
from aiplatform.rpc.frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    ErrorCode,
    frame_head,
)
from tests.aiplatform.rpc.support import INFER, SLOW, Echo, h2_client, raw_client, run, serving, until

PSEUDO = [(":method", "POST"), (":scheme", "http"), (":authority", "here")]


def block(path: str = INFER, **extra: str) -> bytes:
    """Return a header block that leaves the table alone."""
    pairs = [*PSEUDO, (":path", path), ("content-type", "application/grpc"), ("te", "trailers"), *extra.items()]
    return Encoder().encode([(name, value, True) for name, value in pairs])  # True: sensitive, so never indexed


def frame(kind: int, payload: bytes = b"", *, flags: int = 0, stream: int = 0) -> bytes:
    return frame_head(kind, len(payload), flags, stream) + payload


def request(stream: int, path: str = INFER, *, flags: int = END_HEADERS) -> bytes:
    return frame(HEADERS, block(path), flags=flags, stream=stream)


def number(value: int) -> bytes:
    return value.to_bytes(4, "big")


def last_words(*sent: bytes, greets: bool = True) -> tuple[ErrorCode, str]:
    """Return how the server ends a connection on which this was sent; it must go on serving others."""

    async def script() -> tuple[ErrorCode, str]:
        async with serving(Echo(), max_message_bytes=1000) as server, h2_client(server) as other:
            async with raw_client(server) as client:
                if greets:
                    await client.greet()
                await client.send(*sent)
                words = await client.last_words()
            assert (await other.ask(INFER, b"x")).status == "0"
            await until(lambda: server.connections == 1)
            return words

    found: tuple[ErrorCode, str] = run(script)
    return found


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(DATA, b"x", stream=1), ErrorCode.PROTOCOL_ERROR),
        (frame(DATA, b"x", stream=0), ErrorCode.PROTOCOL_ERROR),
        (request(2), ErrorCode.PROTOCOL_ERROR),
        (request(0), ErrorCode.PROTOCOL_ERROR),
        (frame(HEADERS, b"\xff" * 40, flags=END_HEADERS, stream=1), ErrorCode.COMPRESSION_ERROR),
        (frame(HEADERS, b"\xff", flags=END_HEADERS | PADDED, stream=1), ErrorCode.PROTOCOL_ERROR),
        (frame(HEADERS, b"", flags=END_HEADERS | PADDED, stream=1), ErrorCode.FRAME_SIZE_ERROR),
        (request(1) + frame(DATA, b"\x09ab", flags=PADDED, stream=1), ErrorCode.PROTOCOL_ERROR),
        (request(1, flags=0) + frame(PING, b"12345678"), ErrorCode.PROTOCOL_ERROR),
        (request(1, flags=0) + frame(DATA, b"x", stream=1), ErrorCode.PROTOCOL_ERROR),
        (request(1, flags=0) + frame(CONTINUATION, b"", stream=3), ErrorCode.PROTOCOL_ERROR),
        (frame(CONTINUATION, b"", stream=1), ErrorCode.PROTOCOL_ERROR),
        (frame(PUSH_PROMISE, b"12345678", stream=1), ErrorCode.PROTOCOL_ERROR),
        (frame(SETTINGS, b"12345"), ErrorCode.FRAME_SIZE_ERROR),
        (frame(SETTINGS, b"123456", flags=1), ErrorCode.FRAME_SIZE_ERROR),
        (frame(SETTINGS, stream=1), ErrorCode.PROTOCOL_ERROR),
        (frame(SETTINGS, b"\0\4\xff\xff\xff\xff"), ErrorCode.FLOW_CONTROL_ERROR),
        (frame(PING, b"1234567"), ErrorCode.FRAME_SIZE_ERROR),
        (frame(PING, b"12345678", stream=1), ErrorCode.PROTOCOL_ERROR),
        (frame(GOAWAY, b"12345678", stream=1), ErrorCode.PROTOCOL_ERROR),
        (frame(RST_STREAM, number(8), stream=1), ErrorCode.PROTOCOL_ERROR),
        (frame(RST_STREAM, b"123", stream=1), ErrorCode.FRAME_SIZE_ERROR),
        (frame(PRIORITY, b"12345"), ErrorCode.PROTOCOL_ERROR),
        (frame(WINDOW_UPDATE, number(0)), ErrorCode.PROTOCOL_ERROR),
        (frame(WINDOW_UPDATE, number(2**31 - 1)), ErrorCode.FLOW_CONTROL_ERROR),
        (frame(WINDOW_UPDATE, number(1), stream=7), ErrorCode.PROTOCOL_ERROR),
        (frame_head(DATA, 2**20, 0, 1), ErrorCode.FRAME_SIZE_ERROR),
        (frame(HEADERS, block(x_large="v" * 20_000), flags=END_HEADERS, stream=1), ErrorCode.ENHANCE_YOUR_CALM),
    ],
)
def test_what_breaks_the_standard_ends_the_connection_with_its_code(sent: bytes, code: ErrorCode) -> None:
    assert last_words(sent)[0] is code


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: here\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 40,
        frames.PREFACE + frame(PING, b"12345678"),
    ],
    ids=["HTTP/1.1", "TLS", "no settings first"],
)
def test_what_is_not_http2_is_told_so(sent: bytes) -> None:
    assert last_words(sent, greets=False)[0] is ErrorCode.PROTOCOL_ERROR


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (request(1) + frame(WINDOW_UPDATE, number(0), stream=1), ErrorCode.PROTOCOL_ERROR),
        (request(1) + frame(WINDOW_UPDATE, number(2**31 - 1), stream=1), ErrorCode.FLOW_CONTROL_ERROR),
        (request(1, SLOW, flags=END_HEADERS) + request(1), ErrorCode.PROTOCOL_ERROR),
        (frame(HEADERS, Encoder().encode([(":path", "/x")]), flags=END_HEADERS, stream=1), ErrorCode.PROTOCOL_ERROR),
        (
            request(1, SLOW) + frame(DATA, b"\0\0\0\0\1x", flags=END_STREAM, stream=1) + frame(DATA, b"more", stream=1),
            ErrorCode.STREAM_CLOSED,
        ),
    ],
    ids=["window of nothing", "window too large", "headers twice", "malformed", "data behind the end"],
)
def test_what_breaks_the_standard_on_one_stream_ends_that_stream_alone(sent: bytes, code: ErrorCode) -> None:
    async def script() -> None:
        async with serving(Echo()) as server, raw_client(server) as client:
            await client.greet()
            await client.send(sent, request(3), frame(DATA, b"\0\0\0\0\1y", flags=END_STREAM, stream=3))
            await client.send(frame(WINDOW_UPDATE, number(0)))  # so that the server ends what is read
            found = await client.frames()
            resets = [
                (stream, int.from_bytes(payload, "big")) for kind, _, stream, payload in found if kind == RST_STREAM
            ]
            assert resets == [(1, code)]
            assert any(kind == DATA and stream == 3 and payload.endswith(b"y") for kind, _, stream, payload in found)

    run(script)


@pytest.mark.parametrize(
    ("name", "piece", "count"),
    [
        ("pings", frame(PING, b"12345678"), 1200),
        ("settings", frame(SETTINGS), 1200),
        ("priorities", frame(PRIORITY, b"12345", stream=1), 1200),
        ("unknown frames", frame(200, b"x"), 1200),
        ("window updates", frame(WINDOW_UPDATE, number(1)), 1200),
        ("empty data", request(1) + frame(DATA, stream=1) * 1200, 1),
        ("data in bytes", request(1) + frame(DATA, b"\0", stream=1) * 4 + frame(DATA, b"x", stream=1) * 1200, 1),
    ],
)  # fmt: skip
def test_a_flood_of_frames_that_bring_nothing_is_cut_off(name: str, piece: bytes, count: int) -> None:
    if name == "data in bytes":
        piece = request(1) + frame(DATA, b"\0\0\0\3\xe8", stream=1) + frame(DATA, b"x", stream=1) * 990
        piece += request(3) + frame(DATA, b"\0\0\0\3\xe8", stream=3) + frame(DATA, b"x", stream=3) * 990
    assert last_words(piece * count)[0] is ErrorCode.ENHANCE_YOUR_CALM


def test_a_rapid_reset_is_cut_off_and_leaves_no_work_behind() -> None:
    async def script() -> None:
        echo = Echo()
        async with serving(echo) as server, raw_client(server) as client:
            await client.greet()
            for stream in range(1, 4001, 2):
                call = request(stream, SLOW) + frame(DATA, b"\0\0\0\0\1x", flags=END_STREAM, stream=stream)
                await client.send(call, frame(RST_STREAM, number(8), stream=stream))
            code, reason = await client.last_words()
            assert (code, "given up" in reason) == (ErrorCode.ENHANCE_YOUR_CALM, True)
            await until(lambda: server.connections == 0)
            assert len(echo.calls) < 1200
            assert [status for _, status in echo.ended] == [499] * len(echo.calls)

    run(script)


@pytest.mark.parametrize("piece", [b"", b"x" * 4000])
def test_a_header_block_without_end_is_cut_off(piece: bytes) -> None:
    sent = request(1, flags=0) + frame(CONTINUATION, piece, stream=1) * 1000
    assert last_words(sent)[0] is ErrorCode.ENHANCE_YOUR_CALM


def test_an_honest_client_with_a_ping_and_two_updates_a_call_is_not_taken_for_a_flood() -> None:
    async def script() -> None:
        async with serving(Echo()) as server, h2_client(server) as client:
            for _ in range(600):
                client.h2.ping(b"12345678")
                assert (await client.ask(INFER, b"x" * 2000)).status == "0"

    run(script)


def test_slow_clients_are_ended_each_by_its_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aiplatform.rpc.server.CARE_S", 0.02)
    monkeypatch.setattr(control, "HANDSHAKE_S", 0.2)
    monkeypatch.setattr(control, "STALLED_S", 0.3)

    async def script() -> None:
        async with serving(Echo()) as server:
            async with raw_client(server) as silent, raw_client(server) as half, raw_client(server) as slow:
                await half.greet()
                await half.send(request(1, flags=0))
                await slow.greet()
                await slow.send(request(1), frame(DATA, b"\0\0\0\0\5ab", stream=1))
                assert (await silent.last_words())[0] is ErrorCode.ENHANCE_YOUR_CALM
                assert (await half.last_words())[0] is ErrorCode.ENHANCE_YOUR_CALM
                await asyncio.sleep(0.5)
                await slow.send(frame(WINDOW_UPDATE, number(0)))
                kinds = [(kind, stream) for kind, _, stream, _ in await slow.frames()]
                assert (HEADERS, 1) in kinds
                assert (RST_STREAM, 1) in kinds
            await until(lambda: server.connections == 0)

    run(script)


def test_a_client_that_takes_no_answers_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aiplatform.rpc.server.CARE_S", 0.02)
    monkeypatch.setattr(control, "STALLED_S", 0.3)

    async def script() -> None:
        async with serving(Echo()) as server, h2_client(server, window=10, grows=False) as client:
            await client.send(INFER, b"x" * 100)
            await until(lambda: server.connections == 1)
            await until(lambda: server.connections == 0)

    run(script)


def test_answers_that_are_not_taken_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aiplatform.rpc.connection.CONNECTION_WINDOW", 0)

    async def script() -> None:
        async with (
            serving(Echo(), max_message_bytes=1000) as server,
            h2_client(server, window=0, grows=False) as client,
        ):
            ids = [await client.send(INFER, b"x" * 900) for _ in range(4)]
            assert (await client.answer(ids[3])).reset == ErrorCode.ENHANCE_YOUR_CALM
            client.h2.increment_flow_control_window(1000, ids[0])
            await client.flush()
            assert (await client.answer(ids[0])).status == "0"

    run(script)


def test_messages_that_are_not_whole_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aiplatform.rpc.connection.CONNECTION_WINDOW", 0)

    async def script() -> None:
        async with serving(Echo(), max_message_bytes=10_000) as server, h2_client(server) as client:
            ids = [await client.send(INFER, b"x" * 8000, ends=False) for _ in range(3)]
            refused = await client.answer(ids[2])
            assert (refused.status, "unfinished" in refused.headers["grpc-message"]) == ("8", True)
            client.h2.end_stream(ids[0])
            await client.flush()
            assert (await client.answer(ids[0])).status == "0"

    run(script)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=60),
            st.builds(
                lambda kind, payload, flags, stream: frame(kind, payload, flags=flags, stream=stream),
                st.integers(0, 11), st.binary(max_size=40), st.integers(0, 255), st.integers(0, 9),
            ),
            st.sampled_from([request(1), request(3), request(5, flags=END_HEADERS | END_STREAM), request(7, flags=0)]),
            st.just(frame(DATA, b"\0\0\0\0\1x", flags=END_STREAM, stream=1)),
        ),
        max_size=12,
    )
)  # fmt: skip
def test_no_bytes_whatever_break_the_server(pieces: list[bytes]) -> None:
    async def script() -> None:
        echo = Echo()
        errors: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
        async with serving(echo) as server:
            async with raw_client(server) as client:
                await client.greet()
                await client.send(*pieces)
            await until(lambda: server.connections == 0)
        assert not errors

    run(script)


def test_ten_thousand_connections_leave_nothing_behind() -> None:
    async def script() -> None:
        async with serving(Echo()) as server:
            call = frames.PREFACE + frames.settings_frame({}) + request(1)
            call += frame(DATA, b"\0\0\0\0\1x", flags=END_STREAM, stream=1)
            seen = weakref.WeakSet[Connection]()
            connect = server._connect

            def watched() -> Connection:
                connection = connect()
                seen.add(connection)
                return connection

            server._connect = watched  # type: ignore[method-assign]
            open_files = len(list(Path("/proc/self/fd").iterdir()))
            for _ in range(100):
                await asyncio.gather(*(_one(server.port, call) for _ in range(100)))
            await until(lambda: server.connections == 0)
            gc.collect()
            assert len(seen) == 0
            assert len(list(Path("/proc/self/fd").iterdir())) <= open_files + 5

    run(script)


async def _one(port: int, call: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(call)
    data = b""
    while b"grpc-status" not in data:
        data += await reader.read(4096)
    if os.urandom(1)[0] & 1:  # half of them end without a word
        linger = socket.socket.setsockopt
        linger(writer.get_extra_info("socket")._sock, socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    writer.close()
