"""The lane on real connections: what it answers, what gunicorn answers, and that nothing gets lost between."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from typing import Any

import pytest

from aiplatform.http.closing import leaving
from aiplatform.http.lane import protocol
from tests.aiplatform.lane.line import lane_server, post, read_answer


def in_loop(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, 30))


def test_a_plain_request_is_answered_on_the_lane_and_the_connection_kept() -> None:
    async def main() -> None:
        async with lane_server() as served:
            reader, writer = await served.connect()
            for body in (b"one", b"two", b""):
                writer.write(post(body))
                head, answer = await read_answer(reader)
                assert head.startswith(b"HTTP/1.1 200 OK\r\n")
                assert b"x-way: lane" in head
                assert b"\r\ndate: " in head
                assert answer == b"lane:" + body
            assert served.handler.planned == 2, "a head that comes again is not read again"
            assert served.worker.nr == 3

    in_loop(main())


@pytest.mark.parametrize(
    ("request_", "body"),
    [
        (b"GET /v1/lane HTTP/1.1\r\nHost: h\r\n\r\n", b""),
        (post(b"x", path=b"/v1/other"), b"x"),
        (post(b"x", b"Connection: close"), b"x"),
        (b"POST /v1/lane HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", b"abc"),
        (post(b"no"), b"no"),
    ],
)
def test_what_is_not_for_the_lane_is_answered_by_gunicorn(request_: bytes, body: bytes) -> None:
    async def main() -> None:
        async with lane_server() as served:
            reader, writer = await served.connect()
            writer.write(request_)
            _, answer = await read_answer(reader)
            assert answer == b"app:" + body
            assert served.handler.taken == []

    in_loop(main())


def test_heads_that_differ_in_what_varies_only_are_one_plan() -> None:
    async def main() -> None:
        async with lane_server() as served:
            reader, writer = await served.connect()
            for number in range(3):
                # in one piece, and with the body after the head
                for pieces in ([post(b"ab", b"x-request-id: r%d" % number)], None):
                    whole = post(b"ab", b"x-request-id: r%d" % number, b"x-mark: m")
                    for piece in pieces or [whole[:-2], whole[-2:]]:
                        writer.write(piece)
                        await asyncio.sleep(0.01)
                    assert (await read_answer(reader))[1] == b"lane:ab"
            writer.write(post(b"ab"))
            await read_answer(reader)
            assert served.handler.planned == 2, "one with these headers, one without"
            assert served.handler.varied[:3] == [
                {b"x-request-id": b"r0"}, {b"x-request-id": b"r0", b"x-mark": b"m"}, {b"x-request-id": b"r1"}
            ]  # fmt: skip
            assert served.handler.varied[-1] is None

    in_loop(main())


@pytest.mark.parametrize("first", [(), (b"x-request-id: r0",)])
def test_a_header_that_varies_is_not_taken_twice(first: tuple[bytes, ...]) -> None:
    async def main() -> None:
        async with lane_server() as served:
            reader, writer = await served.connect()
            writer.write(post(b"a", b"x-mark: one", *first))
            assert (await read_answer(reader))[1] == b"lane:a"
            writer.write(post(b"b", b"x-mark: one", b"x-request-id: r1", b"x-mark: two"))
            assert (await read_answer(reader))[1] == b"app:b"

    in_loop(main())


def test_both_ways_take_turns_on_one_connection() -> None:
    async def main() -> None:
        async with lane_server() as served:
            reader, writer = await served.connect()
            for turn in range(10):
                is_lane = turn % 3 != 1
                body = b"%d" % turn
                writer.write(post(body, path=b"/v1/lane" if is_lane else b"/v1/other"))
                _, answer = await read_answer(reader)
                assert answer == (b"lane:" if is_lane else b"app:") + body

    in_loop(main())


@pytest.mark.parametrize("seed", range(20))
def test_however_a_stream_is_cut_each_request_gets_its_answer_in_order(seed: int) -> None:
    chance = random.Random(seed)
    requests, expected = [], []
    for number in range(30):
        kind = chance.choice(["lane", "lane", "other", "no", "chunked"])
        body = b"%d" % number * chance.choice([1, 5, 30_000])
        if kind == "chunked":
            head = b"POST /v1/lane HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
            requests.append(head + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
        elif kind == "no":
            body = b"no"
            requests.append(post(body))
        else:
            requests.append(post(body, path=b"/v1/lane" if kind == "lane" else b"/v1/other"))
        expected.append(body)
    stream = b"".join(requests)

    async def main() -> None:
        async with lane_server() as served:
            reader, writer = await served.connect()

            async def send() -> None:
                at = 0
                while at < len(stream):
                    step = chance.choice([1, 7, 200, 5_000, 100_000])
                    writer.write(stream[at : at + step])
                    at += step
                    await writer.drain()
                    await asyncio.sleep(0)

            sending = asyncio.ensure_future(send())
            for wanted in expected:
                _, answer = await read_answer(reader)
                is_right = answer.partition(b":")[2] == wanted  # which way it went depends on the cut
                assert is_right, (answer[:20], wanted[:20])
            await sending

    in_loop(main())


def test_what_follows_a_request_waits_for_its_answer() -> None:
    async def main() -> None:
        async with lane_server() as served:
            served.handler.is_holding = True
            reader, writer = await served.connect()
            writer.write(post(b"first") + post(b"second", path=b"/v1/other"))
            await served.handler.arrived.wait()
            await asyncio.sleep(0.05)
            assert served.handler.taken == [b"first"]
            served.handler.held[0].answer(200, b"late")
            assert (await read_answer(reader))[1] == b"late"
            assert (await read_answer(reader))[1] == b"app:second"

    in_loop(main())


def test_a_client_that_leaves_is_told_to_who_works_for_it_and_an_answer_to_it_is_dropped() -> None:
    async def main() -> None:
        async with lane_server() as served:
            served.handler.is_holding = True
            _, writer = await served.connect()
            writer.write(post(b"x"))
            await served.handler.arrived.wait()
            served.handler.arrived.clear()
            writer.close()
            await served.handler.arrived.wait()
            assert served.handler.gone == 1
            served.handler.held[0].answer(200, b"nobody")
            assert served.worker.nr == 0
            while served.worker.nr_conns:
                await asyncio.sleep(0.01)

    in_loop(main())


def test_a_client_that_sends_on_without_waiting_is_not_read_without_bound() -> None:
    async def main() -> None:
        async with lane_server() as served:
            served.handler.is_holding = True
            reader, writer = await served.connect()
            count = 300
            flood = post(b"x" * 60_000) * count

            async def send() -> None:
                writer.write(flood)
                await writer.drain()

            sending = asyncio.ensure_future(send())
            await served.handler.arrived.wait()
            await asyncio.sleep(0.3)
            assert not sending.done(), "18 MB have been read while one answer was awaited"
            served.handler.is_holding = False
            served.handler.held[0].answer(200, b"held")
            for _ in range(count):
                await read_answer(reader)
            await sending

    in_loop(main())


def test_an_idle_connection_is_closed_and_a_busy_one_is_not() -> None:
    async def main() -> None:
        async with lane_server(keepalive=1) as served:
            served.handler.is_holding = True
            reader, writer = await served.connect()
            served.handler.is_holding = False
            writer.write(post(b"x"))
            await read_answer(reader)
            served.handler.is_holding = True
            writer.write(post(b"y"))
            await asyncio.sleep(2.2)
            served.handler.held[0].answer(200, b"slow")
            assert (await read_answer(reader))[1] == b"slow"
            assert await asyncio.wait_for(reader.read(), 10) == b""

    in_loop(main())


def test_a_body_that_does_not_come_whole_is_left_to_gunicorn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "BODY_TIME_S", 0.05)

    async def main() -> None:
        async with lane_server() as served:
            reader, writer = await served.connect()
            whole = post(b"a long wait")
            writer.write(whole[:-4])
            await asyncio.sleep(0.3)
            writer.write(whole[-4:])
            assert (await read_answer(reader))[1] == b"app:a long wait"
            assert served.handler.taken == []

    in_loop(main())


def test_a_worker_that_is_to_end_says_so_with_its_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaving, "has_begun", True)

    async def main() -> None:
        async with lane_server() as served:
            reader, writer = await served.connect()
            writer.write(post(b"x") + post(b"y"))
            head, answer = await read_answer(reader)
            assert (answer, b"\r\nconnection: close\r\n" in head) == (b"lane:x", True)
            assert await asyncio.wait_for(reader.read(), 10) == b""

    in_loop(main())


def test_a_large_answer_to_a_client_that_reads_slowly_arrives_whole() -> None:
    async def main() -> None:
        async with lane_server() as served:
            served.handler.is_holding = True
            reader, writer = await served.connect()
            writer.write(post(b"x") + post(b"y"))
            await served.handler.arrived.wait()
            served.handler.is_holding = False
            served.handler.held[0].answer(200, b"z" * 20_000_000)
            await asyncio.sleep(0.1)
            assert (await read_answer(reader))[1] == b"z" * 20_000_000
            assert (await read_answer(reader))[1] == b"lane:y"

    in_loop(main())
