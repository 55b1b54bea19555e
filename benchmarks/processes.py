"""Starts servers, finds every process that belongs to them, and tells what these cost.

A server's processes are known by a variable in their environment, which children inherit also when
they leave the session or lose their parent; nothing else is ever signalled.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import httpx

MARK = "BENCHMARK_SERVER"
STOP_WITHIN_S = 15.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class ServerError(Exception):
    """A server did not start, or answers wrongly; the message says what was seen."""


def free_port() -> int:
    """Return a TCP port that is free on loopback now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A command, and all processes that come of it."""

    def __init__(self, name: str, command: Sequence[str], *, env: Mapping[str, str], cwd: Path, log: Path) -> None:
        self.name = name
        self.log = log
        self._mark = f"{name}-{secrets.token_hex(8)}"
        self._command = list(command)
        self._env = {**env, MARK: self._mark}
        self._cwd = cwd
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Return the process id of the command itself."""
        if self._process is None:
            raise ServerError(f"{self.name} was not started")
        return self._process.pid

    def start(self) -> None:
        """Start the command in a session of its own; does not wait."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._cwd,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_until(self, is_ready: Callable[[], bool], *, within_s: float) -> None:
        """Return once it is ready.

        Raises: ServerError with the end of its log if it ends or takes too long.
        """
        deadline_s = time.monotonic() + within_s
        while time.monotonic() < deadline_s:
            if self._process is not None and self._process.poll() is not None:
                raise ServerError(f"{self.name} ended with code {self._process.returncode}:\n{self.log_tail()}")
            if is_ready():
                return
            time.sleep(0.1)
        raise ServerError(f"{self.name} is not ready within {within_s:.0f} s:\n{self.log_tail()}")

    def log_tail(self, lines: int = 15) -> str:
        """Return the end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def pids(self) -> list[int]:
        """Return the process ids of all its processes that live."""
        return marked_pids(self._mark)

    def cpu_s(self) -> float:
        """Return the processor seconds that its living processes have used, with the children they waited for."""
        return sum(map(_cpu_s, self.pids()))

    def memory_bytes(self) -> int:
        """Return the memory of all its processes: proportional set size, so that shared pages count once."""
        return sum(map(_memory_bytes, self.pids()))

    def stop(self) -> None:
        """End all its processes: SIGTERM to the first, after a time SIGKILL to what is left."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGKILL):
            left = self.pids()
            if not left:
                break
            _signal_all(left, number)
            time.sleep(1.0)


def marked_pids(mark: str) -> list[int]:
    """Return the process ids of all that live and have this mark in their environment (variable `MARK`)."""
    wanted = f"{MARK}={mark}".encode()
    return [pid for pid in _all_pids() if wanted in _read(pid, "environ").split(b"\0")]


def command_of(pid: int) -> str:
    """Return a process's command line; empty if it has ended."""
    return _read(pid, "cmdline").replace(b"\0", b" ").decode("utf-8", "replace").strip()


def parent_of(pid: int) -> int:
    """Return the process id of a process's parent; 0 if it has ended."""
    fields = _read(pid, "stat").rpartition(b")")[2].split()
    return int(fields[1]) if len(fields) > 1 else 0


def own_cpu_s(pid: int) -> float:
    """Return the processor seconds of a process itself, without its children; 0 if it has ended."""
    fields = _read(pid, "stat").rpartition(b")")[2].split()
    return sum(map(int, fields[11:13])) / TICKS_PER_S if len(fields) > 13 else 0.0


def answers(url: str, statuses: Iterable[int] = (200,)) -> bool:
    """Say whether a GET is answered with one of the statuses."""
    try:
        return httpx.get(url, timeout=5, trust_env=False).status_code in statuses
    except httpx.HTTPError:
        return False


def accepts(port: int) -> bool:
    """Say whether someone listens on a port of loopback."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _signal_all(pids: Iterable[int], number: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue  # it has ended meanwhile


def _all_pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208  (a Path for each is slow)


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:  # it has ended, or is not ours
        return b""


def _cpu_s(pid: int) -> float:
    fields = _read(pid, "stat").rpartition(b")")[2].split()
    return (
        sum(map(int, fields[11:15])) / TICKS_PER_S if len(fields) > 15 else 0.0
    )  # own and children's, user and system


def _memory_bytes(pid: int) -> int:
    for line in _read(pid, "smaps_rollup").splitlines():
        if line.startswith(b"Pss:"):
            return int(line.split()[1]) * 1024
    return 0
