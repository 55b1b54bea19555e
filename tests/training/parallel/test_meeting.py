"""Who comes to a team's leader over the network must know the attempt's key; a stranger keeps nobody waiting."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from aiplatform.errors import InvalidConfigurationError
from tests.training.launchers.fake_cluster import free_range
from training.parallel import links, meeting
from training.parallel.links import SocketLink
from training.parallel.meeting import Meeting, NotOfThisTeamError, come_to_leader, prove_leader
from training.parallel.messages import END, Alive, Failed, Leave, decode_command, encode
from training.parallel.nodes import Nodes, Seat, this_seat
from training.parallel.place import this_place
from training.recipes.api import StopRequestedError, WorkerLostError

KEY = b"the attempt's own"
pytestmark = pytest.mark.timeout(60)


class Leader:
    """A leader that waits in a thread of its own."""

    def __init__(self, seat: Seat) -> None:
        self.seat, self.waits, self.stops = seat, list[str](), list[str]()
        self.found: list[SocketLink] | BaseException | None = None
        self.is_stopped = False
        nodes = Nodes(seat=seat, key=KEY, look=self._look, ask_stop=lambda: self.stops.append("stop"))
        self._thread = threading.Thread(target=self._gather, args=(nodes,))
        self._thread.start()

    def links(self) -> list[SocketLink]:
        self._thread.join(30)
        assert isinstance(self.found, list), self.found
        return self.found

    def error(self) -> BaseException:
        self._thread.join(30)
        assert isinstance(self.found, BaseException)
        return self.found

    def _gather(self, nodes: Nodes) -> None:
        try:
            self.found = Meeting(nodes).gather(lambda: "")
        except (StopRequestedError, WorkerLostError) as error:
            self.found = error

    def _look(self, what: str) -> None:
        self.waits.append(what)
        if self.is_stopped:
            raise StopRequestedError("stopped")


def a_seat(nodes: int) -> Seat:
    return Seat(hosts=("127.0.0.1",) * nodes, first_port=free_range(2 + nodes))


def come(seat: Seat, rank: int, key: bytes = KEY) -> socket.socket:
    place = Seat(hosts=seat.hosts, first_port=seat.first_port, node=rank)
    until = time.monotonic() + 20
    while True:
        try:
            return come_to_leader(place, key)
        except ConnectionRefusedError:
            assert time.monotonic() < until
            time.sleep(0.02)


@pytest.fixture
def leader() -> Iterator[Leader]:
    leader = Leader(a_seat(3))
    yield leader
    leader.is_stopped = True
    leader._thread.join(30)
    for link in leader.found if isinstance(leader.found, list) else []:
        link.close(0)


def test_members_come_in_any_order_and_are_told_by_their_rank(leader: Leader) -> None:
    with come(leader.seat, 2) as second, come(leader.seat, 1) as first:
        links = leader.links()
        links[0].tell(END)
        assert next(decode_command(line) for line in first.makefile("rb") if b"alive" not in line) == END
        second.settimeout(0.1)
        with pytest.raises(TimeoutError):
            while second.recv(100):
                pass
    assert leader.waits[0] == "waiting for 2 of 3 processes, on other nodes"


def test_a_stranger_is_sent_away_and_a_silent_one_keeps_nobody_waiting(leader: Leader) -> None:
    until = time.monotonic() + 20
    silent = None
    while silent is None and time.monotonic() < until:
        with contextlib.suppress(ConnectionRefusedError):
            silent = socket.create_connection(("127.0.0.1", leader.seat.first_port))
    assert silent is not None
    with silent, pytest.raises(NotOfThisTeamError):
        come(leader.seat, 1, key=b"another attempt's")
    with come(leader.seat, 1), come(leader.seat, 2):
        assert len(leader.links()) == 2


def closed_of(*connections: socket.socket) -> socket.socket:
    """Return the connection that the leader closes; what it tells before that, to any, is passed over."""
    while True:
        readable, _, _ = select.select(connections, [], [], 20)
        assert readable, "none is closed, and none is told anything"
        for connection in readable:
            if not connection.recv(100):
                return connection


def test_a_rank_that_is_the_leaders_own_or_taken_gets_no_place(leader: Leader) -> None:
    with come(leader.seat, 0) as none:
        assert none.recv(10) == b""
    with come(leader.seat, 1) as one, come(leader.seat, 1) as other:
        closed_of(one, other)  # whoever proved itself first has the place
        with come(leader.seat, 2):
            assert len(leader.links()) == 2


def test_the_wait_ends_when_the_run_is_to_stop(leader: Leader) -> None:
    with come(leader.seat, 1):
        leader.is_stopped = True
        assert isinstance(leader.error(), StopRequestedError)


def test_who_proves_itself_when_the_meeting_is_called_off_is_closed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    proved, called_off = threading.Event(), threading.Event()

    def prove_late(connection: socket.socket, key: bytes) -> int:
        rank = prove_leader(connection, key)
        proved.set()
        assert called_off.wait(20)
        return rank

    monkeypatch.setattr(meeting, "prove_leader", prove_late)
    leader = Leader(a_seat(2))
    with come(leader.seat, 1) as late:
        assert proved.wait(20)
        leader.is_stopped = True
        assert isinstance(leader.error(), StopRequestedError)
        called_off.set()
        late.settimeout(20)
        while late.recv(100):  # a sign of life may come before the end
            pass


def test_a_member_that_goes_before_all_have_come_is_named(leader: Leader) -> None:
    come(leader.seat, 2).close()
    error = leader.error()
    assert isinstance(error, WorkerLostError)
    assert str(error) == "worker 2 of 3 is gone (its connection is closed)"


def test_a_member_says_why_it_fails_and_that_its_node_is_taken_away(leader: Leader) -> None:
    with come(leader.seat, 1) as first, come(leader.seat, 2) as second:
        mine, other = leader.links()
        first.sendall(encode(Alive()) + encode(Leave()) + encode(Failed(message="ValueError: no such column")))
        first.shutdown(socket.SHUT_RDWR)
        second.sendall(b"what is this\n")
        until = time.monotonic() + 20
        while not (mine.describe_end() and other.describe_end()):
            assert time.monotonic() < until
            time.sleep(0.02)
    assert mine.describe_end() == "ValueError: no such column"
    assert other.describe_end().startswith("its connection is closed: ")
    assert leader.stops == ["stop"]


def test_a_machine_that_vanishes_without_a_word_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "SILENT_S", 0.3)
    ours, theirs = socket.socketpair()
    link = SocketLink(ours, ask_stop=lambda: None)
    with theirs:
        until = time.monotonic() + 20
        while not link.describe_end():
            assert time.monotonic() < until
            time.sleep(0.02)
        assert link.describe_end() == "nothing was heard of it for 0.3 s"
        link.close(0)


@pytest.mark.parametrize("said", [b"", b"{}\n", b"x" * 2000, b'{"rank": 1, "number": "1", "proof": "0"}\n'])
def test_what_is_no_greeting_is_refused(said: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(said)
        theirs.shutdown(socket.SHUT_WR)
        with pytest.raises((NotOfThisTeamError, msgspec.MsgspecError)):
            prove_leader(ours, KEY)


def test_the_environment_says_the_seat() -> None:
    assert this_seat({}) is None
    given: dict[str, Any] = {
        "TRAINER_NODES": "a-0.team,a-1.team", "TRAINER_NODE_PORT": "2000", "TRAINER_PROCESSES": "2",
        "JOB_COMPLETION_INDEX": "1", "TRAINER_LOCAL": "1",
    }  # fmt: skip
    seat = this_seat(given)
    assert seat is not None
    assert (seat.rank, seat.world) == (3, 4)
    place = seat.environment_of(2, cores=8)
    found = this_place(place)
    assert (found.rank, found.world, found.local, found.local_world) == (2, 4, 0, 2)
    assert (place["MASTER_ADDR"], place["MASTER_PORT"], place["OMP_NUM_THREADS"]) == ("a-0.team", "2001", "4")
    assert '["a-0.team:2002", "a-0.team:2003", "a-1.team:2004", "a-1.team:2005"]' in place["TF_CONFIG"]
    for wrong, name in (({"JOB_COMPLETION_INDEX": "2"}, "JOB_COMPLETION_INDEX"), ({"TRAINER_LOCAL": "2"}, "LOCAL"),
                        ({"TRAINER_NODE_PORT": "x"}, "TRAINER_NODE_PORT")):  # fmt: skip
        with pytest.raises(InvalidConfigurationError, match=name):
            this_seat({**given, **wrong})
