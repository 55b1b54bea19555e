"""Connections to the other apps, against servers that behave in every way a server can."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvloop

from gateway.forwarding.connection import Response
from gateway.forwarding.failures import ConnectionBrokenError
from gateway.forwarding.upstreams import Upstreams
from tests.gateway.support import Seen, local_server

Script = Callable[[Upstreams, str], Awaitable[Any]]
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def with_server(serve: Serve, script: Script, **options: Any) -> Any:
    """Run a script against a server that is written by hand, both on one loop."""

    async def run() -> Any:
        writers: list[asyncio.StreamWriter] = []

        async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.append(writer)
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                await serve(reader, writer)

        server = await asyncio.start_server(keep, "127.0.0.1", 0)
        upstreams = Upstreams(**options)
        port = server.sockets[0].getsockname()[1]
        try:
            return await asyncio.wait_for(script(upstreams, f"http://127.0.0.1:{port}"), 20)
        finally:
            await upstreams.close()
            server.close()
            for writer in writers:
                writer.close()
            await asyncio.sleep(0.02)  # the transports end in the loop's next turns

    uvloop.run(run())  # what production runs on; the other loop must do as well
    return asyncio.run(run())


def answering(*pieces: bytes, closes: bool = False) -> Serve:
    """Answer each request with these pieces, one at a time."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                break
            length = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")]
            if length:
                await reader.readexactly(int(length[0].split(b":")[1]))
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.002)
            if closes:
                break
        writer.close()

    return serve


async def ask(upstreams: Upstreams, url: str, **options: Any) -> Response:
    return await upstreams.request(url, "POST", "/x", headers=[], body=b"{}", **{"timeout_s": 5, **options})


WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A:  b \r\n\r\nhello"


@pytest.mark.parametrize(
    "pieces",
    [
        (WHOLE,),
        tuple(WHOLE[i : i + 1] for i in range(len(WHOLE))),
        (b"HTTP/1.1 100 Continue\r\n\r\n", WHOLE),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + WHOLE[:30], WHOLE[30:]),
        (b"HTTP/1.1 200 OK\r\nX-A: b\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n",),
        (b"HTTP/1.1 200 OK\r\nX-A: b\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", b"lo\r\n0\r", b"\n\r\n"),
    ],
)
def test_an_answer_in_any_form_and_any_pieces_is_read_and_the_connection_kept(pieces: tuple[bytes, ...]) -> None:
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await answering(*pieces)(reader, writer)

    async def script(upstreams: Upstreams, url: str) -> None:
        for _ in range(3):
            response = await ask(upstreams, url)
            assert (response.status, response.body) == (200, b"hello")
            assert dict(response.headers)[b"x-a"] == b"b"

    with_server(serve, script)
    assert connections == 2, "one on each loop"


def test_an_answer_that_lasts_until_the_end_of_the_connection_is_read() -> None:
    async def script(upstreams: Upstreams, url: str) -> list[bytes]:
        return [(await ask(upstreams, url)).body for _ in range(2)]

    pieces = (b"HTTP/1.1 200 OK\r\n\r\nhel", b"lo")
    assert with_server(answering(*pieces, closes=True), script) == [b"hello", b"hello"]


@pytest.mark.parametrize(
    "pieces",
    [
        (b"",),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello",),
        (b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\nhello",),
        (b"HTTP/1.1 abc\r\n\r\n",),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n",),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000,),
    ],
)
def test_what_is_no_whole_answer_breaks_the_connection(pieces: tuple[bytes, ...]) -> None:
    async def script(upstreams: Upstreams, url: str) -> None:
        with pytest.raises(ConnectionBrokenError):
            await ask(upstreams, url)

    with_server(answering(*pieces, closes=True), script)


def test_a_kept_connection_that_was_closed_meanwhile_is_replaced_unseen() -> None:
    async def script(upstreams: Upstreams, url: str) -> list[int]:
        statuses = []
        for _ in range(3):
            statuses.append((await ask(upstreams, url)).status)
            await asyncio.sleep(0.02)
        return statuses

    assert with_server(answering(WHOLE, closes=True), script) == [200, 200, 200]


def test_a_late_answer_is_never_given_to_the_next_request() -> None:
    count = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        number = count
        await reader.readuntil(b"\r\n\r\n{}")
        await asyncio.sleep(0.2 if number in (1, 3) else 0)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % number)
        await writer.drain()

    async def script(upstreams: Upstreams, url: str) -> bytes:
        with pytest.raises(TimeoutError):
            await ask(upstreams, url, timeout_s=0.05)
        await asyncio.sleep(0.25)
        return (await ask(upstreams, url)).body

    assert with_server(serve, script) == b"4", "on the first loop it was 2"


def test_no_more_connections_than_allowed_are_open_and_all_requests_are_answered() -> None:
    open_now, most = 0, 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal open_now, most
        open_now += 1
        most = max(most, open_now)
        await answering(WHOLE)(reader, writer)
        open_now -= 1

    async def script(upstreams: Upstreams, url: str) -> list[int]:
        return [response.status for response in await asyncio.gather(*(ask(upstreams, url) for _ in range(20)))]

    assert with_server(serve, script, connections=3) == [200] * 20
    assert most == 3


def test_a_waiting_request_that_gives_up_leaves_its_place() -> None:
    async def script(upstreams: Upstreams, url: str) -> list[Any]:
        results = await asyncio.gather(*(ask(upstreams, url, timeout_s=0.05) for _ in range(4)), return_exceptions=True)
        assert all(isinstance(result, TimeoutError) for result in results)
        return [known.open_count for known in upstreams._addresses.values()]

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    assert with_server(silent, script, connections=1) == [0]


def test_no_body_is_awaited_where_there_is_none() -> None:
    def respond(request: Seen) -> tuple[int, dict[str, str], bytes]:
        return 204, {}, b""

    async def script(url: str) -> list[int]:
        upstreams = Upstreams()
        statuses = [
            (await upstreams.request(url, method, "/x", headers=[], timeout_s=5)).status for method in ("GET", "POST")
        ]
        await upstreams.close()
        return statuses

    with local_server(respond) as server:
        assert asyncio.run(script(server.url)) == [204, 204]
        assert [seen.method for seen in server.seen] == ["GET", "POST"]
