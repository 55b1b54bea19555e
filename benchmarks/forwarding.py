"""What forwarding a prediction costs the gateway: our own connections beside the clients of others.

    python benchmarks/forwarding.py

Starts a small server on loopback, sends 4 kB requests (200 B answers) with 32 in flight through each client
that is installed, and prints the CPU time of the caller for each call, the best of three rounds. Figures
for docs/decisions/forwarding-client.md.
"""

from __future__ import annotations

import asyncio
import os
import platform
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

BODY = b"x" * 4096
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 200\r\n\r\n" + b"y" * 200
HEADERS = [(b"content-type", b"application/json"), (b"x-request-id", b"a" * 32), (b"x-platform-signature", b"b" * 80)]
IN_FLIGHT, CALLS, ROUNDS = 32, 6000, 3

Call = Callable[[], Awaitable[object]]


class Answering(asyncio.Protocol):
    """Answers each request as soon as its body is there."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport
        self._left = 0

    def data_received(self, data: bytes) -> None:
        """Count the body's bytes."""
        if self._left == 0:
            self._left = len(BODY) + data.index(b"\r\n\r\n") + 4
        self._left -= len(data)
        if self._left == 0:
            self._transport.write(ANSWER)  # type: ignore[attr-defined]


async def measure(call: Call) -> float:
    """Return microseconds of CPU for a call."""

    async def some(count: int) -> None:
        for _ in range(count):
            await call()

    await asyncio.gather(*(some(10) for _ in range(IN_FLIGHT)))
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.process_time()
        await asyncio.gather(*(some(CALLS // IN_FLIGHT) for _ in range(IN_FLIGHT)))
        best = min(best, (time.process_time() - started) / CALLS * 1e6)
    return best


async def measure_ours(url: str) -> float:
    """Measure `gateway.forwarding.upstreams`."""
    from gateway.forwarding.upstreams import Upstreams

    upstreams = Upstreams()
    found = await measure(lambda: upstreams.request(url, "POST", "/x", headers=HEADERS, body=BODY, timeout_s=5))
    await upstreams.close()
    return found


async def measure_aiohttp(url: str) -> float:
    """Measure aiohttp's client, configured as lean as it can be."""
    import aiohttp

    headers = {name.decode(): value.decode() for name, value in HEADERS}
    timeout = aiohttp.ClientTimeout(total=5)
    connector = aiohttp.TCPConnector(limit=256)
    async with aiohttp.ClientSession(
        connector=connector, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
    ) as session:

        async def call() -> bytes:
            async with session.post(f"{url}/x", data=BODY, headers=headers, timeout=timeout) as response:
                return await response.read()

        return await measure(call)


async def measure_httpx(url: str) -> float:
    """Measure httpx's asynchronous client."""
    import httpx

    headers = {name.decode(): value.decode() for name, value in HEADERS}
    limits = httpx.Limits(max_connections=256, max_keepalive_connections=256)
    async with httpx.AsyncClient(timeout=5, trust_env=False, limits=limits) as client:
        return await measure(lambda: client.post(f"{url}/x", content=BODY, headers=headers))


def serve_in_child() -> tuple[int, str]:
    """Start the server in a process of its own; return its id and address."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:

        async def serve() -> None:
            server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", 0)
            os.write(writing, str(server.sockets[0].getsockname()[1]).encode())
            await asyncio.sleep(600)

        import uvloop

        uvloop.run(serve())
        os._exit(0)
    return pid, f"http://127.0.0.1:{os.read(reading, 16).decode()}"


def main() -> None:
    """Measure each client and print."""
    import uvloop

    pid, url = serve_in_child()
    try:
        ours = uvloop.run(measure_ours(url))
        print(f"ours             {ours:8.0f} us of CPU a call")
        for name, client in (("aiohttp", measure_aiohttp), ("httpx", measure_httpx)):
            try:
                found = uvloop.run(client(url))
            except ModuleNotFoundError:
                continue
            print(f"{name:8} {_version(name):8}{found:8.0f} us of CPU a call, {found / ours:.1f} x ours")
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    print(f"with Python {platform.python_version()}, uvloop {_version('uvloop')}, {os.cpu_count()} cores")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


if __name__ == "__main__":
    main()
