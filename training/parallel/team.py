"""The leader's side: starts the members, tells them what to do, and notices when one is gone.

Members on this machine are in the trainer's session, so whoever ends it with its children ends them; those of other
machines are started by the cluster and come here. All end by themselves when the leader's end of their link closes,
however the leader died.
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
from typing import Self

import numpy as np

from aiplatform.errors import InvalidConfigurationError
from training.data.dataset import Array
from training.parallel.links import Link, ProcessLink
from training.parallel.meeting import Meeting
from training.parallel.messages import END, Load, MemberOrder, Step
from training.parallel.place import NAMES, THREADS, environment_of, worker_folder
from training.processes import LOST_EXIT_CODE
from training.recipes.api import Reporter, TrainingOrder, WorkerLostError

PROJECT = Path(__file__).resolve().parents[2]
NOTICE_S = 20.0  # which the engine has to notice that a member is gone
END_S = 5.0  # which members have to end
LOOK_S = 0.2
FAR_LOOK_S = 5.0  # in which the end of a member on another machine is heard of, after its engine has failed here
# What engines say when the other side of a connection is gone.
_GONE_ERRORS = {"UnavailableError", "AbortedError", "DistBackendError", "DistNetworkError"}
_GONE_WORDS = ("gloo/transport", "Connection closed by peer", "Connection reset by peer")


class Team:
    """The members that a trainer leads, as a context: they come with it and end with it.

    Inside, the environment of this process makes it rank 0, so a learner that is built there takes its place.
    """

    def __init__(self, order: TrainingOrder, *, world: int, reporter: Reporter, end: Callable[[int], None] = os._exit):
        self._order, self._world, self._reporter, self._end = order, world, reporter, end
        self._links: list[Link] = []
        self._before: dict[str, str | None] = {}
        self._is_closing = threading.Event()
        self._lost = ""
        self._rate: float | None = None

    def __enter__(self) -> Self:
        place_of, here = self._places()
        self._before = {name: os.environ.get(name) for name in (*NAMES, *THREADS)}
        try:
            for rank in range(1, here):
                self._start(place_of(rank))
            os.environ.update(place_of(0))
            if self._order.nodes is not None:
                self._links += Meeting(self._order.nodes).gather(self._describe_lost)
        except BaseException:
            self._finish()
            raise
        threading.Thread(target=self._watch, name="team-watch", daemon=True).start()
        self._reporter.log(f"a team of {self._world} processes shares each batch{self._describe_nodes()}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # An engine says it in its own words that a member is gone, and may say it before the member's end is seen.
        if isinstance(error, Exception) and not self._lost:
            self._wait_for_loss(2 * LOOK_S if self._order.nodes is None else FAR_LOOK_S)
            if self._order.nodes is not None and not self._lost and _tells_of_loss(error):
                self._lost = f"the connection to a worker is gone: {type(error).__name__}"
        lost = self._lost
        self._finish()
        if lost and isinstance(error, Exception):
            raise WorkerLostError(lost) from error

    @property
    def process_ids(self) -> list[int]:
        """Return the process ids of the members on this machine, without the leader's."""
        return [link.process.pid for link in self._links if isinstance(link, ProcessLink)]

    def set_learning_rate(self, rate: float) -> None:
        """Have the members use another learning rate from the next step on."""
        self._rate = rate

    def share(self, rows: Array, *, epoch: int, step: int) -> Array:
        """Tell each member its share of a step's rows, and return the leader's.

        Raises: WorkerLostError if a member is gone.
        """
        shares = np.array_split(rows, self._world)
        for link, share in zip(self._links, shares[1:], strict=True):
            link.tell(Step(rows=share.tolist(), of=len(rows), epoch=epoch, step=step, rate=self._rate))
        self._rate = None
        return shares[0]

    def hand_over(self, save_state: Callable[[Path], None]) -> None:
        """Have the members take the leader's state over: weights, optimizer.

        Raises: WorkerLostError if a member is gone.
        """
        save_state(self._state_file)
        for rank, link in enumerate(self._links, start=1):
            link.tell(Load(path=str(self._state_file), seed=self._order.seed + rank))

    @property
    def _state_file(self) -> Path:
        return self._order.work_dir / "team-state"

    def _places(self) -> tuple[Callable[[int], dict[str, str]], int]:
        """Return what makes a process the member of a rank, and how many members, the leader among them, are here."""
        cores = len(os.sched_getaffinity(0))
        if self._order.nodes is None:
            ports = free_ports(2 * self._world)
            return lambda rank: environment_of(rank, ports, cores=cores), self._world
        seat = self._order.nodes.seat
        if seat.world != self._world:
            raise InvalidConfigurationError(
                f"workers is {self._world}; the cluster has started {len(seat.hosts)} nodes of {seat.processes} each"
            )
        return lambda rank: seat.environment_of(rank, cores=cores), seat.processes

    def _describe_nodes(self) -> str:
        nodes = self._order.nodes
        return "" if nodes is None else f", on {len(nodes.seat.hosts)} nodes"

    def _start(self, place: Mapping[str, str]) -> None:
        process = subprocess.Popen(
            [sys.executable, "-m", "training.parallel.member"],
            cwd=PROJECT, env={**os.environ, **place}, stdin=subprocess.PIPE,
        )  # fmt: skip
        link = ProcessLink(process)
        self._links.append(link)
        link.tell(member_order(self._order))

    def _watch(self) -> None:
        """See that all members live; end this process if its engine waits for one that does not."""
        while not self._is_closing.wait(LOOK_S):
            if lost := self._describe_lost():
                self._lost = lost
                self._reporter.log(lost)
                if not self._is_closing.wait(NOTICE_S):
                    self._end(LOST_EXIT_CODE)
                return

    def _describe_lost(self) -> str:
        for rank, link in enumerate(self._links, start=1):
            if end := link.describe_end():
                return f"worker {rank} of {self._world} is gone ({end})"
        return ""

    def _wait_for_loss(self, seconds: float) -> None:
        until_s = time.monotonic() + seconds
        while not self._lost and time.monotonic() < until_s:
            time.sleep(LOOK_S / 4)

    def _finish(self) -> None:
        self._is_closing.set()
        for link in self._links:
            with contextlib.suppress(WorkerLostError):
                link.tell(END)
        deadline_s = time.monotonic() + END_S
        for link in self._links:
            link.close(deadline_s)
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


def _tells_of_loss(error: BaseException) -> bool:
    return type(error).__name__ in _GONE_ERRORS or any(words in str(error) for words in _GONE_WORDS)
