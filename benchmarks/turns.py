"""How long threads beside the event loop hold requests up: `python -m benchmarks.turns`.

A server of its own on uvloop answers 16 connections in a closed loop, beside a thread that computes in bursts, as
flushers do. What is counted is how much of the thread's own processor time goes by within 16 answers: what other
programs on the machine take does not count. One line for each time that a thread may keep the interpreter for.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import selectors
import socket
import sys
import threading
import time
from collections.abc import Sequence
from typing import cast

CONNECTIONS = 16
ADDITIONS = 1500  # an answer: some tens of microseconds of Python
BURST_EVERY_S = 0.1
QUANTILES = (0.9, 0.99, 0.999)


def main() -> None:
    """Print a line for each interval."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--intervals-ms", type=float, nargs="+", default=[5.0, 1.0, 0.5, 0.2])
    parser.add_argument(
        "--burst-ms", type=float, default=10.0, help="of the thread's processor time, ten times a second"
    )
    parser.add_argument("--seconds", type=float, default=4.0)
    options = parser.parse_args()
    for interval_ms in options.intervals_ms:
        pairs = [socket.socketpair() for _ in range(CONNECTIONS)]
        child = os.fork()
        if not child:
            for theirs, _ in pairs:
                theirs.close()
            serve([ours for _, ours in pairs], interval_ms, options.burst_ms / 1000, options.seconds)
        for _, ours in pairs:
            ours.close()
        ask([theirs for theirs, _ in pairs])
        os.waitpid(child, 0)


def ask(sockets: Sequence[socket.socket]) -> None:
    """Be the clients, each waiting for its answer, until the server has gone."""
    selector = selectors.DefaultSelector()
    for one in sockets:
        selector.register(one, selectors.EVENT_READ)
        one.sendall(b"x")
    left = len(sockets)
    while left:
        for key, _ in selector.select():
            theirs = cast(socket.socket, key.fileobj)
            with contextlib.suppress(OSError):  # the server ends in the middle of things
                if theirs.recv(64):
                    theirs.sendall(b"x")
                    continue
            selector.unregister(theirs)
            theirs.close()
            left -= 1


def serve(sockets: Sequence[socket.socket], interval_ms: float, burst_s: float, seconds: float) -> None:
    """Be the server for some seconds, print what it saw, and end this process."""
    import uvloop

    sys.setswitchinterval(interval_ms / 1000)
    worker = threading.Thread(target=compute_in_bursts, args=(burst_s,), daemon=True)
    worker.start()
    assert worker.ident is not None
    marks = uvloop.run(answer_all(sockets, time.pthread_getcpuclockid(worker.ident), seconds))
    held = sorted(later - now for now, later in zip(marks, marks[CONNECTIONS:], strict=False))
    found = "  ".join(f"p{100 * q:g} {held[int(len(held) * q)] * 1000:.2f}" for q in QUANTILES)
    print(f"interval {interval_ms:g} ms: {len(marks)} answers; held up by the thread, ms: {found}", flush=True)
    os._exit(0)


async def answer_all(sockets: Sequence[socket.socket], clock: int, seconds: float) -> list[float]:
    """Answer until the time is over; return the thread's clock at each answer."""
    marks: list[float] = []

    class Echo(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = cast(asyncio.WriteTransport, transport)

        def data_received(self, data: bytes) -> None:
            sum(number for number in range(ADDITIONS))
            self.transport.write(data)
            marks.append(time.clock_gettime(clock))

    loop = asyncio.get_running_loop()
    for one in sockets:
        await loop.connect_accepted_socket(Echo, one)
    await asyncio.sleep(seconds)
    return marks


def compute_in_bursts(burst_s: float) -> None:
    """Compute in Python for so much processor time, again and again."""
    while True:
        time.sleep(BURST_EVERY_S)
        until = time.thread_time() + burst_s
        groups: dict[int, list[int]] = {}
        while time.thread_time() < until:
            for number in range(200):
                groups.setdefault(number, []).append(number)
            groups.clear()


if __name__ == "__main__":
    main()
