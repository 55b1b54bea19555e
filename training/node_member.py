"""A trainer that does not lead: it is on another node than rank 0, or beside it on its own node.

It reads the run, comes to the leader, and does what it says. It writes nothing to the run: lease, progress, checkpoints
and artifact are the leader's. It leaves when the run is another's, and when the leader is gone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from uuid import UUID

import structlog
from django.db import DatabaseError, close_old_connections, connections

from training.leases import held_by
from training.models import Run
from training.orders import team_key, training_order
from training.parallel.links import ALIVE_S, SILENT_S
from training.parallel.meeting import NotOfThisTeamError, come_to_leader
from training.parallel.member import come_up, read_commands
from training.parallel.messages import Alive, Answer, Failed, Leave, encode
from training.parallel.nodes import LOCAL, Seat
from training.parallel.team import END_S, member_order
from training.processes import LOST_EXIT_CODE

log = structlog.get_logger(__name__)

TRY_AGAIN_S = 1.0
FAILED_EXIT_CODE = 3
LEFT_EXIT_CODE = 0
_PROJECT = Path(__file__).resolve().parents[1]


class NodeMember:
    """One process of a run that is on many nodes."""

    def __init__(self, run_id: UUID, fence: int, seat: Seat) -> None:
        self._run_id, self._fence, self._seat = run_id, fence, seat
        self._is_leaving = threading.Event()  # the node is to be taken away
        self._neighbours: list[subprocess.Popen[bytes]] = []

    def run(self) -> int:
        """Take part until the leader says that it is over; return the exit code."""
        signal.signal(signal.SIGTERM, lambda *_: self._is_leaving.set())
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if self._seat.local == 0:
            self._start_neighbours()
        connection = self._come()
        if connection is None:
            return LOST_EXIT_CODE if self._is_leaving.is_set() else LEFT_EXIT_CODE
        connection.settimeout(SILENT_S)
        threading.Thread(target=self._beat, args=(connection,), name="beat", daemon=True).start()
        try:
            self._take_part(connection)
        except Exception as error:
            log.exception("node_failed", rank=self._seat.rank)
            with contextlib.suppress(OSError):
                self._say(connection, Failed(message=f"{type(error).__name__}: {error}"[:500]))
            return FAILED_EXIT_CODE
        connection.close()
        return self._wait_for_neighbours()

    def _take_part(self, connection: socket.socket) -> None:
        commands = read_commands(connection.makefile("rb"), leave=self._lose_leader)
        order = training_order(Run.objects.get(pk=self._run_id))
        connections.close_all()  # nothing more is asked of the database
        os.environ.update(self._seat.environment_of(self._seat.rank, cores=len(os.sched_getaffinity(0))))
        come_up(member_order(order)).follow(commands)

    def _come(self) -> socket.socket | None:
        """Return a connection to the leader, as long as it takes; None if the run is another's, or this node leaves."""
        key = team_key(self._run_id, self._fence)
        while self._is_held() and not self._is_leaving.is_set():
            try:
                return come_to_leader(self._seat, key)
            except (OSError, NotOfThisTeamError) as error:  # its name may not be known yet, nor anyone listen there
                log.debug("leader_not_reached", error=str(error))
                self._is_leaving.wait(TRY_AGAIN_S)
        return None

    def _is_held(self) -> bool:
        try:
            close_old_connections()
            return held_by(self._run_id, self._fence).exists()
        except DatabaseError as error:
            log.warning("run_not_read", error=str(error))
            return True  # the leader knows; without one nobody listens

    def _lose_leader(self) -> None:
        log.warning("leader_is_gone", rank=self._seat.rank)
        sys.stderr.flush()
        os._exit(LOST_EXIT_CODE)

    def _beat(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._say(connection, Leave() if self._is_leaving.is_set() else Alive())
                self._watch_neighbours()
                time.sleep(ALIVE_S)

    def _say(self, connection: socket.socket, answer: Answer) -> None:
        connection.sendall(encode(answer))

    def _start_neighbours(self) -> None:
        """Start the other processes of this node; each comes to the leader by itself."""
        for local in range(1, self._seat.processes):
            command = [sys.executable, "-m", "training.trainer", str(self._run_id), str(self._fence)]
            environment = {**os.environ, LOCAL: str(local)}
            self._neighbours.append(subprocess.Popen(command, cwd=_PROJECT, env=environment, stdin=subprocess.DEVNULL))

    def _watch_neighbours(self) -> None:
        for neighbour in self._neighbours:
            if neighbour.poll():
                log.warning("neighbour_is_gone", code=neighbour.returncode)
                sys.stderr.flush()
                os._exit(LOST_EXIT_CODE)

    def _wait_for_neighbours(self) -> int:
        deadline_s = time.monotonic() + END_S
        code = 0
        for neighbour in self._neighbours:
            try:
                code = code or neighbour.wait(max(0.0, deadline_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                neighbour.kill()
        return code
