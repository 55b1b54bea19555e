"""The load of the overload and change tests counts every request, answered or not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from benchmarks.http_client import HttpLoad
from benchmarks.open_load import OpenLoad
from benchmarks.outcomes import NO_ANSWER, Outcomes

Handle = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Model-Version: 3\r\n\r\n{}"
REFUSED = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"


async def load_on(handle: Handle, use: Callable[[HttpLoad], Awaitable[None]]) -> Outcomes:
    """Return what a load against a server of one handler found."""

    async def handle_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handle(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle_and_close, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    load = HttpLoad(f"http://127.0.0.1:{port}/x", b"body", {})
    await use(load)
    server.close()
    return load.outcomes


async def read_request(reader: asyncio.StreamReader) -> None:
    """Read one request with its body of four bytes."""
    await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(4)


async def briefly(load: HttpLoad) -> None:
    """Load with two connections for a moment."""
    until_s = time.monotonic() + 0.2
    await load.run_closed(2, lambda: time.monotonic() > until_s)


async def answer_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer every request with 200."""
    while True:
        await read_request(reader)
        writer.write(OK)


def test_answers_are_counted_with_their_versions() -> None:
    found = asyncio.run(load_on(answer_all, briefly))
    assert len(found.all) > 10
    assert found.failures == 0
    assert {outcome.version for outcome in found.all} == {"3"}
    assert len(found.latencies_ms()) == len(found.all)


def test_a_connection_that_closes_without_an_answer_is_a_failure() -> None:
    seen = 0

    async def close_every_third(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        while True:
            await read_request(reader)
            seen += 1
            if seen % 3 == 0:
                return
            writer.write(OK)

    found = asyncio.run(load_on(close_every_third, briefly))
    assert found.statuses[NO_ANSWER] == found.failures > 0
    assert found.statuses["200"] > found.failures


def test_refusals_are_failures_with_their_own_latencies() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            writer.write(REFUSED)

    found = asyncio.run(load_on(refuse, briefly))
    assert found.failures == len(found.all) == len(found.latencies_ms(("429", "503")))
    assert found.latencies_ms() == []


def test_offered_requests_keep_their_rate_though_answers_are_slow() -> None:
    async def answer_slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await asyncio.sleep(0.5)
        writer.write(OK)
        await answer_all(reader, writer)

    loads: list[OpenLoad] = []

    async def offer(load: HttpLoad) -> None:
        loads.append(load.open(connections=100))
        await loads[0].offer(200, 0.5)
        await loads[0].finish()

    asyncio.run(load_on(answer_slowly, offer))
    found = loads[0].outcomes
    assert 80 <= len(found.all) <= 100
    assert found.failures == loads[0].unsent == 0


def test_an_open_load_never_has_more_under_way_than_its_connections() -> None:
    async def answer_slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            await asyncio.sleep(0.2)
            writer.write(OK)

    loads: list[OpenLoad] = []

    async def offer(load: HttpLoad) -> None:
        loads.append(load.open(connections=5))
        await loads[0].offer(200, 0.5)
        await loads[0].finish()

    asyncio.run(load_on(answer_slowly, offer))
    sent = len(loads[0].outcomes.all)
    assert 5 <= sent <= 20 and loads[0].outcomes.failures == 0
    assert sent + loads[0].unsent >= 80


def test_an_open_load_replaces_connections_that_the_server_closes() -> None:
    async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK[:-4].replace(b"X-Model", b"Connection: close\r\nX-Model") + b"\r\n{}")

    loads: list[OpenLoad] = []

    async def offer(load: HttpLoad) -> None:
        loads.append(load.open(connections=10))
        await loads[0].offer(200, 0.5)
        await loads[0].finish()

    asyncio.run(load_on(answer_once, offer))
    assert loads[0].outcomes.failures == 0 and len(loads[0].outcomes.all) > 20
