"""The server before the h2 library, a client that was written by others."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from urllib.parse import unquote

import h2.settings
import pytest

from aiplatform.rpc import control
from aiplatform.rpc.calls import STREAMING
from aiplatform.rpc.frames import ErrorCode
from tests.aiplatform.rpc.support import (
    BREAKS,
    FAILS,
    INFER,
    LARGE,
    SLOW,
    Echo,
    h2_client,
    run,
    serving,
    until,
)


def test_calls_are_answered_one_after_the_other_and_many_at_once() -> None:
    async def script() -> None:
        async with serving(Echo()) as server, h2_client(server) as client:
            for number in range(5):
                answer = await client.ask(INFER, b"%d" % number, x_request_id=f"r-{number}")
                assert (answer.status, answer.message) == ("0", b"answer to %d" % number)
                assert answer.headers[":status"] == "200"
                assert answer.headers["content-type"] == "application/grpc"
                assert answer.trailers["x-request-id"] == f"r-{number}"
            ids = [await client.send(INFER, b"%d" % number) for number in range(100)]
            for number, stream_id in enumerate(ids):
                assert (await client.answer(stream_id)).message == b"answer to %d" % number

    run(script)


def test_errors_are_trailers_only_and_their_messages_survive() -> None:
    async def script() -> None:
        async with serving(Echo()) as server, h2_client(server) as client:
            answer = await client.ask(FAILS, b"")
            assert (answer.status, answer.data, answer.trailers) == ("5", b"", {})
            assert unquote(answer.headers["grpc-message"]) == "no model \u2018x\u2019, 100% sure\n"
            assert answer.headers["x-error-code"] == "not_found"
            answer = await client.ask(BREAKS, b"")
            assert (answer.status, answer.headers["grpc-message"]) == ("13", "the server failed: ValueError")
            assert (await client.ask(INFER, b"still here")).status == "0"

    run(script)


def test_a_message_in_any_frames_is_the_same_message() -> None:
    async def script() -> None:
        async with serving(Echo()) as server, h2_client(server) as client:
            body = bytes(range(256)) * 8
            for frame, pad in ((16_384, None), (700, None), (3, None), (16_384, 200), (100, 7)):
                answer = await client.ask(INFER, body[: frame * 40], frame=frame, pad=pad)
                assert answer.message == b"answer to " + body[: frame * 40]

    run(script)


def test_twenty_megabytes_go_there_and_back_through_small_windows() -> None:
    async def script() -> None:
        body = b"0123456789abcdef" * (20 * 65_536)
        async with serving(Echo(), max_message_bytes=32 << 20) as server, h2_client(server) as client:
            answer = await client.ask(INFER, body)
            assert answer.message == b"answer to " + body

    run(script)


def test_an_answer_waits_for_a_tiny_window_and_others_do_not_wait_behind_it() -> None:
    async def script() -> None:
        async with serving(Echo()) as server, h2_client(server, window=10, grows=False) as client:
            large = await client.send(LARGE, b"300")
            small = await client.send(LARGE, b"4")
            assert (await client.answer(small)).message == b"xxxx"
            assert len(client.answers[large].data) == 10
            for _ in range(29):
                client.h2.increment_flow_control_window(10, large)
                await client.flush()
            assert not client.answers[large].is_over
            client.h2.increment_flow_control_window(10, large)
            await client.flush()
            assert (await client.answer(large)).message == b"x" * 300

    run(script)


def test_a_window_that_a_setting_opens_lets_waiting_answers_go_on() -> None:
    async def script() -> None:
        async with serving(Echo()) as server, h2_client(server, window=0, grows=False) as client:
            stream_id = await client.send(LARGE, b"1000")
            client.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 2000})
            await client.flush()
            assert (await client.answer(stream_id)).message == b"x" * 1000

    run(script)


def test_the_connections_window_holds_for_all_answers_together() -> None:
    async def script() -> None:
        async with serving(Echo()) as server, h2_client(server, window=1 << 20, grows=False) as client:
            ids = [await client.send(LARGE, b"40000") for _ in range(3)]
            while sum(len(client.answers[i].data) for i in ids) < 65_535:
                await client.read_once()
            client.h2.increment_flow_control_window(100_000)
            await client.flush()
            for stream_id in ids:
                assert (await client.answer(stream_id)).message == b"x" * 40_000

    run(script)


def test_long_headers_come_in_continuations() -> None:
    async def script() -> None:
        async with serving(Echo()) as server, h2_client(server) as client:
            client.h2.max_outbound_frame_size = 500
            answer = await client.ask(INFER, b"x", frame=400, x_long="v" * 5000)
            assert answer.status == "0"

    run(script)


def test_packed_messages_are_unpacked_and_bombs_refused() -> None:
    async def script() -> None:
        async with serving(Echo(), max_message_bytes=10_000) as server, h2_client(server) as client:
            for encoding, pack in (("gzip", gzip.compress), ("deflate", zlib.compress)):
                for body, status in ((b"small" * 10, "0"), (b"\0" * 5_000_000, "8")):
                    stream_id = await client.send(INFER, None, grpc_encoding=encoding)
                    packed = pack(body)
                    client.h2.send_data(stream_id, b"\1" + len(packed).to_bytes(4, "big") + packed, end_stream=True)
                    await client.flush()
                    answer = await client.answer(stream_id)
                    assert answer.status == status
                    assert status != "0" or answer.message == b"answer to " + body
            stream_id = await client.send(INFER, None, grpc_encoding="snappy")
            client.h2.send_data(stream_id, b"\1\0\0\0\1x", end_stream=True)
            await client.flush()
            answer = await client.answer(stream_id)
            assert (answer.status, answer.headers["grpc-accept-encoding"]) == ("12", "identity, deflate, gzip")

    run(script)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"", "3"),
        (b"\0\0\0", "3"),
        (b"\0\0\0\0\5abc", "3"),
        (b"\0\0\0\0\2abc", "3"),
        (b"\0\0\0\0\1a\0\0\0\0\1b", "3"),
        (b"\7\0\0\0\0", "3"),
        (b"\1\0\0\0\1x", "3"),
        (b"\0\xff\xff\xff\xff", "8"),
    ],
    ids=["nothing", "half a prefix", "too short", "too long", "two", "a wrong flag", "packed as nothing", "4 GB"],
)
def test_what_is_not_one_message_is_the_clients_mistake(sent: bytes, status: str) -> None:
    async def script() -> None:
        echo = Echo()
        async with serving(echo) as server, h2_client(server) as client:
            stream_id = await client.send(INFER, None)
            client.h2.send_data(stream_id, sent, end_stream=True)
            await client.flush()
            assert (await client.answer(stream_id)).status == status
            assert not echo.calls
            assert (await client.ask(INFER, b"next")).status == "0"

    run(script)


def test_a_message_that_is_announced_too_large_is_refused_at_once_and_no_more_of_it_is_wanted() -> None:
    async def script() -> None:
        async with serving(Echo(), max_message_bytes=1000) as server, h2_client(server) as client:
            stream_id = await client.send(INFER, b"x" * 50_000, ends=False)
            answer = await client.answer(stream_id)
            assert (answer.status, "MAX_BODY_BYTES" in answer.headers["grpc-message"]) == ("8", True)
            assert (await client.ask(INFER, b"next")).status == "0"

    run(script)


@pytest.mark.parametrize("method", [STREAMING, "/grpc.health.v1.Health/Watch", "/other.Service/Method", "/", "*"])
def test_what_is_not_served_is_refused_before_any_message(method: str) -> None:
    async def script() -> None:
        async with serving(Echo()) as server, h2_client(server) as client:
            assert (await client.answer(await client.send(method, None))).status == "12"

    run(script)


def test_what_is_not_grpc_is_refused_in_http() -> None:
    async def script() -> None:
        async with serving(Echo()) as server, h2_client(server) as client:
            answer = await client.ask(INFER, b"", content_type="application/json")
            assert (answer.headers[":status"], answer.status) == ("415", "")

    run(script)


def test_a_call_that_its_client_resets_is_cancelled() -> None:
    async def script() -> None:
        echo = Echo()
        async with serving(echo) as server, h2_client(server) as client:
            stream_id = await client.send(SLOW, b"x")
            await until(lambda: len(echo.calls) == 1)
            client.h2.reset_stream(stream_id, ErrorCode.CANCEL)
            await client.flush()
            await until(lambda: echo.ended == [(SLOW, 499)])
            assert (await client.ask(INFER, b"next")).status == "0"

    run(script)


def test_a_client_that_goes_away_cancels_its_calls() -> None:
    async def script() -> None:
        echo = Echo()
        async with serving(echo) as server:
            async with h2_client(server) as client:
                await client.send(SLOW, b"x")
                await until(lambda: len(echo.calls) == 1)
            await until(lambda: echo.ended == [(SLOW, 499)] and server.connections == 0)

    run(script)


def test_an_answer_that_is_reset_half_way_is_forgotten() -> None:
    async def script() -> None:
        async with serving(Echo()) as server, h2_client(server, window=10, grows=False) as client:
            stream_id = await client.send(LARGE, b"300")
            while not client.answers[stream_id].data:
                await client.read_once()
            client.h2.reset_stream(stream_id, ErrorCode.CANCEL)
            await client.flush()
            assert (await client.ask(LARGE, b"3")).message == b"xxx"

    run(script)


def test_more_calls_than_may_run_at_once_are_refused_and_may_be_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aiplatform.rpc.connection.MAX_STREAMS", 2)

    async def script() -> None:
        echo = Echo()
        async with serving(echo) as server, h2_client(server) as client:
            waiting = [await client.send(SLOW, b"x") for _ in range(2)]
            refused = await client.answer(await client.send(INFER, b"x"))
            assert refused.reset == ErrorCode.REFUSED_STREAM
            echo.gate.set()
            for stream_id in waiting:
                assert (await client.answer(stream_id)).message == b"late answer to x"
            assert (await client.ask(INFER, b"x")).status == "0"

    run(script)


def test_the_deadline_is_what_is_left_when_the_message_is_whole() -> None:
    async def script() -> None:
        echo = Echo()
        async with serving(echo) as server, h2_client(server) as client:
            stream_id = await client.send(INFER, None, grpc_timeout="60S")
            await asyncio.sleep(0.2)
            await client.send_message(stream_id, b"x")
            await client.answer(stream_id)
            left_s = echo.calls[0].deadline_s
            assert left_s is not None
            assert 0 < left_s < 59.9
            await client.ask(INFER, b"x")
            assert echo.calls[1].deadline_s is None

    run(script)


def test_draining_answers_what_was_sent_before_the_client_knew_and_then_closes() -> None:
    async def script() -> None:
        echo = Echo()
        async with serving(echo) as server, h2_client(server) as client:
            early = await client.send(SLOW, b"early")
            await until(lambda: len(echo.calls) == 1)
            stopping = asyncio.create_task(server.stop(10))
            await asyncio.sleep(0.05)  # the first GOAWAY lies in the client's socket, unread
            assert client.goaways == []
            late = await client.send(INFER, b"late")
            await until(lambda: len(echo.calls) == 2)
            echo.gate.set()
            assert (await client.answer(late)).status == "0"
            assert (await client.answer(early)).message == b"late answer to early"
            assert set(client.goaways) == {0}
            while not client.is_closed:
                try:
                    await client.read_once()
                except EOFError:
                    break
            await stopping
            assert server.connections == 0

    run(script)


def test_an_old_connection_is_asked_to_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aiplatform.rpc.server.CARE_S", 0.02)

    async def script() -> None:
        async with serving(Echo(), age_s=0.1) as server, h2_client(server) as client:
            assert (await client.ask(INFER, b"x")).status == "0"
            while not client.goaways:
                await client.read_once()
            assert client.goaways[0] == ErrorCode.NO_ERROR

    run(script)


def test_a_quiet_client_is_asked_whether_it_lives_and_dropped_if_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aiplatform.rpc.server.CARE_S", 0.02)
    monkeypatch.setattr(control, "IDLE_PING_S", 0.1)
    monkeypatch.setattr(control, "PING_TIME_S", 0.2)

    async def script() -> None:
        async with serving(Echo()) as server, h2_client(server) as client, h2_client(server):
            await client.ask(INFER, b"x")
            for _ in range(4):
                await client.read_once()  # answers the pings that lie there; the other client answers nothing
            await until(lambda: server.connections == 1)
            assert (await client.ask(INFER, b"x")).status == "0"

    run(script)
