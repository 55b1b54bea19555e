"""The process tree of one platform while it is shot at: what is in it, and who is hit.

Every process is known by a mark in its environment, which children inherit however they leave their parent; nothing
else is ever signalled.
"""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from benchmarks.processes import MARK, ServerError, command_of, marked_pids, parent_of

ROOT = Path(__file__).resolve().parents[1]
SERVE, QUEUE, QUEUE_MEMBER, CLOCK, HTTP, TRAINER = "serve", "queue", "queue member", "clock", "http", "trainer"
# What may be in a tree that has come to rest, besides trainers of active runs.
AT_REST = {SERVE: 1, QUEUE: 1, CLOCK: 1}
FROZEN_S = (2.0, 25.0)  # from a pause that nobody notices to one that costs the lease

# How often each kind is hit, and with what.
AIMS: tuple[tuple[str, signal.Signals, int], ...] = (
    (TRAINER, signal.SIGKILL, 8),
    (TRAINER, signal.SIGTERM, 2),
    (TRAINER, signal.SIGSTOP, 2),
    (QUEUE_MEMBER, signal.SIGKILL, 6),
    (QUEUE, signal.SIGKILL, 3),
    (QUEUE, signal.SIGTERM, 1),
    (CLOCK, signal.SIGKILL, 3),
    (SERVE, signal.SIGKILL, 1),
    (SERVE, signal.SIGTERM, 1),
)


class Tree:
    """`manage.py serve` and all that comes of it."""

    def __init__(self, env: Mapping[str, str], log: Path) -> None:
        self._mark = f"chaos-{secrets.token_hex(8)}"
        self._env, self._log = {**env, MARK: self._mark}, log
        self._process: subprocess.Popen[bytes] | None = None
        self._frozen: dict[int, float] = {}
        self.hits: Counter[str] = Counter()

    def start(self) -> None:
        """Start the platform; what an earlier start has left is not touched."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "manage.py", "serve", "--migrate"], cwd=ROOT, env=self._env,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def wait_until_up(self, *, within_s: float) -> None:
        """Return once queue and clock run.

        Raises: ServerError with the end of the log if they do not, or the platform ends.
        """
        deadline_s = time.monotonic() + within_s
        while not {QUEUE, QUEUE_MEMBER, CLOCK} <= set(self.members().values()):
            if time.monotonic() > deadline_s or (self._process is not None and self._process.poll() is not None):
                raise ServerError(f"the platform did not start:\n{self._log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.2)

    def tend(self) -> None:
        """Start the platform again if it has ended, and let go on what was frozen for long enough."""
        if self._process is not None and self._process.poll() is not None:
            self.start()
        for pid, until_s in list(self._frozen.items()):
            if time.monotonic() >= until_s:
                self._thaw(pid)

    def thaw_all(self) -> None:
        """Let go on all that is frozen."""
        for pid in list(self._frozen):
            self._thaw(pid)

    def members(self) -> dict[int, str]:
        """Return what each living process is."""
        found = {pid: _kind(command_of(pid)) for pid in marked_pids(self._mark)}
        return {
            pid: QUEUE_MEMBER if kind == QUEUE and found.get(parent_of(pid)) != SERVE else kind
            for pid, kind in found.items()
        }

    def orphans(self) -> list[str]:
        """Return what is in a tree at rest and belongs to nobody: no trainer may live, and all descend from `serve`."""
        members = self.members()
        top = self._process.pid if self._process is not None else 0
        strays = [f"{kind} {pid}" for pid, kind in members.items() if kind == TRAINER or not _descends(pid, top)]
        counted = Counter(members.values())
        return strays + [f"{counted[kind]} of {kind}" for kind, wanted in AT_REST.items() if counted[kind] != wanted]

    def shoot(self, dice: random.Random) -> str:
        """Hit one process; return what was done, or nothing if the chosen kind has no process now."""
        kind, number, _ = dice.choices(AIMS, weights=[weight for _, _, weight in AIMS])[0]
        chosen = sorted(pid for pid, what in self.members().items() if what == kind)
        if not chosen:
            return ""
        pid = dice.choice(chosen)
        if not _send(pid, number):
            return ""
        if number == signal.SIGSTOP:
            self._frozen[pid] = time.monotonic() + dice.uniform(*FROZEN_S)
        self.hits[f"{kind} {number.name}"] += 1
        return f"{kind} {number.name}"

    def stop(self, *, within_s: float) -> list[str]:
        """Ask the platform to end; return what of it still lives when the time is up, and end that by force."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        deadline_s = time.monotonic() + within_s
        while (left := self.members()) and time.monotonic() < deadline_s:
            if self._process is not None:
                self._process.poll()  # else it stays as a zombie, which has no environment but a parent
            time.sleep(0.2)
        for pid in left:
            _send(pid, signal.SIGKILL)
        return [f"{kind} {pid}" for pid, kind in left.items()]

    def _thaw(self, pid: int) -> None:
        del self._frozen[pid]
        if pid in marked_pids(self._mark):  # its number may be another's by now
            _send(pid, signal.SIGCONT)


def _kind(command: str) -> str:
    if "training.trainer" in command:
        return TRAINER
    for word, kind in (("qcluster", QUEUE), ("manage.py clock", CLOCK), ("gunicorn", HTTP), ("manage.py serve", SERVE)):
        if word in command:
            return kind
    return command[:60] or "ended"


def _descends(pid: int, top: int) -> bool:
    while pid > 1:
        if pid == top:
            return True
        pid = parent_of(pid)
    return False


def _send(pid: int, number: signal.Signals) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False
