"""The leader's side: starts the members, tells them what to do, and notices when one is gone.

Members are in the trainer's session, so whoever ends it with its children ends them. They end by themselves when
the leader's end of their input closes, however the leader died.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Self, cast

import numpy as np

from training.data.dataset import Array
from training.parallel.messages import END, Command, Load, MemberOrder, Step, encode
from training.parallel.place import NAMES, THREADS, environment_of, worker_folder
from training.processes import LOST_EXIT_CODE
from training.recipes.api import Reporter, TrainingOrder, WorkerLostError

PROJECT = Path(__file__).resolve().parents[2]
NOTICE_S = 20.0  # which the engine has to notice that a member is gone
END_S = 5.0  # which members have to end
LOOK_S = 0.2


class Team:
    """The members that a trainer leads, as a context: they come with it and end with it.

    Inside, the environment of this process makes it rank 0, so a learner that is built there takes its place.
    """

    def __init__(self, order: TrainingOrder, *, world: int, reporter: Reporter, end: Callable[[int], None] = os._exit):
        self._order, self._world, self._reporter, self._end = order, world, reporter, end
        self._members: list[subprocess.Popen[bytes]] = []
        self._before: dict[str, str | None] = {}
        self._is_closing = threading.Event()
        self._lost = ""
        self._rate: float | None = None

    def __enter__(self) -> Self:
        ports = free_ports(2 * self._world)
        cores = len(os.sched_getaffinity(0))
        self._before = {name: os.environ.get(name) for name in (*NAMES, *THREADS)}
        try:
            for rank in range(1, self._world):
                self._members.append(self._start(environment_of(rank, ports, cores=cores)))
        except BaseException:
            self._finish()
            raise
        os.environ.update(environment_of(0, ports, cores=cores))
        threading.Thread(target=self._watch, name="team-watch", daemon=True).start()
        self._reporter.log(f"a team of {self._world} processes shares each batch")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # An engine says it in its own words that a member is gone, and may say it before the member's end is seen.
        if isinstance(error, Exception) and not self._lost:
            self._is_closing.wait(2 * LOOK_S)
        lost = self._lost
        self._finish()
        if lost and isinstance(error, Exception):
            raise WorkerLostError(lost) from error

    @property
    def process_ids(self) -> list[int]:
        """Return the members' process ids, without the leader's."""
        return [member.pid for member in self._members]

    def set_learning_rate(self, rate: float) -> None:
        """Have the members use another learning rate from the next step on."""
        self._rate = rate

    def share(self, rows: Array) -> Array:
        """Tell each member its share of a step's rows, and return the leader's.

        Raises: WorkerLostError if a member is gone.
        """
        shares = np.array_split(rows, self._world)
        for member, share in zip(self._members, shares[1:], strict=True):
            self._tell(member, Step(rows=share.tolist(), of=len(rows), rate=self._rate))
        self._rate = None
        return shares[0]

    def hand_over(self, save_state: Callable[[Path], None]) -> None:
        """Have the members take the leader's state over: weights, optimizer.

        Raises: WorkerLostError if a member is gone.
        """
        save_state(self._state_file)
        for rank, member in enumerate(self._members, start=1):
            self._tell(member, Load(path=str(self._state_file), seed=self._order.seed + rank))

    @property
    def _state_file(self) -> Path:
        return self._order.work_dir / "team-state"

    def _start(self, place: Mapping[str, str]) -> subprocess.Popen[bytes]:
        member = subprocess.Popen(
            [sys.executable, "-m", "training.parallel.member"],
            cwd=PROJECT, env={**os.environ, **place}, stdin=subprocess.PIPE,
        )  # fmt: skip
        self._tell(member, member_order(self._order))
        return member

    def _tell(self, member: subprocess.Popen[bytes], message: MemberOrder | Command) -> None:
        pipe = cast("IO[bytes]", member.stdin)
        try:
            pipe.write(encode(message))
            pipe.flush()
        except OSError as error:
            raise WorkerLostError(self._lost or f"a worker of the team is gone: {error}") from error

    def _watch(self) -> None:
        """See that all members live; end this process if its engine waits for one that does not."""
        while not self._is_closing.wait(LOOK_S):
            for rank, member in enumerate(self._members, start=1):
                if member.poll() is not None:
                    self._lost = f"worker {rank} of {self._world} is gone ({_describe(member.returncode)})"
                    self._reporter.log(self._lost)
                    if not self._is_closing.wait(NOTICE_S):
                        self._end(LOST_EXIT_CODE)
                    return

    def _finish(self) -> None:
        self._is_closing.set()
        for member in self._members:
            with contextlib.suppress(WorkerLostError):
                self._tell(member, END)
            with contextlib.suppress(OSError):
                cast("IO[bytes]", member.stdin).close()
        deadline_s = time.monotonic() + END_S
        for member in self._members:
            try:
                member.wait(max(0.0, deadline_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                member.kill()
                member.wait()
        for rank in range(1, self._world):
            shutil.rmtree(worker_folder(self._order.work_dir, rank), ignore_errors=True)
        self._state_file.unlink(missing_ok=True)
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def member_order(order: TrainingOrder) -> MemberOrder:
    """Return what a member must know of an order."""
    return MemberOrder(
        recipe=order.recipe, parameters=dict(order.parameters), data_uri=order.data_uri, target=order.target,
        seed=order.seed, work_dir=str(order.work_dir),
        cache_dir=str(order.cache.folder) if order.cache else None,
        cache_bytes=order.cache.limit_bytes if order.cache else 0,
        expected=dict(order.expected), memory_bytes=order.memory_bytes, databases=dict(order.databases),
    )  # fmt: skip


def free_ports(count: int) -> list[int]:
    """Return so many ports of the loopback that are free now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _describe(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
