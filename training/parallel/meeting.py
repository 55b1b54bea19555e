"""How the processes of a team find each other over a network: the members come to the leader.

Each side proves with a number that the other has chosen that it knows the attempt's key; the key itself never goes
over the network. A stranger's connection is closed, and keeps nobody waiting.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import socket
import threading
from collections.abc import Callable
from typing import Any

import msgspec

from training.parallel.links import SocketLink
from training.parallel.nodes import Nodes, Seat
from training.recipes.api import WorkerLostError

LOOK_S = 0.5
PROOF_S = 10.0  # in which a connection must have proved itself
CONNECT_S = 5.0
_LINE = 1024
_BACKLOG = 128


class Greeting(msgspec.Struct, frozen=True, kw_only=True):
    """What a member says first, in answer to the leader's number."""

    rank: int
    number: str
    proof: str


class NotOfThisTeamError(Exception):
    """The other side has not proved that it is of this attempt."""


class Meeting:
    """The leader's side: wait for the members of other machines."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes
        seat = nodes.seat
        self._ranks = range(seat.processes, seat.world)
        self._come: dict[int, SocketLink] = {}
        self._lock = threading.Lock()
        self._is_called_off = False

    def gather(self, describe_lost: Callable[[], str]) -> list[SocketLink]:
        """Return a link to each, in the order of their ranks, when all have come.

        `describe_lost` is asked meanwhile: who of this machine's own members is gone, empty if none is.
        Raises: WorkerLostError if one is gone already; OSError if the port is taken; whatever `Nodes.look` raises.
        """
        with socket.create_server(("", self._nodes.seat.first_port), backlog=_BACKLOG) as server:
            server.settimeout(LOOK_S)
            try:
                self._wait(server, describe_lost)
            except BaseException:
                self._send_home()
                raise
        self._nodes.look("")
        return [self._come[rank] for rank in self._ranks]

    def _wait(self, server: socket.socket, describe_lost: Callable[[], str]) -> None:
        while len(self._come) < len(self._ranks):
            missing = len(self._ranks) - len(self._come)
            self._nodes.look(f"waiting for {missing} of {self._nodes.seat.world} processes, on other nodes")
            if lost := describe_lost() or self._describe_lost():
                raise WorkerLostError(lost)
            try:
                connection, _ = server.accept()
            except TimeoutError:
                continue
            threading.Thread(target=self._prove, args=(connection,), name="meeting", daemon=True).start()

    def _prove(self, connection: socket.socket) -> None:
        try:
            connection.settimeout(PROOF_S)
            rank = prove_leader(connection, self._nodes.key)
            if rank not in self._ranks:
                raise NotOfThisTeamError(f"rank {rank}")
        except (OSError, ValueError, msgspec.MsgspecError, NotOfThisTeamError):
            connection.close()
            return
        link = SocketLink(connection, ask_stop=self._nodes.ask_stop)  # it says that it lives from now on
        with self._lock:
            is_too_late = self._is_called_off or self._come.setdefault(rank, link) is not link
        if is_too_late:
            link.close(0)

    def _send_home(self) -> None:
        with self._lock:  # who proves itself from now on is closed by its own thread
            self._is_called_off = True
        for link in self._come.values():
            link.close(0)

    def _describe_lost(self) -> str:
        ends = {rank: link.describe_end() for rank, link in list(self._come.items())}
        world = self._nodes.seat.world
        return next((f"worker {rank} of {world} is gone ({end})" for rank, end in ends.items() if end), "")


def come_to_leader(seat: Seat, key: bytes) -> socket.socket:
    """Return a connection to the leader.

    Raises: OSError if nobody listens there yet; NotOfThisTeamError if it is another.
    """
    connection = socket.create_connection((seat.hosts[0], seat.first_port), timeout=CONNECT_S)
    try:
        connection.settimeout(PROOF_S)
        prove_member(connection, key, rank=seat.rank)
    except BaseException:
        connection.close()
        raise
    return connection


def prove_leader(connection: socket.socket, key: bytes) -> int:
    """Return the rank of a member that has proved itself, and prove to it that this is its leader.

    Raises: NotOfThisTeamError, OSError, msgspec.MsgspecError.
    """
    number = secrets.token_hex(16)
    connection.sendall(f"{number}\n".encode())
    greeting = msgspec.json.decode(_read_line(connection), type=Greeting)
    if not hmac.compare_digest(greeting.proof, _proof(key, "member", number, greeting.number, greeting.rank)):
        raise NotOfThisTeamError("a connection has not proved itself")
    connection.sendall(f"{_proof(key, 'leader', number, greeting.number, greeting.rank)}\n".encode())
    return greeting.rank


def prove_member(connection: socket.socket, key: bytes, *, rank: int) -> None:
    """Prove to the leader that this is a member, and see that it is the leader.

    Raises: NotOfThisTeamError, OSError.
    """
    theirs, ours = _read_line(connection).decode(), secrets.token_hex(16)
    proof = _proof(key, "member", theirs, ours, rank)
    connection.sendall(msgspec.json.encode(Greeting(rank=rank, number=ours, proof=proof)) + b"\n")
    if not hmac.compare_digest(_read_line(connection).decode(), _proof(key, "leader", theirs, ours, rank)):
        raise NotOfThisTeamError("who listens there is not the leader of this attempt")


def _proof(key: bytes, who: str, *parts: Any) -> str:
    return hmac.new(key, ":".join(map(str, (who, *parts))).encode(), hashlib.sha256).hexdigest()


def _read_line(connection: socket.socket) -> bytes:
    """Return a line without its end, read by single bytes: what follows it belongs to another reader."""
    line = b""
    while len(line) < _LINE:
        one = connection.recv(1)
        if not one:
            raise NotOfThisTeamError("the other side has closed the connection")
        if one == b"\n":
            return line
        line += one
    raise NotOfThisTeamError(f"a line of more than {_LINE} bytes")
