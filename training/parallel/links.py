"""The leader's link to one member: a child process of its own, or a process on another machine."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from typing import IO, Protocol, cast

import msgspec

from training.parallel.messages import Alive, Command, Failed, Leave, MemberOrder, decode_answer, encode
from training.recipes.api import WorkerLostError

SILENT_S = 60.0  # after which the other side's machine, or the way to it, counts as gone
ALIVE_S = 2.0  # between two signs of life


class Link(Protocol):
    """What a team asks of each of its members."""

    def tell(self, message: MemberOrder | Command) -> None:
        """Send a message.

        Raises: WorkerLostError if the member is gone.
        """

    def describe_end(self) -> str:
        """Say how the member came to its end; empty while it lives."""

    def close(self, deadline_s: float) -> None:
        """Let the member end, until that moment of the monotonic clock."""


class ProcessLink:
    """A member on this machine, reached by its standard input, which ends with the leader."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process

    def tell(self, message: MemberOrder | Command) -> None:
        """Write a line."""
        pipe = cast("IO[bytes]", self.process.stdin)
        try:
            pipe.write(encode(message))
            pipe.flush()
        except OSError as error:
            raise WorkerLostError(f"a worker of the team is gone: {error}") from error

    def describe_end(self) -> str:
        """Say the signal or the exit code."""
        code = self.process.poll()
        if code is None:
            return ""
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    def close(self, deadline_s: float) -> None:
        """Close its input; kill it when the time is up."""
        with contextlib.suppress(OSError):
            cast("IO[bytes]", self.process.stdin).close()
        try:
            self.process.wait(max(0.0, deadline_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class SocketLink:
    """A member on another machine. Both sides give signs of life, since a machine may vanish without a word."""

    def __init__(self, connection: socket.socket, *, ask_stop: Callable[[], None]) -> None:
        connection.settimeout(SILENT_S)
        self._connection, self._ask_stop = connection, ask_stop
        self._lock = threading.Lock()
        self._end = ""
        self._is_over = threading.Event()
        for work in (self._read, self._beat):
            threading.Thread(target=work, name=f"link-{work.__name__}", daemon=True).start()

    def tell(self, message: MemberOrder | Command) -> None:
        """Send a line."""
        try:
            with self._lock:
                self._connection.sendall(encode(message))
        except OSError as error:
            raise WorkerLostError(f"a worker of the team is gone: {self._end or error}") from error

    def describe_end(self) -> str:
        """Say what it said last, or that nothing is heard of it any more."""
        return self._end

    def close(self, deadline_s: float) -> None:
        """Wait until the member has closed its side, then close this one."""
        self._is_over.set()
        while not self._end and time.monotonic() < deadline_s:
            time.sleep(0.02)
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()

    def _read(self) -> None:
        end = "its connection is closed"
        try:
            with self._connection.makefile("rb") as lines:
                for line in lines:
                    answer = decode_answer(line)
                    if isinstance(answer, Failed):
                        end = answer.message
                    elif isinstance(answer, Leave):
                        self._ask_stop()
        except TimeoutError:
            end = f"nothing was heard of it for {SILENT_S:g} s"
        except (OSError, ValueError, msgspec.MsgspecError) as error:
            end = f"its connection is closed: {error}"
        self._end = end

    def _beat(self) -> None:
        while not self._end and not self._is_over.wait(ALIVE_S):
            with contextlib.suppress(WorkerLostError):  # the reader says it
                self.tell(Alive())
