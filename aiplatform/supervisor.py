"""Keeps the processes of one `serve` running, and ends them together.

Each child leads a session of its own, so that Ctrl-C reaches only the supervisor; if the
supervisor dies without a word, the kernel tells each child (PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

log = structlog.get_logger(__name__)

PR_SET_PDEATHSIG = 1
POLL_S = 0.2
STABLE_AFTER_S = 30.0  # a child that lived this long starts again without delay
LONGEST_BACKOFF_S = 30.0


@dataclass
class Child:
    """One process to keep running."""

    name: str
    argv: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    started_s: float = 0.0
    start_again_s: float = 0.0
    failures: int = 0

    def start(self) -> None:
        """Start the process in a session of its own."""
        self.process = subprocess.Popen(list(self.argv), start_new_session=True, preexec_fn=_die_with_parent)
        self.started_s = time.monotonic()
        log.info("child_started", child=self.name, pid=self.process.pid)

    def is_running(self) -> bool:
        """Say whether the process lives."""
        return self.process is not None and self.process.poll() is None


@dataclass
class Supervisor:
    """Runs children until `request_stop`; `grace_s` is the time they have to end."""

    children: list[Child]
    grace_s: float
    on_child_exit: Callable[[int], object] = lambda _pid: None
    _is_stopping: bool = field(default=False, init=False)

    def request_stop(self, *_: object) -> None:
        """End `run` soon; fit to be a signal handler."""
        self._is_stopping = True

    def run(self) -> int:
        """Keep all children running until asked to stop; return how many had to be killed."""
        for child in self.children:
            child.start()
        while not self._is_stopping:
            for child in self.children:
                self._tend(child)
            time.sleep(POLL_S)
        return self._stop_all()

    def _tend(self, child: Child) -> None:
        now_s = time.monotonic()
        if child.is_running():
            return
        if child.process is not None:
            self._note_exit(child, now_s)
        elif now_s >= child.start_again_s:
            child.start()

    def _note_exit(self, child: Child, now_s: float) -> None:
        if child.process is None:
            return
        child.failures = 0 if now_s - child.started_s > STABLE_AFTER_S else child.failures + 1
        delay_s = min(LONGEST_BACKOFF_S, 0.5 * 2**child.failures) if child.failures else 0.0
        child.start_again_s = now_s + delay_s
        log.error("child_ended", child=child.name, returncode=child.process.returncode, restart_in_s=delay_s)
        self.on_child_exit(child.process.pid)
        child.process = None

    def _stop_all(self) -> int:
        running = [child for child in self.children if child.is_running()]
        for child in running:
            _signal_group(child, signal.SIGTERM, leader_only=True)
        deadline_s = time.monotonic() + self.grace_s
        while any(child.is_running() for child in running) and time.monotonic() < deadline_s:
            time.sleep(0.05)
        late = [child for child in running if child.is_running()]
        for child in late:
            log.error("child_killed", child=child.name, after_s=self.grace_s)
        for child in running:
            _signal_group(child, signal.SIGKILL)  # also what a child left behind in its session
            if child.process is not None:
                child.process.wait()
        return len(late)


def _signal_group(child: Child, number: int, *, leader_only: bool = False) -> None:
    if child.process is None:
        return
    try:
        if leader_only:
            child.process.send_signal(number)
        else:
            os.killpg(child.process.pid, number)
    except ProcessLookupError:
        return  # it has ended meanwhile, which is what we want


def _die_with_parent() -> None:
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
